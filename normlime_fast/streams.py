"""Where rows come from: a table, a stream of batches, or the partitions of a Dask collection; in blocks."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast.checks import Array, Rows, as_array, as_labels, as_rows, dask_client, shown

By = str | Array | Callable[[Any], ArrayLike] | None  # of what users pass, `as_by` makes that


class Block(NamedTuple):
    """Rows that are explained together."""

    rows: Any  # Rows, or what becomes an array or a DataFrame where it is worked on
    numbers: Array
    labels: Array | None = None


class Table:
    """Rows in memory."""

    def __init__(self, rows: Rows) -> None:
        self.whole = rows
        self.n_columns = rows.values.shape[1]

    def __len__(self) -> int:
        return len(self.whole.values)

    def slices(self, size: int) -> list[slice]:
        """Cut the rows into blocks of `size`."""
        return [slice(first, min(first + size, len(self))) for first in range(0, len(self), size)]

    def rows(self, here: slice) -> Rows:
        """Return the rows of a block."""
        return Rows(self.whole.values[here], self.whole.frame)

    def identity(self) -> dict[str, Any]:
        """What tells this table from others, by name."""
        values, frame = self.whole.values, self.whole.frame
        return {
            "X of shape": list(values.shape),
            "X of dtype": str(values.dtype),
            "columns": None if frame is None else [f"{name} {dtype}" for name, dtype in frame.dtypes.items()],
            "values of X": values,
        }


def as_by(by: Any) -> By:
    """Return what a stream is to be grouped by."""
    if isinstance(by, str) and by != "target":
        raise ValueError(f'by must be None, "target", a callable or one label per row, got {shown(by)}')
    if by is None or isinstance(by, str) or callable(by):
        known: By = by
        return known
    labels = as_array(by, "by")
    if labels.ndim != 1:
        raise ValueError(f"by must have one label per row, got shape {labels.shape}")
    return labels


def blocks_of_batches(batches: Any, by: By, first: int, size: int) -> Iterator[Block]:
    """Cut a stream into blocks of `size` rows, numbered from `first`, wherever its batches begin and end."""
    held: list[Block] = []  # what is not yet a block
    for piece in _pieces(batches, by, first, size):
        held.append(piece)
        if piece.numbers[-1] - held[0].numbers[0] + 1 >= size:
            joined = _joined(held)
            yield _cut(joined, slice(size))
            held = [_cut(joined, slice(size, None))] if len(joined.numbers) > size else []
    if held:
        yield _joined(held)


def _pieces(batches: Any, by: By, first: int, size: int) -> Iterator[Block]:
    """Check the batches of a stream, and cut those that are larger than `size`."""
    seen = 0
    like: Rows | None = None
    for k, batch in enumerate(_batches(batches, size)):
        if len(batch) == 0:
            continue
        try:
            rows = as_rows(batch, "batch")
            like = like or rows
            _check_alike(rows, like)
            count = len(rows.values)
            whole = Block(rows, np.arange(first + seen, first + seen + count), _labels(by, batch, seen, count))
        except Exception as error:
            error.add_note(f"normlime_fast: this is batch {k} of the stream, which begins with row {seen}")
            raise
        seen += count
        for begin in range(0, count, size):
            yield _cut(whole, slice(begin, begin + size))
    if seen == 0:
        raise ValueError("batches must have at least one row, got none")
    if isinstance(by, np.ndarray) and len(by) > seen:
        raise ValueError(f"by must have one label per row, {seen}, got {len(by)}")


def _batches(batches: Any, size: int) -> Iterable[Any]:
    if isinstance(batches, list | tuple) and len(batches) and as_array(batches[0], "batches").ndim == 1:
        batches = as_array(batches, "batches")  # a list of rows
    if len(getattr(batches, "shape", ())) == 2:  # any kind of table, also one that is not in memory
        table = getattr(batches, "iloc", batches)
        return (table[first : first + size] for first in range(0, batches.shape[0], size))
    if isinstance(batches, str | bytes | dict) or hasattr(batches, "shape") or not isinstance(batches, Iterable):
        raise TypeError(f"batches must be a table or an iterable of blocks of rows, got {type(batches).__name__}")
    return batches


def _check_alike(rows: Rows, like: Rows) -> None:
    if rows.feature_names != like.feature_names or rows.values.shape[1] != like.values.shape[1]:
        columns = [r.feature_names or f"{r.values.shape[1]} columns" for r in (like, rows)]
        raise ValueError(f"batches must have the same columns, got {columns[0]} and then {columns[1]}")
    if rows.values.dtype != like.values.dtype:
        raise ValueError(f"batches must have one dtype, got {like.values.dtype} and then {rows.values.dtype}")


def _labels(by: By, batch: Any, first: int, count: int) -> Array | None:
    """Labels of the rows of a batch, whose first one is number `first` of the stream."""
    if by is None or isinstance(by, str):
        return None
    if callable(by):
        return as_labels(by(batch), "by(batch)", count, "row of the batch")
    return as_labels(by[first : first + count], "by", count, "row")


def _joined(pieces: list[Block]) -> Block:
    if len(pieces) == 1:
        return pieces[0]
    rows = Rows(np.concatenate([piece.rows.values for piece in pieces]), pieces[0].rows.frame)
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    return Block(rows, np.concatenate([piece.numbers for piece in pieces]), np.concatenate(labels) if labels else None)


def _cut(block: Block, here: slice) -> Block:
    labels = None if block.labels is None else block.labels[here]
    return Block(Rows(block.rows.values[here], block.rows.frame), block.numbers[here], labels)


# --- Dask


def is_dask(X: object) -> bool:
    """Whether X is a Dask array or dataframe."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed") and hasattr(X, "ndim")


class Partitions:
    """The partitions of a Dask array or dataframe, which are blocks and stay where they are."""

    def __init__(self, X: Any, executor: Executor | None) -> None:
        dask: Any = import_module("dask")  # of the user, who has a collection of it
        self.client = dask_client(executor)
        if executor is not None and self.client is None:
            raise TypeError("executor must be client.get_executor() of a Dask client where X is a Dask collection")
        if X.ndim != 2:
            raise ValueError(f"X must be 2-D, got shape {X.shape}")
        self.n_columns = int(X.shape[1])
        self.token = dask.base.tokenize(X)
        if hasattr(X, "chunks"):
            X = X.rechunk({1: -1})
            parts, lengths = X.to_delayed().ravel().tolist(), X.chunks[0]
        else:
            parts, lengths = X.to_delayed(), (np.nan,)
        if np.isnan(lengths).any():  # they alone are computed, and come here
            counted = [dask.delayed(len)(part) for part in parts]
            lengths = (
                dask.compute(*counted) if self.client is None else self.client.gather(self.client.compute(counted))
            )
        stops = np.cumsum(lengths).tolist()
        if not sum(lengths):
            raise ValueError(f"X must not be empty, got shape (0, {self.n_columns})")
        self.parts = {stop - length: part for part, length, stop in zip(parts, lengths, stops, strict=True) if length}
        self.stops = stops

    def __len__(self) -> int:
        return int(self.stops[-1]) if self.stops else 0

    def slices(self, size: int) -> list[slice]:
        """One block a partition."""
        firsts = sorted(self.parts)
        return [slice(first, stop) for first, stop in zip(firsts, [*firsts[1:], len(self)], strict=True)]

    def rows(self, here: slice) -> Any:
        """Return what will be the rows of a block; here only if there is no client."""
        part = self.parts[here.start]
        return part.compute() if self.client is None else self.client.compute(part)

    def identity(self) -> dict[str, Any]:
        """What tells this collection from others, by name."""
        return {"X of shape": [len(self), self.n_columns], "partitions": sorted(self.parts), "values of X": self.token}


def blocks_of_partitions(table: Partitions, by: By, first: int) -> Iterator[Block]:
    """Every partition as a block, numbered from `first`."""
    if callable(by):
        raise TypeError('by must be None, "target" or one label per row where X is a Dask collection')
    labels = as_labels(by, "by", len(table), "row") if isinstance(by, np.ndarray) else None
    numbers = np.arange(first, first + len(table))
    for here in table.slices(0):
        yield Block(table.rows(here), numbers[here], None if labels is None else labels[here])
