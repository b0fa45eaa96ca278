"""What the standard errors of local weights say: which weights are not noise, and how many samples would do."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import Array, as_count, as_positive, as_probability, ignoring_float_errors
from normlime_fast._status import Status

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from normlime_fast._results.explanations import LocalExplanations

LEADING = 0.5  # weights of at least this share of the largest


@ignoring_float_errors
def significant(local: "LocalExplanations", level: float) -> "LocalExplanations":
    """See `LocalExplanations.significant`."""
    from scipy.special import stdtrit  # imported here: at the top, most of the time of `import normlime_fast`

    level = as_probability(level, "level")
    weights, errors = local.weights, _errors(local, "significant")
    rows, used = _rows(weights), np.diff(weights.indptr)
    threshold = -stdtrit(local.effective_samples - used - 1.0, level / (2.0 * weights.shape[1]))
    kept = (np.abs(weights.data) > threshold[rows] * errors) & (weights.data != 0)  # not where an error is NaN
    fields: dict[str, Any] = {}
    for name in ("weights", "contributions", "stderr"):
        matrix = getattr(local, name)
        fields[name] = None if matrix is None else _entries(matrix, kept, rows)
    intercept = local.intercept.copy()
    if local.contributions is not None:
        intercept -= np.bincount(rows[~kept], local.contributions.data[~kept], len(local))
    fewer = (local.status == Status.OK) & (np.diff(fields["weights"].indptr) < used)
    status = np.where(fewer, int(Status.FEWER_FEATURES), local.status).astype(local.status.dtype)
    return replace(local[:], intercept=intercept, status=status, **fields)


@ignoring_float_errors
def samples_for(local: "LocalExplanations", error: float, n_samples: int) -> Array:
    """See `LocalExplanations.samples_for`."""
    error, n_samples = as_positive(error, "error"), as_count(n_samples, "n_samples")
    weights, errors = local.weights, _errors(local, "samples_for")
    rows, used, effective = _rows(weights), np.diff(weights.indptr), local.effective_samples
    size, largest, worst = np.abs(weights.data), np.zeros(len(local)), np.full(len(local), -np.inf)
    np.maximum.at(largest, rows, size)
    leading = size >= LEADING * largest[rows]
    np.maximum.at(worst, rows[leading], errors[leading])  # NaN if one is
    free = used + 1.0  # variances are in inverse proportion to what is left of the effective samples
    needed = free + np.maximum((effective - free) * (worst / error) ** 2, 1.0)
    numbers: Array = np.ceil(np.round(n_samples * (needed / effective), 6))  # rounding adds no sample
    return np.where(used > 0, numbers, np.nan)


def _errors(local: "LocalExplanations", method: str) -> Array:
    from normlime_fast._results.explanations import NO_STDERR

    if local.stderr is None:
        raise ValueError(f"{method} needs standard errors, got none: {NO_STDERR}")
    return local.stderr.data


def _rows(matrix: "csr_array") -> Array:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _entries(matrix: "csr_array", kept: Array, rows: Array) -> "csr_array":
    """Return a matrix with some of the entries, and the same dtypes."""
    from scipy.sparse import csr_array

    result = csr_array(matrix.shape)
    result.data, result.indices = matrix.data[kept], matrix.indices[kept]
    result.indptr = np.zeros_like(matrix.indptr)
    np.cumsum(np.bincount(rows[kept], minlength=matrix.shape[0]), out=result.indptr[1:])
    return result
