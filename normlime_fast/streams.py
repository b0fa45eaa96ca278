"""Where rows come from: a table, a stream of batches, or the partitions of a Dask collection; in blocks."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast.checks import Array, as_array, as_labels, dask_client, shown
from normlime_fast.rows import Rows, joined

AsRows = Callable[[Any, str], Rows]  # takes a batch, and what messages call it
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

    def __len__(self) -> int:
        return self.whole.count

    def slices(self, size: int) -> list[slice]:
        """Cut the rows into blocks of `size`."""
        return [slice(first, min(first + size, len(self))) for first in range(0, len(self), size)]

    def rows(self, here: slice) -> Rows:
        """Return the rows of a block."""
        return self.whole.take(here)

    def identity(self) -> dict[str, Any]:
        """What tells this table from others, by name."""
        return self.whole.identity()


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


def blocks_of_batches(batches: Any, by: By, first: int, size: int, as_rows: AsRows) -> Iterator[Block]:
    """Cut a stream into blocks of `size` rows, numbered from `first`, wherever its batches begin and end."""
    held: list[Block] = []  # what is not yet a block
    for piece in _pieces(batches, by, first, size, as_rows):
        held.append(piece)
        if piece.numbers[-1] - held[0].numbers[0] + 1 >= size:
            joined = _joined(held)
            yield _cut(joined, slice(size))
            held = [_cut(joined, slice(size, None))] if len(joined.numbers) > size else []
    if held:
        yield _joined(held)


def _pieces(batches: Any, by: By, first: int, size: int, as_rows: AsRows) -> Iterator[Block]:
    """Check the batches of a stream, and cut those that are larger than `size`."""
    seen = 0
    like: Rows | None = None
    for k, batch in enumerate(_batches(batches, size)):
        try:
            if _is_empty(batch):
                continue
            rows = as_rows(batch, "batch")
            like = like or rows
            _check_alike(rows, like)
            count = rows.count
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
    if _is_text(batches):
        table = getattr(batches, "iloc", batches)  # of a Series
        return (table[first : first + size] for first in range(0, len(batches), size))
    if isinstance(batches, list | tuple) and len(batches) and not _is_text(batches[0]):
        first_of_all = as_array(batches[0], "batches")
        if first_of_all.ndim == 1:
            batches = as_array(batches, "batches")  # a list of rows
    if len(getattr(batches, "shape", ())) >= 2:  # any kind of table, also one that is not in memory
        table = getattr(batches, "iloc", batches)
        table = table.tocsr() if hasattr(table, "tocsr") else table  # not every sparse matrix can be cut
        return (table[first : first + size] for first in range(0, batches.shape[0], size))
    if isinstance(batches, str | bytes | dict) or hasattr(batches, "shape") or not isinstance(batches, Iterable):
        raise TypeError(f"batches must be a table or an iterable of blocks of rows, got {type(batches).__name__}")
    return batches


def _is_text(rows: Any) -> bool:
    """Whether rows are texts, going by the first."""
    known = isinstance(rows, list | tuple) or len(getattr(rows, "shape", ())) == 1
    return known and len(rows) > 0 and isinstance(next(iter(rows)), str)


def _is_empty(batch: Any) -> bool:
    """Whether a batch has no rows; one without a length is not for this function to refuse."""
    shape = getattr(batch, "shape", None)
    if shape:  # a sparse matrix has no other length
        return bool(shape[0] == 0)
    return hasattr(batch, "__len__") and len(batch) == 0


def _check_alike(rows: Rows, like: Rows) -> None:
    if type(rows.values) is not type(like.values):
        kinds = f"{type(like.values).__name__} and then {type(rows.values).__name__}"
        raise TypeError(f"batches must be of one kind, got {kinds}")
    shapes = [r.values.shape[1:] for r in (like, rows)]
    if rows.feature_names != like.feature_names or shapes[0] != shapes[1]:
        if len(shapes[0]) != 1 or len(shapes[1]) != 1:
            raise ValueError(f"batches must have rows of one shape, got {shapes[0]} and then {shapes[1]}")
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
    rows = replace(pieces[0].rows, values=joined([piece.rows.values for piece in pieces]))
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    return Block(rows, np.concatenate([piece.numbers for piece in pieces]), np.concatenate(labels) if labels else None)


def _cut(block: Block, here: slice) -> Block:
    labels = None if block.labels is None else block.labels[here]
    return Block(block.rows.take(here), block.numbers[here], labels)


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
