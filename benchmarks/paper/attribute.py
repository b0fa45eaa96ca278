"""What NormLIME is compared with: SmoothGrad-squared and VarGrad by captum, Shapley values by shap.

SHAP is the mean size of Shapley values against a black image, or features of 0, which shap estimates from random
orders of the features, each forwards and backwards: without bias, unlike Kernel SHAP's weighted regression.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shap
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import nn

from benchmarks.paper import network
from benchmarks.paper.explain import OUTPUTS, SIGMA
from benchmarks.paper.study import CLASSES, Study

TUNNELS = {"SmoothGrad²": "smoothgrad_sq", "VarGrad": "vargrad"}
AT_ONCE = 10  # images


def run(study: Study) -> None:
    for name, make in {"gradients": _gradients, "shap": _shap}.items():
        path = _path(study, name)
        if not path.exists():
            start = time.perf_counter()
            unfinished = path.with_suffix(".part.npz")
            np.savez(unfinished, **make(study))
            study.results("attributions").append(name=name, seconds=time.perf_counter() - start)
            unfinished.replace(path)


def load(study: Study, name: str) -> dict[str, np.ndarray]:
    """Return attributions (n_images, d), of `study.images()` in their order; SHAP's of the first of these.

    Those of "gradients" are called like "pixels, VarGrad, probability"; of features the gradients are by units, or
    "times variance" of the feature. Those of "shap" are "pixels" and "features", of log-probabilities.
    """
    with np.load(_path(study, name)) as file:
        return dict(file)


def _path(study: Study, name: str) -> Path:
    return study.work / f"attributions-{name}.npz"


def _gradients(study: Study) -> dict[str, np.ndarray]:
    images = study.images()
    X, target = study.data.X[images], torch.as_tensor(study.predicted[images])
    everything = study.rows("features")
    deviations = everything.std(axis=0)
    scale = torch.as_tensor(np.where(deviations > 0, deviations, 1))
    in_deviations = torch.as_tensor(everything[images]) / scale
    found = {}
    for name, kind in TUNNELS.items():
        for output in OUTPUTS:
            asked = forward(study.cnn, output)
            of_pixels = tunnel(asked, kind, network.as_images(X), target, SIGMA, study.plan.draws)
            found[f"pixels, {name}, {output}"] = of_pixels.reshape(X.shape)
        asked = forward(nn.Sequential(_Scale(scale), study.cnn[1]), OUTPUTS[1])
        times_variance = tunnel(asked, kind, in_deviations, target, 1.0, study.plan.draws)
        found[f"features, {name}"] = times_variance / scale.numpy() ** 2
        found[f"features, {name} times variance"] = times_variance
    return found


class _Scale(nn.Module):
    """Turns features in units of their standard deviations back into features."""

    def __init__(self, scale: torch.Tensor) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z * self.scale


def forward(model: nn.Module, output: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what turns images into ten probabilities, or ten log-probabilities less their mean."""

    def outputs(X: torch.Tensor) -> torch.Tensor:
        logits = model(X)
        return logits.softmax(dim=1) if output == "probability" else logits - logits.mean(dim=1, keepdim=True)

    return outputs


def tunnel(
    asked: Callable[[torch.Tensor], torch.Tensor],
    kind: str,
    X: torch.Tensor,
    target: torch.Tensor,
    sigma: float,
    draws: int,
) -> np.ndarray:
    """Return the gradients of each image's target, squared or their variance, over draws of noise."""
    noisy = NoiseTunnel(Saliency(asked))
    torch.manual_seed(0)
    parts = [
        noisy.attribute(
            *(piece.requires_grad_(), kind),
            nt_samples=draws,
            nt_samples_batch_size=min(draws, 10),
            stdevs=sigma,
            target=classes,
            abs=False,
        ).detach()
        for piece, classes in zip(X.split(AT_ONCE), target.split(AT_ONCE), strict=True)
    ]
    return torch.cat(parts).flatten(1).numpy()


def _shap(study: Study) -> dict[str, np.ndarray]:
    images = study.images()[: study.plan.shap_images]
    X = study.data.X[images]
    models = {
        "pixels": (network.Outputs(study.cnn, study.work / "cnn.onnx"), X),
        "features": (network.Outputs(study.cnn[1], study.work / "head.onnx"), study.rows("features")[images]),
    }
    found = {}
    for name, (outputs, rows) in models.items():
        values = np.zeros(rows.shape)
        d = rows.shape[1]
        for c in CLASSES:
            here = study.predicted[images] == c
            explainer = shap.explainers.PermutationExplainer(
                lambda X, c=c, outputs=outputs: outputs(X)[:, 10 + c], np.zeros((1, d)), seed=0
            )
            evaluations = study.plan.shap_permutations * (2 * d + 1)
            values[here] = explainer(rows[here], max_evals=evaluations, silent=True).values
        found[name] = values
    return found
