"""Sources of rows: a table, a stream of batches, or the partitions of a Dask collection, cut into blocks."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import (
    Array,
    as_array,
    as_frame,
    as_names,
    as_row_weights,
    dask_client,
    error_text,
    short_repr,
)
from normlime_fast._inputs.labels import savable, unified, without
from normlime_fast._inputs.rows import Rows, joined, with_one_coding

RowWeights = Array | Callable[[Any], ArrayLike] | None  # as returned by `as_weighting`
By = str | Array | Callable[[Any], ArrayLike] | None  # as returned by `as_grouping`

UNUSABLE = 100  # if none of the first so many rows can be used, the table itself is wrong


class Block(NamedTuple):
    """Rows that are explained together."""

    rows: Any  # Rows, or a Dask future of an array or a DataFrame
    instance_ids: Array
    labels: Array | None = None  # masked where a row has none
    weights: Array | None = None


class Table:
    """Rows in memory."""

    def __init__(self, rows: Rows) -> None:
        self.whole = rows

    def __len__(self) -> int:
        return self.whole.count

    def slices(self, size: int) -> list[slice]:
        """Cut the rows into blocks of `size`."""
        return [slice(first, min(first + size, len(self))) for first in range(0, len(self), size)]

    def rows(self, block: slice) -> Rows:
        """Return the rows of a block."""
        return self.whole.take(block)

    def identity(self) -> dict[str, Any]:
        """Return named properties that distinguish this table from others."""
        return self.whole.identity()


def as_grouping(by: Any, total: int | None, skip: bool) -> By:
    """Return the user's grouping of a stream, checked; `total` is the number of rows, if it is known."""
    if isinstance(by, str) and by != "target":
        raise ValueError(f'by must be None, "target", a callable or one label per row, got {short_repr(by)}')
    if by is None or isinstance(by, str) or callable(by):
        grouping: By = by
        return grouping
    labels = by if isinstance(by, np.ma.MaskedArray) else as_array(by, "by")
    if labels.ndim != 1:
        raise ValueError(f"by must have one label per row, got shape {labels.shape}")
    if total is not None and len(labels) != total:
        raise ValueError(f"by must have one label per row, {total}, got {len(labels)}")
    return _as_labels(labels, "by", 0, skip)


def as_weighting(weights: Any, total: int | None) -> RowWeights:
    """Return the user's weights of the rows of a stream, checked; `total` is the number of rows, if it is known."""
    if weights is None or callable(weights):
        weighting: RowWeights = weights
        return weighting
    return as_row_weights(weights, len(weights) if total is None and hasattr(weights, "__len__") else total or 0, "row")


def no_label(name: str, row: int, got: str = "none") -> ValueError:
    """Return the error for a row without a label."""
    advice = "fill it, such as by 'missing', or leave the row out by on_error=\"skip\""
    return ValueError(f"{name} must have a finite label for every row, got {got} for row {row}; {advice}")


def _as_labels(labels: Array, name: str, first: int, skip: bool) -> Array:
    """Return the labels from row `first` on in a dtype that `save` accepts; if `skip`, absent ones are masked."""
    absent = without(labels)
    if not absent.any():
        return savable(np.asarray(labels), name)
    if not skip:
        position = int(absent.argmax())
        raise no_label(name, first + position, short_repr(labels[position], str))
    present = savable(np.asarray(labels[~absent]), name) if not absent.all() else np.zeros(1, bool)
    return np.ma.MaskedArray(present[np.maximum(np.cumsum(~absent) - 1, 0)], absent)


def blocks_of_batches(
    batches: Any,
    by: By,
    first: int,
    size: int,
    as_rows: Callable[..., Rows],
    skip: bool = False,
    weights: RowWeights = None,
) -> Iterator[Block]:
    """Cut a stream into blocks of `size` rows, numbered from `first`, independent of the limits of its batches.

    as_rows takes a batch and its name in messages; if `skip`, also the argument `n_first` of `usable_rows`.
    """
    held: list[Block] = []  # pieces of the next block
    for piece in _pieces(batches, _Reader(by, as_rows, skip, weights), first, size):
        held.append(piece)
        if piece.instance_ids[-1] - held[0].instance_ids[0] + 1 >= size:
            joined = _joined(held)
            yield _cut(joined, slice(size))
            held = [_cut(joined, slice(size, None))] if len(joined.instance_ids) > size else []
    if held:
        yield _joined(held)


def _pieces(batches: Any, read: "_Reader", first: int, size: int) -> Iterator[Block]:
    """Check the batches of a stream, and cut those that are larger than `size`."""
    for k, batch in enumerate(_batches(batches, size)):
        before = read.count + read.early
        try:
            if _is_empty(batch):
                continue
            rows, labels, weights = read.batch(batch)
        except Exception as error:
            error.add_note(f"normlime_fast: this is batch {k} of the stream, which begins with row {before}")
            raise
        if rows is None:
            continue
        whole = Block(rows, np.arange(first + read.count - rows.count, first + read.count), labels, weights)
        for begin in range(0, rows.count, size):
            yield _cut(whole, slice(begin, begin + size))
    if read.refused is not None:
        raise read.refused
    if read.count == 0:
        raise ValueError("batches must have at least one row, got none")
    if isinstance(read.by, np.ndarray) and len(read.by) > read.count:
        raise ValueError(f"by must have one label per row, {read.count}, got {len(read.by)}")
    if isinstance(read.weights, np.ndarray) and len(read.weights) > read.count:
        raise ValueError(f"weights of rows must have shape ({read.count},), got shape {read.weights.shape}")
    if read.weights is not None and not read.weighted:
        raise ValueError("weights of rows must not all be 0, got only zeros")


class _Reader:
    """Turns the batches of a stream into rows of one kind with labels of one dtype."""

    def __init__(self, by: By, as_rows: Callable[..., Rows], skip: bool, weights: RowWeights) -> None:
        self.by, self.as_rows, self.skip, self.weights = by, as_rows, skip, weights
        self.weighted = False  # whether some weight was not 0
        self.count = 0  # of rows returned so far
        self.early = 0  # of unusable rows before the first usable one, not yet returned
        self.refused: Exception | None = None  # the error of the first of these
        self.example: Rows | None = None  # one usable row
        self.ends: Array | None = None  # the least and the greatest label so far

    def batch(self, batch: Any) -> tuple[Rows | None, Array | None, Array | None]:
        """Return the rows of a batch, preceded by early ones, their labels and weights; None until a row is usable."""
        rows = self._rows(batch)
        if rows is None:
            self.early += length(batch)
            return None, None, None
        labels = None if self.by is None or isinstance(self.by, str) else self._labels(batch, rows.count)
        weights = None if self.weights is None else self._weights(batch, rows.count)
        if self.refused is not None and self.example is not None:
            weights = None if weights is None else np.concatenate([np.zeros(self.early), weights])
            rows = _together([standing_in(self.example, self.early, error_text(self.refused)), rows])
            if labels is not None:
                labels = _in_one_dtype([np.ma.MaskedArray(np.zeros(self.early, labels.dtype), True), labels])
        self.count, self.early, self.refused = self.count + rows.count, 0, None
        return rows, labels, weights

    def _weights(self, batch: Any, count: int) -> Array:
        row = self.count + self.early
        weights = self.weights(batch) if callable(self.weights) else np.asarray(self.weights)[row : row + count]
        array = as_row_weights(weights, count, "row", zeros=True)
        self.weighted = self.weighted or bool(array.any())
        return array

    def _rows(self, batch: Any) -> Rows | None:
        n_first = () if not self.skip else (None,) if self.example is not None else (UNUSABLE - self.early,)
        try:
            rows = self.as_rows(batch, "batch", *n_first)
        except (TypeError, ValueError) as error:
            if self.example is None:
                if not self.skip or self.early + length(batch) >= UNUSABLE:
                    raise
                self.refused = self.refused or error
                return None
            if not self.skip or not _has_columns_of(batch, self.example):
                raise
            return standing_in(self.example, length(batch), error_text(error))
        if self.example is None:
            row = 0 if rows.usable is None else int(rows.usable.argmax())
            self.example = replace(rows.take(np.array([row])), usable=None, fault=None)  # a view would keep the batch
        _check_alike(rows, self.example)
        return rows

    def _labels(self, batch: Any, count: int) -> Array:
        """Return the labels of a batch's rows in a dtype that holds all labels so far."""
        row = self.count + self.early
        if callable(self.by):
            name, of, returned = "by(batch)", "row of the batch", self.by(batch)
            labels = returned if isinstance(returned, np.ma.MaskedArray) else as_array(returned, name)
            if isinstance(returned, list | tuple) and labels.dtype.kind in "biufU":
                labels = np.array(returned, object)  # else NumPy would make "1" of 1, or 1 of True
        else:
            name, of, labels = "by", "row", np.asanyarray(self.by)[row : row + count]
        if labels.shape != (count,):
            raise ValueError(f"{name} must have one label per {of}, shape ({count},), got shape {labels.shape}")
        labels = _as_labels(labels, name, row, self.skip)
        present = np.asarray(labels[~np.ma.getmaskarray(labels)])
        if len(present):
            ends = present
            if self.ends is not None:
                ends, present = unified(self.ends, present, f"{name} must have")
            self.ends = np.sort(np.concatenate([ends, present]))[[0, -1]]
        return labels if self.ends is None else labels.astype(self.ends.dtype)


def standing_in(example: Rows, count: int, fault: str) -> Rows:
    """Return `count` copies of a row in place of rows that cannot be used because of a fault."""
    return replace(example.take(np.zeros(count, np.intp)), usable=np.zeros(count, bool), fault=fault)


def length(X: Any) -> int:
    """Return the number of rows of X, an array, a table or a list."""
    shape = getattr(X, "shape", None)  # sparse matrices have no len
    if shape is None:
        return len(X)
    return int(shape[0]) if shape else 0


def _has_columns_of(batch: Any, example: Rows) -> bool:
    frame = as_frame(batch, "batch")
    shape = getattr(batch, "shape", (None,))
    names = None if frame is None else as_names(frame.columns)
    return names == example.feature_names and (len(shape) < 2 or tuple(shape[1:]) == example.values.shape[1:])


def _batches(batches: Any, size: int) -> Iterable[Any]:
    if _is_text(batches):
        table = getattr(batches, "iloc", batches)  # of a Series
        return (table[first : first + size] for first in range(0, len(batches), size))
    if isinstance(batches, list | tuple) and len(batches) and not _is_text(batches[0]):
        batch = as_array(batches[0], "batches")
        if batch.ndim == 1:
            batches = as_array(batches, "batches")  # a list of rows
    if len(getattr(batches, "shape", ())) >= 2:  # any kind of table, also one that is not in memory
        table = getattr(batches, "iloc", batches)
        table = table.tocsr() if hasattr(table, "tocsr") else table  # not every sparse format can be sliced
        return (table[first : first + size] for first in range(0, batches.shape[0], size))
    if isinstance(batches, str | bytes | dict) or hasattr(batches, "shape") or not isinstance(batches, Iterable):
        raise TypeError(f"batches must be a table or an iterable of blocks of rows, got {type(batches).__name__}")
    return batches


def _is_text(rows: Any) -> bool:
    """Return whether rows are texts, judging by the first."""
    is_list = isinstance(rows, list | tuple) or len(getattr(rows, "shape", ())) == 1
    return is_list and len(rows) > 0 and isinstance(next(iter(rows)), str)


def _is_empty(batch: Any) -> bool:
    """Return whether a batch has no rows; False if it has no length, which is refused elsewhere."""
    return bool(getattr(batch, "shape", None) or hasattr(batch, "__len__")) and length(batch) == 0


def _check_alike(rows: Rows, example: Rows) -> None:
    if type(rows.values) is not type(example.values):
        kinds = f"{type(example.values).__name__} and then {type(rows.values).__name__}"
        raise TypeError(f"batches must be of one kind, got {kinds}")
    shapes = [r.values.shape[1:] for r in (example, rows)]
    if rows.feature_names != example.feature_names or shapes[0] != shapes[1]:
        if len(shapes[0]) != 1 or len(shapes[1]) != 1:
            raise ValueError(f"batches must have rows of one shape, got {shapes[0]} and then {shapes[1]}")
        columns = [r.feature_names or f"{r.values.shape[1]} columns" for r in (example, rows)]
        raise ValueError(f"batches must have the same columns, got {columns[0]} and then {columns[1]}")
    if rows.values.dtype != example.values.dtype:
        raise ValueError(f"batches must have one dtype, got {example.values.dtype} and then {rows.values.dtype}")


def _joined(pieces: list[Block]) -> Block:
    if len(pieces) == 1:
        return pieces[0]
    instance_ids = np.concatenate([piece.instance_ids for piece in pieces])
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    weights = [piece.weights for piece in pieces if piece.weights is not None]
    return Block(
        _together([piece.rows for piece in pieces]),
        instance_ids,
        _in_one_dtype(labels) if labels else None,
        np.concatenate(weights) if weights else None,
    )


def _together(parts: list[Rows]) -> Rows:
    parts, usable = with_one_coding(parts), None
    values = joined([part.values for part in parts])
    if any(part.usable is not None for part in parts):
        usable = np.concatenate([np.ones(part.count, bool) if part.usable is None else part.usable for part in parts])
    return replace(
        parts[0], values=values, usable=usable, fault=next((part.fault for part in parts if part.fault), None)
    )


def _in_one_dtype(labels: list[Array]) -> Array:
    """Concatenate labels in the dtype of the last part, which holds all labels so far."""
    alike = [part.astype(labels[-1].dtype) for part in labels]
    masked = any(isinstance(part, np.ma.MaskedArray) for part in alike)
    concatenate: Any = np.ma.concatenate if masked else np.concatenate
    together: Array = concatenate(alike)
    return together


def _cut(block: Block, rows: slice) -> Block:
    labels, weights = (None if array is None else array[rows] for array in (block.labels, block.weights))
    return Block(block.rows.take(rows), block.instance_ids[rows], labels, weights)


# --- Dask


def is_dask(X: object) -> bool:
    """Return whether X is a Dask array or dataframe."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed") and hasattr(X, "ndim")


class Partitions:
    """The partitions of a Dask array or dataframe: they serve as blocks, and stay on the workers of a client."""

    def __init__(self, X: Any, executor: Executor | None) -> None:
        dask: Any = import_module("dask")  # is installed, since X is a Dask collection
        self.client = dask_client(executor)
        if executor is not None and self.client is None:
            raise TypeError("executor must be client.get_executor() of a Dask client if X is a Dask collection")
        if X.ndim != 2:
            raise ValueError(f"X must be 2-D, got shape {X.shape}")
        self.n_columns = int(X.shape[1])
        self.token = dask.base.tokenize(X)
        if hasattr(X, "chunks"):
            X = X.rechunk({1: -1})
            parts, lengths = X.to_delayed().ravel().tolist(), X.chunks[0]
        else:
            parts, lengths = X.to_delayed(), (np.nan,)
        if np.isnan(lengths).any():  # compute only the lengths
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
        """Return one block per partition."""
        firsts = sorted(self.parts)
        return [slice(first, stop) for first, stop in zip(firsts, [*firsts[1:], len(self)], strict=True)]

    def rows(self, block: slice) -> Any:
        """Return a future of the rows of a block; without a client, the rows."""
        part = self.parts[block.start]
        return part.compute() if self.client is None else self.client.compute(part)

    def identity(self) -> dict[str, Any]:
        """Return named properties that distinguish this collection from others."""
        return {"X of shape": [len(self), self.n_columns], "partitions": sorted(self.parts), "values of X": self.token}


def blocks_of_partitions(table: Partitions, by: By, first: int, weights: RowWeights = None) -> Iterator[Block]:
    """Yield every partition as a block; rows are numbered from `first`."""
    if callable(by):
        raise TypeError('by must be None, "target" or one label per row if X is a Dask collection')
    if callable(weights):
        raise TypeError("weights must be None or one number per row if X is a Dask collection")
    labels = by if isinstance(by, np.ndarray) else None
    for block in table.slices(0):
        instance_ids = np.arange(first + block.start, first + block.stop)
        of_rows = (None if array is None else array[block] for array in (labels, weights))
        yield Block(table.rows(block), instance_ids, *of_rows)
