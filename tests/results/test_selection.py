"""Results are collections: explanations by position and id, features by name."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.files import assert_same
from scipy.sparse import csr_array

import normlime_fast as nlf
from normlime_fast import LocalExplanations
from normlime_fast._results.explanations import COLUMNS

N, D = 6, 4
NAMES = ("age", "hours", "debt", "height")
WEIGHTS = np.array(
    [[1.0, 0, 2, 0], [0, 0, 0, -1], [0, 3, 0, 0], [0, 0, 0, 0], [4, 5, 0, 6], [0, 0, -7, 8]],
)


def explanations(**changes):
    """Instances 30 and 10, for three targets each, of which one has no weights."""
    fields = {
        "weights": csr_array(WEIGHTS),
        "intercept": np.arange(N) / 4,
        "r2": np.linspace(0.5, 1.0, N),
        "prediction": np.arange(N) - 2.5,
        "status": np.array([0, 0, 0, 2, 0, 0]),
        "instance": np.array([30, 30, 30, 10, 10, 10]),
        "target": np.array([0, 1, 2, 0, 1, 2]),
        "effective_samples": np.full(N, 50.0),
        "feature_names": NAMES,
        "target_names": ("no", "maybe", "yes"),
    }
    return LocalExplanations(**fields | changes)


LOCAL = explanations()
MASK = np.array([True, False, True, False, False, True])


def at(positions):
    """The explanations at these positions, taken apart and put together by other means."""
    positions = np.array(positions, int)
    columns = {name: getattr(LOCAL, name)[positions] for name in COLUMNS}
    return replace(LOCAL, weights=csr_array(WEIGHTS[positions].reshape(-1, D)), **columns)


ROWS = {
    "first": (0, [0]),
    "last": (-1, [5]),
    "first from the end": (-6, [0]),
    "integer of NumPy": (np.int8(2), [2]),
    "large unsigned integer of NumPy": (np.uint64(2), [2]),
    "array of no dimensions": (np.array(4), [4]),
    "all": (slice(None), [0, 1, 2, 3, 4, 5]),
    "some": (slice(1, 4), [1, 2, 3]),
    "steps": (slice(None, None, 2), [0, 2, 4]),
    "backwards": (slice(None, None, -1), [5, 4, 3, 2, 1, 0]),
    "beyond the end": (slice(4, 100), [4, 5]),
    "slice of nothing": (slice(3, 3), []),
    "list": ([2, 0, 5], [2, 0, 5]),
    "one twice": ([1, 1], [1, 1]),
    "negative": ([-1, 0], [5, 0]),
    "empty list": ([], []),
    "empty array": (np.zeros(0, int), []),
    "range": (range(1, 6, 2), [1, 3, 5]),
    "unsigned": (np.array([5, 1], np.uint8), [5, 1]),
    "mask": (MASK, [0, 2, 5]),
    "mask in a list": (MASK.tolist(), [0, 2, 5]),
    "mask of nothing": (np.zeros(N, bool), []),
    "Series": (pd.Series([3, 1], index=[0, 1]), [3, 1]),
    "mask in a Series, by position": (pd.Series(MASK, index=range(N)[::-1]), [0, 2, 5]),
    "Index": (pd.Index([4, 2]), [4, 2]),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_by_position(name):
    rows, positions = ROWS[name]
    taken = LOCAL[rows]
    assert type(taken) is LocalExplanations
    assert len(taken) == len(positions)
    assert_same(taken, at(positions))
    assert (taken.feature_names, taken.target_names) == (LOCAL.feature_names, LOCAL.target_names)
    if np.ndim(rows) or isinstance(rows, slice):
        np.testing.assert_array_equal(taken.r2, LOCAL.r2[np.asarray(rows, int) if np.size(rows) == 0 else rows])


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (6, IndexError, "row 6 is out of range for 6 explanations"),
        (-7, IndexError, "row -7 is out of range for 6 explanations"),
        (10**30, IndexError, f"row {10**30} is out of range for 6 explanations"),
        ([0, 6], IndexError, "row 6 is out of range for 6 explanations"),
        ([-7], IndexError, "row -7 is out of range for 6 explanations"),
        (np.array([2**64 - 1], np.uint64), IndexError, f"row {2**64 - 1} is out of range for 6 explanations"),
        (MASK[:5], IndexError, "a boolean mask must have one entry per explanation, shape (6,), got (5,)"),
        (MASK[:, None], IndexError, "a boolean mask must have one entry per explanation, shape (6,), got (6, 1)"),
        ([[0, 1]], IndexError, "rows must be an integer or 1-D, got shape (1, 2)"),
        *(
            (rows, TypeError, f"rows must be an integer, a slice, a boolean mask or an array of integers, got {rows!r}")
            for rows in (1.0, [0.0], "age", ["age"], (0, 1), None, ..., True, np.True_, {1}, b"a", [None])
        ),
    ],
)
def test_rows_that_are_refused(rows, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        LOCAL[rows]


def test_masked_rows_are_refused():
    with pytest.raises(
        ValueError, match=r"^rows must not have masked values; fill them, as in rows\.filled\(\.\.\.\)$"
    ):
        LOCAL[np.ma.masked_array([0, 1], [True, False])]


@pytest.mark.parametrize("rows", [0, slice(None), [0, 1], MASK])
def test_what_is_taken_shares_no_memory(rows):
    local = explanations()
    taken = local[rows]
    for name in COLUMNS:
        getattr(taken, name)[:] = -5
    taken.weights.data[:] = -5
    assert_same(local, LOCAL)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_weights_keep_their_types(index):
    local = explanations()
    local.weights.indices, local.weights.indptr = (
        array.astype(index) for array in (local.weights.indices, local.weights.indptr)
    )
    for rows in (1, slice(2, 5), [4, 0], MASK):
        weights = local[rows].weights
        assert isinstance(weights, csr_array)
        assert (weights.data.dtype, weights.indices.dtype, weights.indptr.dtype) == (np.float64, index, index)


def test_single_explanations_one_after_the_other():
    singles = list(LOCAL)
    assert [type(one) for one in singles] == [LocalExplanations] * N
    for place, one in enumerate(singles):
        assert len(one) == 1
        assert_same(one, at([place]))
    assert [one.instance.item() for one in reversed(LOCAL)] == [10, 10, 10, 30, 30, 30]
    assert LocalExplanations.concatenate(LOCAL)._to_bytes() == LOCAL._to_bytes()
    assert LocalExplanations.concatenate([LOCAL[:2], LOCAL[2:2], LOCAL[2:]])._to_bytes() == LOCAL._to_bytes()


def test_importance_of_some():
    np.testing.assert_array_equal(LOCAL[:2].importance("mean").values, WEIGHTS[:2].mean(axis=0))
    by = LOCAL[[4, 0, 1]].importance("sum", by=["b", "a"])  # in the order of these explanations' instances, 10 and 30
    np.testing.assert_array_equal(by.values, [WEIGHTS[:2].sum(axis=0), WEIGHTS[4]])


# --- select

SELECTED = {
    "one instance": ({"instance": 10}, [3, 4, 5]),
    "instances, in this order": ({"instance": [10, 30]}, [3, 4, 5, 0, 1, 2]),
    "an instance twice": ({"instance": [30, 30]}, [0, 1, 2, 0, 1, 2]),
    "array of instances": ({"instance": np.array([30], np.uint64)}, [0, 1, 2]),
    "Series of instances": ({"instance": pd.Series([10])}, [3, 4, 5]),
    "integer of NumPy": ({"instance": np.int8(30)}, [0, 1, 2]),
    "array of no dimensions": ({"instance": np.array(30)}, [0, 1, 2]),
    "no instance": ({"instance": []}, []),
    "target by number": ({"target": 1}, [1, 4]),
    "target by name": ({"target": "yes"}, [2, 5]),
    "string of NumPy": ({"target": np.str_("yes")}, [2, 5]),
    "targets, in this order": ({"target": ["yes", 0]}, [2, 5, 0, 3]),
    "array of names": ({"target": np.array(["no", "yes"])}, [0, 3, 2, 5]),
    "both": ({"instance": 10, "target": "maybe"}, [4]),
    "several of both": ({"instance": [10, 30], "target": [2, 1]}, [5, 4, 2, 1]),
    "neither": ({}, [0, 1, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("name", SELECTED)
def test_explanations_by_id(name):
    arguments, positions = SELECTED[name]
    assert_same(LOCAL.select(**arguments), at(positions))


def test_ids_of_every_size():
    local = explanations(instance=np.array([2**64 - 1, 0, 2**53 + 1, 2**53, 7, 7], np.uint64))
    for instance, positions in ((2**64 - 1, [0]), (2**53 + 1, [2]), ([7, 2**53], [4, 5, 3])):
        np.testing.assert_array_equal(local.select(instance=instance).r2, LOCAL.r2[positions])
    for instance in (-1, 2**64, 2**53 + 2):
        with pytest.raises(KeyError, match=f"^'there is no explanation of instance {instance}'$"):
            local.select(instance=instance)


def test_targets_that_were_not_explained():
    predicted = LOCAL[[0, 4]]
    assert len(predicted.select(target="yes")) == len(predicted.select(target=2)) == 0
    assert len(predicted.select(instance=30, target=1)) == 0
    failed = replace(LOCAL, target=np.array([0, 1, 2, -1, 0, 1]))
    np.testing.assert_array_equal(failed.select(target=-1).instance, [10])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"instance": 20}, KeyError, "there is no explanation of instance 20"),
        ({"instance": [10, 0]}, KeyError, "there is no explanation of instance 0"),
        ({"instance": 20, "target": 0}, KeyError, "there is no explanation of instance 20"),
        ({"target": 3}, KeyError, "there is no explanation of target 3"),
        ({"target": -1}, KeyError, "there is no explanation of target -1"),
        ({"target": "mybe"}, KeyError, "there is no target 'mybe'; did you mean 'maybe'?"),
        ({"target": "x"}, KeyError, "there is no target 'x'; there are 'no', 'maybe', 'yes'"),
        ({"instance": "10"}, TypeError, "instance must be an id or a list of ids, got '10'"),
        ({"instance": 1.0}, TypeError, "instance must be an id or a list of ids, got 1.0"),
        ({"instance": [1.5]}, TypeError, "instance must be an id or a list of ids, got 1.5"),
        ({"instance": {10}}, TypeError, "instance must be an id or a list of ids, got {10}"),
        ({"instance": [[10]]}, TypeError, "instance must be an id or a list of ids, got [10]"),
        ({"target": [None]}, TypeError, "target must be an id or a list of ids, got None"),
        ({"target": slice(2)}, TypeError, "target must be an id or a list of ids, got slice(None, 2, None)"),
        *(
            (
                {"instance": mask},
                TypeError,
                "instance must be an id or a list of ids, got a bool; a mask goes in brackets, as in local[mask]",
            )
            for mask in (True, MASK)
        ),
    ],
)
def test_ids_that_are_refused(arguments, error, message):
    with pytest.raises(error) as refusal:
        LOCAL.select(**arguments)
    assert refusal.value.args == (message,)


def test_names_that_say_nothing():
    with pytest.raises(KeyError, match="targets have no names, got 'yes'; use their numbers"):
        explanations(target_names=None).select(target="yes")
    with pytest.raises(KeyError, match="there are 2 targets named 'no'; use their numbers"):
        explanations(target_names=("no", "yes", "no")).select(target="no")


# --- none


def test_no_explanations():
    none = LOCAL[[]]
    assert len(none) == 0
    assert not none
    assert list(none) == []
    assert repr(none) == "<LocalExplanations: 0 explanations of 0 instances, 4 features>"
    assert none._repr_html_() == "<p>LocalExplanations: 0 explanations of 0 instances, 4 features</p>"
    assert [len(none.to_frame(layout)) for layout in ("long", "wide", "fits")] == [0, 0, 0]
    assert none.to_dict() == {"columns": 4, "explanations": []}
    assert_same(LocalExplanations._from_bytes(none._to_bytes(), "the file"), none)
    assert len(none.select(target="yes")) == len(none[:]) == len(LocalExplanations.concatenate([none, none])) == 0
    with pytest.raises(ValueError, match=r"^importance needs explanations, got none$"):
        none.importance()
    with pytest.raises(ValueError, match=r"^submodular_pick needs explanations with weights, got none$"):
        none.submodular_pick(1)
    with pytest.raises(IndexError, match=r"^row 0 is out of range for 0 explanations$"):
        none[0]


# --- features


def importance(groups=None, names=NAMES):
    return nlf.aggregate(WEIGHTS, groups, feature_names=names).importance("sum")


def test_value_of_a_feature():
    whole = importance()
    assert len(whole) == D
    assert [whole[name] for name in NAMES] == [5.0, 8.0, -5.0, 13.0]
    assert type(whole["age"]) is float
    unnamed = importance(names=None)
    assert [unnamed[j] for j in (0, np.int64(1), np.array(2), 3)] == [5.0, 8.0, -5.0, 13.0]
    for result in (whole, unnamed):
        assert all(result[best.feature] == best.value for best in result.top())


def test_values_of_a_feature_by_group():
    grouped = importance(["b", "b", "a", "a", "a", "b"])
    assert len(grouped) == D
    np.testing.assert_array_equal(grouped["hours"], [8.0, 0.0], strict=True)
    grouped["hours"][:] = 0
    assert grouped["hours"].tolist() == [8.0, 0.0]
    assert importance(["a"] * N)["age"].tolist() == [5.0]


@pytest.mark.parametrize(
    ("names", "feature", "error", "message"),
    [
        (NAMES, "hour", KeyError, "there is no feature 'hour'; did you mean 'hours'?"),
        (NAMES, "AGE", KeyError, "there is no feature 'AGE'; did you mean 'age'?"),
        (NAMES, "xyz", KeyError, "there is no feature 'xyz'; there are 'age', 'hours', 'debt', 'height'"),
        (NAMES, 0, KeyError, "features must be given by name, got 0; use values[..., 0]"),
        (NAMES, ["age"], TypeError, "a feature must be its name, got ['age']"),
        (NAMES, slice(2), TypeError, "a feature must be its name, got slice(None, 2, None)"),
        (NAMES, None, TypeError, "a feature must be its name, got None"),
        (None, "age", KeyError, "features have no names, got 'age'; use a number from 0 to 3"),
        (None, 4, KeyError, "there is no feature 4; use a number from 0 to 3"),
        (None, -1, KeyError, "there is no feature -1; use a number from 0 to 3"),
        (None, True, TypeError, "a feature must be its number, got True"),
        (None, 0.0, TypeError, "a feature must be its number, got 0.0"),
        (("a1", "a2", "a3", "b"), "a", KeyError, "there is no feature 'a'; did you mean 'a3' or 'a2' or 'a1'?"),
        (("a", "b", "a", "c"), "a", KeyError, "there are 2 features named 'a'; use their numbers"),
    ],
)
def test_features_that_are_refused(names, feature, error, message):
    result = replace(importance(), feature_names=names)
    with pytest.raises(error) as refusal:
        result[feature]
    assert refusal.value.args == (message,)


def test_few_of_many_names_are_listed():
    result = nlf.aggregate(np.eye(1, 7), feature_names=list("abcdefg")).importance()
    with pytest.raises(KeyError, match=r"there is no feature 'long'; there are 'a', 'b', 'c', 'd', 'e', \.\.\."):
        result["long"]


# --- what others make of results


@pytest.mark.parametrize("result", [LOCAL, LOCAL[[]], importance(), importance(["a"] * N)])
def test_arrays_and_tables_hold_a_result_as_one_object(result):
    assert np.asarray(result).shape == ()
    assert np.asarray(result).item() is result
    assert np.array([result, result]).shape == (2,)
    assert np.array([result, None], object)[0] is result
    series = pd.Series([result, None], index=["a", "b"])
    assert series["a"] is result
    assert pd.DataFrame({"result": [result]}).iloc[0, 0] is result
    message = f"^{type(result).__name__} is not an array of float64; use its fields, which are arrays$"
    with pytest.raises(TypeError, match=message):
        np.asarray(result, float)


def test_membership_and_iteration_that_would_mean_several_things():
    for result in (LOCAL, importance()):
        with pytest.raises(TypeError):
            30 in result  # noqa: B015
    with pytest.raises(TypeError):
        iter(importance())
    assert not pd.api.types.is_list_like(importance())


def test_results_are_compared_by_identity():
    assert LOCAL == LOCAL
    assert LOCAL != explanations()
    assert len({LOCAL, importance(), LOCAL}) == 2
