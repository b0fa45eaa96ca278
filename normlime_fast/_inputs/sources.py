"""Where rows come from: a table, a stream of batches, or the partitions of a Dask collection; in blocks."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_array, as_frame, as_names, dask_client, error_text, short_repr
from normlime_fast._inputs.labels import savable, unified, without
from normlime_fast._inputs.rows import Rows, joined

By = str | Array | Callable[[Any], ArrayLike] | None  # of what users pass, `as_by` makes that

UNUSABLE = 100  # rows at the beginning: if none of them can be used, it is the table that is wrong


class Block(NamedTuple):
    """Rows that are explained together."""

    rows: Any  # Rows, or what becomes an array or a DataFrame where it is worked on
    instance_ids: Array
    labels: Array | None = None  # masked where a row has none


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


def as_grouping(by: Any, total: int | None, skip: bool) -> By:
    """Return what a stream is to be grouped by, `total` rows as far as that is known."""
    if isinstance(by, str) and by != "target":
        raise ValueError(f'by must be None, "target", a callable or one label per row, got {short_repr(by)}')
    if by is None or isinstance(by, str) or callable(by):
        known: By = by
        return known
    labels = by if isinstance(by, np.ma.MaskedArray) else as_array(by, "by")
    if labels.ndim != 1:
        raise ValueError(f"by must have one label per row, got shape {labels.shape}")
    if total is not None and len(labels) != total:
        raise ValueError(f"by must have one label per row, {total}, got {len(labels)}")
    return _known(labels, "by", 0, skip)


def no_label(name: str, row: int, got: str = "none") -> ValueError:
    """Return what is said of a row without a label."""
    what = "fill it, such as by 'missing', or leave the row out by on_error=\"skip\""
    return ValueError(f"{name} must have a finite label for every row, got {got} for row {row}; {what}")


def _known(labels: Array, name: str, first: int, skip: bool) -> Array:
    """Return labels, the first of row `first`, as `save` takes them; masked where there are none, if `skip`."""
    none = without(labels)
    if not none.any():
        return savable(np.asarray(labels), name)
    if not skip:
        at = int(none.argmax())
        raise no_label(name, first + at, short_repr(labels[at], str))
    there = savable(np.asarray(labels[~none]), name) if not none.all() else np.zeros(1, bool)
    return np.ma.MaskedArray(there[np.maximum(np.cumsum(~none) - 1, 0)], none)


def blocks_of_batches(
    batches: Any, by: By, first: int, size: int, as_rows: Callable[..., Rows], skip: bool = False
) -> Iterator[Block]:
    """Cut a stream into blocks of `size` rows, numbered from `first`, wherever its batches begin and end.

    as_rows takes a batch, and what messages call it; if `skip`, also how many of its first rows at most are refused.
    """
    held: list[Block] = []  # what is not yet a block
    for piece in _pieces(batches, by, first, size, as_rows, skip):
        held.append(piece)
        if piece.instance_ids[-1] - held[0].instance_ids[0] + 1 >= size:
            joined = _joined(held)
            yield _cut(joined, slice(size))
            held = [_cut(joined, slice(size, None))] if len(joined.instance_ids) > size else []
    if held:
        yield _joined(held)


def _pieces(batches: Any, by: By, first: int, size: int, as_rows: Callable[..., Rows], skip: bool) -> Iterator[Block]:
    """Check the batches of a stream, and cut those that are larger than `size`."""
    read = _Reader(by, as_rows, skip)
    for k, batch in enumerate(_batches(batches, size)):
        before = read.count + read.early
        try:
            if _is_empty(batch):
                continue
            rows, labels = read.batch(batch)
        except Exception as error:
            error.add_note(f"normlime_fast: this is batch {k} of the stream, which begins with row {before}")
            raise
        if rows is None:
            continue
        whole = Block(rows, np.arange(first + read.count - rows.count, first + read.count), labels)
        for begin in range(0, rows.count, size):
            yield _cut(whole, slice(begin, begin + size))
    if read.refused is not None:
        raise read.refused
    if read.count == 0:
        raise ValueError("batches must have at least one row, got none")
    if isinstance(by, np.ndarray) and len(by) > read.count:
        raise ValueError(f"by must have one label per row, {read.count}, got {len(by)}")


class _Reader:
    """Makes rows of one kind, with labels of one dtype, of the batches of a stream."""

    def __init__(self, by: By, as_rows: Callable[..., Rows], skip: bool) -> None:
        self.by, self.as_rows, self.skip = by, as_rows, skip
        self.count = 0  # of rows that were returned
        self.early = 0  # of rows after these, all of which wait for the first that can be used
        self.refused: Exception | None = None  # why they do
        self.like: Rows | None = None  # one that can be used
        self.ends: Array | None = None  # the least and the greatest label

    def batch(self, batch: Any) -> tuple[Rows | None, Array | None]:
        """Return the rows of a batch, after those that wait, and their labels; None as long as no row can be used."""
        rows = self._rows(batch)
        if rows is None:
            self.early += length(batch)
            return None, None
        labels = None if self.by is None or isinstance(self.by, str) else self._labels(batch, rows.count)
        if self.refused is not None and self.like is not None:
            rows = _together([standing_in(self.like, self.early, error_text(self.refused)), rows])
            if labels is not None:
                labels = _in_one_dtype([np.ma.MaskedArray(np.zeros(self.early, labels.dtype), True), labels])
        self.count, self.early, self.refused = self.count + rows.count, 0, None
        return rows, labels

    def _rows(self, batch: Any) -> Rows | None:
        most = () if not self.skip else (None,) if self.like is not None else (UNUSABLE - self.early,)
        try:
            rows = self.as_rows(batch, "batch", *most)
        except (TypeError, ValueError) as error:
            if self.like is None:
                if not self.skip or self.early + length(batch) >= UNUSABLE:
                    raise
                self.refused = self.refused or error
                return None
            if not self.skip or not _has_columns_of(batch, self.like):
                raise
            return standing_in(self.like, length(batch), error_text(error))
        if self.like is None:
            at = 0 if rows.usable is None else int(rows.usable.argmax())
            self.like = replace(rows.take(np.array([at])), usable=None, fault=None)  # not all of the batch
        _check_alike(rows, self.like)
        return rows

    def _labels(self, batch: Any, count: int) -> Array:
        """Return labels of the rows of a batch in a dtype that holds all labels so far."""
        row = self.count + self.early
        if callable(self.by):
            name, of, found = "by(batch)", "row of the batch", self.by(batch)
            labels = found if isinstance(found, np.ma.MaskedArray) else as_array(found, name)
            if isinstance(found, list | tuple) and labels.dtype.kind in "biufU":
                labels = np.array(found, object)  # so that, as elsewhere in the stream, 1 does not become "1" or True 1
        else:
            name, of, labels = "by", "row", np.asanyarray(self.by)[row : row + count]
        if labels.shape != (count,):
            raise ValueError(f"{name} must have one label per {of}, shape ({count},), got shape {labels.shape}")
        labels = _known(labels, name, row, self.skip)
        there = np.asarray(labels[~np.ma.getmaskarray(labels)])
        if len(there):
            ends, there = (there, there) if self.ends is None else unified(self.ends, there, f"{name} must have")
            self.ends = np.sort(np.concatenate([ends, there]))[[0, -1]]
        return labels if self.ends is None else labels.astype(self.ends.dtype)


def standing_in(like: Rows, count: int, fault: str) -> Rows:
    """Return as many rows that cannot be used, for a fault."""
    return replace(like.take(np.zeros(count, np.intp)), usable=np.zeros(count, bool), fault=fault)


def length(X: Any) -> int:
    """Return how many rows X has, an array, a table or a list."""
    shape = getattr(X, "shape", None)  # a sparse matrix has no other length
    if shape is None:
        return len(X)
    return int(shape[0]) if shape else 0


def _has_columns_of(batch: Any, like: Rows) -> bool:
    frame = as_frame(batch, "batch")
    shape = getattr(batch, "shape", (None,))
    names = None if frame is None else as_names(frame.columns)
    return names == like.feature_names and (len(shape) < 2 or tuple(shape[1:]) == like.values.shape[1:])


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
    return bool(getattr(batch, "shape", None) or hasattr(batch, "__len__")) and length(batch) == 0


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


def _joined(pieces: list[Block]) -> Block:
    if len(pieces) == 1:
        return pieces[0]
    instance_ids = np.concatenate([piece.instance_ids for piece in pieces])
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    return Block(_together([piece.rows for piece in pieces]), instance_ids, _in_one_dtype(labels) if labels else None)


def _together(parts: list[Rows]) -> Rows:
    values, usable = joined([part.values for part in parts]), None
    if any(part.usable is not None for part in parts):
        usable = np.concatenate([np.ones(part.count, bool) if part.usable is None else part.usable for part in parts])
    return replace(
        parts[0], values=values, usable=usable, fault=next((part.fault for part in parts if part.fault), None)
    )


def _in_one_dtype(labels: list[Array]) -> Array:
    """Put labels together in the dtype of the last, which holds all labels so far."""
    alike = [part.astype(labels[-1].dtype) for part in labels]
    masked = any(isinstance(part, np.ma.MaskedArray) for part in alike)
    concatenate: Any = np.ma.concatenate if masked else np.concatenate
    together: Array = concatenate(alike)
    return together


def _cut(block: Block, here: slice) -> Block:
    labels = None if block.labels is None else block.labels[here]
    return Block(block.rows.take(here), block.instance_ids[here], labels)


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
    labels = by if isinstance(by, np.ndarray) else None
    for here in table.slices(0):
        instance_ids = np.arange(first + here.start, first + here.stop)
        yield Block(table.rows(here), instance_ids, None if labels is None else labels[here])
