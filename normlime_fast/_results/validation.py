"""Check that the fields of a result, which are of the right types, are consistent; files are not trusted."""

from typing import TYPE_CHECKING, get_args

import numpy as np

from normlime_fast._checks import Array, ignoring_float_errors
from normlime_fast._status import SKIPPED, Status
from normlime_fast._types import Kind, Sign

if TYPE_CHECKING:
    from normlime_fast._results.explanations import LocalExplanations
    from normlime_fast._results.importance import Importance
    from normlime_fast._results.statistics import ImportanceStatistics

# The checks ignore float errors, since some releases of numpy warn of NaN >= 0 as invalid.


def validate_local(local: "LocalExplanations") -> None:
    """Raise ValueError if the explanations are inconsistent."""
    weights = local.weights
    indptr, indices = weights.indptr, weights.indices
    if not len(indptr) - 1 == len(local.status) == weights.shape[0]:
        raise ValueError(f"weights must have one row per status, {len(local.status)}, got {len(indptr) - 1}")
    if indptr[0] != 0 or indptr[-1] != len(indices) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("weights must have an indptr that goes from 0 to the number of weights and never decreases")
    if indices.size and not (indices.min() >= 0 and indices.max() < weights.shape[1]):
        raise ValueError(f"weights must have column indices from 0 to {weights.shape[1] - 1}")
    rises = np.append(indices[1:] > indices[:-1], True)
    rises[indptr[1:] - 1] = True
    if not rises.all():
        raise ValueError("weights must have sorted, unique columns in each row, as after sum_duplicates()")
    if not np.isfinite(weights.data).all():
        raise ValueError("weights must be finite")
    if not np.isin(local.status, list(Status)).all():
        raise ValueError(f"status must be from 0 to {max(Status)}")
    empty = tuple(int(status) for status in Status if status.empty)
    if np.diff(indptr)[np.isin(local.status, empty)].any():
        raise ValueError(f"weights must be empty where status is one of {empty}")
    for name in ("contributions", "stderr"):
        matrix = getattr(local, name)
        if matrix is None:
            continue
        if not (np.array_equal(matrix.indptr, indptr) and np.array_equal(matrix.indices, indices)):
            raise ValueError(f"{name} must be None, or there for the same features as the weights")
        if not (np.isfinite(matrix.data) | (np.isnan(matrix.data) & (name == "stderr"))).all():
            raise ValueError(f"{name} must be finite")
    if local.stderr is not None and (local.stderr.data < 0).any():
        raise ValueError("stderr must be at least 0")
    if local.sample_set is not None and not (local.sample_set >= 0).all():
        raise ValueError("sample_set must be at least 0")
    _check_rows(local)


@ignoring_float_errors
def _check_rows(local: "LocalExplanations") -> None:
    failed = np.isin(local.status, SKIPPED)
    for name in ("intercept", "r2", "prediction"):
        values, unknown = getattr(local, name), failed | (name != "intercept")  # NaN in results of other tools
        if not (np.isfinite(values) | (unknown & np.isnan(values))).all():
            raise ValueError(f"{name} must be finite")
    effective = local.effective_samples
    largest = np.where(failed | (local.status == Status.NO_FEATURES), 0.0, np.finfo(np.float64).max)
    if not (((effective >= 0) & (effective <= largest)) | np.isnan(effective)).all():
        statuses = f"{Status.MODEL_FAILED}, {Status.NO_FEATURES} or {Status.INVALID_ROW}"
        raise ValueError(f"effective_samples must be finite, at least 0, and 0 where status is {statuses}")
    if not (local.instance >= 0).all() or not (local.target >= np.where(failed, -1, 0)).all():
        raise ValueError("instance and target must be at least 0")
    d = local.weights.shape[1]
    if local.feature_names is not None and len(local.feature_names) != d:
        raise ValueError(f"feature_names must have {d} names, got {len(local.feature_names)}")
    if local.target_names is not None and (local.target >= len(local.target_names)).any():
        raise ValueError(f"target must be below the number of target_names, {len(local.target_names)}")


def as_counts(numbers: Array, name: str) -> Array:
    """Return counts of any integer dtype as int64; sums of them neither overflow nor become floats."""
    for number in (numbers.min(initial=0), numbers.max(initial=0)):
        if not 0 <= number <= 2**53:
            raise ValueError(f"{name} must be from 0 to 2^53, got {number}")
    return numbers.astype(np.int64)


@ignoring_float_errors
def validate_importance(result: "Importance") -> None:
    """Raise ValueError if the importance is inconsistent."""
    if result.counts.shape != result.values.shape or (
        result.stderr is not None and result.stderr.shape != result.values.shape
    ):
        raise ValueError(f"counts and stderr must have the shape of values, {result.values.shape}")
    shape = result.values.shape[:-1]
    if result.explanations.shape != shape or shape != (() if result.groups is None else result.groups.shape):
        raise ValueError(f"groups must have one label per row of values, got values of shape {result.values.shape}")
    if result.feature_names is not None and len(result.feature_names) != result.values.shape[-1]:
        raise ValueError(f"feature_names must have {result.values.shape[-1]} names, got {len(result.feature_names)}")
    if result.kind not in get_args(Kind) or result.sign not in get_args(Sign):
        expected = f"kind must be one of {', '.join(get_args(Kind))}, sign one of {', '.join(get_args(Sign))}"
        raise ValueError(f"{expected}, got {result.kind!r:.50} and {result.sign!r:.50}")
    if (result.stderr is None) != (result.kind in ("l2", "sp_lime", "sum")):
        raise ValueError(f"stderr must be present if, and only if, the kind is a mean, got {result.kind!r}")
    if result.stderr is not None and (result.stderr < 0).any():
        raise ValueError("stderr must be at least 0")
    if result.skewness is not None and (result.stderr is None or result.skewness.shape != result.values.shape):
        raise ValueError(f"skewness must have the shape of values, {result.values.shape}, where there is stderr")
    if result.shrink and (result.kind != "normlime" or result.sign == "net" or result.skewness is not None):
        raise ValueError(
            f"shrink needs kind normlime, a sign other than net and no skewness, got {result.kind!r}, {result.sign!r}"
        )
    if result.debias and (result.shrink or result.kind in ("mean", "sum")):
        raise ValueError(f"debias needs kind normlime, l2, sp_lime or mean_abs, and no shrink, got {result.kind!r}")
    if result.effective is not None and (result.stderr is None or result.effective.shape != result.values.shape):
        raise ValueError(f"effective must have the shape of values, {result.values.shape}, where there is stderr")
    if result.effective is not None and not ((result.effective >= 0) & (result.effective < np.inf)).all():
        raise ValueError("effective must be finite and at least 0")
    if result.sets is not None and (result.sets.shape != shape or not (result.sets >= 0).all()):
        raise ValueError(f"sets must have the shape of explanations, {shape}, and be at least 0")
    if np.isnan(result.values).any():
        raise ValueError("values must not be NaN")
    if not ((result.counts >= 0) & (result.counts <= result.explanations[..., None])).all():
        raise ValueError("counts must be from 0 to the number of explanations")
    as_counts(result.explanations, "explanations")
    least = result.min_count or 1
    hidden = result.counts < least
    if least > 1 and (
        result.values[hidden].any() or (result.stderr is not None and (result.stderr[hidden] >= 0).any())
    ):
        raise ValueError("values must be 0, and stderr NaN, where counts are below min_count")


@ignoring_float_errors
def validate_statistics(result: "ImportanceStatistics") -> None:
    """Raise ValueError if the statistics are inconsistent."""
    if result.groups is None and len(result.sums) != 1:
        raise ValueError(f"groups must have labels for {len(result.sums)} groups, got None")
    if result.groups is not None:
        if result.groups.shape != result.explanations.shape:
            got = f"{len(result.sums)}, got shape {result.groups.shape}"
            raise ValueError(f"groups must have one label per row of sums, {got}")
        try:
            distinct = len(np.unique(result.groups)) == len(result.groups) and not np.any(
                result.groups != result.groups
            )
        except TypeError:  # objects without an order
            distinct = False
        if not distinct:
            raise ValueError("groups must be unique labels that can be sorted")
    if result.feature_names is not None and len(result.feature_names) != result.sums.shape[2]:
        raise ValueError(f"feature_names must have {result.sums.shape[2]} names, got {len(result.feature_names)}")
    column = np.arange(result.sums.shape[3])
    negative = np.isfinite(result.sums) & np.isin(column, (1, 3, 5, 6)) & (result.debiased is not None)
    if not ((result.sums >= 0) | negative | (np.isnan(result.sums) & (column >= 5))).all():
        raise ValueError("sums must be at least 0")
    if result.debiased is not None and not np.isfinite(result.debiased).all():
        raise ValueError("debiased must be finite")
    if (result.row_weights is None) != (result.group_weights is None):
        raise ValueError("row_weights and group_weights must both be there, or neither")
    if not 0.0 < result.unit < np.inf:
        raise ValueError(f"unit must be finite and larger than 0, got {result.unit}")
    if (result.set_sums is None) != (result.set_explanations is None):
        raise ValueError("set_sums and set_explanations must both be there, or neither")
    for name in ("row_weights", "group_weights", "set_sums", "set_explanations"):
        array = getattr(result, name)
        if array is not None and name == "set_sums" and result.debiased is not None:
            array = np.concatenate([array[..., :1], np.abs(array[..., 1:])], axis=-1)
        if array is not None and not ((array >= 0) & (array < np.inf)).all():
            raise ValueError(f"{name} must be finite and at least 0")
    as_counts(result.explanations, "explanations")
    counts = result.sums[..., 0]
    if (counts != np.floor(counts)).any() or not (counts.sum(axis=1) <= result.explanations[:, None]).all():
        raise ValueError("sums must begin with counts: whole numbers, at most the number of explanations")
