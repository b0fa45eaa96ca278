"""Trains networks without some of the features, several at a time, and keeps what they get wrong.

A removed pixel is black, a removed output of the second block is 0. With pixels the whole CNN is trained anew, with
features the head, as features of convolutions that are trained anew mean something else.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.paper import network
from benchmarks.paper.comparing import Wrong, key
from benchmarks.paper.study import Study
from normlime_fast import evaluation

SEEDS = range(5)  # a single network can be better or worse by luck
HEAD_BATCH = 256  # with more steps, of 64 or 128, heads are no better on images kept apart, and take longer
MISSING = -1.0  # no error in percent


def keep_and_retrain(
    study: Study,
    kind: str,
    importances: dict[Any, np.ndarray],
    levels: tuple[float, ...],
    seeds: Sequence[int] | None = None,
    choosing: bool = False,
) -> None:
    """Retrain on all cores; what the file of results knows is not trained again.

    By default with one seed where there are several rankings, and with `SEEDS` where there is one.
    To choose settings, the last training images are kept apart and scored, not the test images, and CNNs are trained
    for one epoch.
    """
    d = study.rows(kind).shape[1]
    study.rows(kind, test=True)  # so that they are there when workers want them
    retraining = Retraining(study, kind, choosing)
    evaluation.keep_and_retrain(np.zeros(d), retraining, [0.0], seeds=SEEDS, executor=study.executor)
    for name, importance in importances.items():
        print(name, flush=True)
        evaluation.keep_and_retrain(
            *(importance, retraining, levels),
            seeds=seeds or _seeds(importance, choosing),
            executor=study.executor,
            progress=sys.stderr.isatty(),
        )
    retraining.lines.pack()


def _seeds(importance: np.ndarray, choosing: bool) -> Sequence[int]:
    return SEEDS[:1] if choosing or len(importance) > 1 else SEEDS


def load(
    study: Study,
    kind: str,
    importances: dict[Any, np.ndarray],
    levels: tuple[float, ...],
    seeds: Sequence[int] | None = None,
    choosing: bool = False,
) -> dict[Any, evaluation.Retrained]:
    """Return the errors in percent of each importance, as far as they are known; the others are NaN.

    The baseline is that of each seed, or with a single one the mean over `SEEDS`.
    """
    known = Retraining(study, kind, choosing).known()
    everything = key(np.arange(study.rows(kind).shape[1]))
    of_all = np.mean([known.get((everything, seed), np.nan) for seed in SEEDS])

    def error(kept: np.ndarray, seed: int) -> float:
        return known.get((key(kept), seed), MISSING)

    results = {}
    for name, importance in importances.items():
        found = evaluation.keep_and_retrain(importance, error, levels, seeds=seeds or _seeds(importance, choosing))
        scores, baseline = (np.where(of == MISSING, np.nan, of) for of in (found.scores, found.baseline))
        results[name] = replace(found, scores=scores, baseline=baseline if len(found.seeds) > 1 else of_all[None])
    return results


def wrong(study: Study, kind: str) -> Wrong:
    lines = Retraining(study, kind, choosing=False).lines
    return {(line["kept"], line["seed"]): set(line["wrong"]) for line in lines}


class Retraining:
    """Trains on the features kept, notes which images are wrong then, and returns their percentage."""

    def __init__(self, study: Study, kind: str, choosing: bool) -> None:
        self.study, self.kind, self.choosing = study, kind, choosing
        self.lines = study.results(f"retrained-{kind}{'-to-choose' if choosing else ''}")

    def __call__(self, kept: np.ndarray, seed: int) -> float:
        known = self.known().get((key(kept), seed))
        if known is not None:
            return known
        start = time.process_time()
        wrong, n = self._retrain(kept, seed)
        seconds = time.process_time() - start
        self.lines.append(kept=key(kept), n_kept=len(kept), seed=seed, of=n, wrong=wrong, seconds=seconds)
        return 100 * len(wrong) / n

    def known(self) -> dict[tuple[str, int], float]:
        """Return the error in percent by features kept and seed."""
        return {(line["kept"], line["seed"]): 100 * len(line["wrong"]) / line["of"] for line in self.lines}

    def _retrain(self, kept: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
        torch.set_num_threads(1)
        study, plan = self.study, self.study.plan
        X, y = study.rows(self.kind), study.data.y
        X_test, y_test = study.rows(self.kind, test=True), study.data.y_test
        if self.choosing:
            (X, X_test), (y, y_test) = (np.split(rows, [-study.validation]) for rows in (X, y))
        if self.kind == "pixels":
            is_kept = np.isin(np.arange(X.shape[1]), kept).astype(X.dtype)
            X, X_test = (network.as_images(rows * is_kept) for rows in (X, X_test))
            model, epochs = network.cnn(seed), 1 if self.choosing else plan.retrain_epochs
            network.train(model, X, y, epochs, seed)
        else:
            X, X_test = (torch.as_tensor(rows[:, kept]) for rows in (X, X_test))
            model = network.head(seed, kept)
            network.train(model, X, y, plan.head_epochs, seed, HEAD_BATCH)
        return np.flatnonzero(network.predicted(model, X_test) != y_test), len(y_test)
