"""Streams: the sums of a stream are those of its rows, wherever it is cut, in memory that does not grow with it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from helpers.runs import explainer, model
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import normlime_fast as nlf
from normlime_fast._inputs.rows import as_arrays, as_rows, as_sparse_rows, as_texts
from normlime_fast._inputs.sources import blocks_of_batches

ROWS = np.random.default_rng(4).normal(size=(30, 12))
LABELS = np.array(["low", "high"])[(ROWS[:, 1] > 0).astype(int)]
OPTIONS = {"n_features": 4, "n_samples": 60, "targets": "all", "rng": 0}
FRAME = pandas.DataFrame(ROWS, columns=list("abcdefghijkl"))


def on_frames(frame):
    return model(np.column_stack([frame[name] for name in FRAME]))


def cut(rows, *places):
    return np.split(rows, places)


def same(one, other):
    for name in ("sums", "explanations", "groups"):
        assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("block_size", [1, 4, 7, 30, 100])
@pytest.mark.parametrize("by", [None, "target", LABELS])
@pytest.mark.parametrize("places", [[], [1], [10, 11, 12, 29], [3, 6, 9], [7, 14, 21], range(1, 30)], ids=str)
def test_where_a_stream_is_cut_changes_no_bit(places, by, block_size):
    expected = explainer().statistics(ROWS, by=by, block_size=block_size)
    same(explainer().statistics(iter(cut(ROWS, *places)), by=by, block_size=block_size), expected)


@pytest.mark.parametrize("kind", ["normlime", "l2", "mean", "sp_lime"])
@pytest.mark.parametrize("by", [None, "target", LABELS])
def test_the_sums_are_those_of_the_explanations(by, kind):
    whole = explainer().explain(ROWS).importance(kind, by=by, sign="positive")
    stream = explainer().importance(cut(ROWS, 5, 9), kind=kind, by=by, sign="positive", block_size=7)
    assert_allclose(stream.values, whole.values, rtol=2 * 90 * np.finfo(float).eps)  # of 90 positive terms each
    assert_array_equal(stream.counts, whole.counts)
    assert_array_equal(stream.groups, whole.groups)


def test_targets_have_their_names():
    class Classifier:
        classes_ = np.array(["yes", "no", "both"])

        def decision_function(self, X):
            return model(X)

    one = nlf.NormLIME(Classifier().decision_function, nlf.Gaussian(0.7), **OPTIONS)
    whole = one.explain(ROWS).importance(by="target")
    stream = one.importance(cut(ROWS, 8), by="target", block_size=7)
    assert stream.groups.tolist() == whole.groups.tolist() == ["yes", "no", "both"]
    assert_array_equal(stream.counts, whole.counts)
    assert one.statistics(ROWS, by=np.arange(30) % 2).groups.tolist() == [0, 1]  # not those of targets


def test_names_of_targets_need_no_order(tmp_path):
    class Classifier:
        classes_ = np.arange(12)

        def predict_proba(self, X):
            return X + 0.0

    one = nlf.NormLIME(Classifier().predict_proba, nlf.Gaussian(0.7), **OPTIONS)
    statistics = one.statistics(ROWS, by="target", block_size=10)
    assert statistics.groups.tolist() == [str(k) for k in range(12)]
    statistics.save(tmp_path / "sums.npz")
    loaded = nlf.ImportanceStatistics.load(tmp_path / "sums.npz")
    same(loaded, statistics)
    both = loaded.merge(statistics)
    assert both.groups.tolist() == sorted(str(k) for k in range(12))
    assert_array_equal(both.sums[both.groups == "10"], 2 * statistics.sums[10:11])


def test_labels_from_a_function_of_the_batch():
    expected = explainer().statistics(ROWS, by=LABELS, block_size=4)
    find = lambda batch: np.where(batch[:, 1] > 0, "high", "low")  # noqa: E731
    same(explainer().statistics(cut(ROWS, 3, 20), by=find, block_size=4), expected)


@pytest.mark.parametrize("kind", ["mapped", "list of rows", "fortran", "sliced"])
def test_tables(kind, tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    table = {
        "mapped": lambda: np.load(tmp_path / "rows.npy", mmap_mode="r"),
        "list of rows": ROWS.tolist,
        "fortran": lambda: np.asfortranarray(ROWS),
        "sliced": lambda: np.repeat(ROWS, 2, axis=0)[::2],
    }[kind]()
    same(explainer().statistics(table, block_size=7), explainer().statistics(ROWS, block_size=7))


@pytest.mark.parametrize("kind", ["frame", "frames", "parquet", "table", "empty ones between"])
def test_frames_and_parquet(kind, tmp_path):
    pyarrow.parquet.write_table(pyarrow.table(dict(FRAME)), tmp_path / "rows.parquet", row_group_size=8)
    stream = {
        "frame": FRAME,
        "frames": (FRAME[k : k + 4] for k in range(0, 30, 4)),
        "parquet": pyarrow.parquet.ParquetFile(tmp_path / "rows.parquet").iter_batches(batch_size=11),
        "table": pyarrow.parquet.read_table(tmp_path / "rows.parquet"),
        "empty ones between": [FRAME[:0], FRAME[:9], FRAME[:0], FRAME[9:]],
    }[kind]
    one = nlf.NormLIME(on_frames, nlf.Gaussian(0.7), **OPTIONS)
    statistics = one.statistics(stream, block_size=7)
    same(statistics, explainer().statistics(ROWS, block_size=7))
    assert statistics.feature_names == tuple("abcdefghijkl")


def test_labels_of_mixed_types_are_one_array():
    labels = [1] * 10 + [2.5] * 20
    assert explainer().statistics(ROWS, by=labels, block_size=10).groups.tolist() == [1.0, 2.5]


def test_rows_are_numbered_from_the_first():
    whole = explainer().explain(ROWS)
    later = explainer().statistics(ROWS[12:], first=12, block_size=30)
    same(later, nlf.aggregate(whole.weights[36:]))
    halves = explainer().statistics(ROWS[:12], block_size=4).merge(later)
    assert_allclose(halves.sums, explainer().statistics(ROWS).sums, rtol=2 * 90 * np.finfo(float).eps)


def test_progress_of_a_stream():
    told = []
    explainer().statistics(iter(cut(ROWS, 10)), block_size=10, progress=lambda *now: told.append(now))
    assert told[-1] == (30, None)
    assert told == sorted(set(told))
    explainer().statistics(ROWS, block_size=10, progress=lambda *now: told.append(now))
    assert told[-1] == (30, 30)


# --- rows of other kinds than tables

TEXTS = [f"text number {k}" for k in range(30)]
IMAGES = np.random.default_rng(5).integers(256, size=(30, 4, 5, 3), dtype=np.uint8)
PARSE = np.where(ROWS > 0.5, ROWS, 0.0)
SERIES = pandas.Series(TEXTS, index=range(30, 0, -1))

# what makes rows of them, the whole, and a function that cuts it
WHOLES = {
    "texts": (as_texts, TEXTS, lambda one, here: one[here]),
    "a tuple of texts": (as_texts, tuple(TEXTS), lambda one, here: one[here]),
    "an array of texts": (as_texts, np.array(TEXTS), lambda one, here: one[here]),
    "a Series of texts": (as_texts, SERIES, lambda one, here: one.iloc[here]),
    "csr_array": (as_sparse_rows, sparse.csr_array(PARSE), lambda one, here: one[here]),
    "csr_matrix": (as_sparse_rows, sparse.csr_matrix(PARSE), lambda one, here: one[here]),
    "bsr_array": (as_sparse_rows, sparse.bsr_array(PARSE), lambda one, here: one.tocsr()[here].tobsr()),
    "gray images": (as_arrays, IMAGES[..., 0], lambda one, here: one[here]),
    "images": (as_arrays, IMAGES, lambda one, here: one[here]),
}


def dense(values):
    return values.toarray() if sparse.issparse(values) else values


@pytest.mark.parametrize("stream", ["table", "list", "generator"])
@pytest.mark.parametrize("kind", WHOLES)
def test_rows_of_other_kinds(kind, stream):
    make, whole, part = WHOLES[kind]
    pieces = [part(whole, slice(*places)) for places in ([0, 0], [0, 4], [4, 5], [5, 23], [23, 23], [23, 30])]
    batches = {"table": whole, "list": pieces[1:], "generator": iter(pieces)}[stream]
    expected = make(whole)
    blocks = list(blocks_of_batches(batches, LABELS, 100, 7, make))
    assert [len(block.instance_ids) for block in blocks] == [7, 7, 7, 7, 2]
    for k, block in enumerate(blocks):
        here = slice(7 * k, 7 * k + 7)
        assert type(block.rows.values) is type(expected.values)
        assert block.rows.values.dtype == expected.values.dtype
        assert_array_equal(dense(block.rows.values), dense(expected.values[here]))
        assert_array_equal(block.instance_ids, np.arange(100, 130)[here])
        assert_array_equal(block.labels, LABELS[here])


@pytest.mark.parametrize("kind", WHOLES)
def test_a_table_is_cut_before_it_is_read(kind):
    """What is never asked for is never made rows of, though all of it may be far too much."""
    make, whole, _ = WHOLES[kind]
    sizes = []

    def counting(batch, name):
        rows = make(batch, name)
        sizes.append(rows.count)
        return rows

    next(blocks_of_batches(whole, None, 0, 7, counting))
    assert sizes == [7]


def test_labels_of_texts_are_found_from_texts():
    seen = []
    find = lambda batch: seen.append(batch) or [text[-1] for text in batch]  # noqa: E731
    blocks = list(blocks_of_batches(iter([TEXTS[:3], TEXTS[3:10]]), find, 0, 5, as_texts))
    assert seen == [TEXTS[:3], TEXTS[3:10]]
    assert [block.labels.tolist() for block in blocks] == [["0", "1", "2", "3", "4"], ["5", "6", "7", "8", "9"]]


@pytest.mark.parametrize(
    ("make", "batches", "message"),
    [
        (as_arrays, [IMAGES, IMAGES[:, :2]], r"rows of one shape, got \(4, 5, 3\) and then \(2, 5, 3\)"),
        (as_arrays, [IMAGES, IMAGES[..., 0]], r"rows of one shape, got \(4, 5, 3\) and then \(4, 5\)"),
        (as_arrays, [IMAGES, IMAGES + 0.5], "one dtype, got uint8 and then float64"),
        (as_sparse_rows, [sparse.eye_array(3), sparse.eye_array(4)], "same columns, got 3 columns and then 4 columns"),
    ],
)
def test_batches_that_differ(make, batches, message):
    with pytest.raises(ValueError, match=f"batches must have (the )?{message}") as caught:
        list(blocks_of_batches(batches, None, 0, 7, make))
    assert "this is batch 1 of the stream" in caught.value.__notes__[0]


def never(rows):
    raise AssertionError("the model was asked")


@pytest.mark.parametrize("method", ["statistics", "importance"])
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (nlf.Mask(5.0), "baseline must be 0 for sparse rows, got 5.0"),
        (nlf.Mask(segments=3), "segments must be None for sparse rows, got array"),
        (nlf.Mask(render=never), "render must be None for sparse rows, got <function"),
    ],
)
def test_batches_that_a_neighborhood_cannot_perturb(mask, message, method):
    batches = iter([sparse.csr_array(PARSE[:9]), sparse.csr_array(PARSE[9:])])
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        getattr(nlf.NormLIME(never, mask, **OPTIONS), method)(batches)
    assert "this is batch 0 of the stream" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "batches must have at least one row, got none"),
        (lambda: iter(()), "batches must have at least one row, got none"),
        ([FRAME[list("ab")]], "batch must have the columns .*, got none of "),
        ([FRAME[list("lkjihgfedcba")]], "batch must have the columns .*, got another order"),
        ([FRAME * np.inf], "batch must be finite"),
    ],
)
def test_a_pool_asks_nothing_before_a_stream_is_seen(batches, message):
    one = nlf.NormLIME(never, nlf.Pool.from_data(FRAME), n_features=4, n_samples=20, rng=0)
    with pytest.raises(ValueError, match=message):
        one.statistics(batches() if callable(batches) else batches)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_batches_of_mixed_kinds(order):
    batches = [ROWS[:9], sparse.csr_array(ROWS[9:])][order]
    kinds = [type(batch).__name__ for batch in batches]
    one = nlf.NormLIME(lambda rows: rows.sum(axis=1), nlf.Mask(), **OPTIONS)
    with pytest.raises(TypeError, match=f"^batches must be of one kind, got {kinds[0]} and then {kinds[1]}") as caught:
        one.statistics(iter(batches))
    assert "\n" not in str(caught.value)
    assert "this is batch 1 of the stream, which begins with row" in caught.value.__notes__[0]


def test_batches_of_another_kind_of_rows():
    for make, batches in ((as_texts, IMAGES), (as_texts, "text"), (as_rows, IMAGES), (as_sparse_rows, ROWS)):
        with pytest.raises((TypeError, ValueError), match=r"^batch(es)? must"):
            list(blocks_of_batches(batches, None, 0, 7, make))


# --- errors


def test_an_error_keeps_the_sums_before_it():
    def stream():
        yield ROWS[:17]
        yield ROWS[17:20] * np.nan

    with pytest.raises(ValueError, match=r"batch must be finite, got 36 NaN") as caught:
        explainer().statistics(stream(), block_size=5)
    same(caught.value.finished, explainer().statistics(ROWS[:15], block_size=5))
    assert "this is batch 1 of the stream, which begins with row 17" in caught.value.__notes__[0]
    assert "the sums of the first 15 rows are this" in caught.value.__notes__[-1]


def failing_at_row_22():
    """An explainer, and rows of which its model refuses one."""

    def failing(X):
        if (X[:, 0] > 50).any():
            raise KeyError("large")
        return model(X)

    rows = ROWS.copy()
    rows[22, 0] = 100
    one = nlf.NormLIME(failing, nlf.Gaussian(0.7), **OPTIONS)
    return one, rows


def test_an_error_of_the_model_keeps_the_sums_before_it():
    one, rows = failing_at_row_22()
    with pytest.raises(KeyError) as caught:
        one.statistics(rows, block_size=5)
    same(caught.value.finished, explainer().statistics(ROWS[:20], block_size=5))
    with pytest.raises(KeyError) as caught:
        one.statistics(rows[20:], block_size=5)
    assert caught.value.finished is None
    with pytest.warns(UserWarning, match=r"of 90 explanations, 3 empty because the model failed \(status 6\)"):
        skipped = one.statistics(rows, by="target", block_size=5, on_error="skip")
    assert skipped.explanations.tolist() == [29, 29, 29]
    with pytest.warns(UserWarning, match="1 empty because the model failed"):  # the whole of its block
        assert one.statistics(rows, block_size=1, on_error="skip").explanations.tolist() == [87]
    with pytest.raises(ValueError, match="predict failed for every instance, first with KeyError: 'large'"):
        one.statistics(rows[22:23], on_error="skip")


def test_a_model_that_changes_its_mind():
    one = nlf.NormLIME(lambda X: model(X)[:, : 2 if X[:, 11].max() > 50 else 3], nlf.Gaussian(0.7), **OPTIONS)
    rows = ROWS.copy()
    rows[10:, 11] = 100
    with pytest.raises(ValueError, match="predict must return as many columns for all rows, got 3 and then 2"):
        one.statistics(rows, block_size=10)


@pytest.mark.parametrize(
    ("batches", "options", "error", "message"),
    [
        (iter([3]), {}, ValueError, r"batch must be 2-D, got shape \(\)"),
        (3, {}, TypeError, "batches must be a table or an iterable of blocks of rows, got int"),
        ("rows", {}, TypeError, "batches must be a table or an iterable of blocks of rows, got str"),
        (ROWS[0], {}, TypeError, "batches must be a table or an iterable of blocks of rows, got ndarray"),
        ([], {}, ValueError, "batches must have at least one row, got none"),
        (iter([ROWS[:0]]), {}, ValueError, "batches must have at least one row, got none"),
        (iter([ROWS, ROWS[:, :5]]), {}, ValueError, "the same columns, got 12 columns and then 5 columns"),
        (iter([FRAME, FRAME[["a"]]]), {}, ValueError, r"the same columns, got \('a', .* and then \('a',\)"),
        (iter([ROWS, ROWS.astype(np.float32)]), {}, ValueError, "one dtype, got float64 and then float32"),
        (iter([ROWS, "text"]), {}, TypeError, "batch must hold real numbers"),
        (
            ROWS,
            {"by": "group"},
            ValueError,
            "by must be None, \"target\", a callable or one label per row, got 'group'",
        ),
        (ROWS, {"by": LABELS[:29]}, ValueError, "by must have one label per row"),
        (ROWS, {"by": [*LABELS, "more"]}, ValueError, "by must have one label per row, 30, got 31"),
        (ROWS, {"by": lambda batch: [1]}, ValueError, r"by\(batch\) must have one label per row of the batch"),
        (ROWS, {"first": -1}, ValueError, "first must be at least 0, got -1"),
        (ROWS, {"block_size": 0}, ValueError, "block_size must be at least 1, got 0"),
    ],
)
def test_bad_input(batches, options, error, message):
    one = nlf.NormLIME(lambda X: model(np.asarray(X)), nlf.Gaussian(0.7), **OPTIONS)
    with pytest.raises(error, match=message) as caught:
        one.statistics(batches, **options)
    assert "\n" not in str(caught.value)


# --- memory


def test_a_million_rows_in_the_memory_of_some():
    script = Path(__file__).parents[1] / "scripts" / "stream_a_million.py"
    done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "1,000,000 rows" in done.stdout


# --- labels of batches


def of(values, dtype=None):
    return np.resize(np.array(values, dtype), 4)


# labels of three batches of four rows, and the groups that there are then, or a part of the error
LABELLED = {
    "texts, then objects": ([of(["b"]), of(["a", "cc"], object), of(["b"])], ["a", "b", "cc"]),
    "objects, then texts": ([of(["b"], object), of(["a"]), of(["cc"])], ["a", "b", "cc"]),
    "lists": ([["b"] * 4, ["a", "b", "aa", "a"], ["b"] * 4], ["a", "aa", "b"]),
    "categories": ([pandas.Series(list("abab"), dtype="category")] * 3, ["a", "b"]),
    "ints, then floats": ([of([1]), of([2.5, 1.0]), of([3])], [1, 2.5, 3]),
    "floats, then ints": ([of([2.5]), of([1], np.int8), of([1, 3])], [1, 2.5, 3]),
    "ints and floats in objects": ([of([1, 2.5], object), of([np.int8(3)], object), of([1])], [1, 2.5, 3]),
    "ints of two kinds": ([of([-1]), of([2**62], np.uint64), of([-1])], [-1, 2**62]),
    "ints of no one kind": ([of([-1]), of([2**63], np.uint64), of([2**70])], [-1, 2**63, 2**70]),
    "days, then seconds": (
        [of(["2020-01-02"], "M8[D]"), of(["2020-01-01"], "M8[s]"), of(["2020-01-02"], "M8[D]")],
        None,
    ),
    "a large int, then floats": ([of([2**53 + 1]), of([0.5]), of([1])], "labels that float64 can hold exactly"),
    "floats, then a large int": ([of([0.5]), of([1]), of([2**53 + 1])], "labels that float64 can hold exactly"),
    "bools, then ints": ([of([True]), of([True]), of([2])], "labels of one kind, got bool and int64"),
    "bools and ints": ([of([1]), [True, 2, 3, 4], of([1])], "of one kind, got bool and int; pass str"),
    "ints, then texts": ([of([1]), of(["a"]), of(["b"])], "labels of one kind, got int64 and <U1"),
    "texts, then bytes": ([of(["a"]), of(["a"]), of([b"a"])], "labels of one kind, got <U1 and |S1"),
    "years, then days": ([of([1], "m8[Y]"), of([2], "m8[D]"), of([2], "m8[D]")], "labels of one kind, got timedelta64"),
    "days that overflow": (
        [of([0], "M8[ns]"), of(["3000-01-01"], "M8[D]"), of([0], "M8[ns]")],
        "can hold exactly, got",
    ),
    "periods": (
        [pandas.Series(pandas.period_range("2020", periods=4))] * 3,
        "got Period('2020-01-01', 'D') of type Per",
    ),
    "complex": ([of([1j])] * 3, "be numbers, strings, bools or NumPy's dates, of one kind, got 1j of"),
    "None": ([of(["a"]), np.array(["a", "b", None, "a"], object), of(["a"])], "got None for row 6; fill it"),
    "NaN": (
        [of([1.0]), of([1]), np.array([1.0, np.nan, 2.0, 2.0])],
        "got nan for row 9; fill it, such as by 'missing',",
    ),
    "NaT": ([of(["2020"], "M8[D]"), of(["NaT"], "M8[D]"), of(["2020"], "M8[D]")], "got NaT for row 4; fill it"),
    "NA": ([of(["a"]), pandas.Series(["a", "b", "a", pandas.NA], dtype="string"), of(["a"])], "got <NA> for row 7"),
    "masked": ([of([1]), np.ma.array([1, 1, 1, 2], mask=[0, 0, 1, 0]), of([2])], "got -- for row 6; fill it"),
}
NULLS = {"None": (6, ["a", "b"]), "NaN": (9, [1, 2]), "NA": (7, ["a", "b"]), "masked": (6, [1, 2])}


def labelled(case, block_size, **options):
    labels = iter(LABELLED[case][0])
    batches = iter(cut(ROWS[:12], 4, 8))
    return explainer(n_samples=30).statistics(batches, by=lambda batch: next(labels), block_size=block_size, **options)


@pytest.mark.parametrize("block_size", [1, 4, 1000])
@pytest.mark.parametrize("case", LABELLED)
def test_labels_end_the_same_way_whatever_the_block_size(case, block_size, tmp_path):
    expected = LABELLED[case][1]
    if isinstance(expected, str):
        with pytest.raises((TypeError, ValueError), match=rf"^by\(batch\) must .*{re.escape(expected)}") as caught:
            labelled(case, block_size)
        assert "\n" not in str(caught.value)
        assert (
            f"which begins with row {caught.value.rows_finished if block_size == 4 else ''}"
            in caught.value.__notes__[0]
        )
        return
    statistics = labelled(case, block_size)
    if expected is not None:
        assert statistics.groups.tolist() == expected
    assert statistics.explanations.sum() == 3 * 12
    assert statistics.groups.dtype == labelled(case, 7).groups.dtype
    statistics.save(tmp_path / "sums.npz")
    assert_array_equal(statistics.merge(nlf.ImportanceStatistics.load(tmp_path / "sums.npz")).sums, 2 * statistics.sums)


@pytest.mark.parametrize("block_size", [1, 4, 1000])
@pytest.mark.parametrize("case", NULLS)
def test_rows_without_a_label_are_skipped(case, block_size):
    row, groups = NULLS[case]
    with pytest.warns(
        UserWarning, match=r"empty because the row could not be used \(status 9\), first with ValueError: by m"
    ):
        statistics = labelled(case, block_size, on_error="skip")
    assert statistics.groups.tolist() == groups
    without = nlf.aggregate(
        explainer(n_samples=30).explain(np.delete(ROWS[:12], row, 0), index=np.delete(range(12), row)).weights
    )
    assert_array_equal(statistics.sums[..., 0].sum(axis=0), without.sums[0, ..., 0])
    assert statistics.explanations.sum() == 3 * 11


@pytest.mark.parametrize(
    ("by", "error", "message"),
    [
        ([1.0] * 29 + [np.nan], ValueError, "by must have a finite label for every row, got nan for row 29; fill it"),
        (
            np.array([None, *range(29)], object),
            ValueError,
            "by must have a finite label for every row, got None for row 0",
        ),
        (
            pandas.period_range("2020", periods=30),
            TypeError,
            r"by must be numbers, .* got Period\('2020-01-01', 'D'\) of",
        ),
        (LABELS[:29], ValueError, "by must have one label per row, 30, got 29"),
    ],
)
def test_labels_that_are_refused_before_the_model_is_asked(by, error, message):
    with pytest.raises(error, match=f"^{message}") as caught:
        nlf.NormLIME(never, nlf.Gaussian(0.7), **OPTIONS).statistics(ROWS, by=by, block_size=1)
    assert (caught.value.finished, caught.value.rows_finished) == (None, 0)


def test_rows_without_a_label_in_an_array_are_skipped():
    labels = np.array([None if k == 8 else name for k, name in enumerate(LABELS)], object)
    expected = explainer().statistics(np.delete(ROWS, 8, 0), by=np.delete(LABELS, 8))
    with pytest.warns(UserWarning, match="3 empty because the row could not be used"):
        statistics = explainer().statistics(ROWS, by=labels, on_error="skip")
    assert_array_equal(statistics.explanations, expected.explanations)
    assert_array_equal(statistics.groups, expected.groups)


# --- rows finished before an exception


def test_every_exception_says_how_many_rows_are_finished():
    one, rows = failing_at_row_22()
    calls = {
        20: lambda: one.statistics(rows, block_size=5),
        0: lambda: one.statistics(rows[20:], block_size=5),
        15: lambda: one.importance(iter([ROWS[:17], ROWS * np.nan]), block_size=5),
        10: lambda: one.statistics(ROWS, block_size=10, progress=lambda done, total: 1 / (done < 20)),
    }
    refused = [{"kind": "l3"}, {"sign": "up"}, {"min_count": 0}, {"kind": "l2", "shrink": True}]
    refused += [{"first": -1}, {"block_size": 0}, {"progress": 3}, {"by": "x"}, {"on_error": "x"}, {"executor": 1}]
    for rows_finished, call in calls.items():
        with pytest.raises((KeyError, ValueError, ZeroDivisionError)) as caught:
            call()
        assert caught.value.rows_finished == rows_finished
    for options in refused:  # before anything is asked
        with pytest.raises((TypeError, ValueError)) as caught:
            nlf.NormLIME(never, nlf.Gaussian(0.7), **OPTIONS).importance(ROWS, **options)
        assert (caught.value.finished, caught.value.rows_finished) == (None, 0)
