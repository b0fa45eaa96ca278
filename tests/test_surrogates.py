import numpy as np
import pytest
from helpers import reference
from lime.lime_base import LimeBase
from scipy.linalg import hadamard
from sklearn.linear_model import Ridge, lars_path

from normlime_fast import fit_surrogates
from normlime_fast._status import Status


def samples(n=200, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng


def linear(seed=0, noise=0.1):
    """A problem whose two strongest features are 0 and 2, by far."""
    Z, rng = samples(seed=seed)
    return Z, Z @ [3.0, 0.0, -2.0, 0.5, 0.0, 0.1] + noise * rng.normal(size=len(Z))


def support(fitted, target=0):
    return np.flatnonzero(fitted.coef[target]).tolist()


# --- the refit


@pytest.mark.parametrize("ridge", [0.0, 1.0, 37.5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d", "K"), [(30, 4, 2), (200, 30, 10), (5000, 12, None), (50, 200, 15)])
def test_refit_is_weighted_least_squares(n, d, K, weighted, ridge):
    Z, rng = samples(n, d)
    Z += 0.5 * rng.normal(size=(n, 1)) + 3 * rng.normal(size=d)  # correlated, off centre
    Y = Z @ rng.normal(size=(d, 3)) + rng.normal(size=(n, 3)) - 20
    weights = rng.exponential(size=n) * (rng.random(n) > 0.1) if weighted else np.ones(n)
    fitted = fit_surrogates(Z, Y, n_features=K, sample_weight=weights if weighted else None, ridge=ridge)
    for k in range(3):
        members = np.flatnonzero(fitted.coef[k])
        assert len(members) == (K or d)
        model = Ridge(alpha=ridge, solver="svd").fit(Z[:, members], Y[:, k], sample_weight=weights)
        np.testing.assert_allclose(fitted.coef[k, members], model.coef_, rtol=1e-8)
        np.testing.assert_allclose(fitted.intercept[k], model.intercept_, rtol=1e-8)
        np.testing.assert_allclose(fitted.r2[k], model.score(Z[:, members], Y[:, k], sample_weight=weights), rtol=1e-8)
        coef, intercept, r2 = reference.refit(Z, Y[:, k], weights, members, ridge)
        np.testing.assert_allclose(fitted.coef[k], coef, rtol=1e-8)
        np.testing.assert_allclose([fitted.intercept[k], fitted.r2[k]], [intercept, r2], rtol=1e-8)


def test_linear_outputs_give_back_their_coefficients():
    Z, rng = samples(100, 10)
    for members in range(1, 11):
        w = np.zeros(10)
        w[rng.permutation(10)[:members]] = rng.uniform(0.5, 2.0, members) * rng.choice([-1, 1], members)
        fitted = fit_surrogates(Z, Z @ w + 7, n_features=None)
        np.testing.assert_array_equal(fitted.coef[0] != 0, w != 0)  # what the output ignores is not selected
        np.testing.assert_allclose(fitted.coef[0], w, rtol=1e-9)
        np.testing.assert_allclose([fitted.intercept[0], fitted.r2[0]], [7, 1], rtol=1e-9)
        assert fitted.status[0] == 0


def test_targets_together_are_their_single_fits():
    Z, rng = samples(300, 40)
    Y = Z @ rng.normal(size=(40, 6)) + rng.normal(size=(300, 6))
    weights = rng.exponential(size=300)
    together = fit_surrogates(Z, Y, n_features=7, sample_weight=weights)
    for k in range(6):
        alone = fit_surrogates(Z, Y[:, k], n_features=7, sample_weight=weights)
        np.testing.assert_array_equal(alone.coef[0] != 0, together.coef[k] != 0)
        np.testing.assert_array_equal(alone.status[0], together.status[k])
        for name in ("coef", "intercept", "r2", "alpha"):
            # Which columns of the Gram matrix are summed as their mirror images depends on all targets: a rounding of
            # each of 300 terms, 300 * 2^-53 = 3e-14, times the condition number of G, below 10 here.
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(together, name)[k], rtol=1e-12, atol=1e-13)


# --- lime


def lime_problem(seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(50, 600)), int(rng.integers(3, 40))
    K = int(rng.integers(1, d + 1))
    correlation = rng.choice([0.0, 0.3, 0.6])
    Z = np.sqrt(1 - correlation) * rng.normal(size=(n, d)) + np.sqrt(correlation) * rng.normal(size=(n, 1))
    effect = rng.normal(size=d) * (rng.random(d) < rng.uniform(0.2, 1.0))
    y = Z @ effect + rng.choice([0.1, 1.0, 3.0]) * rng.normal(size=n)
    if rng.random() < 0.5:
        y = 1 / (1 + np.exp(-y))
    distances = np.linalg.norm(Z - Z[0], axis=1)
    return Z, y, distances, K, rng.uniform(0.3, 2.0) * np.sqrt(d)


def standardized(Z, weights):
    """Columns centred and scaled to unit variance by hand."""
    rows, _, p = reference.centred(Z, np.zeros(len(Z)), weights)
    return rows / np.sqrt(p @ rows**2)


def supports_on_path(Z, y, weights, K):
    """(K-LASSO's support, lime's): inside the path's first segment with K members, and at its last knot with at most K.

    They differ where a feature leaves the path again, so that it has K members more than once.
    """
    _, _, path = lars_path(*reference.unweighted(Z, y, weights), method="lasso")
    inside = reference.inside_segments(path)
    first = np.argmax(inside.sum(axis=0) == K)
    last = max(knot for knot in range(path.shape[1]) if np.count_nonzero(path[:, knot]) <= K)
    return np.flatnonzero(inside[:, first]).tolist(), np.flatnonzero(path[:, last]).tolist()


def test_lime_selects_and_fits_the_same():
    different = 0
    for seed in range(300, 400):  # 316 is one where features leave the path again
        Z, y, distances, K, width = lime_problem(seed)

        def proximity(distances, width=width):
            return np.sqrt(np.exp(-(distances**2) / width**2))

        intercept, explanation, score, _ = LimeBase(proximity).explain_instance_with_data(
            Z, y[:, None], distances, 0, K, feature_selection="lasso_path"
        )
        weights = proximity(distances)
        ours = fit_surrogates(Z, y, n_features=K, sample_weight=weights, ridge=1.0, standardize=False)
        coef = np.zeros(Z.shape[1])
        for feature, weight in explanation:
            coef[feature] = weight
        if support(ours) != coef.nonzero()[0].tolist():
            different += 1
            assert (support(ours), coef.nonzero()[0].tolist()) == supports_on_path(Z, y, weights, K)
            continue
        # Both solve the normal equations: relative error of the condition number (with the ridge below 1e4) times 1e-16
        # a product, n of them at random signs; 1e-10 of the largest weight is above it.
        np.testing.assert_allclose(ours.coef[0], coef, rtol=0, atol=1e-10 * np.abs(coef).max())
        assert ours.intercept[0] == pytest.approx(intercept, rel=1e-9, abs=1e-10 * np.ptp(y))
        assert ours.r2[0] == pytest.approx(score, rel=1e-9, abs=1e-12)
    assert 1 <= different <= 2


# --- ties, duplicates, columns without variance


@pytest.mark.parametrize("K", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("scale", [1.0, 0.3, 1e150])
def test_of_equal_weights_the_lower_index_wins(K, scale):
    Z = hadamard(16)[:, 1:9].astype(float)  # orthogonal
    w = np.array([1.0, 0.0, -1.0, 5.0, 1.0, -1.0, 0.0, 1.0]) * scale
    order = [3, 0, 2, 4, 5, 7]
    fitted = fit_surrogates(Z, Z @ w, n_features=K)
    assert support(fitted) == sorted(order[:K])
    assert fitted.status[0] == 0
    assert support(fit_surrogates(Z[:, ::-1], Z @ w, n_features=K)) == sorted([4, 0, 2, 3, 5, 7][:K])


@pytest.mark.parametrize("K", [1, 2, 3, None])
def test_of_duplicated_columns_only_the_first_has_a_weight(K):
    Z, rng = samples(100, 3)
    doubled = np.hstack([Z, Z, -Z])
    y = Z @ [3.0, -2.0, 1.0] + 0.01 * rng.normal(size=100)
    fitted = fit_surrogates(doubled, y, n_features=K)
    plain = fit_surrogates(Z, y, n_features=K)
    np.testing.assert_allclose(fitted.coef[0], np.r_[plain.coef[0], np.zeros(6)], rtol=1e-9)
    np.testing.assert_allclose(fitted.r2, plain.r2, rtol=1e-12)


def test_of_collinear_selected_columns_the_last_gets_no_weight():
    Z, rng = samples(100, 3)
    Z = np.column_stack([Z, Z[:, 0] + Z[:, 1]])
    y = Z @ [1.0, -2.0, 0.5, 3.0] + rng.normal(size=100)
    fitted = fit_surrogates(Z, y, n_features=None)
    coef, intercept, _ = reference.refit(Z, y, np.ones(100), [0, 1, 2])
    np.testing.assert_allclose(fitted.coef[0], coef, rtol=1e-8)
    np.testing.assert_allclose(fitted.intercept[0], intercept, rtol=1e-8)


@pytest.mark.parametrize("constant", [0.0, -0.0, 1.0, 0.1, 1e8, 1e-300, 1e300 / 3])
def test_constant_columns_are_never_selected(constant):
    Z, y = linear()
    Z[:, 0] = constant
    assert support(fit_surrogates(Z, y, n_features=None)) == [1, 2, 3, 4, 5]
    Z[:5, 0] += [1, 2, 3, 4, 5]  # where it does not count
    fitted = fit_surrogates(Z, y, n_features=None, sample_weight=np.arange(200) >= 5)
    assert support(fitted) == [1, 2, 3, 4, 5]


# --- fewer samples than features, all features, statuses


@pytest.mark.parametrize(("n", "d", "K"), [(10, 20, 4), (30, 300, 10), (5, 6, 2)])
def test_fewer_samples_than_features(n, d, K):
    Z, rng = samples(n, d)
    y = rng.normal(size=n)
    for standardize in (False, True):
        fitted = fit_surrogates(Z, y, n_features=K, standardize=standardize)
        columns = standardized(Z, np.ones(n)) if standardize else Z
        assert support(fitted) == supports_on_path(columns, y, np.ones(n), K)[0]
        assert fitted.status[0] == 0


@pytest.mark.parametrize(("n", "d"), [(3, 5), (8, 30), (20, 30)])
def test_all_features_of_fewer_samples_interpolate(n, d):
    Z, rng = samples(n, d)
    fitted = fit_surrogates(Z, rng.normal(size=n), n_features=None)
    assert len(support(fitted)) == n - 1  # the path ends where nothing is left to explain
    assert fitted.r2[0] == pytest.approx(1, abs=1e-9)
    assert fitted.status[0] == 0


@pytest.mark.parametrize("K", [6, 7, 8, 100, None])
def test_more_features_than_there_are_is_all(K):
    Z, y = linear(noise=1.0)
    fitted = fit_surrogates(Z, y, n_features=K)
    assert support(fitted) == [0, 1, 2, 3, 4, 5]
    assert fitted.status[0] == 0


def test_path_that_ends_early():
    Z, y = linear(noise=0.0)
    fitted = fit_surrogates(Z, Z @ [1.0, 0, 0, 2.0, 0, 0], n_features=4)
    assert (support(fitted), fitted.status[0]) == ([0, 3], Status.FEWER_FEATURES)
    fitted = fit_surrogates(np.ones((200, 3)), y, n_features=1)
    assert (support(fitted), fitted.status[0], fitted.r2[0]) == ([], Status.FEWER_FEATURES, 0)
    assert fitted.intercept[0] == pytest.approx(y.mean(), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, 1e300, 5e-324, -7.0])
@pytest.mark.parametrize("weights", [None, [0.5, 0.0, 2.0] * 10])
def test_constant_output(value, weights):
    Z, _ = samples(30)
    Y = np.column_stack([np.full(30, value), Z[:, 0]])
    with pytest.warns(UserWarning, match=r"^of 2 explanations, 1 empty because the output did not vary \(status 2\)$"):
        fitted = fit_surrogates(Z, Y, n_features=1, sample_weight=weights)
    assert fitted.status.tolist() == [Status.CONSTANT_OUTPUT, Status.OK]
    assert (support(fitted), support(fitted, 1)) == ([], [0])
    assert (fitted.intercept[0], fitted.r2[0], fitted.alpha[0]) == (value, 0, 0)


@pytest.mark.filterwarnings("ignore:of 1 explanations, 1 empty because the output did not vary")
def test_output_that_varies_by_a_rounding_is_constant():
    """0.1 + 0.2 is not 0.3: a model that adds up its parts in another order must not look as if it varied."""
    Z, _ = samples()
    fitted = fit_surrogates(Z, np.where(Z[:, 0] > 0, 0.3, 0.1 + 0.2), n_features=1)
    assert (support(fitted), fitted.status[0]) == ([], Status.CONSTANT_OUTPUT)


def test_no_weight():
    Z, y = linear()
    with pytest.warns(UserWarning, match=r"1 empty because all sample weights were 0 \(status 3\)"):
        fitted = fit_surrogates(Z, y, n_features=2, sample_weight=np.zeros(200))
    assert (support(fitted), fitted.intercept[0], fitted.r2[0], fitted.status[0]) == ([], 0, 0, Status.NO_WEIGHT)


def test_not_converged():
    """Among columns that differ by 1e-4 of their size, descent takes more sweeps than it is allowed."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 1)) + 1e-4 * rng.normal(size=(200, 20))
    y = Z @ rng.normal(size=20) * 1e4 + 0.1 * rng.normal(size=200)
    with pytest.warns(UserWarning, match=r"1 approximate because the solver did not converge \(status 4\)"):
        fitted = fit_surrogates(Z, y, n_features=3)
    assert fitted.status[0] == Status.NOT_CONVERGED
    assert 1 <= len(support(fitted)) <= 3
    assert 0 < fitted.r2[0] <= 1


def test_output_whose_range_overflows():
    Z, y = linear()
    with pytest.warns(UserWarning, match=r"1 empty because the output's range.* overflows float64 \(status 5\)"):
        fitted = fit_surrogates(Z, np.sign(y) * 1.7e308, n_features=2)
    assert (support(fitted), fitted.r2[0], fitted.status[0]) == ([], 0, Status.OVERFLOW)
    assert np.isfinite(fitted.intercept[0])


# --- extreme numbers


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("factor", [1e300, 1e-300, -1.0, 2.0**-1000])
@pytest.mark.parametrize("of", ["y", "Z", "both", "weights"])
def test_extreme_scales_change_nothing_but_the_scale(of, factor, standardize):
    Z, y = linear()
    weights = np.random.default_rng(1).exponential(size=200)
    options = {"n_features": 2, "standardize": standardize}
    plain = fit_surrogates(Z, y, sample_weight=weights, **options)
    of_y, of_z = factor if of in ("y", "both") else 1.0, factor if of in ("Z", "both") else 1.0
    weights *= abs(factor) if of == "weights" else 1.0
    fitted = fit_surrogates(of_z * Z, of_y * y, sample_weight=weights, **options)
    np.testing.assert_allclose(fitted.coef / of_y * of_z, plain.coef, rtol=1e-10)
    np.testing.assert_allclose(fitted.intercept / of_y, plain.intercept, rtol=1e-10)
    np.testing.assert_allclose(fitted.r2, plain.r2, rtol=1e-10)
    if standardize:
        np.testing.assert_allclose(fitted.alpha / abs(of_y), plain.alpha, rtol=1e-8)
    elif of != "both":  # alpha is of the size of both: 1e600
        np.testing.assert_allclose(fitted.alpha / abs(of_y) / abs(of_z), plain.alpha, rtol=1e-8)
    assert fitted.status[0] == 0


@pytest.mark.filterwarnings("ignore:of 1 explanations, 1 empty because the output did not vary")
@pytest.mark.parametrize("factor", [1e-307, 1e-308, 1e-310, 1e-320, 5e-324])
def test_subnormal_outputs(factor):
    """Correct, as far as the digits go, or called constant."""
    Z, y = linear()
    fitted = fit_surrogates(Z, y * factor, n_features=2)
    assert np.isfinite([*fitted.coef[0], fitted.intercept[0], fitted.r2[0]]).all()
    if fitted.status[0] == Status.OK:
        np.testing.assert_allclose(fitted.coef / factor, fit_surrogates(Z, y, n_features=2).coef, rtol=1e-3)
    else:
        assert (support(fitted), fitted.status[0]) == ([], Status.CONSTANT_OUTPUT)


@pytest.mark.parametrize("offset", [1e8, -1e8])
def test_offsets(offset):
    """An offset of 1e8 leaves 8 digits of Z and of y, to half a unit of 1.5e-8; the fit's condition is below 2."""
    Z, y = linear()
    plain = fit_surrogates(Z, y, n_features=2)
    for fitted in (fit_surrogates(Z + offset, y, n_features=2), fit_surrogates(Z, y + offset, n_features=2)):
        np.testing.assert_allclose(fitted.coef, plain.coef, atol=1e-7)
        np.testing.assert_allclose(fitted.r2, plain.r2, atol=1e-7)
    fitted = fit_surrogates(Z + offset, y, n_features=2)
    predicted, expected = (Z + offset) @ fitted.coef[0] + fitted.intercept, Z @ plain.coef[0] + plain.intercept
    np.testing.assert_allclose(predicted, expected, atol=1e-6)


@pytest.mark.parametrize("what", ["Z", "y", "both"])
@pytest.mark.parametrize("outlier", [1e3, 1e15, 1e300])
def test_samples_of_weight_zero_are_as_good_as_absent(what, outlier):
    Z, y = linear()
    plain = fit_surrogates(Z[1:], y[1:] * 1e-100, n_features=2)
    y *= 1e-100
    if what != "y":
        Z[0] = outlier
    if what != "Z":
        y[0] = outlier
    fitted = fit_surrogates(Z, y, n_features=2, sample_weight=np.arange(200) > 0)
    np.testing.assert_allclose(fitted.coef, plain.coef, rtol=1e-10)
    np.testing.assert_allclose([fitted.intercept, fitted.r2], [plain.intercept, plain.r2], rtol=1e-10)


@pytest.mark.filterwarnings("ignore:of 1 explanations")
@pytest.mark.parametrize(("offset", "of_Z", "of_y"), [(0, 1e-300, 1e300), (0, 1e-200, 1e200), (1, 1e-15, 1e300)])
def test_weights_or_intercepts_beyond_float64_are_a_status(offset, of_Z, of_y):
    Z, y = linear()
    fitted = fit_surrogates(offset + Z * of_Z, y * of_y, n_features=2)
    assert fitted.status[0] == Status.OVERFLOW
    np.testing.assert_array_equal(fitted.coef, 0.0)
    np.testing.assert_array_equal(fitted.r2, 0.0)
    assert np.isfinite(fitted.intercept).all()


def test_column_far_from_zero_does_not_hide_the_others():
    Z, y = linear()
    Z[:, 1] += 1e15
    assert support(fit_surrogates(Z, y, n_features=2)) == [0, 2]


@pytest.mark.parametrize("tol", [0.0, 1e-17, 1e-15, 1e-8, 1.0, 100.0])
def test_any_tolerance_finds_the_support(tol):
    """The polish after descent is exact, so the tolerance sets the time that a fit takes, not its result."""
    Z, y = linear()
    fitted = fit_surrogates(Z, y, n_features=2, tol=tol)
    assert (support(fitted), fitted.status[0]) == ([0, 2], 0)


def test_inputs_are_cast_and_left_alone():
    Z, y = linear()
    Z, y = np.round(4 * Z), np.round(4 * y)
    negative = np.where(Z == 0, -0.0, Z), np.where(y == 0, -0.0, y)
    expected = fit_surrogates(Z, y, n_features=2)
    read_only = [np.asfortranarray(Z), y.copy(), np.ones(200)]
    for array in read_only:
        array.setflags(write=False)
    for Z_like, y_like, weights in (
        (Z.astype(int), y.astype(np.int8), np.ones(200, bool)),
        (Z.tolist(), y.tolist(), [1] * 200),
        (Z.astype(np.float32), y.astype(np.float32)[:, None], np.ones(200, np.float32)),
        (np.repeat(Z, 2, axis=1)[:, ::2], np.repeat(y, 2)[::2], None),
        (*negative, None),
        read_only,
    ):
        fitted = fit_surrogates(Z_like, y_like, n_features=2, sample_weight=weights)
        np.testing.assert_allclose(fitted.coef, expected.coef, rtol=1e-12)  # the order of sums is the layout's
        np.testing.assert_allclose(fitted.intercept, expected.intercept, rtol=1e-12)


# --- bad input

NAN_INSIDE = [[0.0, 1.0], [np.nan, 2.0], [3.0, np.inf]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Z": np.zeros((0, 2))}, ValueError, r"^Z must not be empty, got shape \(0, 2\)$"),
        ({"Z": np.zeros((3, 0))}, ValueError, r"^Z must not be empty, got shape \(3, 0\)$"),
        ({"Z": [1.0, 2.0, 3.0]}, ValueError, r"^Z must be 2-D, got shape \(3,\)$"),
        ({"Z": NAN_INSIDE}, ValueError, r"^Z must be finite, got 2 NaN or infinite values, the first at \(1, 0\)$"),
        ({"Z": [["a", "b"]] * 3}, TypeError, r"^Z must hold real numbers, got dtype <U1$"),
        ({"Z": np.zeros((3, 2), complex)}, TypeError, r"^Z must hold real numbers, got dtype complex128$"),
        ({"Y": [1.0, 2.0]}, ValueError, r"^Y must have one row per row of Z, 3, got shape \(2,\)$"),
        ({"Y": 1.0}, ValueError, r"^Y must be 1-D or 2-D, got shape \(\)$"),
        ({"Y": np.zeros((3, 0))}, ValueError, r"^Y must not be empty, got shape \(3, 0\)$"),
        (
            {"Y": [1.0, np.nan, 2.0]},
            ValueError,
            r"^Y must be finite, got 1 NaN or infinite values, the first at \(1,\)$",
        ),
        ({"Y": [None, 1, 2]}, (TypeError, ValueError), r"^Y must "),
        ({"n_features": 0}, ValueError, r"^n_features must be at least 1, got 0$"),
        ({"n_features": 2.0}, TypeError, r"^n_features must be an integer, got 2.0$"),
        ({"n_features": True}, TypeError, r"^n_features must be an integer, got True$"),
        (
            {"Z": np.zeros((3, 60_000)), "n_features": None},
            ValueError,
            r"^n_features must be at most the number of rows of Z, 3, for 60000 columns, got None, which is all$",
        ),
        ({"Z": np.zeros((3, 60_000)), "n_features": 5000}, ValueError, r"^n_features must be .*, 3, .* got 5000$"),
        ({"sample_weight": [1.0, 2.0]}, ValueError, r"^sample_weight must .* shape \(3,\), got shape \(2,\)$"),
        ({"sample_weight": np.ones((3, 1))}, ValueError, r"^sample_weight must be 1-D, got shape \(3, 1\)$"),
        ({"sample_weight": [1.0, -0.5, 1.0]}, ValueError, r"^sample_weight must be at least 0, got -0.5$"),
        ({"sample_weight": [1.0, np.inf, 1.0]}, ValueError, r"^sample_weight must be finite, got 1 NaN or"),
        ({"ridge": -1.0}, ValueError, r"^ridge must be finite and at least 0, got -1.0$"),
        ({"ridge": "1"}, TypeError, r"^ridge must be a number, got '1'$"),
        ({"tol": -1e-9}, ValueError, r"^tol must be finite and at least 0, got -1e-09$"),
        ({"tol": np.nan}, ValueError, r"^tol must be finite and at least 0, got nan$"),
        ({"selection": "auto"}, ValueError, r'^selection must be "lasso_path" or "highest_weights", got \'auto\'$'),
        ({"selection": ["lasso_path"]}, ValueError, r"^selection must be .*, got \['lasso_path'\]$"),
    ],
)
def test_bad_input(change, error, message):
    good = {"Z": [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], "Y": [0.0, 1.0, 2.0], "n_features": 1}
    with pytest.raises(error, match=message) as raised:
        fit_surrogates(**good | change)
    assert "\n" not in str(raised.value)
