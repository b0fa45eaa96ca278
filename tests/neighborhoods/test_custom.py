"""Neighborhoods of the user's own: a worked example, and what they may do wrong."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

import normlime_fast as nlf
from normlime_fast._kernels import surrogate

SERIES = np.random.default_rng(0).normal(size=(6, 24)).cumsum(axis=1)
RNG = np.random.default_rng(1)
X = RNG.normal(size=(8, 4))


# --- the worked example: segments of a time series, each on or replaced by its mean


class Segments:
    """Pieces of a time series are features: off means that the piece is flat, at its mean."""

    def __init__(self, starts, length):
        self.starts = np.asarray(starts)
        self.lengths = np.diff([*starts, length])
        self.n_features = len(starts)
        self.feature_names = tuple(f"{start} to {start + n - 1}" for start, n in zip(starts, self.lengths, strict=True))

    def perturb(self, instance, n_samples, rng):
        on = rng.random((n_samples, self.n_features)) < 0.5
        flat = np.repeat(np.add.reduceat(instance, self.starts) / self.lengths, self.lengths)
        inputs = np.where(np.repeat(on, self.lengths, axis=1), instance, flat)
        off_share = 1 - on.mean(axis=1)
        return inputs, on - 1.0, np.exp(-(off_share**2) / 0.5)  # 0 where on, as it is in the instance


SEGMENTS = Segments([0, 4, 6, 12, 20], 24)


def roughness(series):
    """Sum of the squares of a series within each segment, but for its mean, times 1, 2, 3, ..."""
    parts = np.split(series, SEGMENTS.starts[1:], axis=1)
    return sum(k * len(part.T) * part.var(axis=1) for k, part in enumerate(parts, 1))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_segments_of_a_time_series(n_jobs):
    """The model is additive in them, so that a weight is what its segment adds.

    Z is exact in float32; least squares of five columns lose a few digits of 1e-16.
    """
    parts = np.split(SERIES, SEGMENTS.starts[1:], axis=1)
    expected = np.column_stack([k * len(part.T) * part.var(axis=1) for k, part in enumerate(parts, 1)])
    explainer = nlf.NormLIME(roughness, SEGMENTS, n_features=None, n_samples=200, rng=0, n_jobs=n_jobs)
    local = explainer.explain(SERIES)
    assert_allclose(local.weights.toarray(), expected, rtol=1e-9, atol=1e-9 * expected.max())
    assert_allclose(local.intercept, roughness(SERIES), rtol=1e-9)
    assert local.feature_names == ("0 to 3", "4 to 5", "6 to 11", "12 to 19", "20 to 23")
    assert_allclose(local.importance("mean").values, expected.mean(axis=0), rtol=1e-9)


# --- what perturb is given, and what is made of what it returns


class Own:
    """perturb is whatever function."""

    n_features = 3

    def __init__(self, perturb, **attributes):
        self._perturb = perturb
        vars(self).update(attributes)

    def perturb(self, instance, n_samples, rng):
        return self._perturb(instance, n_samples, rng)


def model(rows):
    return rows @ np.array([1.0, -2.0, 3.0, 0.5])


def shaken(x, n, rng):
    z = rng.normal(size=(n, 3))
    return x + np.column_stack([z, z[:, 0]]), z


def explain(perturb, predict=model, X=X, neighborhood=None, **options):
    how = {name: options.pop(name) for name in ("block_size", "executor", "on_error", "index") if name in options}
    options = {"n_features": 2, "n_samples": 50, "rng": 0} | options
    return nlf.NormLIME(predict, neighborhood or Own(perturb), **options).explain(X, **how)


def test_perturb_gets_a_copy_of_the_row_and_an_rng_of_its_number():
    seen = []

    def perturb(x, n, rng):
        seen.append((x.copy(), n, rng.random()))
        x[:] = np.nan
        return shaken(seen[-1][0], n, rng)

    given = X.copy()
    explain(perturb, X=given)
    explain(perturb, X=given[[5, 2]], index=[5, 2], n_jobs=2)
    assert_array_equal(given, X)
    assert_array_equal([x for x, _, _ in seen[:8]], X)
    assert {n for _, n, _ in seen} == {50}
    numbers = [number for _, _, number in seen]
    assert len(set(numbers[:8])) == 8
    assert sorted(numbers[8:]) == sorted([numbers[5], numbers[2]])


@pytest.mark.parametrize("weights", [None, np.arange(50.0), np.full(50, 1e300), np.arange(50) * 1e-300], ids=str)
def test_the_fit_is_that_of_fit_surrogates(weights):
    """To the digits that float32 keeps of Z, which the oracle gets rounded already."""
    kept = []

    def perturb(x, n, rng):
        inputs, z = shaken(x, n, rng)
        kept.append((model(inputs), z.astype(np.float32)))
        return (inputs, z) if weights is None else (inputs, z, weights)

    local = explain(perturb)
    for k, (y, Z) in enumerate(kept):
        fitted = nlf.fit_surrogates(Z, y, n_features=2, sample_weight=weights)
        assert_allclose(local.weights[[k]].toarray(), fitted.coef, rtol=1e-9)
        assert local.intercept[k] == pytest.approx(fitted.intercept[0], rel=1e-9)
    p = np.ones(50) if weights is None else weights / weights.max()
    assert_allclose(local.effective_samples, p.sum() ** 2 / (p**2).sum(), rtol=1e-12)


def test_sparse_rows_and_texts():
    def thinned(row, n, rng):
        assert row.shape == (1, 4)
        on = rng.random((n, 3)) < 0.5
        return csr_array(np.where(np.column_stack([on, on[:, 0]]), row.toarray(), 0)), on - 1.0

    local = explain(thinned, lambda rows: model(rows.toarray()), csr_array(np.abs(X)), n_features=None)
    expected = np.abs(X) * [1.0, -2, 3, 0.5]
    assert_allclose(local.weights.toarray(), expected[:, :3] + expected[:, 3:] * [1, 0, 0], rtol=1e-9)

    def shortened(text, n, rng):
        on = rng.random((n, 3)) < 0.5
        return [" ".join(np.array(text.split())[kept]) for kept in on], on - 1.0

    local = explain(shortened, lambda texts: [len(text.replace(" ", "")) for text in texts], ["one three seven"] * 2)
    assert_allclose(local.weights.toarray(), [[0, 5, 5]] * 2, atol=1)  # "one" is not selected, and has its share


def test_weights_of_0_count_as_too_few_samples_do():
    def perturb(x, n, rng):
        return *shaken(x, n, rng), np.append(np.ones(3), np.zeros(n - 3)) if x[0] == X[4, 0] else np.ones(n)

    with pytest.warns(UserWarning, match="1 empty because the effective sample size is below n_features"):
        local = explain(perturb)
    assert_array_equal(local.status, np.where(np.arange(8) == 4, 7, 0))
    assert local.effective_samples[4] == 3


def test_inputs_of_integer_rows_are_not_truncated():
    images = RNG.integers(256, size=(3, 2, 2), dtype=np.uint8)
    seen = []

    def faded(image, n, rng):
        on = rng.random((n, 3)) < 0.5
        return image * np.where(np.column_stack([on, on[:, 0]]), 1.0, 0.3).reshape(n, 2, 2), on - 1.0

    def total(rows):
        seen.append(rows)
        return rows.sum(axis=(1, 2))

    local = explain(faded, total, images, n_features=None)
    flat = images.reshape(3, 4).astype(float)
    expected = 0.7 * (flat[:, :3] + flat[:, 3:] * [1, 0, 0])
    assert_allclose(local.weights.toarray(), expected, rtol=1e-9, atol=1e-9)
    assert [rows.dtype for rows in seen] == [np.uint8, np.float64]


def test_read_only_features_compile_nothing():
    def frozen(x, n, rng):
        inputs, z = shaken(x, n, rng)
        z = z.astype(np.float32)
        z.setflags(write=False)
        return inputs, z

    local = explain(frozen)
    assert_array_equal(local.weights.toarray(), explain(shaken).weights.toarray())
    assert all(signature[0].mutable for signature in surrogate.fit.signatures)


def test_the_model_is_not_shown_what_has_no_features():
    """Such as an empty text; it is asked for its prediction alone."""
    counts = []

    def count(rows):
        counts.append(len(rows) if isinstance(rows, list) else rows.shape[0])
        return np.arange(counts[-1]) % 7.0

    sparse = csr_array(np.diag([1.0, 0.0, 2.0, 0.0, 3.0]))
    for mask, rows in ((nlf.Mask(), sparse), (nlf.Mask.text(["one", "two"]), ["one", "", "two", "?", "one two"])):
        for options in ({}, {"n_jobs": 2}, {"batch_size": 50}):
            counts.clear()
            with pytest.warns(UserWarning, match="2 empty because the instance has no feature to perturb"):
                local = explain(None, count, rows, mask, **options)
            assert sum(counts) == 3 * 50 + 5
            assert_array_equal(local.status == 8, [False, True, False, True, False])
    counts.clear()
    with pytest.warns(UserWarning, match="5 empty"):
        explain(None, count, csr_array((5, 5)), nlf.Mask())
    assert sum(counts) == 5


# --- what is wrong with what it returns


def returns(change):
    return lambda x, n, rng: change(*shaken(x, n, rng))


WRONG = {
    "an array": (
        lambda X, Z: X,
        TypeError,
        r"^perturb must return a tuple \(inputs, Z\) or \(inputs, Z, weights\), got ndarray of shape \(50, 4\)$",
    ),
    "a list": (
        lambda X, Z: [X, Z],
        TypeError,
        r"^perturb .* got a list \(ndarray of shape \(50, 4\), ndarray of shape \(50, 3\)\)$",
    ),
    "a list of numbers": (
        lambda X, Z: X[0].tolist() * 9,
        TypeError,
        r"^perturb .* got a list \(float, float, float, float, \.\.\.\)$",
    ),
    "nothing": (lambda X, Z: None, TypeError, r"^perturb must return a tuple .* got None$"),
    "four": (lambda X, Z: (X, Z, Z, Z), TypeError, r"^perturb must return a tuple"),
    "features": (lambda X, Z: (X, Z[:, :2]), ValueError, r"^perturb must return Z of shape \(50, 3\), got \(50, 2\)$"),
    "samples": (lambda X, Z: (X, Z[1:]), ValueError, r"^perturb must return Z of shape \(50, 3\), got \(49, 3\)$"),
    "vector": (lambda X, Z: (X, Z[:, 0]), ValueError, r"^the Z that perturb returns must be 2-D, got shape \(50,\)$"),
    "NaN in Z": (lambda X, Z: (X, Z * np.nan), ValueError, r"^the Z that perturb returns must be finite, got 150 NaN"),
    "strings in Z": (lambda X, Z: (X, Z.astype(str)), TypeError, r"^the Z that perturb returns must hold real numbers"),
    "sparse Z": (
        lambda X, Z: (X, csr_array(Z)),
        TypeError,
        r"^the Z that perturb returns must be a dense array, got a sparse matrix; pass Z.toarray\(\)$",
    ),
    "Z too large": (lambda X, Z: (X, Z * 1e200), ValueError, r"Z"),
    "inputs": (lambda X, Z: (X[1:], Z), ValueError, r"^perturb must return inputs of shape \(50, 4\), got \(49, 4\)$"),
    "columns": (lambda X, Z: (X[:, 1:], Z), ValueError, r"^perturb must return inputs of shape \(50, 4\), got \(50, 3"),
    "cube": (lambda X, Z: (X[..., None], Z), ValueError, r"^perturb must return inputs of shape .* got \(50, 4, 1\)$"),
    "texts": (lambda X, Z: (["a"] * 50, Z), ValueError, r"^perturb must return inputs of shape .* got \(50,\)$"),
    "NaN": (lambda X, Z: (X * np.nan, Z), ValueError, r"^the inputs that perturb returns must be finite, got 200 NaN"),
    "csr": (
        lambda X, Z: (csr_array(X), Z),
        TypeError,
        r"^perturb must return inputs of the same kind as X, got a csr_array for a ndarray$",
    ),
    "no inputs": (lambda X, Z: (None, Z), (TypeError, ValueError), r"^the inputs that perturb returns must"),
    "ragged": (
        lambda X, Z: ([[1], [1, 2]], Z),
        ValueError,
        r"^the inputs that perturb returns must be an array, got a list whose",
    ),
    "negative": (
        lambda X, Z: (X, Z, -np.ones(50)),
        ValueError,
        r"^perturb must return weights .* 0, got -1.0$",
    ),
    "NaN weight": (
        lambda X, Z: (X, Z, np.full(50, np.nan)),
        ValueError,
        r"^the weights that perturb returns must be finite, got 50",
    ),
    "weights": (lambda X, Z: (X, Z, np.ones(49)), ValueError, r"^perturb must return one weight .* got shape \(49,\)$"),
    "column": (
        lambda X, Z: (X, Z, np.ones((50, 1))),
        ValueError,
        r"^the weights that perturb returns must be 1-D, got shape \(50, 1",
    ),
    "None": (lambda X, Z: (X, Z, None), (TypeError, ValueError), r"^the weights that perturb returns must"),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_perturb_must_return(change, error, message):
    with pytest.raises(error) as caught:
        explain(returns(change))
    assert re.search(message, str(caught.value))  # with `match`, its notes would count
    assert "\n" not in str(caught.value)
    assert caught.value.__notes__[0] == "normlime_fast: the neighborhood was working on instance 0"


@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_inputs_that_overflow(kind):
    rows = kind(np.abs(X).astype(np.float32))
    with pytest.raises(
        ValueError, match=r"^perturb must return inputs that fit into float32, got an overflow"
    ) as caught:
        explain(
            lambda x, n, rng: (kind(np.full((n, 4), 1e39)), rng.random((n, 3))), lambda rows: rows.sum(axis=1), rows
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ({"n_features": 0}, ValueError, r"^n_features of the neighborhood must be at least 1, got 0$"),
        ({"n_features": 2.5}, TypeError, r"^n_features of the neighborhood must be an integer, got 2.5$"),
        ({"n_features": None}, TypeError, r"^n_features of the neighborhood must be an integer, got None$"),
        ({"feature_names": ["one"]}, ValueError, r"^feature_names of the neighborhood must have 3 names, got 1$"),
    ],
)
def test_what_a_neighborhood_must_have(attributes, error, message):
    def never(rows):
        raise AssertionError("the model was asked")

    with pytest.raises(error, match=message):
        explain(None, never, neighborhood=Own(shaken, **attributes))
    if "n_features" in attributes:
        with pytest.raises(error, match=message):
            nlf.NormLIME(never, Own(shaken, **attributes))


class Nothing:
    n_features = 3


@pytest.mark.parametrize("what", [Own, 3, "gaussian", None, Nothing(), lambda: shaken])
def test_what_is_no_neighborhood(what):
    expected = (
        r"^neighborhood must be training data, a Gaussian, .* or SharedPoints, or an object with perturb and n_features"
    )
    with pytest.raises(TypeError, match=expected):
        nlf.NormLIME(model, what)


# --- perturb fails half-way


@pytest.mark.parametrize("bad", [0, 6])
@pytest.mark.parametrize("what", ["perturb", "segments", "segments with render"])
def test_an_error_names_the_instance(what, bad):
    def fails(x, *_):
        if (np.asarray(x).ravel() == X[bad]).all():
            raise KeyError("bad luck")
        return np.arange(4) if x.shape == (4,) else np.arange(4).reshape(2, 2)

    neighborhood, rows = Own(lambda x, n, rng: (fails(x), shaken(x, n, rng))[1]), X
    if what != "perturb":
        render = (lambda row, masks: np.repeat(row[None], len(masks), axis=0)) if "render" in what else None
        neighborhood, rows = nlf.Mask(segments=fails, render=render), X.reshape(8, 2, 2)
    with pytest.raises(KeyError, match="bad luck") as caught:
        explain(None, lambda rows: rows.reshape(len(rows), -1).sum(axis=1), rows, neighborhood)
    assert caught.value.__notes__[0] == f"normlime_fast: the neighborhood was working on instance {bad}"


@pytest.mark.parametrize(
    ("options", "n_finished"),
    [({"batch_size": 50}, 5), ({"batch_size": 100, "n_jobs": 2}, 4), ({"block_size": 2}, 4), ({"block_size": 5}, 5)],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_what_was_finished_before_perturb_failed_is_not_lost(options, n_finished, on_error):
    """on_error is of the model's errors, and passes over no other."""

    def perturb(x, n, rng):
        if x[0] == X[5, 0]:
            raise KeyError("bad luck")
        return shaken(x, n, rng)

    whole = explain(shaken)
    with pytest.raises(KeyError, match="bad luck") as caught:
        explain(perturb, on_error=on_error, **options)
    finished = caught.value.finished
    assert_array_equal(finished.instance, np.arange(n_finished))
    assert_array_equal(finished.weights.toarray(), whole.weights[:n_finished].toarray())


def test_perturb_may_fail_on_an_executor():
    before = threading.Barrier(2)  # instances 6 and 7

    def perturb(x, n, rng):
        if x[0] in X[6:8, 0]:
            before.wait(60)  # else a worker that is slow to begin with an instance could be told not to
        if x[0] == X[7, 0]:
            raise KeyError("bad luck")
        return shaken(x, n, rng)

    with ThreadPoolExecutor(2) as executor, pytest.raises(KeyError, match="bad luck") as caught:
        explain(perturb, executor=executor, block_size=1)
    assert_array_equal(caught.value.finished.instance, np.arange(7))
