"""Replace rows that cannot be used by copies of others, and mark them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from normlime_fast._checks import as_array, as_frame, error_text, is_sparse
from normlime_fast._inputs.rows import Rows
from normlime_fast._inputs.sources import UNUSABLE, length

Checked = Callable[[Any, str], Rows]  # (the user's rows, their name in messages): raises if one cannot be used


def usable_rows(checked: Checked, X: Any, name: str = "X", n_first: int | None = UNUSABLE) -> Rows:
    """Return the rows that `checked` accepts, with copies of them in place of the rest.

    Its error is raised if it accepts no row, or none of the first `n_first`. If it refuses k of n rows, it is called
    for O(k log n) parts.
    """
    try:
        return checked(X, name)
    except (TypeError, ValueError) as error:
        table = _as_table(X, name)
        usable = np.zeros(length(table), bool)

        def mark(start: int, stop: int) -> None:
            try:
                _checked_numbers(checked, _part_of(table, slice(start, stop)), name)
                usable[start:stop] = True
            except (TypeError, ValueError):
                if stop - start > 1:
                    mark(start, (start + stop) // 2)
                    mark((start + stop) // 2, stop)

        head = min(len(usable), n_first or len(usable))
        if head:
            mark(0, head)
        if not usable.any():
            raise
        if head < len(usable):
            mark(head, len(usable))
        rows = _checked_numbers(checked, _part_of(table, np.flatnonzero(usable)), name)
        sources = np.maximum(np.cumsum(usable) - 1, 0)  # the last usable row before each, or the first of all
        return replace(rows.take(sources), usable=usable, fault=error_text(error))


def _as_table(X: Any, name: str) -> Any:
    """Return X as an object that can be cut into parts."""
    frame = as_frame(X, name)
    if frame is not None:
        return frame
    if is_sparse(X):
        return X.tocsr()
    can_be_cut = isinstance(X, np.ndarray | list | tuple) or hasattr(X, "iloc")
    return X if can_be_cut else as_array(X, name)


def _part_of(table: Any, rows: Any) -> Any:
    if isinstance(table, list | tuple):
        return table[rows] if isinstance(rows, slice) else [table[k] for k in rows]
    part = getattr(table, "iloc", table)[rows]
    return part.to_native() if hasattr(part, "to_native") else part


def _checked_numbers(checked: Checked, part: Any, name: str) -> Rows:
    """Check some rows; columns of objects count as numeric if these rows have only numbers in them."""
    try:
        return checked(part, name)
    except TypeError:
        if not hasattr(part, "infer_objects"):
            raise
        return checked(part.infer_objects(), name)
