"""Model calls that Sobol points save: `sampling="sobol"` beside "iid", by the spread of explanations over seeds.

    python -m benchmarks.studies.sampling [--quick] [--adult NPZ]

Instances are explained under many seeds. What is compared, at the same number of samples n:

* the variance over seeds of every weight of every instance, iid over Sobol, of fits of all features;
* the same of fits of K features, whose weights are often 0, summed over the features of an instance;
* the mean Jaccard index of the K features chosen under any two seeds.

Model calls saved are n' / n, where iid needs n' samples for the variance (or the agreement) that Sobol has at n. Both
follow from iid's own measured growth with n. Where iid does not agree as well at its largest n', the table says ">".
Sobol points are balanced in powers of two: a second table says what other n lose. Before anything counts, the means
over seeds of both samplings must agree within Monte-Carlo error.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import table

FALSE_ALARM = 1e-6  # of the comparison of means; seeds are fixed


class Plan(NamedTuple):
    sizes: tuple[int, ...] = (512, 1000, 1024, 2048, 4096, 5000)  # n of both samplings
    further: tuple[int, ...] = (8192, 16384)  # n of iid alone
    seeds: int = 20
    instances: int = 10
    n_features: int = 10  # K, or half of the columns


QUICK = Plan((256, 300), (1024, 4096), seeds=8, instances=4)


class Case(NamedTuple):
    data: workloads.Table
    name: str
    predict: workloads.Predict  # (n, d) to (n,)


class Spread(NamedTuple):
    """Of explanations under several seeds."""

    mean: np.ndarray  # of the weights of fits of all features, (instances, d)
    variance: np.ndarray
    variance_chosen: np.ndarray  # of the weights of fits of K features, summed, (instances,)
    jaccard: float


class Saving(NamedTuple):
    """Sobol points at n, beside iid."""

    n: int
    ratios: np.ndarray  # of variances, iid over Sobol
    calls: float  # n' / n for their median
    ratio_chosen: float
    calls_chosen: float
    jaccard_iid: float
    jaccard: float
    calls_jaccard: str


class Study(NamedTuple):
    case: Case
    savings: list[Saving]
    decay: float  # b of variance ~ n^-b under iid sampling
    unbalanced: dict[tuple[int, int], float]  # variance of Sobol points at n over that at the nearest power of two


def agreement(chosen: np.ndarray) -> float:
    """Mean Jaccard index of any two seeds' features: `chosen` is (seeds, instances, d), true or false."""
    both = np.einsum("aid,bid->abi", chosen, chosen, dtype=int)
    sizes = chosen.sum(axis=2)
    either = sizes[:, None] + sizes[None] - both
    pairs = np.triu_indices(len(chosen), 1)
    return float((both[pairs] / either[pairs]).mean())


def spread(case: Case, X: np.ndarray, sampling: str, n: int, plan: Plan) -> Spread:
    numeric = range(case.data.X.shape[1])
    neighborhood = nlf.Gaussian.from_data(case.data.X, sampling=sampling, numeric=numeric)
    K = min(plan.n_features, X.shape[1] // 2)
    both: list[list[np.ndarray]] = [[], []]
    for seed in range(plan.seeds):
        outputs: list[np.ndarray] = []

        def record(rows: np.ndarray, outputs: list[np.ndarray] = outputs) -> np.ndarray:
            outputs.append(case.predict(rows))
            return outputs[-1]

        def replay(rows: np.ndarray, outputs: list[np.ndarray] = outputs) -> np.ndarray:
            return outputs.pop(0)

        for predict, n_features, weights in ((record, None, both[0]), (replay, K, both[1])):
            explainer = nlf.NormLIME(predict, neighborhood, n_features=n_features, n_samples=n, targets=0, rng=seed)
            weights.append(explainer.explain(X).weights.toarray())
    every, chosen = (np.stack(weights) for weights in both)
    return Spread(
        every.mean(axis=0), every.var(axis=0, ddof=1), chosen.var(axis=0, ddof=1).sum(axis=1), agreement(chosen != 0)
    )


def assert_same_means(iid: Spread, sobol: Spread, seeds: int) -> None:
    """Welch's test of every weight: Sobol points must not change what is estimated."""
    error = np.sqrt((iid.variance + sobol.variance) / seeds)
    used = error > 0
    bound = student.isf(FALSE_ALARM / used.sum() / 2, seeds - 1)  # Welch's degrees of freedom are at least these
    assert (np.abs(iid.mean - sobol.mean)[used] < bound * error[used]).all()
    np.testing.assert_array_equal(iid.mean[~used], sobol.mean[~used])


def decay(iid: dict[int, Spread], field: str) -> float:
    """Return the exponent b of variance ~ n^-b, the median over what has a variance."""
    sizes = sorted(iid)
    variances = np.array([getattr(iid[n], field).ravel() for n in sizes])
    slopes = np.polyfit(np.log(sizes), np.log(variances[:, (variances > 0).all(axis=0)]), 1)[0]
    return float(-np.median(slopes))


def median_ratio(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.median(first[second > 0] / second[second > 0]))


def calls_for(iid: dict[int, Spread], jaccard: float, n: int) -> str:
    """Say how many n' / n it takes until iid seeds agree that well, between measured points by log n'."""
    sizes = sorted(iid)
    known = np.maximum.accumulate([iid[size].jaccard for size in sizes])
    if jaccard == iid[n].jaccard == 1:
        return ""
    if jaccard > known[-1]:
        return f"> {sizes[-1] / n:.2f}"
    if jaccard < known[0]:
        return f"< {max(sizes[0] / n, 1):.2f}"
    k = int(np.searchsorted(known, jaccard))  # the first that agrees as well
    around = slice(max(k - 1, 0), k + 1)
    return f"{np.exp(np.interp(jaccard, known[around], np.log(sizes[around]))) / n:.2f}"


def study(case: Case, plan: Plan) -> Study:
    X = case.data.X[np.random.default_rng(0).choice(len(case.data.X), plan.instances, replace=False)]
    iid = {n: spread(case, X, "iid", n, plan) for n in (*plan.sizes, *plan.further)}
    sobol = {n: spread(case, X, "sobol", n, plan) for n in plan.sizes}
    assert_same_means(iid[plan.sizes[-1]], sobol[plan.sizes[-1]], plan.seeds)
    b, b_chosen = decay(iid, "variance"), decay(iid, "variance_chosen")
    savings = []
    for n, ours in sobol.items():
        varied = ours.variance > 0
        ratios = iid[n].variance[varied] / ours.variance[varied]
        chosen = median_ratio(iid[n].variance_chosen, ours.variance_chosen)
        calls = np.median(ratios) ** (1 / b), chosen ** (1 / b_chosen)
        agreements = iid[n].jaccard, ours.jaccard, calls_for(iid, ours.jaccard, n)
        savings.append(Saving(n, ratios, calls[0], chosen, calls[1], *agreements))
    unbalanced = {}
    for n in plan.sizes:
        power = 1 << round(np.log2(n))
        if power != n and power in sobol:
            unbalanced[n, power] = median_ratio(sobol[n].variance, sobol[power].variance)
    return Study(case, savings, b, unbalanced)


def cases(adult: Callable[[], workloads.Table]) -> tuple[list[Case], list[str]]:
    """All pairs of data and model, and why some are missing."""
    tables, found, skipped = [workloads.breast_cancer()], [], []
    try:
        tables.append(adult())
    except (OSError, ImportError) as reason:  # no network, no such file, no pandas
        skipped.append(f"adult: {reason}")
    for data in tables:
        try:
            found.append(Case(data, "LightGBM", workloads.lightgbm(data, 100)))
        except ImportError as reason:
            skipped.append(f"LightGBM on {data.name}: {reason}")
        forest = workloads.random_forest(data)
        found.append(Case(data, "random forest", lambda X, forest=forest: forest(X)[:, 1]))
    return found, skipped


def smooth() -> Case:
    """A sigmoid of five columns, where low-discrepancy points are at their best."""
    rng = np.random.default_rng(0)
    model = workloads.Sigmoids(rng.standard_normal((5, 1)))
    return Case(workloads.Table("5 normal columns", rng.standard_normal((500, 5)), np.zeros(500)), "sigmoid", model)


def named(case: Case) -> list[str]:
    return [f"{case.data.name}, d = {case.data.X.shape[1]}", case.name]


def savings_table(studies: list[Study]) -> str:
    header = ["data", "model", "n", "variance, iid / Sobol (quartiles)", "calls saved"]
    header += ["K features: variance", "calls saved", "Jaccard, iid", "Sobol", "calls saved"]
    rows = [
        [
            *named(one.case),
            str(s.n),
            f"{np.median(s.ratios):.2f} ({np.quantile(s.ratios, 0.25):.2f} to {np.quantile(s.ratios, 0.75):.2f})",
            f"{s.calls:.2f}",
            f"{s.ratio_chosen:.2f}",
            f"{s.calls_chosen:.2f}",
            f"{s.jaccard_iid:.3f}",
            f"{s.jaccard:.3f}",
            s.calls_jaccard,
        ]
        for one in studies
        for s in one.savings
    ]
    return table(header, rows, range(2, len(header)))


def balance_table(studies: list[Study]) -> str:
    pairs = list(studies[0].unbalanced)
    header = ["data", "model", *(f"variance at n = {n} / at {power}" for n, power in pairs)]
    rows = [[*named(one.case), *(f"{one.unbalanced[pair]:.2f}" for pair in pairs)] for one in studies]
    rows.append(["1 / n alone", "", *(f"{power / n:.2f}" for n, power in pairs)])
    return table(header, rows, range(2, len(header)))


def report(studies: list[Study], skipped: list[str], plan: Plan) -> str:
    exponents = ", ".join(f"{one.decay:.2f} ({one.case.data.name}, {one.case.name})" for one in studies)
    lines = [
        f"{plan.instances} instances, {plan.seeds} seeds; K = {plan.n_features}, or half of the columns.",
        f"Variance of a weight under iid sampling falls as n to the power of minus {exponents}.",
        "\n" + savings_table(studies),
        "\n" + balance_table(studies),
    ]
    return "\n".join([*lines, *(f"\nSkipped: {reason}" for reason in skipped)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.sampling", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="few samples, and a smooth function alone")
    parser.add_argument("--adult", metavar="NPZ", help="X, y, category_names; by default from OpenML")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    found, skipped = ([], []) if options.quick else cases(lambda: workloads.adult(options.adult))
    print(report([study(case, plan) for case in (smooth(), *found)], skipped, plan))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
