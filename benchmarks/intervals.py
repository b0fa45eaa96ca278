"""How often 90 % intervals of an importance cover what they are for: Student's, and corrected for skewness.

    python -m benchmarks.intervals [--quick]    # writes INTERVALS.md, unless quick

Explanations of many rows are made once, of models whose weights vary from row to row and which use more features than
an explanation may have, so that some are in few explanations. Their S, and S_y by predicted class, is the truth. Then,
2,000 times, some of them are drawn with replacement, and the intervals of what is drawn cover the truth or not. Those
are counted by how many of the drawn explanations use the feature. Before that counts, the truth must be Eq. 3.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import normlime_fast as nlf
from benchmarks.measuring import table

D, K, LEVEL = 8, 3, 0.9
COUNTS = (5, 10, 30, 100, 1000, 5001)  # limits of the classes of counts
WEIGHTS = 0.8 ** np.arange(D)


class Plan(NamedTuple):
    rows: int = 100_000
    repetitions: int = 2000
    sizes: tuple[int, ...] = (10, 30, 100, 1000, 5000)  # explanations drawn
    n_samples: int = 200


QUICK = Plan(20_000, 300, (10, 100), 100)


class Covered(NamedTuple):
    """Intervals of one model for one class of counts."""

    model: str
    by: str
    counts: str
    intervals: int
    students: float
    corrected: float


def _two_classes(score: np.ndarray) -> np.ndarray:
    return np.stack([-score, score], axis=1)


MODELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda X: _two_classes(X @ WEIGHTS),  # what an explanation leaves out is noise to it
    "piecewise linear": lambda X: _two_classes(np.maximum(X, 0) @ WEIGHTS + np.abs(X[:, ::-1]) @ WEIGHTS / 3 - 2),
    "probability": lambda X: _two_classes(np.tanh(4 * X @ WEIGHTS)),  # which changes only near its threshold
}


def by_hand(local: nlf.LocalExplanations, target: int | None) -> np.ndarray:
    """Eq. 3, over all explanations or those of a target."""
    W = np.abs(local.weights.toarray()[slice(None) if target is None else local.target == target])
    gamma = W / np.maximum(W.sum(axis=1, keepdims=True), 1e-300)
    return (gamma * W).sum(axis=0) / np.maximum((W > 0).sum(axis=0), 1)


def coverage(name: str, plan: Plan, seed: int = 0) -> list[Covered]:
    """Of S and S_y of one model, by classes of counts."""
    rng = np.random.default_rng(seed)
    explainer = nlf.NormLIME(MODELS[name], nlf.Gaussian(0.5), n_features=K, n_samples=plan.n_samples, rng=seed)
    local = explainer.explain(rng.normal(size=(plan.rows, D)))
    found: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    for by in ("S", "S_y"):
        truth = local.importance(by=None if by == "S" else "target")
        expected = by_hand(local, None if by == "S" else 0)
        # sums of at most 1e5 positive numbers, in two orders
        np.testing.assert_allclose(truth.values if by == "S" else truth.values[0], expected, rtol=1e5 * 2**-52)
        for size in plan.sizes:
            for _ in range(plan.repetitions):
                rows = rng.integers(plan.rows, size=size)
                weights, target = local.weights[rows], local.target[rows]
                drawn = nlf.aggregate(weights, None if by == "S" else target).importance()
                aim = truth.values if by == "S" else truth.values[drawn.groups]
                hits = [_covers(one, aim) for one in (replace(drawn, skewness=None), drawn)]
                classes = np.searchsorted(COUNTS, drawn.counts, side="right")
                for k in np.unique(classes[(classes > 0) & (classes < len(COUNTS))]):
                    found[by, k].append(np.stack([hit[classes == k] for hit in hits]))
    results = []
    for (by, k), hits in sorted(found.items()):
        both = np.concatenate(hits, axis=1)
        counts = f"{COUNTS[k - 1]:,} to {COUNTS[k] - 1:,}"
        results.append(Covered(name, by, counts, both.shape[1], *both.mean(axis=1).tolist()))
    return results


def _covers(one: nlf.Importance, truth: np.ndarray) -> np.ndarray:
    low, high = one.interval(LEVEL)
    return (low <= truth) & (truth <= high)


TEXT = """# Coverage of intervals

Written by `python -m benchmarks.intervals`, not by hand. Shares of 90 % intervals of `Importance.interval` that cover
the importance of {rows:,} explanations, over {repetitions:,} draws of {sizes} of them, with replacement; {d}
features, of which an explanation uses at most {k}. "Student's" are those without the correction for skewness. The
models: linear, piecewise linear, and the tanh of a linear one, which changes only near its threshold, so that most
weights are small and some large.

{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, in seconds; writes nothing")
    quick = parser.parse_args().quick
    plan = QUICK if quick else Plan()
    rows = [one for name in MODELS for one in coverage(name, plan)]
    heads = ["model", "of", "explanations that use the feature", "intervals", "Student's", "corrected"]
    cells = [[*row[:3], f"{row.intervals:,}", f"{row.students:.1%}", f"{row.corrected:.1%}"] for row in rows]
    found = table(heads, cells, right=range(3, 6))
    print(found)
    if not quick:
        sizes = ", ".join(f"{size:,}" for size in plan.sizes)
        text = TEXT.format(rows=plan.rows, repetitions=plan.repetitions, sizes=sizes, d=D, k=K, table=found)
        Path(__file__).with_name("INTERVALS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
