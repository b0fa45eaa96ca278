"""Fits of several sets of samples with weights of their own, effective sample sizes, selection by highest weights."""

import numpy as np
import pytest
from helpers import reference
from lime.lime_base import LimeBase
from sklearn.linear_model import Ridge

from normlime_fast import fit_surrogates
from normlime_fast._status import Status
from normlime_fast._surrogates import Fits, fit_samples, warn_of

SELECTIONS = ["lasso_path", "highest_weights"]
STARTS = np.array([0, 2, 3, 3, 6])  # 4 sets, of which one has no output
N, D, K = 120, 10, 4


def sets(dtype=np.float32, seed=0):
    """Z (4, N, D), Y (6, N) and weights (4, N) of four sets."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(4, N, D)).astype(dtype)
    signals = Z[np.repeat(np.arange(4), np.diff(STARTS))] @ rng.normal(size=D)
    return Z, signals + rng.normal(size=(6, N)), np.exp(-rng.exponential(size=(4, N)))


def fit(Z, Y, starts, weights, n_features=K, room=K, ridge=1.0, **options):
    fits = Fits.empty(len(Y), room)
    fit_samples(Z, Y.copy(), starts, weights, fits, n_features=n_features, ridge=ridge, tol=1e-4, **options)
    return fits


def dense(fits, d):
    coef, used = np.zeros((len(fits.summaries), d)), fits.used()
    coef[np.nonzero(used)[0], fits.features[used]] = fits.coefficients[:, 0][used]
    return coef


def fit_one(Z, y, weights, **options):
    """(coefficients, summary) of one output."""
    fits = fit(Z[None], y[None], np.array([0, 1]), weights[None], **options)
    return dense(fits, Z.shape[1])[0], fits.summaries[0]


def assert_same(fits, others):
    for name in ("features", "coefficients", "summaries"):
        np.testing.assert_array_equal(getattr(fits, name), getattr(others, name))


# --- weights of every set


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_every_set_are_those_of_its_own_fit(dtype, selection):
    Z, Y, weights = sets(dtype)
    together = fit(Z, Y, STARTS, weights, selection=selection)
    assert (together.summaries["status"] == Status.OK).all()
    for k in range(4):
        rows = slice(STARTS[k], STARTS[k + 1])
        starts = np.array([0, STARTS[k + 1] - STARTS[k]])
        assert_same(together[rows], fit(Z[k : k + 1], Y[rows], starts, weights[k : k + 1], selection=selection))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_shared_weights_are_the_same_weights_for_every_set(selection):
    Z, Y, weights = sets()
    shared = fit(Z, Y, STARTS, weights[:1], selection=selection)
    assert_same(shared, fit(Z, Y, STARTS, np.repeat(weights[:1], 4, axis=0), selection=selection))
    assert (shared.coefficients[2:] != fit(Z, Y, STARTS, weights, selection=selection).coefficients[2:]).all()


@pytest.mark.parametrize("selection", SELECTIONS)
def test_public_fits_are_the_same(selection):
    """There Z is centred first: sums of N terms off by N * 2^-53 = 1e-14 each, condition number below 10."""
    Z, Y, weights = sets(np.float64)
    fits = fit(Z, Y, STARTS, weights, selection=selection)
    for k, first, last in [(0, 0, 2), (1, 2, 3), (3, 3, 6)]:
        expected = fit_surrogates(
            Z[k], Y[first:last].T, n_features=K, sample_weight=weights[k], ridge=1.0, selection=selection
        )
        np.testing.assert_allclose(dense(fits[first:last], D), expected.coef, rtol=1e-11)
        for name in ("intercept", "r2", "alpha"):
            np.testing.assert_allclose(fits.summaries[name][first:last], getattr(expected, name), rtol=1e-11)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("n_features", [1, 3, D, D + 5])
def test_room_for_more_features_than_asked_for_is_left_alone(n_features, selection):
    Z, Y, weights = sets()
    count = min(n_features, D)
    exact = fit(Z, Y, STARTS, weights, n_features, count, selection=selection)
    roomy = fit(Z, Y, STARTS, weights, n_features, D + 7, selection=selection)
    assert (exact.summaries["count"] == count).all()
    assert_same(exact, Fits(roomy.features[:, :count], roomy.coefficients[..., :count], roomy.summaries))
    assert not roomy.features[:, count:].any()
    assert not roomy.coefficients[..., count:].any()


TINY = 1e-300
EXTREME = {
    "spanning": lambda u: TINY**u,
    "all tiny": lambda u: TINY * (0.5 + u / 2),
    "one dominant": lambda u: np.where(np.arange(N) == 7, 1.0, 1e-3 * u),
    "many zeros": lambda u: np.where(u < 0.5, 0.0, u),
}


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("case", EXTREME)
def test_extreme_weights(case, selection):
    Z, Y, _ = sets(np.float64)
    weights = EXTREME[case](np.random.default_rng(1).random(N))
    p = weights / weights.max()  # scikit-learn squares what it is given
    ridge = 0.1 * weights.max()
    coef, summary = fit_one(Z[0], Y[0], weights, ridge=ridge, selection=selection)
    (members,) = coef.nonzero()
    # Two samples that count are explained by one feature.
    fewer = Status.FEWER_FEATURES, Status.NOT_CONVERGED  # all columns are equal, but for a third sample of weight 1e-6
    assert summary["status"] == Status.OK or (case == "spanning" and summary["status"] in fewer)
    assert 1 <= len(members) <= K
    expected, intercept, r2 = reference.refit(Z[0], Y[0], p, members, 0.1)
    np.testing.assert_allclose(coef, expected, rtol=1e-9)
    np.testing.assert_allclose([summary["intercept"], summary["r2"]], [intercept, r2], rtol=1e-9)
    np.testing.assert_allclose(summary["effective"], p.sum() ** 2 / (p @ p), rtol=1e-13)


# --- effective sample size


def test_effective_sample_size_is_exactly_n_where_all_weights_are_1():
    for n in (1, 2, 3, 7, 49, 100, 1023, 5000):
        Z, y = np.zeros((n, 1)), np.arange(n, dtype=float)
        assert fit_one(Z, y, np.ones(n), n_features=1)[1]["effective"] == n


@pytest.mark.parametrize("weight", [1.0, 0.3, 1e-200, 5e-324])
@pytest.mark.parametrize("zeros", [0, 5])
def test_effective_sample_size_of_equal_weights_is_their_number(weight, zeros):
    weights = np.append(np.full(21, weight), np.zeros(zeros))
    summary = fit_one(np.zeros((weights.size, 1)), np.zeros(weights.size), weights)[1]
    # sums of n terms that are rounded each, where they are not whole units
    assert summary["effective"] == pytest.approx(21, rel=21 * 2.0**-52)


@pytest.mark.parametrize("ratio", [0.5, 0.9, 0.999])
def test_effective_sample_size_of_a_geometric_series(ratio):
    powers = ratio ** np.arange(N)
    expected = (1 - ratio**N) ** 2 / (1 - ratio) ** 2 * (1 - ratio**2) / (1 - ratio ** (2 * N))
    Z, Y, _ = sets()
    fits = fit(Z, Y, STARTS, np.stack([powers, np.ones(N), powers, powers**2]))
    np.testing.assert_allclose(fits.summaries["effective"][:2], expected, rtol=1e-12)  # 1 - ratio has 13 digits
    assert fits.summaries["effective"][2] == N


@pytest.mark.parametrize(
    ("y", "weight", "status", "effective"),
    [
        (np.full(N, 3.0), 1.0, Status.CONSTANT_OUTPUT, N),
        (np.where(np.arange(N) % 2, 1.7e308, -1.7e308), 1.0, Status.OVERFLOW, N),
        (np.arange(N) * 1.0, 0.0, Status.NO_WEIGHT, 0),
    ],
)
def test_effective_sample_size_of_empty_fits(y, weight, status, effective):
    coef, summary = fit_one(sets()[0][0], y, np.full(N, weight))
    assert (summary["status"], summary["effective"]) == (status, effective)
    assert not coef.any()


# --- too few effective samples


@pytest.mark.parametrize("kind", ["varied", "constant", "overflowing"])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_too_few_effective_samples(kind, selection):
    """Weights 1, 1, 1, 1 / 2 and 0: (3.5)^2 / 3.25 = 3.77 samples."""
    Z, rng = np.random.default_rng(0).normal(size=(N, 3)), np.random.default_rng(1)
    outputs = {"varied": rng.normal(size=N), "constant": np.full(N, 0.1), "overflowing": rng.choice([-1e308, 1e308], N)}
    y = outputs[kind]
    weights = np.append([1.0, 1.0, 1.0, 0.5], np.zeros(N - 4))
    coef, summary = fit_one(Z, y, weights, n_features=2, least_effective=4, selection=selection)
    assert summary["status"] == Status.TOO_FEW
    assert not coef.any()
    assert (summary["count"], summary["r2"], summary["alpha"]) == (0, 0, 0)
    assert summary["effective"] == pytest.approx(3.5**2 / 3.25, rel=1e-15)
    # a mean of 4 terms, which may cancel
    assert summary["intercept"] == pytest.approx(weights / 3.5 @ y, rel=1e-14, abs=1e-15 * np.abs(y).max())
    assert fit_one(Z, y, weights, n_features=2, least_effective=3.7)[1]["status"] != Status.TOO_FEW


def test_too_few_is_said_of_a_set_and_not_of_the_others():
    Z, Y, weights = sets()
    weights[0, 3:] = 0.0
    fits = fit(Z, Y, STARTS, weights, least_effective=K + 2)
    assert fits.summaries["status"].tolist() == [Status.TOO_FEW] * 2 + [Status.OK] * 4
    assert_same(fits[2:], fit(Z, Y, STARTS, weights)[2:])
    at_the_limit = fit(Z[:1], Y[:2], STARTS[:2], np.ones((1, N)), least_effective=N)
    assert (at_the_limit.summaries["status"] == Status.OK).all()


def test_no_weight_is_said_before_too_few():
    Z, Y, _ = sets()
    assert fit_one(Z[0], Y[0], np.zeros(N), least_effective=4)[1]["status"] == Status.NO_WEIGHT


def test_warnings():
    for status, text in (
        (Status.TOO_FEW, r"the effective sample size is below n_features \+ 2 \(status 7\)"),
        (Status.NO_FEATURES, r"the instance has no feature to perturb \(status 8\)"),
    ):
        with pytest.warns(UserWarning, match=f"^of 3 explanations, 1 empty because {text}$"):
            warn_of(np.array([0, status, 0]), stacklevel=2)


# --- selection by highest weights


def lime_problem(seed, kind):
    """Z whose first row is the instance, y, distances, K, width. lime multiplies by the instance's values: here 1."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(60, 400)), int(rng.integers(3, 40))
    Z = rng.normal(size=(n, d)) + 0.5 * rng.normal(size=(n, 1))
    if kind == "binary":
        Z = (Z > 0.3).astype(float)
    Z[0] = 1.0
    y = 1 / (1 + np.exp(-Z @ rng.normal(size=d))) + 0.3 * rng.normal(size=n)
    return Z, y, np.linalg.norm(Z - Z[0], axis=1), int(rng.integers(1, d)), rng.uniform(0.4, 1.5) * np.sqrt(d)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("selection", ["highest_weights", "lasso_path", "none"])
def test_features_and_weights_are_those_of_lime(kind, selection):
    for seed in range(30):
        Z, y, distances, K, width = lime_problem(seed, kind)

        def proximity(distances, width=width):
            return np.sqrt(np.exp(-(distances**2) / width**2))

        intercept, explanation, score, at_instance = LimeBase(proximity).explain_instance_with_data(
            Z, y[:, None], distances, 0, K, feature_selection=selection
        )
        n_features, ours = (Z.shape[1], "lasso_path") if selection == "none" else (K, selection)
        expected = np.zeros(Z.shape[1])
        for feature, weight in explanation:
            expected[feature] = weight
        options = {"n_features": n_features, "room": Z.shape[1], "selection": ours, "standardize": False}
        coef, summary = fit_one(Z, y, proximity(distances), **options)
        shifted, at_zero = fit_one(Z - Z[0], y, proximity(distances), **options)  # as neighborhoods give it
        # Both solve normal equations of condition number below 1e4 to 1e-16 a product.
        tolerance = {"rtol": 1e-9, "atol": 1e-11 * np.abs(expected).max()}
        np.testing.assert_array_equal(coef.nonzero(), expected.nonzero())
        np.testing.assert_allclose(coef, expected, **tolerance)
        np.testing.assert_allclose(shifted, expected, **tolerance)
        np.testing.assert_allclose([summary["intercept"], summary["r2"]], [intercept, score], **tolerance)
        np.testing.assert_allclose(at_zero["intercept"], at_instance[0], **tolerance)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("scale", [1.0, 30.0, 0.01, 1e-170])
@pytest.mark.parametrize("K", [1, 5, 19])
def test_highest_weights_are_those_of_ridge_regression(K, scale, standardize):
    """On correlated features, where a ridge of 0.01 is felt at a scale of 0.01, and is all there is at 1e-170."""
    rng = np.random.default_rng(K)
    units = 10.0 ** rng.integers(-3, 4, size=20) if standardize else 1.0
    Z = scale * units * (rng.normal(size=(80, 20)) + rng.normal(size=(80, 1)))
    Y = Z @ rng.normal(size=(20, 3)) / scale + rng.normal(size=(80, 3))
    weights = 3 * rng.exponential(size=80)
    options = {"selection": "highest_weights", "standardize": standardize}
    fitted = fit_surrogates(Z, Y, n_features=K, sample_weight=weights, **options)
    centred = Z - np.average(Z, axis=0, weights=weights)
    scaled = centred / np.sqrt(np.average((centred / scale) ** 2, axis=0, weights=weights)) / scale
    for k in range(3):
        every = (
            Ridge(alpha=0.01, solver="cholesky").fit(scaled if standardize else Z, Y[:, k], sample_weight=weights).coef_
        )
        members = np.sort(np.argsort(-np.abs(every))[:K])
        np.testing.assert_array_equal(np.flatnonzero(fitted.coef[k]), members)
        np.testing.assert_allclose(fitted.coef[k], reference.refit(Z, Y[:, k], weights, members)[0], rtol=1e-9)
    assert (fitted.status.tolist(), fitted.alpha.tolist()) == ([Status.OK] * 3, [0.0] * 3)


def test_selections_differ():
    Z, rng = np.random.default_rng(3).normal(size=(200, 3)) * [1.0, 0.1, 1.0], np.random.default_rng(4)
    y = Z @ [1.0, 5.0, 0.1] + 0.01 * rng.normal(size=200)
    members = {
        (selection, standardize): fit_surrogates(Z, y, n_features=1, selection=selection, standardize=standardize)
        .coef[0]
        .nonzero()[0]
        .tolist()
        for selection in SELECTIONS
        for standardize in (False, True)
    }
    assert members == {  # of most covariance, of most weight; and of most correlation, which is the same for both
        ("lasso_path", False): [0],
        ("highest_weights", False): [1],
        ("lasso_path", True): [0],
        ("highest_weights", True): [0],
    }


def test_columns_without_variance_are_never_of_the_highest_weights():
    Z, Y, weights = sets(np.float64)
    Z[0][:, [0, 4]] = 1 / 3
    coef, summary = fit_one(Z[0], Y[0], weights[0], n_features=9, room=9, selection="highest_weights")
    assert coef.nonzero()[0].tolist() == [1, 2, 3, 5, 6, 7, 8, 9]
    assert summary["status"] == Status.FEWER_FEATURES
    coef, summary = fit_one(0 * Z[0], Y[0], weights[0], selection="highest_weights")
    assert (coef.any(), summary["status"], summary["r2"]) == (False, Status.FEWER_FEATURES, 0)


@pytest.mark.parametrize(("K", "members"), [(1, [1]), (2, [1, 3]), (3, [1, 3, 4]), (4, [1, 2, 3, 4])])
def test_of_equal_weights_the_lower_index_is_among_the_highest(K, members):
    """Of weights 1, 9 and -2, three columns share the second."""
    Z, rng = np.random.default_rng(0).normal(size=(100, 3)), np.random.default_rng(1)
    y = Z @ [1.0, 9.0, -2.0] + 0.1 * rng.normal(size=100)
    doubled = np.hstack([Z, Z[:, 1:2], -Z[:, 1:2]])
    coef, _ = fit_one(doubled, y, np.ones(100), n_features=K, selection="highest_weights")
    assert coef.nonzero()[0].tolist() == members
