"""Labels of rows: the index of a pandas DataFrame stays with the explanations of its rows."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from helpers.files import assert_round_trip
from numpy.testing import assert_allclose, assert_array_equal

import normlime_fast as nlf
from normlime_fast._inputs.labels import row_labels

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(RNG.normal(size=(40, 3)), columns=list("abc"))
ROWS = TABLE.sample(12, random_state=1)  # as after train_test_split
LABELS = {
    "numbers": ROWS.index,
    "text": [f"id-{i}" for i in ROWS.index],
    "dates": pd.Timestamp("2026-01-01") + pd.to_timedelta(ROWS.index, "D"),
    "mixed": [i if i % 2 else f"id-{i}" for i in ROWS.index],
    "floats": ROWS.index / 2,
    "repeated": [1] * 12,
}


def model(rows):
    return rows["a"].to_numpy() ** 2 + rows["b"].to_numpy()


def explain(X, **options):
    how = {name: options.pop(name) for name in ("executor", "block_size", "on_error", "index") if name in options}
    options = {"n_features": 2, "n_samples": 400, "rng": 0, "targets": "all"} | options
    return nlf.NormLIME(model, nlf.Gaussian(0.1), **options).explain(X, **how)


@pytest.mark.parametrize("name", [name for name in LABELS if name != "repeated"])
@pytest.mark.parametrize("layout", ["wide", "long", "fits"])
def test_frames_join_with_the_rows(name, layout):
    """The weight of a is 0.1 times the slope 2 a; noise of the fit is below 1e-4 / sqrt(400)."""
    rows = ROWS.set_axis(LABELS[name], axis=0)
    local = explain(rows)
    assert_array_equal(local.index, rows.index)
    frame = local.to_frame(layout)
    if layout == "fits":
        joined = rows.join(frame)
        assert_allclose(joined["prediction"], model(rows), rtol=1e-12)
    else:
        weights = frame["a"] if layout == "wide" else frame[frame["feature"] == "a"]["weight"]
        assert_allclose(weights.reindex(rows.index), 0.2 * rows["a"], atol=0.02)


def test_repeated_labels_are_kept():
    local = explain(ROWS.set_axis(LABELS["repeated"], axis=0))
    assert local.index.tolist() == [1] * 12
    assert local.to_frame("wide").index.tolist() == [1] * 12


def test_several_targets_of_a_row():
    both = nlf.NormLIME(
        lambda X: np.stack([model(X), -model(X)], 1), nlf.Gaussian(0.1), n_samples=99, targets="all", rng=0
    )
    local = both.explain(ROWS)
    assert_array_equal(local.index, np.repeat(ROWS.index, 2))
    wide = local.to_frame("wide")
    assert wide.index.names == ["row", "target"]
    assert_array_equal(wide.xs(1, level="target").index, ROWS.index)


@pytest.mark.parametrize("name", LABELS)
def test_selections_and_files_keep_them(name):
    rows = ROWS.set_axis(LABELS[name], axis=0)
    local = explain(rows)
    assert_array_equal(local[[3, 1]].index, np.asarray(rows.index)[[3, 1]])
    assert_array_equal(local.select(instance=5).index, np.asarray(rows.index)[[5]])
    joined = nlf.LocalExplanations.concatenate([local[:5], local[5:]])
    assert_array_equal(joined.index, local.index)
    assert_round_trip(local)
    found = [one["index"] for one in json.loads(json.dumps(local.to_dict()))["explanations"]]
    assert found == (np.datetime_as_string(local.index, "D").tolist() if name == "dates" else local.index.tolist())


def test_parts_of_different_kinds_keep_their_labels():
    numbers, text = (explain(ROWS[:2].set_axis(labels, axis=0)) for labels in ([7, 8], ["a", "b"]))
    assert nlf.LocalExplanations.concatenate([numbers, text]).index.tolist() == [7, 8, "a", "b"]
    without = explain(ROWS[:2].reset_index(drop=True))
    assert without.index is None
    assert nlf.LocalExplanations.concatenate([numbers, without]).index is None


def test_however_the_rows_are_explained(tmp_path):
    expected = ROWS.index
    with ThreadPoolExecutor(2) as executor:
        assert_array_equal(explain(ROWS, executor=executor, block_size=5).index, expected)
    assert_array_equal(explain(ROWS, index=np.arange(12)[::-1]).index, expected)
    broken = ROWS.copy()
    broken.iloc[3, 0] = np.nan
    with pytest.warns(UserWarning, match="1 empty because the row could not be used"):
        local = explain(broken, on_error="skip")
    assert_array_equal(local.index, expected)
    assert local.status.tolist() == [0] * 3 + [9] + [0] * 8


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (TABLE, None),
        (TABLE.to_numpy(), None),
        (TABLE[5:], list(range(5, 40))),
        (TABLE[::2], list(range(0, 40, 2))),
        (TABLE[:2].set_axis(pd.MultiIndex.from_tuples([(1, 2), (3, 4)]), axis=0), None),
        (TABLE[:2].set_axis([(1,), 2], axis=0), None),
        (TABLE[:2].set_axis(["a", None], axis=0), None),
        (pd.Series(["x", "y"], index=["a", "b"]), ["a", "b"]),
        (["a", "b"], None),
    ],
)
def test_labels_that_are_none(X, expected):
    found = row_labels(X)
    assert (None if found is None else found.tolist()) == expected
