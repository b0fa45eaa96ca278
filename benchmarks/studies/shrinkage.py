"""Whether shrinking S makes it more repeatable, and more right: halves of the instances, and a truth from many more.

    python -m benchmarks.studies.shrinkage [--mnist NPZ]

Rows are explained once. Twenty times, two disjoint draws of m of them give two S each: plain, of min_count=5, shrunk,
and both. "halves" is Spearman's correlation between the two over features that both use, "halves, all" that over all.
The truth is the plain S of all other rows: "truth" is Spearman's correlation with it, and "error" the root mean square
difference over the standard deviation of the truth, both over features that at least 20 of those use, and one of the
m. With classes, all are means over classes. Beside each mean, in brackets, is the standard deviation over draws.

The exit code is 1 if, for some data, the shrunken S is less repeatable or less right than the plain one by more than
two standard errors of the mean difference.
"""

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import table

DRAWS = 20
KNOWN = 20  # explanations behind a truth
WAYS = {
    "plain": {},
    "min_count=5": {"min_count": 5},
    "shrunk": {"shrink": True},
    "both": {"min_count": 5, "shrink": True},
}
MEASURES = ("halves", "halves, all", "truth", "error")
Case = tuple[str, nlf.LocalExplanations, int, bool]  # name, explanations, m, by class


def centred_logits(classifier: MLPClassifier, X: np.ndarray) -> np.ndarray:
    logits = np.log(np.clip(classifier.predict_proba(X), 1e-12, None))
    return logits - logits.mean(axis=1, keepdims=True)


def cases(mnist: str | None) -> Iterator[Case]:
    """Explain a small network's log-probability of the predicted class."""
    cancer = workloads.breast_cancer()
    sets = [("breast cancer", StandardScaler().fit_transform(cancer.X), cancer.y, 1.0, 3, 300, ((100, False),))]
    digits = load_digits()
    sets += [("digits", digits.data / 16, digits.target, 0.2, 5, 500, ((100, False), (300, True)))]
    if mnist is not None:
        images = workloads.mnist(mnist)
        sets += [("MNIST", images.X[:20_000], images.y[:20_000], 0.3, 20, 1000, ((150, False), (400, True)))]
    for name, X, y, sigma, n_features, n_samples, draws in sets:
        classifier = MLPClassifier((64,), max_iter=15 if name == "MNIST" else 200, random_state=0).fit(X, y)
        explainer = nlf.NormLIME(
            partial(centred_logits, classifier),
            nlf.Gaussian(sigma),
            n_features=n_features,
            n_samples=n_samples,
            rng=0,
            n_jobs=-1,
        )
        local = explainer.explain(X[:1800])
        for m, by_class in draws:
            yield f"{name}, K = {n_features}, m = {m}{', by class' * by_class}", local, m, by_class


def measured(case: Case) -> np.ndarray:
    """Return the measures of every draw and way, (DRAWS, len(WAYS), len(MEASURES))."""
    _, local, m, by_class = case
    classes = local.target if by_class else np.zeros(len(local.target), int)
    found = []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(classes))
        parts = [order[:m], order[m : 2 * m], order[2 * m :]]
        one, other, rest = (nlf.aggregate(local.weights[rows], classes[rows]) for rows in parts)
        if not (len(one.groups) == len(other.groups) == len(rest.groups)):
            raise ValueError(f"a draw of {m} lacks a class; draw more")
        truth = rest.importance()
        results = [(one.importance(**options), other.importance(**options)) for options in WAYS.values()]
        found.append(
            [np.mean([_of_class(*pair, truth, k) for k in range(len(one.groups))], axis=0) for pair in results]
        )
    return np.array(found)


def _of_class(one: nlf.Importance, other: nlf.Importance, truth: nlf.Importance, k: int) -> list[float]:
    values, again, true = (result.values[k] for result in (one, other, truth))
    both = (one.counts[k] > 0) & (other.counts[k] > 0)
    known = (one.counts[k] > 0) & (truth.counts[k] >= KNOWN)
    pairs = (values[both], again[both]), (values, again), (values[known], true[known])
    error = np.sqrt(np.mean((values[known] - true[known]) ** 2)) / true[known].std()
    return [*(spearmanr(*pair).statistic for pair in pairs), error]


def worse(found: np.ndarray) -> list[str]:
    """Measures in which the shrunken S loses to the plain one."""
    losses = (found[:, 0] - found[:, 2]) * [1, 1, 1, -1]
    sure = losses.mean(axis=0) > 2 * losses.std(axis=0, ddof=1) / np.sqrt(DRAWS)
    return [name for name, lost in zip(MEASURES, sure, strict=True) if lost]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", metavar="NPZ", help="also explain 1,800 images of this file")
    rows, lost = [], []
    for case in cases(parser.parse_args().mnist):
        found = measured(case)
        means, spreads = found.mean(axis=0), found.std(axis=0, ddof=1)
        for way, mean, spread in zip(WAYS, means, spreads, strict=True):
            cells = [f"{a:.3f} ({b:.2f})" for a, b in zip(mean, spread, strict=True)]
            rows.append([case[0] if way == "plain" else "", way, *cells])
        lost += [f"{case[0]}: {name}" for name in worse(found)]
    print(table(["data", "S", *MEASURES], rows, right=range(2, 6)))
    print(f"shrunken S loses in {'; '.join(lost) or 'nothing'}")
    return bool(lost)


if __name__ == "__main__":
    raise SystemExit(main())
