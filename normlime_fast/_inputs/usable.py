"""Rows of which some cannot be used: the others stand in for them, and a mark says which."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from normlime_fast._checks import as_array, as_frame, error_text, is_sparse
from normlime_fast._inputs.rows import Rows
from normlime_fast._inputs.sources import UNUSABLE, length

Checked = Callable[[Any, str], Rows]  # the user's rows, and what messages call them: raises if one cannot be used


def usable_rows(checked: Checked, X: Any, name: str = "X", most: int | None = UNUSABLE) -> Rows:
    """Return the rows that `checked` takes, with others standing in for the rest.

    Its error is raised if it takes no row, or none of the first `most`. Of n rows, k of which it refuses, it looks at
    O(k log n) parts.
    """
    try:
        return checked(X, name)
    except (TypeError, ValueError) as error:
        table = _as_table(X, name)
        usable = np.zeros(length(table), bool)

        def look(start: int, stop: int) -> None:
            try:
                _checked_numbers(checked, _part_of(table, slice(start, stop)), name)
                usable[start:stop] = True
            except (TypeError, ValueError):
                if stop - start > 1:
                    look(start, (start + stop) // 2)
                    look((start + stop) // 2, stop)

        begin = min(len(usable), most or len(usable))
        if begin:
            look(0, begin)
        if not usable.any():
            raise
        if begin < len(usable):
            look(begin, len(usable))
        rows = _checked_numbers(checked, _part_of(table, np.flatnonzero(usable)), name)
        stands = np.maximum(np.cumsum(usable) - 1, 0)
        return replace(rows.take(stands), usable=usable, fault=error_text(error))


def _as_table(X: Any, name: str) -> Any:
    """Return what can be cut into parts."""
    frame = as_frame(X, name)
    if frame is not None:
        return frame
    if is_sparse(X):
        return X.tocsr()
    known = isinstance(X, np.ndarray | list | tuple) or hasattr(X, "iloc")
    return X if known else as_array(X, name)


def _part_of(table: Any, here: Any) -> Any:
    if isinstance(table, list | tuple):
        return table[here] if isinstance(here, slice) else [table[k] for k in here]
    return getattr(table, "iloc", table)[here]


def _checked_numbers(checked: Checked, part: Any, name: str) -> Rows:
    """Check some rows, of which a column is one of numbers if that is what they have in it."""
    try:
        return checked(part, name)
    except TypeError:
        if not hasattr(part, "infer_objects"):
            raise
        return checked(part.infer_objects(), name)
