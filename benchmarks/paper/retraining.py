"""Trains networks without some of the features, several at a time, and keeps what they get wrong.

A removed pixel is black, a removed output of the second block is 0. With pixels the whole CNN is trained anew, with
features the head, as features of convolutions that are trained anew mean something else.
"""

import hashlib
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.paper import network
from benchmarks.paper.study import Study, workers
from normlime_fast import evaluation

SEED = 0
BASELINES = range(5)  # seeds of networks with all features: a single one can be better or worse by luck
MISSING = -1.0  # no error in percent


def of_kind(study: Study, kind: str, test: bool = False) -> np.ndarray:
    """Return the images, or their features; these are kept, since all retrainings share them."""
    X = study.data.X_test if test else study.data.X
    if kind == "pixels":
        return X
    path = study.work / f"features-{'test' if test else 'train'}.npy"
    if not path.exists():
        np.save(path, network.features(study.cnn, X))
    return np.load(path, mmap_mode="r")


def keep_and_retrain(
    study: Study,
    kind: str,
    importances: dict[Any, np.ndarray],
    levels: tuple[float, ...],
    choosing: bool = False,
) -> None:
    """Retrain on all cores; what the file of results knows is not trained again.

    To choose settings, for one epoch, and the last training images are kept apart and scored, not the test images.
    """
    of_kind(study, kind), of_kind(study, kind, test=True)
    retraining = Retraining(study, kind, choosing)
    with workers() as executor:
        d = next(iter(importances.values())).shape[1]
        evaluation.keep_and_retrain(np.zeros(d), retraining, [0.0], seeds=BASELINES, executor=executor)
        for name, importance in importances.items():
            print(name, flush=True)
            evaluation.keep_and_retrain(
                importance, retraining, levels, seeds=[SEED], executor=executor, progress=sys.stderr.isatty()
            )


def load(
    study: Study,
    kind: str,
    importances: dict[Any, np.ndarray],
    levels: tuple[float, ...],
    choosing: bool = False,
) -> dict[Any, evaluation.Retrained]:
    """Return the errors in percent of each importance, as far as they are known; the others are NaN.

    The baseline is the mean of `baselines`.
    """
    known = Retraining(study, kind, choosing).known()
    baseline = baselines(study, kind, choosing).mean(keepdims=True)

    def error(kept: np.ndarray, seed: int) -> float:
        return known.get((key(kept), seed), MISSING)

    results = {}
    for name, importance in importances.items():
        found = evaluation.keep_and_retrain(importance, error, levels, seeds=[SEED])
        scores = np.where(found.scores == MISSING, np.nan, found.scores)
        results[name] = replace(found, scores=scores, baseline=baseline)
    return results


def baselines(study: Study, kind: str, choosing: bool = False) -> np.ndarray:
    """Return the errors in percent of networks with all features, one for each seed."""
    known, everything = Retraining(study, kind, choosing).known(), np.arange(of_kind(study, kind).shape[1])
    return np.array([known.get((key(everything), seed), np.nan) for seed in BASELINES])


def key(kept: np.ndarray) -> str:
    """Name a set of features, given in ascending order."""
    return hashlib.sha256(kept.astype(np.int64).tobytes()).hexdigest()[:16]


def wrong(study: Study, kind: str) -> dict[str, set[int]]:
    """Return which test images are wrong, by `key` of the features kept."""
    return {line["kept"]: set(line["wrong"]) for line in Retraining(study, kind, choosing=False).lines}


class Retraining:
    """Trains on the features kept, notes which images are wrong then, and returns their percentage."""

    def __init__(self, study: Study, kind: str, choosing: bool) -> None:
        self.study, self.kind, self.choosing = study, kind, choosing
        self.lines = study.results(f"retrained-{kind}{'-to-choose' if choosing else ''}")

    def __call__(self, kept: np.ndarray, seed: int) -> float:
        known = self.known().get((key(kept), seed))
        if known is not None:
            return known
        wrong, n = self._retrain(kept, seed)
        self.lines.append(kept=key(kept), n_kept=len(kept), seed=seed, of=n, wrong=wrong)
        return 100 * len(wrong) / n

    def known(self) -> dict[tuple[str, int], float]:
        """Return the error in percent by features kept and seed."""
        return {(line["kept"], line["seed"]): 100 * len(line["wrong"]) / line["of"] for line in self.lines}

    def _retrain(self, kept: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
        torch.set_num_threads(1)
        study, train, epochs = self.study, np.s_[:], self.study.plan.retrain_epochs
        y_test, X_test = study.data.y_test, of_kind(study, self.kind, test=True)
        if self.choosing:
            train, test = np.split(np.arange(len(study.data.X)), [-study.validation])
            y_test, X_test, epochs = study.data.y[test], of_kind(study, self.kind)[test], 1
        is_kept = np.zeros(X_test.shape[1], np.float32)
        is_kept[kept] = 1
        shaped = network.as_images if self.kind == "pixels" else torch.as_tensor
        X, X_test = (shaped(rows * is_kept) for rows in (of_kind(study, self.kind)[train], X_test))
        model = network.cnn(seed) if self.kind == "pixels" else network.head(seed)
        network.train(model, X, study.data.y[train], epochs, seed)
        return np.flatnonzero(network.predicted(model, X_test) != y_test), len(y_test)
