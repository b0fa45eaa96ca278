"""NormLIME as a whole: closed forms, oracles that are not ours, targets, aggregation."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, lars_path
from sklearn.svm import SVC

import normlime_fast as nlf

EPS = np.finfo(np.float64).eps


def explain(predict, X, neighborhood, *, index=None, **options):
    options = {"n_features": 3, "n_samples": 200, "rng": 0} | options
    return nlf.NormLIME(predict, neighborhood, **options).explain(X, index=index)


def explain_and_record(model, X, neighborhood, **options):
    """Explain, and return the perturbed rows that the model got, too: (n_instances, n_samples, d)."""
    calls = []

    def predict(rows):
        calls.append(rows.copy())
        return model(rows)

    local = explain(predict, X, neighborhood, **options)
    return local, np.concatenate(calls[1:]).reshape(len(X), -1, X.shape[1])  # the first call has X itself


# ---- Closed forms


def linear_tolerance(coefficients, scale, X, n, intercept=0.0):
    """What rounding may do to the weights and the intercept of a linear model of d features.

    A perturbed feature x + scale z (|z| < 7) is rounded twice and the model adds d + 1 products, so an output is off
    by E <= (d + 3) eps (sum |w| (|x| + 7 scale) + |intercept|). Least squares passes on at most E / s, s being the
    smallest singular value of the centred Z / sqrt(n): 1 - sqrt(d / n) and thus above 1/2 here. To this come the fit's
    own sums of n terms for d weights, each rounded to n eps, and a condition of at most 3^2 (s to 2 - s).
    """
    size = np.abs(coefficients) @ (np.abs(X).max(axis=0) + 7 * scale) + abs(intercept)
    return 2 * (len(scale) + 3) * EPS * size + 9 * n * len(scale) * EPS * np.abs(coefficients * scale).sum()


@pytest.mark.parametrize("seed", range(5))
def test_linear_model_returns_its_own_scaled_coefficients(seed):
    generator = np.random.default_rng(seed)
    coefficients = np.array([1.0, -20.0, 0.3, -4e-3, 500.0, 2.0])
    scale = np.array([1.0, 0.1, 3.0, 1e3, 1e-2, 0.5])
    X = generator.normal(size=(4, 6)) * scale
    local = explain(lambda X: X @ coefficients + 7.0, X, nlf.Gaussian(scale), n_features=None, rng=seed)
    tolerance = linear_tolerance(coefficients, scale, X, 200, 7.0)
    assert tolerance < 1e-10
    assert_allclose(local.weights.toarray(), np.tile(coefficients * scale, (4, 1)), rtol=0, atol=tolerance)
    assert_allclose(local.intercept, X @ coefficients + 7.0, rtol=0, atol=2 * tolerance)  # mean |z| of d = 6 is below 1
    assert_allclose(local.r2, 1.0, rtol=0, atol=tolerance)  # the output's standard deviation is above 1
    assert_allclose(local.prediction, X @ coefficients + 7.0, rtol=0, atol=tolerance)
    assert_array_equal(local.status, 0)
    assert_array_equal(local.instance, range(4))
    assert_array_equal(local.target, 0)


# The correlation of an ignored feature with the three used ones is about sqrt(3 / 1000), far from the 1 at which the
# LASSO would need it: it never enters.
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [10, None, 20])
def test_ignored_features_are_never_selected(n_features, dtype):
    X = np.random.default_rng(1).normal(size=(25, 20)).astype(dtype)
    for seed in range(4):
        local = explain(
            lambda X: X[:, 3] - 2 * X[:, 0] + 0.5 * X[:, 19],
            X,
            nlf.Gaussian(1.0),
            n_features=n_features,
            n_samples=1000,
            rng=seed,
        )
        assert_array_equal(local.weights.indices.reshape(25, 3), [[0, 3, 19]] * 25)
        assert_array_equal(local.status, 1 if n_features == 10 else 0)


def test_features_of_scale_0_are_held_fixed_and_never_selected():
    X = np.random.default_rng(2).normal(size=(3, 6))
    neighborhood = nlf.Gaussian([1.0, 0.0, 0.5, 0.0, 2.0, 1.0])
    local, inputs = explain_and_record(lambda X: np.exp(X).sum(axis=1), X, neighborhood, n_features=None)
    assert_array_equal(local.weights.indices.reshape(3, 4), [[0, 2, 4, 5]] * 3)
    assert_array_equal(inputs[:, :, [1, 3]], np.broadcast_to(X[:, None, [1, 3]], (3, 200, 2)))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_rows_of_a_block_of_numbers_share_their_samples(n_jobs):
    X, index = np.arange(21.0).reshape(7, 3), np.array([0, 1, 2, 3, 5, 4, 11])
    options = {"index": index, "n_samples": 50, "n_jobs": n_jobs}
    _, inputs = explain_and_record(lambda X: X[:, 0], X, nlf.Gaussian(1.0), shared_samples=3, **options)
    noise = (inputs - X[:, None]).round(9)  # x + z was rounded: by 2e-15 for numbers below 21 + 7
    blocks = index // 3
    for a, b in np.ndindex(7, 7):
        assert (noise[a] == noise[b]).all() == (blocks[a] == blocks[b])
    _, alone = explain_and_record(
        lambda X: X[:, 0], X[[6]], nlf.Gaussian(1.0), shared_samples=3, **options | {"index": [9]}
    )
    assert_array_equal(alone[0], inputs[6])  # 9 and 11 are of one block, explained together or not


def test_sobol_samples_are_even_in_every_column_and_normal():
    n, d = 256, 5
    X = np.zeros((3, d))
    scale = np.array([1.0, 2.0, 0.0, 1.0, 1.0])
    neighborhood = nlf.Gaussian(scale, sampling="sobol")
    _, inputs = explain_and_record(lambda X: X[:, 0] + X[:, 1], X, neighborhood, n_samples=n)
    for row in range(3):
        for j in (0, 1, 3, 4):  # a Sobol net, shifted or not, has one point in each of n equal intervals
            ranks = np.floor(n * norm.cdf(inputs[row, :, j] / scale[j]))
            assert_array_equal(np.sort(ranks), np.arange(n))
    assert_array_equal(inputs[:, :, 2], 0)
    assert len(np.unique(inputs[:, 0, 0])) == 3


@pytest.mark.parametrize("n", [12, 200, 300])
def test_sobol_samples_need_no_power_of_two(n):
    local = explain(lambda X: X @ [1.0, -2.0, 0.0], np.zeros((2, 3)), nlf.Gaussian(1.0, "sobol"), n_samples=n)
    assert_allclose(local.weights.toarray(), [[1.0, -2.0, 0.0]] * 2, rtol=0, atol=1e-6)  # inputs are float32 normals


def test_a_regressor():
    generator = np.random.default_rng(11)
    X = generator.normal(size=(100, 3))
    model = LinearRegression().fit(X, X @ [1.0, 2.0, 3.0] + generator.normal(size=100))
    neighborhood = nlf.Gaussian.from_data(X, width=0.5)
    local = explain(model.predict, X[:5], neighborhood)
    expected = model.coef_ * neighborhood.scale
    tolerance = linear_tolerance(model.coef_, neighborhood.scale, X, 200, model.intercept_)
    assert_allclose(local.weights.toarray(), [expected] * 5, rtol=0, atol=tolerance)
    assert local.target_names is None


# ---- Oracles


@pytest.mark.parametrize("ridge", [0.0, 1.0, 50.0])
def test_agrees_with_scikit_learn_on_the_samples_that_the_model_saw(ridge):
    def model(X):
        return np.sin(X[:, 0]) + X[:, 1] * X[:, 2] - np.abs(X[:, 3] - X[:, 4]) + 0.3 * X[:, 5] ** 3

    generator = np.random.default_rng(3)
    X, scale = generator.normal(size=(5, 8)), generator.uniform(0.5, 2.0, size=8)
    local, inputs = explain_and_record(model, X, nlf.Gaussian(scale), n_features=4, ridge=ridge)
    for row in range(5):
        Z, y = (inputs[row] - X[row]) / scale, model(inputs[row])
        _, _, path = lars_path(Z - Z.mean(axis=0), y - y.mean(), method="lasso")
        sizes = np.count_nonzero(path, axis=0)
        support = np.flatnonzero(path[:, np.argmax(sizes >= 4)])
        assert_array_equal(local.weights[[row]].indices, support)
        refit = (Ridge(alpha=ridge) if ridge else LinearRegression()).fit(Z[:, support], y)
        # rtol 1e-8 is the issue's; Z here is off by eps (|x| / scale + |z|) < 1e-14.
        assert_allclose(local.weights[[row]].data, refit.coef_, rtol=1e-8)
        assert_allclose(local.intercept[row], refit.intercept_, rtol=1e-8)
        assert_allclose(local.r2[row], refit.score(Z[:, support], y), rtol=1e-8)


def test_agrees_with_a_fit_by_hand_on_samples_of_numpy():
    def model(X):
        return np.tanh(X[:, 0]) + X[:, 1] * X[:, 2] - 2 * np.abs(X[:, 3]) + 0.2 * X[:, 4]

    scale, n = np.array([0.5, 1.0, 2.0, 0.3, 3.0]), 20_000
    X = np.random.default_rng(4).normal(size=(10, 5))
    local = explain(model, X, nlf.Gaussian(scale), n_features=5, n_samples=n)
    z = np.random.default_rng(5).normal(size=(n, 5))
    for row in range(len(X)):
        y = model(X[row] + scale * z)
        fit = LinearRegression().fit(z, y)
        residual = y - fit.predict(z)
        # Both estimates have the sandwich variance E[z^2 e^2] / n of least squares on white z, so their difference has
        # twice that. At 5 standard deviations the 50 weights and 10 intercepts all hold with probability 1 - 4e-5.
        error = np.sqrt(2 * (z**2 * residual[:, None] ** 2).mean(axis=0) / n)
        assert (np.abs(local.weights[[row]].toarray()[0] - fit.coef_) < 5 * error).all()
        assert abs(local.intercept[row] - fit.intercept_) < 5 * np.sqrt(2 * residual.var() / n)
        # d R^2 = (1 - R^2) (d var e / var e - d var y / var y), each ratio of standard error sqrt((kurtosis - 1) / n);
        # adding the two bounds any correlation between them.
        spread = sum(np.sqrt(((v - v.mean()) ** 4).mean() / v.var() ** 2 - 1) for v in (residual, y))
        assert abs(local.r2[row] - fit.score(z, y)) < 5 * (1 - local.r2[row]) * spread * np.sqrt(2 / n)


# ---- Targets

COEFFICIENTS = np.array([[1.0, 0.0, -2.0], [0.0, 3.0, -1.0], [2.0, 0.0, 5.0], [-4.0, 1.0, 1.0]])  # (d, 3 outputs)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("predicted", [[0], [1], [2], [1]]),  # the largest of each row above; of equal ones the first
        ("all", [[0, 1, 2]] * 4),
        (1, [[1]] * 4),
        (np.int32(2), [[2]] * 4),
        ([2, 0], [[2, 0]] * 4),
        (np.array([0, 2], np.uint8), [[0, 2]] * 4),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 200])
def test_targets(targets, expected, batch_size):
    neighborhood = nlf.Gaussian(0.5)
    local = explain(
        lambda X: X @ COEFFICIENTS, np.eye(4), neighborhood, n_features=4, targets=targets, batch_size=batch_size
    )
    output, n_targets = np.ravel(expected), len(expected[0])
    assert_array_equal(local.target, output)
    assert_array_equal(local.instance, np.repeat(range(4), n_targets))
    tolerance = linear_tolerance(COEFFICIENTS.T, np.full(4, 0.5), np.eye(4), 200).max()
    assert_allclose(local.weights.toarray(), 0.5 * COEFFICIENTS.T[output], rtol=0, atol=tolerance)
    assert_array_equal(local.prediction, COEFFICIENTS[local.instance, output])
    assert_allclose(local.intercept, local.prediction, rtol=0, atol=2 * tolerance)


# ---- Aggregation


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    return LogisticRegression(max_iter=1000).fit(X, names[y]), X[::6]


def scores_by_loop(weights, groups):
    """S_y of Eq. 9, and |E_y(c_i)|, a weight at a time: {group: (scores, counts)}."""
    result = {group: (np.zeros(weights.shape[1]), np.zeros(weights.shape[1])) for group in groups}
    for row, group in zip(weights.toarray(), groups, strict=True):
        norm = sum(abs(w) for w in row)
        for i, w in enumerate(row):
            if w != 0:
                result[group][0][i] += abs(w) / norm * abs(w)
                result[group][1][i] += 1
    return {group: (scores / np.maximum(counts, 1), counts) for group, (scores, counts) in result.items()}


def assert_is(importance, expected):
    """Sums of at most 75 positive terms in another order differ by 150 eps at most, terms included."""
    assert sorted(expected) == list(importance.groups)
    for group, values, counts in zip(importance.groups, importance.values, importance.counts, strict=True):
        assert_allclose(values, expected[group][0], rtol=150 * EPS)
        assert_array_equal(counts, expected[group][1])


@pytest.mark.parametrize("targets", ["predicted", "all", [2, 0]])
def test_scores_are_those_of_the_equations(iris, targets):
    model, X = iris
    local = explain(model.predict_proba, X, nlf.Gaussian.from_data(X), n_features=2, targets=targets)
    assert local.target_names == ("setosa", "versicolor", "virginica")
    if targets == "predicted":
        assert_array_equal(np.array(local.target_names)[local.target], model.predict(X))

    everything = local.importance()
    scores, counts = scores_by_loop(local.weights, [0] * local.target.size)[0]
    assert_allclose(everything.values, scores, rtol=150 * EPS)
    assert_array_equal(everything.counts, counts)
    assert everything.groups is None

    by_target = local.importance(by="target")
    assert_is(by_target, scores_by_loop(local.weights, [local.target_names[t] for t in local.target]))
    # E(c_i) is the union of the E_y(c_i), which are disjoint
    assert_array_equal(by_target.counts.sum(axis=0), everything.counts)
    total = (by_target.counts * by_target.values).sum(axis=0)
    assert_allclose(total, everything.counts * everything.values, rtol=300 * EPS)


class SeveralOutputs:
    """A classifier of several labels at once, as scikit-learn's: a list of classes for each."""

    def __init__(self):
        self.classes_ = [np.array([0, 1]), np.array([0, 1, 2])]

    def predict_proba(self, X):
        return X[:, :2]


def test_outputs_that_are_not_classes_have_no_names(iris):
    pairs = SVC(decision_function_shape="ovo").fit(iris[1], iris[0].predict(iris[1]))  # three pairs of three classes
    for predict in (pairs.decision_function, SeveralOutputs().predict_proba):
        assert explain(predict, iris[1][:2], nlf.Gaussian(1.0), targets="all").target_names is None


def test_targets_without_names_are_numbers(iris):
    model, X = iris
    local = explain(lambda X: model.predict_proba(X), X, nlf.Gaussian.from_data(X), targets=[2, 0])
    assert local.target_names is None
    assert local.importance(by="target").groups.tolist() == [0, 2]


def test_a_group_only_lists_targets_that_were_explained(iris):
    model, X = iris
    local = explain(model.predict_proba, X, nlf.Gaussian.from_data(X), targets=[1])
    assert local.importance(by="target").groups.tolist() == ["versicolor"]


@pytest.mark.parametrize("targets", ["predicted", "all"])
@pytest.mark.parametrize("wrap", [list, np.array, pd.Series])
def test_labels_belong_to_instances_in_the_order_given(iris, targets, wrap):
    model, X = iris
    labels = [f"group {i % 4}" for i in range(len(X))]
    index = 1000 - 7 * np.random.default_rng(8).permutation(len(X))
    local = explain(model.predict_proba, X, nlf.Gaussian.from_data(X), targets=targets, index=index)
    label_of = dict(zip(index.tolist(), labels, strict=True))
    assert_is(local.importance(by=wrap(labels)), scores_by_loop(local.weights, [label_of[i] for i in local.instance]))


def test_sign_and_kind_reach_the_statistics(iris):
    model, X = iris
    local = explain(model.predict_proba, X, nlf.Gaussian.from_data(X))
    net = local.importance("mean", by="target", sign="net")
    for group, values in zip(net.groups, net.values, strict=True):
        rows = np.array(local.target_names)[local.target] == group
        # the mean of up to 25 weights cancels: relative to their sizes
        weights = local.weights.toarray()[rows]
        assert_allclose(values, weights.mean(axis=0), rtol=0, atol=50 * EPS * np.abs(weights).max())
    assert (net.kind, net.sign) == ("mean", "net")
