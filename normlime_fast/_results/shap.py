"""Results as `shap.Explanation` objects, for the plots of shap."""

from typing import TYPE_CHECKING, Any

import numpy as np

from normlime_fast._checks import (
    Array,
    as_explained,
    as_names,
    ignoring_float_errors,
    import_optional,
    is_sparse,
)
from normlime_fast._inputs.frames import as_floats, holds
from normlime_fast._results.groups import by_instance, is_counted, to_python

if TYPE_CHECKING:
    from normlime_fast._results.explanations import LocalExplanations
    from normlime_fast._results.importance import Importance

_SHAP = ("shap", "to_shap", '"normlime-fast[shap]"')
_Names = tuple[str, ...] | None


@ignoring_float_errors
def local_to_shap(local: "LocalExplanations", X: Any = None) -> Any:
    """See `LocalExplanations.to_shap`."""
    shap = import_optional(*_SHAP)
    d = local.weights.shape[1]
    instance_ids, rows = by_instance(local.instance)  # rows of X, for every explanation
    names = local.feature_names
    data, names = (None, names) if X is None else _as_data(X, (len(instance_ids), d), names)
    counted = np.flatnonzero(is_counted(local.status))
    if not counted.size:
        raise ValueError(f"to_shap needs explanations, got {len(rows)}, all with status 6 to 9")
    targets = np.unique(local.target[counted])
    order = counted[np.lexsort((local.target[counted], rows[counted]))]
    gridded = len(targets) > 1 and _is_grid(rows[order], local.target[order], targets)
    order = order if gridded else counted
    try:
        terms = local.weights if local.contributions is None else local.contributions
        values: Array = terms[order].toarray()
        base = local.intercept[order] - values.sum(axis=1)
        if gridded:
            values = values.reshape(-1, len(targets), d).swapaxes(1, 2)
            base = base.reshape(-1, len(targets))
            order = order[:: len(targets)]
        if data is not None:
            data = data[rows[order]]
    except MemoryError:
        n, size = len(counted), f"{len(counted) * d * 8 / 2**30:.1f} GiB"
        raise MemoryError(f"to_shap needs {size} for dense weights of {n} explanations, {d} columns") from None
    outputs: Any = _target_names(local, targets)
    if not gridded:
        outputs = outputs[0] if len(targets) == 1 and local.target_names is not None else None
    return shap.Explanation(values, base, data, feature_names=_names(names, d), output_names=outputs)


@ignoring_float_errors
def importance_to_shap(importance: "Importance") -> Any:
    """See `Importance.to_shap`."""
    shap = import_optional(*_SHAP)
    names = _names(importance.feature_names, importance.values.shape[-1])
    axis_name = importance.kind if importance.sign == "absolute" else f"{importance.sign} {importance.kind}"

    def explanation(values: Array, count: int) -> Any:
        result = shap.Explanation(values[None], feature_names=names).mean(0)  # the values themselves, with a history
        step = result.op_history[-1]  # `bar` reads the name of its axis and the size of the group from it
        step.name, step.prev_shape = axis_name, (count, values.size)
        return result

    if importance.groups is None:
        return explanation(importance.values, int(importance.explanations))
    rows = zip(to_python(importance.groups), importance.values, importance.explanations.tolist(), strict=True)
    return {label: explanation(values, count) for label, values, count in rows}


def _as_data(X: Any, shape: tuple[int, int], names: _Names) -> tuple[Array, _Names]:
    """Return X as an array, of floats if all columns are numeric, else of objects; and its column names."""
    table = as_explained(X, shape, names)
    frame = table if hasattr(table, "to_native") else None
    if frame is None:
        array = np.asarray(table.toarray() if is_sparse(table) else table)
        return array.astype(np.float64) if array.dtype.kind in "iub" else array, names
    columns = [frame[:, j] for j in range(frame.shape[1])]
    if all(holds(column) in ("numbers", "bools") for column in columns):
        return np.column_stack([as_floats(column).astype(np.float64) for column in columns]), as_names(frame.columns)
    return np.array([column.to_list() for column in columns], object).T, as_names(frame.columns)


def _is_grid(rows: Array, target: Array, targets: Array) -> bool:
    """Whether every row has each target once, given rows and targets sorted by both."""
    shape = -1, len(targets)
    if len(target) % len(targets) or (target.reshape(shape) != targets).any():
        return False
    by_row = rows.reshape(shape)
    return bool((by_row == by_row[:, :1]).all())


def _target_names(local: "LocalExplanations", targets: Array) -> list[str]:
    if local.target_names is None:
        return [f"Output {target}" for target in targets]
    return [local.target_names[target] for target in targets]


def _names(names: _Names, d: int) -> list[str]:
    """Names of all columns, by default those of shap, with $ escaped so that Matplotlib parses no formulas."""
    if names is None:
        return [f"Feature {j}" for j in range(d)]  # without names some plots fail
    return [name if name.count("$") % 2 else name.replace("$", r"\$") for name in names]
