"""What all steps share: sizes, where things are kept, which images are explained."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.common import workloads
from benchmarks.paper import network
from benchmarks.paper.lines import Lines

CLASSES = range(10)
VALIDATION = 10_000  # of the training images, the last ones: settings are chosen on these


class Plan(NamedTuple):
    """Sizes of the full run."""

    n_train: int = 60_000
    epochs: int = 10
    images: int = 1000  # explained
    images_to_choose: int = 300  # others, explained to choose settings
    n_samples: int = 5000
    draws: int = 100  # of SmoothGrad-squared and VarGrad
    replicates: int = 5  # disjoint parts of the images explained
    replicates_to_choose: int = 2
    levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    retrain_epochs: int = 2  # of a CNN
    head_epochs: int = 10
    shap_images: int = 200
    shap_permutations: int = 10
    map_images: int = 1000  # of the test set, on which maps are judged
    voters: int = 83  # simulated


QUICK = Plan(
    n_train=12_000,
    epochs=2,
    images=100,
    images_to_choose=50,
    n_samples=1000,
    draws=20,
    replicates=2,
    replicates_to_choose=1,
    levels=(0.5, 0.9),
    retrain_epochs=1,
    head_epochs=2,
    shap_images=10,
    shap_permutations=1,
    map_images=200,
)


class Study:
    """A run of the experiments.

    Parameters
    ----------
    plan : Plan
    out : Path
        Where results, as JSON lines, and figures go: what is to be kept.
    work : Path
        Where the rest goes: the network, explanations, and what else can be made again.
    """

    def __init__(self, plan: Plan, out: Path, work: Path) -> None:
        self.plan, self.out, self.work = plan, out, work
        for folder in (out / "results", out / "figures", work):
            folder.mkdir(parents=True, exist_ok=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return Study, (self.plan, self.out, self.work)  # without what it has loaded

    @cached_property
    def executor(self) -> ProcessPoolExecutor:
        """A process for each core, each of which computes on one thread."""
        os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # libraries read it when they are loaded
        return ProcessPoolExecutor(os.cpu_count(), get_context("spawn"))

    @cached_property
    def data(self) -> workloads.Images:
        images = _mnist()
        return images._replace(X=images.X[-self.plan.n_train :], y=images.y[-self.plan.n_train :])

    @property
    def validation(self) -> int:
        """How many of the training images are kept apart when settings are chosen."""
        return min(VALIDATION, self.plan.n_train // 4)

    @cached_property
    def cnn(self) -> torch.nn.Sequential:
        model = network.cnn(0)
        model.load_state_dict(torch.load(self.work / "cnn.pt", weights_only=True))
        return model.eval()

    @cached_property
    def predicted(self) -> np.ndarray:
        """Class that the CNN gives each training image."""
        return network.predicted(self.cnn, network.as_images(self.data.X))

    def rows(self, kind: str, test: bool = False) -> np.ndarray:
        """Return the images, (n, 784), or with "features" the outputs of the second block, (n, 1600).

        These are kept in a file, which all processes share.
        """
        X = self.data.X_test if test else self.data.X
        if kind == "pixels":
            return X
        path = self.work / f"features-{'test' if test else 'train'}.npy"
        if not path.exists():
            unfinished = path.with_suffix(".part.npy")
            np.save(unfinished, network.features(self.cnn, X))
            unfinished.replace(path)
        return np.load(path, mmap_mode="r")

    def images(self, choosing: bool = False) -> np.ndarray:
        """Return which training images are explained: in turn one of each predicted class.

        To choose settings others are taken. None of either is in the part that settings are judged on.
        """
        n, skipped = self.plan.images // 10, 0
        if choosing:
            n, skipped = self.plan.images_to_choose // 10, n
        order = np.random.default_rng(1).permutation(len(self.data.X) - self.validation)
        by_class = [order[self.predicted[order] == c][skipped : skipped + n] for c in CLASSES]
        return np.stack(by_class, axis=1).ravel()

    def parts(self, choosing: bool = False) -> list[np.ndarray]:
        """Return the images explained in disjoint parts, the replicates, each with as many of each class."""
        images = self.images(choosing)
        n = self.plan.replicates_to_choose if choosing else self.plan.replicates
        return [images[np.arange(len(images)) // 10 % n == r] for r in range(n)]

    def results(self, name: str) -> Lines:
        return Lines(self.out / "results" / f"{name}.jsonl")


_mnist = cache(workloads.mnist)  # once a process
