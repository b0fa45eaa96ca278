"""Weights of rows: against rows that are repeated, formulas written out, and simulated coverage."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.files import assert_round_trip, assert_same
from numpy.testing import assert_allclose, assert_array_equal

import normlime_fast as nlf
from normlime_fast import aggregate
from normlime_fast.evaluation import interval_by_blocks

KINDS = ("normlime", "l2", "sp_lime", "mean_abs", "mean", "sum")
PAIRS = [(kind, sign) for kind in KINDS for sign in ("absolute", "positive", "negative")]
PAIRS += [(kind, "net") for kind in ("normlime", "mean_abs", "mean", "sum")]
RNG = np.random.default_rng(0)
W = RNG.normal(size=(90, 5)) * (RNG.random((90, 5)) < [1.0, 0.7, 0.3, 0.0, 0.02])
V = RNG.integers(0, 5, 90)
GROUPS = np.arange(90) % 3


@pytest.mark.parametrize(("kind", "sign"), PAIRS)
def test_a_row_of_weight_v_counts_as_v_rows(kind, sign):
    """Sums grow with the number of rows: they are those of a mean weight of 1."""
    for groups in (None, GROUPS):
        result = aggregate(W, groups, weights=V).importance(kind, sign)
        repeated = aggregate(np.repeat(W, V, axis=0), None if groups is None else np.repeat(groups, V))
        factor = {"l2": 0.5, "sp_lime": 0.5, "sum": 1.0}.get(kind, 0.0)
        expected = repeated.importance(kind, sign).values * (90 / V.sum()) ** factor
        assert_allclose(result.values, expected, rtol=1e-13, atol=1e-15)
        plain = aggregate(W[V > 0], None if groups is None else groups[V > 0]).importance(kind, sign)
        assert_array_equal(result.counts, plain.counts)
        assert result.explanations.sum() == 90


@pytest.mark.parametrize("kind", ["normlime", "mean_abs", "mean"])
def test_standard_errors_are_of_the_effective_number(kind):
    result = aggregate(W, weights=V * 0.3).importance(kind)
    size = np.abs(W)
    terms = {"normlime": size**2 / size.sum(axis=1, keepdims=True), "mean_abs": size, "mean": W}[kind]
    for j in (0, 1, 2):
        used = (V > 0) & (W[:, j] != 0) if kind == "normlime" else V >= 0
        x, v = terms[used, j], V[used]
        n = v.sum() ** 2 / (v**2).sum()
        mean = (v * x).sum() / v.sum()
        variance = (v * (x - mean) ** 2).sum() / v.sum() * n / (n - 1)
        assert result.effective[j] == pytest.approx(n, rel=1e-13)
        assert result.values[j] == pytest.approx(mean, rel=1e-12)
        assert result.stderr[j] == pytest.approx(np.sqrt(variance / n), rel=1e-11)


@pytest.mark.parametrize(("kind", "sign"), PAIRS)
@pytest.mark.parametrize("weight", [1, 3.0, 0.1, 1e-300, 1e300])
def test_equal_weights_give_the_bits_of_none(kind, sign, weight):
    expected = aggregate(W, GROUPS).importance(kind, sign)
    assert_same(aggregate(W, GROUPS, weights=np.full(90, weight)).importance(kind, sign), expected)
    parts = [aggregate(W[a], GROUPS[a], weights=np.full(len(W[a]), weight)) for a in (slice(0, 40), slice(40, 90))]
    plain = [aggregate(W[a], GROUPS[a]) for a in (slice(0, 40), slice(40, 90))]
    assert_same(parts[0].merge(parts[1]).importance(kind, sign), plain[0].merge(plain[1]).importance(kind, sign))


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_parts_of_different_weights_merge_to_the_whole(groups):
    v = V + 0.5
    v[:30], v[30:60] = 2.0, 1.0  # equal in two parts, one of which has no weights
    cuts = slice(0, 30), slice(30, 60), slice(60, 90)
    parts = [aggregate(W[a], None if groups is None else groups[a], weights=v[a]) for a in cuts]
    parts[1] = aggregate(W[30:60], None if groups is None else groups[30:60])
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        merged = parts[order[0]].merge(parts[order[1]]).merge(parts[order[2]])
        for kind in KINDS:
            one, whole = merged.importance(kind), aggregate(W, groups, weights=v).importance(kind)
            for name in ("values", "counts", "stderr", "skewness", "effective"):
                found, expected = getattr(one, name), getattr(whole, name)
                assert (found is None) == (expected is None)
                if found is not None:
                    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_intervals_cover_the_mean():
    """40 rows whose weights, from 0.1 to 10, leave 20 effective ones; the share of 4,000 intervals is 90 +- 0.5 %."""
    rng = np.random.default_rng(1)
    x, v = rng.normal(3, 1, (4000 * 40, 1)), 10 ** rng.uniform(-1, 1, 4000 * 40)
    result = aggregate(x, np.repeat(np.arange(4000), 40), weights=v).importance("mean")
    assert 15 < result.effective.mean() < 25
    low, high = result.interval()
    covered = np.mean((low <= 3) & (high >= 3))
    assert 0.87 < covered < 0.93
    without = replace(result, effective=np.full((4000, 1), 40.0), stderr=result.stderr * np.sqrt(result.effective / 40))
    low, high = without.interval()
    assert np.mean((low <= 3) & (high >= 3)) < 0.82  # as if all counted alike


def test_weights_are_of_instances():
    def model(X):
        return np.stack([X @ [1.0, -2.0, 0.0], X**2 @ [0.5, 0.0, 1.0]], axis=1)

    X = np.random.default_rng(0).normal(size=(12, 3))
    local = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=2, targets="all", rng=0).explain(X)
    v = np.arange(12.0)
    result = local.importance(by="target", weights=pd.Series(v, index=v + 5))
    assert_same(result, aggregate(local.weights, local.target, weights=np.repeat(v, 2)).importance())
    assert_same(local.importance(weights=np.full(12, 0.1)), local.importance())
    failed = replace(local, weights=local.weights.copy(), status=np.where(local.instance > 8, 6, local.status))
    kept = np.repeat(v, 2)[local.instance <= 8]
    result, expected = failed.importance(weights=v), aggregate(local.weights[local.instance <= 8], weights=kept)
    assert_same(result.values, expected.importance().values)
    with pytest.raises(ValueError, match=r"^weights of instances must not all be 0 where there are explanations$"):
        failed.importance(weights=v > 8)


def test_few_of_many_columns():
    wide = np.zeros((90, 70_000))
    wide[:, [3, 600, 69_000]] = W[:, :3]
    statistics, narrow = aggregate(wide, weights=V), aggregate(W[:, :3], weights=V)
    assert_same(np.ascontiguousarray(statistics.row_weights[:, :, [3, 600, 69_000]]), narrow.row_weights)
    for kind in KINDS:
        values = statistics.importance(kind).values
        assert_array_equal(values[[3, 600, 69_000]], narrow.importance(kind).values)
        assert np.count_nonzero(values) == 3


def test_other_ways():
    statistics = aggregate(W, GROUPS, weights=V)
    assert_round_trip(statistics)
    assert_round_trip(aggregate(W, weights=np.full(90, 0.3)))
    assert_round_trip(statistics.importance())
    for change, message in {
        "unit": (0.0, r"unit must be finite and larger than 0, got 0.0$"),
        "group_weights": (None, r"row_weights and group_weights must both be there, or neither$"),
        "row_weights": (-statistics.row_weights, r"row_weights must be finite and at least 0$"),
    }.items():
        with pytest.raises(ValueError, match=message[1]):
            replace(statistics, **{change: message[0]})._to_bytes()
    with pytest.raises(ValueError, match=r"effective must be finite and at least 0$"):
        replace(statistics.importance(), effective=-statistics.importance().effective)._to_bytes()
    assert_round_trip(statistics.importance("l2"))
    shrunk = statistics.importance(shrink=True)
    assert (shrunk.values > 0).sum() == (statistics.importance().values > 0).sum()
    assert np.isfinite(shrunk.stderr[shrunk.counts > 0]).all()
    with pytest.raises(ValueError, match=r"^blocks must not have weights of rows, got some in blocks\[0\]$"):
        interval_by_blocks([statistics, statistics])


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (V[:4], ValueError, r"^weights of explanations must have shape \(90,\), got shape \(4,\)$"),
        (np.ones((90, 1)), ValueError, r"^weights of explanations must be 1-D, got shape \(90, 1\)$"),
        (V - 1.0, ValueError, r"^weights of explanations must be at least 0, got -1.0$"),
        (V * 0, ValueError, r"^weights of explanations must not all be 0, got only zeros$"),
        (np.where(V == 1, np.nan, 1.0), ValueError, r"^weights of explanations must be finite, got \d+ NaN"),
        (["a"] * 90, TypeError, r"^weights of explanations must hold real numbers, got dtype <U1$"),
    ],
)
def test_bad_weights(weights, error, message):
    with pytest.raises(error, match=message):
        aggregate(W, weights=weights)


# --- streams


def stream_model(X):
    return X[:, 0] * X[:, 1] + np.abs(X[:, 2])


ROWS = np.random.default_rng(2).normal(size=(37, 3))
OF_ROWS = np.random.default_rng(3).uniform(0, 2, 37) * (np.arange(37) % 5 > 0)


def streaming(**options):
    return nlf.NormLIME(stream_model, nlf.Gaussian(0.7), n_features=2, n_samples=40, rng=0, **options)


def assert_importances(statistics, expected, rtol=1e-12):
    for kind in KINDS:
        one, other = statistics.importance(kind), expected.importance(kind)
        assert_array_equal(one.counts, other.counts)
        assert_allclose(one.values, other.values, rtol=rtol)
        if one.stderr is not None:
            assert_allclose(one.stderr, other.stderr, rtol=rtol * 1e4)


@pytest.mark.parametrize("size", [5, 8, 100])
@pytest.mark.parametrize("labelled", [False, True])
def test_a_stream_is_weighted_as_its_rows(size, labelled):
    local = streaming().explain(ROWS)
    labels = np.where(np.arange(37) % 3, "a", "b")
    expected = aggregate(local.weights, labels if labelled else None, weights=OF_ROWS)
    options = {"by": labels if labelled else None, "block_size": size}
    statistics = streaming().statistics(ROWS, weights=OF_ROWS, **options)
    assert_importances(statistics, expected)
    batches = [ROWS[first : first + 7] for first in range(0, 37, 7)]
    assert_same(streaming().statistics(batches, weights=OF_ROWS, **options), statistics)
    with ThreadPoolExecutor(2) as executor:
        assert_same(streaming().statistics(batches, weights=OF_ROWS, executor=executor, **options), statistics)
    at = {row.tobytes(): weight for row, weight in zip(ROWS, OF_ROWS, strict=True)}

    def weigh(batch):
        return [at[np.asarray(row).tobytes()] for row in batch]

    assert_same(streaming().statistics(batches, weights=weigh, **options), statistics)
    found = streaming().importance(batches, weights=OF_ROWS, kind="mean_abs", **options)
    assert_same(found, statistics.importance("mean_abs"))


@pytest.mark.parametrize("weight", [1, 0.1, 7.0])
def test_equal_weights_of_a_stream_give_the_bits_of_none(weight):
    for kind in KINDS:
        found = streaming().importance(ROWS, weights=np.full(37, weight), block_size=8, kind=kind)
        assert_same(found, streaming().importance(ROWS, block_size=8, kind=kind))


def test_rows_that_are_skipped_have_no_weight():
    rows = ROWS.copy()
    rows[[0, 1, 20]] = np.nan
    batches = [rows[:1], rows[1:10], rows[10:]]
    with pytest.warns(UserWarning, match="3 "):
        found = streaming().statistics(batches, weights=OF_ROWS + 1, on_error="skip", block_size=6)
    kept = np.isfinite(rows).all(axis=1)
    local = streaming().explain(ROWS)[kept]
    assert_importances(found, aggregate(local.weights, weights=(OF_ROWS + 1)[kept]))


def test_partitions_are_weighted_as_their_rows():
    array = pytest.importorskip("dask.array")
    expected = streaming().statistics(ROWS, weights=OF_ROWS)
    found = streaming().statistics(array.from_array(ROWS, chunks=(10, 3)), weights=OF_ROWS)
    assert_importances(found, expected)
    with pytest.raises(TypeError, match=r"^weights must be None or one number per row if X is a Dask collection$"):
        streaming().statistics(array.from_array(ROWS), weights=lambda batch: OF_ROWS)


@pytest.mark.parametrize(
    ("batches", "weights", "message"),
    [
        (ROWS, OF_ROWS[:5], r"^weights of rows must have shape \(37,\), got shape \(5,\)$"),
        (ROWS, -OF_ROWS, r"^weights of rows must be at least 0, got -1"),
        (ROWS, 0 * OF_ROWS, r"^weights of rows must not all be 0, got only zeros$"),
        (ROWS, 3, r"^weights of rows must be 1-D, got shape \(\)$"),
        ([ROWS[:9]], lambda batch: -OF_ROWS[:9], r"^weights of rows must be at least 0, got -1"),
        ([ROWS[:9]], lambda batch: OF_ROWS, r"^weights of rows must have shape \(9,\), got shape \(37,\)"),
        ([ROWS[:9]], lambda batch: 0 * OF_ROWS[:9], r"^weights of rows must not all be 0, got only zeros$"),
    ],
)
def test_bad_weights_of_streams(batches, weights, message):
    def never(X):
        raise AssertionError("the model is not called")

    explainer = nlf.NormLIME(never, nlf.Gaussian(0.7), n_features=2, n_samples=40, rng=0)
    with pytest.raises(ValueError, match=message):
        explainer.statistics(batches, weights=weights)


def test_a_stream_of_another_length_than_its_weights():
    for rows in (ROWS[:30], np.concatenate([ROWS, ROWS])):
        with pytest.raises(ValueError, match=r"^weights of rows must have shape"):
            streaming().statistics(iter([rows]), weights=OF_ROWS)
