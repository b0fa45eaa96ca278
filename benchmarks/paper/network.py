"""The paper's CNN: two blocks of convolution and max-pooling, then layers of 128, 128 and 10 units with dropout."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from scipy.special import softmax
from torch import nn

PIECE = 100  # images that the CNN takes at a time: what it computes on the way stays in the cache
N_FEATURES = 1600  # outputs of the second block


def cnn(seed: int) -> nn.Sequential:
    """Return it, not yet trained: (n, 1, 28, 28) to (n, 10) logits."""
    torch.manual_seed(seed)
    # pooling before ReLU gives what it gives after, on a quarter of the values
    blocks = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()
    )
    return nn.Sequential(blocks, _head()).to(memory_format=torch.channels_last)


def head(seed: int, kept: np.ndarray) -> nn.Sequential:
    """Return what follows the convolutions, not yet trained: (n, len(kept)) features to (n, 10) logits.

    It trains as one of all 1600 features would if those not kept were always 0.
    """
    torch.manual_seed(seed)
    model = _head()
    model[0].weight = nn.Parameter(model[0].weight[:, kept])
    return model


def _head() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(N_FEATURES, 128), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(128, 10),
    )


def as_images(X: np.ndarray) -> torch.Tensor:
    """Turn (n, 784) into what the CNN takes."""
    return torch.as_tensor(X).reshape(-1, 1, 28, 28).contiguous(memory_format=torch.channels_last)


def train(model: nn.Module, X: torch.Tensor, y: np.ndarray, epochs: int, seed: int, batch: int = 64) -> nn.Module:
    """Adam, its rate rising to 0.002 and falling to 0, in bfloat16 with weights in float32."""
    torch.manual_seed(seed)
    labels = torch.as_tensor(y)
    optimizer = torch.optim.Adam(model.parameters())
    n_steps = len(X) // batch
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * n_steps)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(X))
        for rows in order[: n_steps * batch].split(batch):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(model(X[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    return model.eval()


@torch.no_grad()
def predicted(model: nn.Module, X: torch.Tensor) -> np.ndarray:
    """Return the class that it gives each of them."""
    return torch.cat([model(piece).argmax(dim=1) for piece in X.split(PIECE)]).numpy()


@torch.no_grad()
def features(model: nn.Sequential, X: np.ndarray) -> np.ndarray:
    """Return the outputs of the second block, (n, 1600) float32."""
    return torch.cat([model[0](piece) for piece in as_images(X).split(PIECE)]).numpy()


class Outputs:
    """What is explained: ten probabilities, then ten log-probabilities less their mean, which is logits less theirs.

    Of a whole CNN, which takes images (n, 784), or of a head, which takes features (n, 1600), in float32 and on one
    thread. The network goes through the file `path`, so that other processes can have it, too.
    """

    def __init__(self, model: nn.Sequential, path: Path) -> None:
        example = torch.zeros(2, N_FEATURES) if isinstance(model[0], nn.Linear) else as_images(np.zeros((2, 784), "f4"))
        with warnings.catch_warnings(action="ignore"):  # it says that there is another exporter
            torch.onnx.export(model, (example,), path, input_names=["x"], dynamic_axes={"x": {0: "n"}}, dynamo=False)
        self.__setstate__((path, example.shape[1:]))

    def __getstate__(self) -> tuple[Path, tuple[int, ...]]:
        return self._path, self._shape

    def __setstate__(self, state: tuple[Path, tuple[int, ...]]) -> None:
        self._path, self._shape = state
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self._path, options)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        X = X.astype(np.float32, copy=False).reshape(-1, *self._shape)
        pieces = [X[start : start + PIECE] for start in range(0, len(X), PIECE)]
        logits = np.concatenate([self._session.run(None, {"x": piece})[0] for piece in pieces])
        return np.concatenate([softmax(logits, axis=1), logits - logits.mean(axis=1, keepdims=True)], axis=1)
