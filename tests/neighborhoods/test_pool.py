"""A pool asks the model about n_samples points once, and weighs them for every instance as lime does."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.reference import lime_weights
from lime.lime_tabular import LimeTabularExplainer
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

import normlime_fast as nlf

RNG = np.random.default_rng(0)
DATA = RNG.normal([3, -2, 0, 1, 50], [1, 5, 2, 0.1, 1], (400, 5)).round(3)
DATA[:, 2] = RNG.integers(0, 3, 400)
X = DATA[:6] + np.array([0.5, 0.5, 0, 0.05, 0.5])
EFFECTS = np.array([1.0, -2.0, 3.0, 10.0, 0.5])


def model(rows):
    v = np.asarray(rows, np.float64)
    scores = np.stack([v[:, 0] * v[:, 1], (v[:, 2] == 1) + np.abs(v[:, 3]) * 5, v[:, 0] - 0.1 * v[:, 1] ** 2], axis=1)
    return np.exp(scores / 10) / np.exp(scores / 10).sum(axis=1, keepdims=True)


def linear(rows):
    return np.asarray(rows, np.float64) @ EFFECTS


class Recorded:
    """A model that remembers what it is asked."""

    def __init__(self, predict):
        self.predict, self.asked = predict, []

    def __call__(self, rows):
        self.asked.append(rows.copy())
        return self.predict(rows)


def explain(pool, X=X, predict=model, **options):
    how = {name: options.pop(name) for name in ("block_size", "on_error", "executor") if name in options}
    options = {"n_features": None, "n_samples": 300, "targets": "all", "rng": 0} | options
    return nlf.NormLIME(predict, pool, **options).explain(X, **how)


def points_of(pool, X=X, **options):
    recorded = Recorded(model)
    explain(pool, X, recorded, **options)
    return recorded.asked[0]


# --- lime


@pytest.mark.parametrize("categorical", [[], [2]])
@pytest.mark.parametrize(("selection", "K"), [("lasso_path", 1), ("lasso_path", 2), ("lasso_path", 4), ("none", None)])
def test_weights_are_limes_on_the_points_that_lime_draws(categorical, selection, K):
    numeric = [2] if not categorical else []
    """To 1e-6 of the largest weight: z is float32, with relative errors of 2^-24 that partly cancel in sums of 400."""
    lime = LimeTabularExplainer(
        DATA,
        discretize_continuous=False,
        categorical_features=categorical,
        feature_selection=selection,
        random_state=1,
    )
    for x in X:
        recorded = Recorded(model)
        theirs = lime.explain_instance(x, recorded, labels=(0, 1, 2), num_features=K or 5, num_samples=400)
        pool = nlf.Pool.from_data(recorded.asked[0][1:], kernel="exponential", categorical=categorical, numeric=numeric)
        pool = replace(pool, center=lime.scaler.mean_, scale=lime.scaler.scale_)
        local = explain(pool, x[None], n_features=K, n_samples=399, ridge=1.0, standardize=False)
        for target in range(3):
            expected = lime_weights(theirs, target, 5)
            weights = local.weights[[target]].toarray()[0]
            assert_array_equal(weights != 0, expected != 0)
            assert_allclose(weights, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
        # lime keeps these of the last label only
        assert_allclose(local.r2[2], theirs.score, rtol=1e-6)
        assert_allclose(local.intercept[2], theirs.local_pred[0], rtol=1e-6)


# --- what the model is asked


@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}, {"batch_size": 7}, {"block_size": 2, "n_jobs": 2}], ids=str)
def test_the_model_is_asked_about_the_points_once_and_about_every_instance(options):
    recorded = Recorded(model)
    explain(nlf.Pool.from_data(DATA, numeric=[2], n_sets=1), predict=recorded, **options)
    asked = np.concatenate(recorded.asked)
    assert max(map(len, recorded.asked)) <= options.get("batch_size", 300)
    assert_array_equal(asked[300:], X)
    positions = [np.flatnonzero((row == DATA).all(axis=1))[0] for row in asked[:300]]
    assert (np.diff(positions) > 0).all()  # without replacement


def test_points_depend_on_rng_and_nothing_else():
    pool = nlf.Pool.from_data(DATA, numeric=[2])
    points = points_of(pool)
    assert_array_equal(points_of(pool, X[3:] + 1, targets=1, n_features=2, n_jobs=2), points)
    assert (points_of(pool, rng=1) != points).any()
    assert_array_equal(points_of(pool, n_samples=500), DATA)
    # 300 of 400: each is left out with chance 1/4; the mean position moves by 400 / sqrt(12) * sqrt(1/300 - 1/400)
    positions = [np.flatnonzero((row == DATA).all(axis=1))[0] for row in points]
    assert abs(np.mean(positions) - 199.5) < 5 * 400 / np.sqrt(12) * np.sqrt(1 / 300 - 1 / 400)


def test_points_that_are_drawn_are_normal():
    mean, scale = np.array([1.0, -50.0, 0.0, 7.0, 1e6]), np.array([1.0, 0.1, 30.0, 0.0, 5.0])
    points = points_of(nlf.Pool.gaussian(mean, scale), mean[None] + 1, n_samples=4000)
    assert_array_equal(points[:, 3], 7.0)
    z = (points - mean)[:, scale > 0] / scale[scale > 0]
    assert_allclose(z.mean(axis=0), 0, atol=5 / np.sqrt(4000))  # five standard errors, as below
    assert_allclose(z.T @ z / 4000, np.eye(4), atol=5 * np.sqrt(2 / 4000))
    assert_allclose((z**4).mean(axis=0), 3, atol=5 * np.sqrt(96 / 4000))


@pytest.mark.parametrize("make", ["from_data", "gaussian"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_model_gets_frames_of_the_same_dtype(make, dtype):
    frame = pd.DataFrame(DATA.astype(dtype), columns=list("abcde"))
    given = (frame,) if make == "from_data" else (frame.mean(), frame.std())
    recorded = Recorded(model)
    local = explain(getattr(nlf.Pool, make)(*given), frame[:4], recorded)
    assert local.feature_names == tuple("abcde")
    for asked in recorded.asked:
        assert asked.dtypes.tolist() == [dtype] * 5
        assert asked.columns.tolist() == list("abcde")


def test_dtypes_of_categories_reach_the_model():
    frame = pd.DataFrame({"size": [1, 2, 3, 4] * 10, "age": np.arange(40.0), "color": ["red", "blue"] * 20})
    frame["color"] = frame["color"].astype("category")
    recorded = Recorded(lambda rows: rows["age"] * (rows["color"] == "red"))
    pool = nlf.Pool.from_data(frame, share=0.5, categorical=["color", "size"])
    explain(pool, frame[5:8], recorded, n_samples=60)
    for asked in recorded.asked:
        pd.testing.assert_series_equal(asked.dtypes, frame.dtypes)
        assert asked.isin(frame.to_dict("list")).all(axis=None)


# --- weights of points


def squares_of(x, points, categorical=()):
    """z and squared distances of points, and of x itself before them."""
    center, scale = DATA.mean(axis=0), DATA.std(axis=0)
    Z = (np.concatenate([x[None], points]) - x) / scale
    assert center.shape == x.shape
    for j in categorical:
        Z[:, j] = np.append(x[j], points[:, j]) == x[j]
    Z[:, list(categorical)] -= 1
    return Z, (Z**2).sum(axis=1)


def effective(weights):
    return weights.sum() ** 2 / (weights**2).sum()


def assert_fitted(local, k, Z, weights):
    """The explanations of instance k are weighted least squares on all features.

    To 1e-6 of the largest: z is float32 here and float64 in the oracle.
    """
    fitted = nlf.fit_surrogates(Z, model(Z * DATA.std(axis=0) + X[k]), n_features=None, sample_weight=weights)
    got = local.weights[3 * k : 3 * k + 3].toarray()
    assert_allclose(got, fitted.coef, rtol=0, atol=1e-6 * np.abs(fitted.coef).max())


def plateau(distance):
    return np.where(distance < 3.0, 1.0, 0.25)


KERNELS = [
    ({"width": 1.5}, lambda s: np.exp(-s / (2 * 1.5**2))),
    ({"width": 2, "kernel": "exponential"}, lambda s: np.sqrt(np.exp(-s / 2.0**2))),
    ({"kernel": "exponential"}, lambda s: np.sqrt(np.exp(-s / (0.75 * np.sqrt(5)) ** 2))),
    ({"kernel": plateau}, lambda s: plateau(np.sqrt(s))),
]


@pytest.mark.parametrize(("options", "kernel"), KERNELS)
@pytest.mark.parametrize("nearest", [None, 40, 400, 1000])
def test_weights_of_points(options, kernel, nearest):
    local = explain(nlf.Pool.from_data(DATA, numeric=[2], nearest=nearest, **options), n_samples=400)
    for k, x in enumerate(X):
        Z, squares = squares_of(x, DATA)
        counted = np.argsort(squares)[: 401 if nearest is None else nearest + 1]  # the instance itself has distance 0
        weights = kernel(squares[counted])
        assert_allclose(local.effective_samples[3 * k : 3 * k + 3], effective(weights), rtol=1e-9)
        assert_fitted(local, k, Z[counted], weights)


@pytest.mark.parametrize("factor", [0.2, 7.0])
def test_a_kernel_is_the_same_times_a_number(factor):
    expected = explain(nlf.Pool.from_data(DATA, numeric=[2], kernel=plateau))
    local = explain(nlf.Pool.from_data(DATA, numeric=[2], kernel=lambda distance: factor * plateau(distance)))
    assert_allclose(local.effective_samples, expected.effective_samples, rtol=1e-9)
    assert_allclose(local.weights.toarray(), expected.weights.toarray(), rtol=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, None])
@pytest.mark.parametrize("categorical", [[], [2]])
@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
def test_an_automatic_width_reaches_the_share(share, categorical, kernel):
    """And is one width: from the effective sample size that came of it, all weights follow."""
    options = {} if share is None else {"share": share}
    numeric = [2] if not categorical else []
    pool = nlf.Pool.from_data(DATA, width="auto", kernel=kernel, categorical=categorical, numeric=numeric, **options)
    local = explain(pool, n_samples=400)
    assert_allclose(local.effective_samples, (share or 0.1) * 401, rtol=0.002)
    for k, x in enumerate(X):
        Z, squares = squares_of(x, DATA, categorical)
        reached = local.effective_samples[3 * k]
        log_t = brentq(lambda t, s=squares, n=reached: effective(np.exp(-np.exp(t) * s)) - n, -10, 10, xtol=1e-13)
        weights = np.exp(-np.exp(log_t) * squares)
        if not categorical:
            assert_fitted(local, k, Z, weights)
            continue
        y = model(np.concatenate([x[None], DATA]))
        fitted = nlf.fit_surrogates(Z, y, n_features=None, sample_weight=weights)
        got = local.weights[3 * k : 3 * k + 3].toarray()
        assert_allclose(got, fitted.coef, rtol=0, atol=1e-6 * np.abs(fitted.coef).max())


def test_automatic_is_the_default_of_the_gaussian_kernel_alone():
    for options in ({}, {"width": "auto"}):
        local = explain(nlf.Pool.from_data(DATA, numeric=[2], **options))
        assert_allclose(local.effective_samples, 30.1, rtol=0.002)
    assert (explain(nlf.Pool.from_data(DATA, numeric=[2], kernel="exponential")).effective_samples > 100).all()
    assert_allclose(explain(nlf.Pool.from_data(DATA, numeric=[2], nearest=100)).effective_samples, 50.5, rtol=0.002)


def test_points_equal_to_the_instance_count_in_full():
    data = np.concatenate([np.repeat(X[:1], 20, axis=0), DATA])
    local = explain(nlf.Pool.from_data(data), X[:1], n_samples=1000)
    assert_allclose(local.effective_samples, 0.1 * 421, rtol=0.002)
    data = np.concatenate([np.repeat(X[:1], 99, axis=0), DATA])
    local = explain(nlf.Pool.from_data(data), X[:1], n_samples=1000)  # more than the share, which is then of the others
    assert_allclose(local.effective_samples, 100 + 0.1 * 400, rtol=0.002)


# --- weights of features


@pytest.mark.parametrize("options", [{}, {"width": 3.0}, {"nearest": 30, "share": 0.9}], ids=str)
def test_a_linear_model_has_its_own_weights(options):
    """z is float32: relative errors of 2^-24, and the condition of what is left of 30 points is below 10."""
    expected = EFFECTS * DATA.std(axis=0)
    local = explain(nlf.Pool.from_data(DATA, numeric=[2], **options), predict=linear)
    assert_allclose(local.weights.toarray(), np.tile(expected, (6, 1)), rtol=0, atol=1e-6 * np.abs(expected).max())
    assert_allclose(local.intercept, linear(X), rtol=1e-6)
    assert_allclose(local.r2, 1, rtol=1e-6)


def test_the_weight_of_a_category_is_its_effect():
    frame = pd.DataFrame({"age": DATA[:, 0], "work": np.where(DATA[:, 2] > 0, "state", "private")})
    pool = nlf.Pool.from_data(frame, categorical=["work"])
    local = explain(pool, frame[:6], lambda rows: 2 * rows["age"] + 5.0 * (rows["work"] == "state"))
    expected = np.column_stack([np.full(6, 2 * DATA[:, 0].std()), np.where(frame["work"][:6] == "state", 5.0, -5.0)])
    assert_allclose(local.weights.toarray(), expected, rtol=1e-6)


def test_a_constant_column_takes_no_part():
    data, instances = DATA.copy(), X.copy()
    data[:, 1], instances[:, 1] = 7.0, [7, 7, 8, -900, 7.5, 1e9]
    pool = nlf.Pool.from_data(data, width=2.0)
    for predict in (lambda rows: rows[:, 0], lambda rows: rows[:, 0] + rows[:, 1]):
        local = explain(pool, instances, predict=predict)
        assert_array_equal(local.weights.nonzero()[1], [0] * 6)
        # An instance whose output owes to that column what no point can say does not count, but its neighbors do.
        assert_allclose(local.weights[:, [0]].toarray()[:, 0], data[:, 0].std(), rtol=1e-6)


# --- instances far from all points


@pytest.mark.parametrize("far", [1e3, 1e30, 1e160, 1e300])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_instance_far_from_all_points_has_no_explanation(far, n_jobs):
    instances = X.copy()
    instances[3] = far
    pool = nlf.Pool.from_data(DATA, numeric=[2], width=1.5)
    with pytest.warns(UserWarning, match=r"of 6 explanations, 1 empty because the effective sample size is below"):
        local = explain(pool, instances, predict=lambda rows: rows[:, 0], n_jobs=n_jobs)
    expected = explain(pool, predict=lambda rows: rows[:, 0])
    others = np.arange(6) != 3
    assert_array_equal(local.status, np.where(others, 0, 7))
    assert local.effective_samples[3] == 1.0  # itself
    assert_array_equal(local.weights[others].toarray(), expected.weights[others].toarray())
    assert_array_equal(local.importance("mean").values, local.weights[others].toarray().mean(axis=0))


@pytest.mark.parametrize("far", [1e160, 1e300])
@pytest.mark.parametrize("options", [{}, {"nearest": 50}], ids=str)
def test_an_instance_too_far_for_any_width_has_no_explanation(far, options):
    instances = X.copy()
    instances[3] = far
    with pytest.warns(UserWarning, match=r"of 6 explanations, 1 empty because the effective sample size is below"):
        local = explain(nlf.Pool.from_data(DATA, numeric=[2], **options), instances, predict=lambda rows: rows[:, 0])
    assert_array_equal(local.status, [0, 0, 0, 7, 0, 0])
    assert local.prediction[3] == far


def test_so_do_instances_with_too_few_points():
    """The share of 60 points is 6.1, less than 5 features and 2."""
    with pytest.warns(UserWarning, match=r"of 18 explanations, 18 empty because the effective sample size is below"):
        local = explain(nlf.Pool.from_data(DATA, numeric=[2], share=0.1), n_samples=60)
    assert_allclose(local.effective_samples, 6.1, rtol=0.002)
    explain(nlf.Pool.from_data(DATA, numeric=[2], share=0.12), n_samples=60)  # 7.3


# --- bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"width": 0}, ValueError, r"^width must be larger than 0, got 0.0$"),
        ({"width": -1}, ValueError, r"^width must be finite and at least 0, got -1$"),
        ({"width": np.inf}, ValueError, r"^width must be finite and at least 0, got inf$"),
        ({"width": "wide"}, ValueError, r"^width must be a number or \"auto\", got 'wide'$"),
        ({"width": [1.0]}, TypeError, r"^width must be a number, got \[1.0\]$"),
        ({"kernel": "cosine"}, ValueError, r"^kernel must be \"gaussian\", .* got 'cosine'$"),
        ({"kernel": np.exp, "width": 1.0}, ValueError, r"^width must be left out with a callable kernel, .* got 1.0$"),
        ({"kernel": np.exp, "width": "auto"}, ValueError, r"^width must be left out with a callable .* got 'auto'$"),
        ({"kernel": None}, ValueError, r"^kernel must be .* got None$"),
        ({"share": 0}, ValueError, r"^share must be larger than 0 and below 1, got 0.0$"),
        ({"share": 1}, ValueError, r"^share must be larger than 0 and below 1, got 1.0$"),
        ({"share": "all"}, TypeError, r"^share must be a number, got 'all'$"),
        ({"nearest": 0}, ValueError, r"^nearest must be at least 1, got 0$"),
        ({"nearest": 2.5}, TypeError, r"^nearest must be an integer, got 2.5$"),
    ],
)
def test_bad_proximity(options, error, message):
    for make in (nlf.Pool.from_data, lambda data, **options: nlf.Pool.gaussian(data[0], data[0] ** 2, **options)):
        with pytest.raises(error, match=message):
            make(DATA, **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nlf.Pool.from_data(DATA[:0]), ValueError, r"^X must not be empty"),
        (lambda: nlf.Pool.from_data(DATA[0]), ValueError, r"^X must be 2-D"),
        (
            lambda: nlf.Pool.from_data(DATA * np.nan, numeric=[2]),
            ValueError,
            r"^X must have values, got only missing ones",
        ),
        (lambda: nlf.Pool.from_data([["a"]]), TypeError, r"^X must hold real numbers"),
        (lambda: nlf.Pool.from_data(DATA, categorical=[5]), ValueError, r"^categorical must hold positions"),
        (lambda: nlf.Pool.gaussian([0.0, 1.0], [1.0]), ValueError, r"^scale must have one entry per entry of mean"),
        (lambda: nlf.Pool.gaussian([0.0], [-1.0]), ValueError, r"^scale must be at least 0, got -1.0$"),
        (lambda: nlf.Pool.gaussian([np.nan], [1.0]), ValueError, r"^mean must be finite"),
        (lambda: nlf.Pool.gaussian([1e308], [1e308]), ValueError, r"^X must not overflow float64 when it is perturbed"),
        (
            lambda: nlf.Pool.gaussian(np.float32([1e9]), [1.0]),
            ValueError,
            r"^scale must be at least 32.0 in column 0, half",
        ),
    ],
)
def test_bad_data(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}], ids=str)
def test_a_width_of_almost_nothing_leaves_too_few_points(options):
    """Those at the instance itself; distances over the width overflow, which nobody is warned of."""
    pool = nlf.Pool.from_data(DATA, numeric=[2], width=1e-200)
    with pytest.warns(UserWarning, match="18 empty because the effective sample size is below") as caught:
        local = explain(pool, **options)
    assert len(caught) == 1
    assert_array_equal(local.status, 7)
    assert_array_equal(local.effective_samples, 1)


SUMS_OF_MANY = """
import hashlib, numpy as np, normlime_fast as nlf
data = np.random.default_rng(0).normal(size=(30_000, 2))
pool = nlf.Pool.from_data(data, width="auto")
explainer = nlf.NormLIME(lambda X: X[:, 0] * X[:, 1], pool, n_features=None, n_samples=30_000, rng=0)
local = explainer.explain(data[:40] + 0.1)  # products by BLAS would differ for one in ten
parts = [local.weights.data, local.intercept, local.r2, local.effective_samples]
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


def test_sums_over_many_points_do_not_depend_on_the_threads_of_blas():
    digests = []
    for threads in "12":
        environment = os.environ | {f"{name}_NUM_THREADS": threads for name in ("OPENBLAS", "MKL", "OMP")}
        command = [sys.executable, "-c", SUMS_OF_MANY]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("targets", "columns"), [("all", 2), ("predicted", 4), ([0], 1)])
def test_a_model_with_other_outputs_for_the_points(targets, columns):
    def fickle(rows):
        return np.tile(model(rows), (1, 2))[:, : columns if len(rows) == 300 else 3]

    message = f"^predict must return as many columns for all rows, got {columns} and then 3"
    with pytest.raises(ValueError, match=message):
        explain(nlf.Pool.from_data(DATA, numeric=[2]), predict=fickle, targets=targets)


FRAME = pd.DataFrame(DATA, columns=list("abcde"))


@pytest.mark.parametrize(
    ("pool", "X", "message"),
    [
        (
            nlf.Pool.from_data(DATA, numeric=[2]),
            X[:, :4],
            r"^X must have the 5 columns of the neighborhood's data, got 4$",
        ),
        (
            nlf.Pool.from_data(FRAME, numeric=["c"]),
            FRAME[list("edcba")],
            r"^X must have the columns .*, got another order$",
        ),
        (nlf.Pool.from_data(FRAME, numeric=["c"]), X, r"^X must have the columns .* got \['5 columns'\]$"),
        (
            nlf.Pool.from_data(DATA, categorical=[2], unseen="raise"),
            X + 0.5,
            r"^X must have known categories in column 2, got 2\.5",
        ),
        (nlf.Pool.from_data(DATA[:6], numeric=[2]), X, r"must be at least n_features \+ 2 = 7, got 6$"),
        (nlf.Pool.from_data(DATA, numeric=[2], nearest=6), X, r"must be at least n_features \+ 2 = 7, got 6$"),
    ],
)
def test_instances_that_do_not_fit_the_pool(pool, X, message):
    def never(rows):
        raise AssertionError("the model was asked")

    with pytest.raises(ValueError, match=message) as caught:
        explain(pool, X, never)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kernel", "error", "message"),
    [
        (lambda d: d[:3], ValueError, r"^kernel must return a number for each of 301 distances, got shape \(3,\)"),
        (lambda d: -d, ValueError, r"^kernel must return finite weights of at least 0"),
        (lambda d: d + np.nan, ValueError, r"^kernel must return finite weights of at least 0"),
        (lambda d: ["heavy"] * len(d), (TypeError, ValueError), r"kernel must "),
        (lambda d: d / d.nothing, AttributeError, r"nothing"),
    ],
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bad_kernels(kernel, error, message, n_jobs):
    with pytest.raises(error, match=message):
        explain(nlf.Pool.from_data(DATA, numeric=[2], kernel=kernel), n_jobs=n_jobs)
