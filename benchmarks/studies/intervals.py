"""How often 90 % intervals of an importance cover what they are for, and what none of them covers.

    python -m benchmarks.studies.intervals [--quick]    # writes INTERVALS.md, unless quick

Explanations of many rows are made once, of models whose weights vary from row to row and which use more features than
an explanation may have, so that some are in few explanations. Their S, and S_y by predicted class, is the truth. Then,
2,000 times, some of them are drawn with replacement, and the intervals of what is drawn cover the truth or not. Those
are counted by how many of the drawn explanations use the feature. Before that counts, the truth must be Eq. 3.

Where explanations share samples, blocks of them are drawn: each block has a pool, or a set of normals, of its own. And
`Pool` and `Binned` are asked as a user does, with other points and rows each time: the truth is what many sets give.

The |weight| of a feature that the model does not use is not 0 but noise. It is measured beside what it is in theory.
"""

import argparse
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import normlime_fast as nlf
from benchmarks.common.measuring import table
from normlime_fast import evaluation

D, K, LEVEL = 8, 3, 0.9
COUNTS = (5, 10, 30, 100, 1000, 5001)  # limits of the classes of counts
BLOCKS = (5, 8, 20, 41)  # and of numbers of blocks
WEIGHTS = 0.8 ** np.arange(D)


class Plan(NamedTuple):
    rows: int = 100_000
    repetitions: int = 2000
    sizes: tuple[int, ...] = (10, 30, 100, 1000, 5000)  # explanations drawn
    n_samples: int = 200
    blocks: int = 1000
    drawn: tuple[int, ...] = (5, 10, 40)  # blocks
    runs: int = 400  # with sets of points
    run_size: int = 400  # rows, and points of a set
    null_instances: int = 2000
    null_fits: tuple[tuple[int, int | None], ...] = tuple(  # n_samples, K
        (n, k) for n in (100, 400, 1600, 6400) for k in (None, 6, 4)
    )


QUICK = Plan(20_000, 300, (10, 100), 100, 200, (5, 10), 100, 200, 400, ((100, None), (400, None), (400, 4)))


class Covered(NamedTuple):
    """Intervals of one model for one class of counts."""

    model: str
    by: str
    counts: str
    intervals: int
    students: float
    corrected: float


class Shared(NamedTuple):
    """What the explanations of a block have in common, and how many there are."""

    name: str
    n_samples: int
    fewest: int
    most: int
    pool: bool = True


SHARED = (
    Shared("100 points", 100, 50, 50),
    Shared("500 points", 500, 10, 10),
    Shared("50 normals", 50, 10, 50, pool=False),
)


class CoveredByBlocks(NamedTuple):
    """Intervals of one model, way of sharing and class of numbers of blocks."""

    model: str
    shared: str
    by: str
    blocks: str
    intervals: int
    naive: float
    by_blocks: float


class CoveredBySets(NamedTuple):
    """Intervals of runs of one model and neighborhood."""

    model: str
    neighborhood: str
    of: str
    intervals: int
    one_set: float  # as if explanations were independent
    by_sets: float
    worst: float  # of by_sets, of one feature


class Null(NamedTuple):
    """What is found of features that the model does not use."""

    n_samples: int
    n_features: int | None
    used: float  # share of explanations that use such a feature
    mean_abs: float
    theory: float  # of mean_abs, for all features
    normlime: float
    normlime_theory: float
    zero_mean_abs: float  # share of intervals that cover 0, where all features are in every explanation
    zero_mean: float


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


def blocks_of(name: str, shared: Shared, plan: Plan, seed: int = 0) -> list[nlf.LocalExplanations]:
    """Return the explanations of each block: of one explainer, whose rows have all samples in common."""
    rng = np.random.default_rng(seed)  # which gives every explainer another seed
    neighborhood = nlf.Pool.gaussian(np.zeros(D), np.ones(D), n_sets=1) if shared.pool else nlf.Gaussian(0.5)
    options = {"n_features": K, "n_samples": shared.n_samples, "shared_samples": shared.most}
    sizes = rng.integers(shared.fewest, shared.most + 1, plan.blocks)
    return [
        nlf.NormLIME(MODELS[name], neighborhood, **options, rng=rng).explain(rng.normal(size=(size, D)))
        for size in sizes
    ]


def coverage_by_blocks(name: str, shared: Shared, plan: Plan, seed: int = 0) -> list[CoveredByBlocks]:
    """Of S and S_y of one model and way of sharing, by classes of numbers of blocks."""
    rng = np.random.default_rng(seed)
    parts = blocks_of(name, shared, plan, seed)
    local = nlf.LocalExplanations.concatenate(parts)
    found: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    for by in ("S", "S_y"):
        blocks = [nlf.aggregate(part.weights, None if by == "S" else part.target) for part in parts]
        truth = nlf.aggregate(local.weights, None if by == "S" else local.target).importance()
        expected = by_hand(local, None if by == "S" else 0)
        np.testing.assert_allclose(truth.values if by == "S" else truth.values[0], expected, rtol=1e5 * 2**-52)
        for size in plan.drawn:
            for _ in range(plan.repetitions):
                drawn = evaluation.interval_by_blocks([blocks[b] for b in rng.integers(len(blocks), size=size)], LEVEL)
                aim = truth.values if by == "S" else truth.values[drawn.importance.groups]
                hits = np.stack([_covers(drawn.importance, aim), (drawn.low <= aim) & (aim <= drawn.high)])
                classes = np.searchsorted(BLOCKS, drawn.blocks, side="right")
                for k in np.unique(classes[classes > 0]):
                    found[by, k].append(hits[:, classes == k])
    results = []
    for (by, k), hits in sorted(found.items()):
        both = np.concatenate(hits, axis=1)
        limits = f"{BLOCKS[k - 1]} to {BLOCKS[k] - 1}"
        results.append(CoveredByBlocks(name, shared.name, by, limits, both.shape[1], *both.mean(axis=1).tolist()))
    return results


TABLE = np.random.default_rng(0).normal(size=(3000, D))
WITH_SETS: dict[str, Callable[[int], nlf.SharedPoints]] = {
    "Pool": lambda n_sets: nlf.Pool.gaussian(np.zeros(D), np.ones(D), n_sets=n_sets),
    "Binned": lambda n_sets: nlf.Binned.from_data(TABLE, n_sets=n_sets),
}
MANY = 32 * 8  # sets of the truth, whose error is then sqrt(32) times smaller than that of a run
OF = {"weights": "normlime", "contributions": "mean_abs"}


def coverage_of_sets(name: str, neighborhood: str, plan: Plan, seed: int = 0) -> list[CoveredBySets]:
    """Of S and of the mean size of contributions, of one model and neighborhood."""
    rng = np.random.default_rng(seed)

    def explained(n_sets: int, rows: int) -> nlf.LocalExplanations:
        made = WITH_SETS[neighborhood](n_sets)
        explainer = nlf.NormLIME(
            MODELS[name], made, n_features=K, n_samples=plan.run_size, targets=1, rng=int(rng.integers(2**60))
        )
        return explainer.explain(rng.normal(size=(rows, D)))

    many = explained(MANY, 32 * plan.run_size)
    truth = {of: many.importance(kind, of=of).values for of, kind in OF.items()}
    np.testing.assert_allclose(truth["weights"], by_hand(many, None), rtol=1e5 * 2**-52)
    hits: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    for _ in range(plan.runs):
        for n_sets in (1, 8):
            local = explained(n_sets, plan.run_size)
            for of, kind in OF.items():
                terms = local if n_sets > 1 else replace(local, sample_set=None)
                one = terms.importance(kind, of=of)
                hits[of, n_sets].append(np.where(np.isnan(one.interval(LEVEL)[0]), np.nan, _covers(one, truth[of])))
    results = []
    for of in OF:
        naive, by_sets = (np.array(hits[of, n_sets]) for n_sets in (1, 8))
        often = np.count_nonzero(np.isfinite(by_sets), axis=0) >= plan.runs / 2  # features that have intervals
        shares = np.nanmean(naive[:, often]), np.nanmean(by_sets[:, often]), np.nanmean(by_sets[:, often], axis=0).min()
        results.append(CoveredBySets(name, neighborhood, of, int(np.isfinite(by_sets[:, often]).sum()), *shares))
    return results


USED, SCALE = 4, 0.5  # of D features, and of the noise
SLOPES = WEIGHTS[:USED]


def rippled(X: np.ndarray) -> np.ndarray:
    """Linear in the first features, with ripples: a slope over the noise does not see them, and leaves them out."""
    return X[:, :USED] @ SLOPES + np.cos(20 * X[:, :USED]).sum(axis=1) / 2


LEFT_OUT = np.sqrt(USED / 8)  # standard deviation of the ripples around any row: exp(-(20 SCALE)^2) is 0


def null_feature(n_samples: int, n_features: int | None, plan: Plan, lot: int = 50, seed: int = 0) -> Null:
    """What the features that `rippled` does not use seem to be worth."""
    rng = np.random.default_rng(seed)
    explainer = nlf.NormLIME(rippled, nlf.Gaussian(SCALE), n_features=n_features, n_samples=n_samples, rng=seed)
    local = explainer.explain(rng.normal(size=(plan.null_instances, D)))
    one, mean = local.importance(), local.importance("mean_abs")
    noise = LEFT_OUT / np.sqrt(n_samples)
    norms = np.abs(local.weights).sum(axis=1)
    lots = [nlf.aggregate(local.weights[start : start + lot]) for start in range(0, plan.null_instances, lot)]
    zero = []
    for kind in ("mean_abs", "mean"):
        ends = np.array([part.importance(kind).interval(LEVEL) for part in lots])[..., USED:]
        zero.append(float(((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean()))
    counts, values = one.counts[USED:], one.values[USED:]
    return Null(
        n_samples,
        n_features,
        counts.sum() / (D - USED) / plan.null_instances,
        mean.values[USED:].mean(),
        noise * np.sqrt(2 / np.pi),
        counts @ values / max(counts.sum(), 1),
        noise**2 * np.mean(1 / norms),
        *zero,
    )


TEXT = """# Coverage of intervals

Written by `python -m benchmarks.studies.intervals`, not by hand.

## Independent explanations

Shares of 90 % intervals of `Importance.interval` that cover the importance of {rows:,} explanations, over
{repetitions:,} draws of {sizes} of them, with replacement; {d} features, of which an explanation uses at most {k}.
"Student's" are those without the correction for skewness. The models: linear, piecewise linear, and the tanh of a
linear one, which changes only near its threshold, so that most weights are small and some large.

{table}

## Explanations that share samples

Shares of 90 % intervals that cover the importance of {blocks:,} blocks of explanations, over {repetitions:,} draws of
{drawn} of them, with replacement: those of `Importance.interval`, which takes all explanations for independent, and of
`evaluation.interval_by_blocks`. The explanations of a block share the points of one `Pool`, or one set of normals
(`shared_samples`). The same models and features. Blocks that share 100 points have 50 explanations, 500 points 10, and
50 normals 10 to 50.

{by_blocks}

## Sets of points

Shares of 90 % intervals of `Importance.interval` that cover the importance of {many} sets of points and {many_rows:,}
rows, over {runs} runs with {run_size} other rows, {run_size} points a set and at most {k} of {d} features each: with 8
sets, and with one set, if explanations are taken for independent. Of S, and of the mean size of contributions
("mean_abs"). "Lowest" is the coverage of the feature that is covered least often.

{by_sets}

## Features that the model does not use

The model is linear in {used} of {d} features, with ripples, 0.5 cos(20 x). These are noise to an explanation, with a
standard deviation of r = {left_out:.3f}. So the weights of the other features, per standard deviation of the samples,
have mean 0 and standard error s = r / sqrt(n), and abs(w) has the mean s sqrt(2 / pi). The weakest slope that is used
is {weakest:.3f}. {null_instances:,} explanations a line. S of such a feature is about s^2 / norm(w), in the norm of
Eq. 4, where all features are in every explanation. Shares of intervals are of lots of 50 explanations.

{null}
"""


def _independent(plan: Plan) -> str:
    rows = [one for name in MODELS for one in coverage(name, plan)]
    heads = ["model", "of", "explanations that use the feature", "intervals", "Student's", "corrected"]
    cells = [[*row[:3], f"{row.intervals:,}", f"{row.students:.1%}", f"{row.corrected:.1%}"] for row in rows]
    return table(heads, cells, right=range(3, 6))


def _shared(plan: Plan) -> str:
    rows = [one for name in MODELS for shared in SHARED for one in coverage_by_blocks(name, shared, plan)]
    heads = ["model", "share", "of", "blocks that have the feature", "intervals", "as if independent", "by blocks"]
    cells = [[*row[:4], f"{row.intervals:,}", f"{row.naive:.1%}", f"{row.by_blocks:.1%}"] for row in rows]
    return table(heads, cells, right=range(4, 7))


def _sets(plan: Plan) -> str:
    rows = [one for name in MODELS for made in WITH_SETS for one in coverage_of_sets(name, made, plan)]
    heads = ["model", "neighborhood", "of", "intervals", "one set, as if independent", "8 sets", "lowest"]
    cells = [[*row[:3], f"{row.intervals:,}", *(f"{share:.1%}" for share in row[4:])] for row in rows]
    return table(heads, cells, right=range(3, 7))


def _null(plan: Plan) -> str:
    rows = [null_feature(n, k, plan) for n, k in plan.null_fits]
    heads = [
        "samples",
        "K at most",
        "explanations that use it",
        "mean of abs(w)",
        "s sqrt(2 / pi)",
        "ratio",
        "S",
        "s^2 / norm(w)",
    ]
    heads += ["intervals of mean_abs that cover 0", "of mean"]
    cells = []
    for row in rows:
        found = [row.mean_abs, row.theory, row.mean_abs / row.theory]
        ends = [f"{row.normlime:.5f}", f"{row.normlime_theory:.5f}"]
        ends += ["" if row.n_features else f"{share:.1%}" for share in row[-2:]]
        start = [f"{row.n_samples:,}", str(row.n_features or D), f"{row.used:.1%}"]
        cells.append([*start, *(f"{number:.4f}" for number in found), *ends])
    return table(heads, cells, right=range(10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, in seconds; writes nothing")
    quick = parser.parse_args().quick
    plan = QUICK if quick else Plan()
    tables = []
    for part in (_independent, _shared, _sets, _null):
        with warnings.catch_warnings(action="ignore"):  # of explanations where the model is flat
            tables.append(part(plan))
        print(tables[-1], end="\n\n", flush=True)
    if not quick:
        sizes, drawn = (", ".join(f"{size:,}" for size in one) for one in (plan.sizes, plan.drawn))
        about = plan._asdict() | {"sizes": sizes, "drawn": drawn, "d": D, "k": K, "used": USED, "many": MANY}
        about |= {"left_out": LEFT_OUT, "weakest": SCALE * SLOPES[-1], "many_rows": 32 * plan.run_size}
        text = TEXT.format(**about, **dict(zip(("table", "by_blocks", "by_sets", "null"), tables, strict=True)))
        Path(__file__).with_name("INTERVALS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
