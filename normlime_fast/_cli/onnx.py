"""ONNX models: what goes in, what comes out, asked through onnxruntime."""

import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._cli.data import Data, is_text, refuse_cells
from normlime_fast._cli.errors import UsageError, join_names, needs, one_line

DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
MAPS = "seq(map("  # how the types of ZipMap's outputs begin: a list of dicts, class to probability


class Graph:
    """An ONNX model of tables: one input for all columns, or one for each.

    Attributes
    ----------
    names : tuple of str, or None
        Classes, of an output that has them, known once the model was asked.
    """

    def __init__(self, session: Any, path: str, output: str | None) -> None:
        self.session, self.path = session, path
        self.names: tuple[str, ...] | None = None
        self.columns: dict[str, Any] = {}  # of the table, by input
        self.inputs = session.get_inputs()
        if not self.inputs:
            raise UsageError(f"{path} must take a table, but has no inputs; its output does not depend on the data")
        for one in self.inputs:
            if one.type not in DTYPES or len(one.shape) not in (1, 2):
                raise UsageError(
                    f"{path} must take tables of numbers or text, but its input {one.name!r} is a {one.type} of shape"
                    f" {one.shape}"
                )
        self.by_column = len(self.inputs) > 1 or DTYPES[self.inputs[0].type] is np.object_
        wide = [one.name for one in self.inputs if isinstance(one.shape[-1], int) and one.shape[1:] not in ([], [1])]
        if self.by_column and wide:
            raise UsageError(
                f"{path} must have one input for all columns, of numbers, or one of shape (N, 1) for each column, but"
                f" {join_names(wide)} takes several"
            )
        first = self.inputs[0].shape[0]
        self.batch = first if isinstance(first, int) and first > 0 else None  # rows a call, if that is fixed
        self.output = _output(session.get_outputs(), output, path)
        self.text = {one.name for one in self.inputs if DTYPES[one.type] is np.object_}

    @classmethod
    def from_file(cls, path: str, output: str | None, threads: int) -> "Graph":
        """Load a file, for calls that use so many threads."""
        needs("onnxruntime", "an ONNX model", "onnx")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # it also raises what it logs
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # a class of its own for every kind
            version = onnxruntime.__version__
            raise UsageError(f"{path} is no ONNX model that onnxruntime {version} loads: {one_line(error)}") from None
        return cls(session, path, output)

    def takes_text(self, column: str) -> bool:
        """Whether this column is text, whatever it looks like."""
        return _among(self.text, column) in self.text

    def check(self, data: Data) -> None:
        """Refuse a table with other columns than the model's."""
        if not self.by_column:
            self._check_matrix(data)
            for k, column in enumerate(data.columns):
                _check_range(
                    data, column, data.table.iloc[:, k] if data.named else data.table[:, k], self.inputs[0].type
                )
            return
        if not data.named:
            raise UsageError(
                f"{self.path} has one input per column, but {data.path} has no names of columns; use CSV or Parquet"
            )
        names = [one.name for one in self.inputs]
        self.columns = {_among(names, column): column for column in data.columns}
        missing = [name for name in names if name not in self.columns]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise UsageError(
                f"the model needs column {missing[0]!r}{more}, which {data.path} does not have; it has"
                f" {join_names(data.columns)}"
            )
        known = {self.columns[name] for name in names}
        unknown = [column for column in data.columns if column not in known]
        if unknown:
            raise UsageError(
                f"{data.path} has columns that the model does not know: {join_names(unknown)};"
                " leave them out with --drop"
            )
        for one in self.inputs:
            column = self.columns[one.name]
            if is_text(data.table[column]) != (one.name in self.text):
                takes, got = ("text", "numbers") if one.name in self.text else ("numbers", "text")
                raise UsageError(f"the model takes column {column!r} as {takes}, but {data.path} has {got} there")
            _check_range(data, column, data.table[column], one.type)

    def _check_matrix(self, data: Data) -> None:
        text = [name for name in data.columns if is_text(data.table[name])] if data.named else []
        if text:
            raise UsageError(
                f"the model takes numbers alone, but {data.path} has text in {join_names(text)};"
                " leave it out with --drop, or give it numbers"
            )
        width, d = (self.inputs[0].shape[1] if len(self.inputs[0].shape) == 2 else 1), len(data.columns)
        if isinstance(width, int) and width != d:
            hint = "; leave out what it does not take with --label or --drop" if d > width else ""
            raise UsageError(
                f"the model takes {width} columns, but {data.path} has {d}: {join_names(data.columns)}{hint}"
            )

    def predict(self, X: Any) -> Array:
        """Return the outputs (m, n_outputs) for rows, an array or a DataFrame."""
        outputs = [self.session.run([self.output], feed)[0] for feed in self._feeds(X)]
        if isinstance(outputs[0], list):
            classes = list(outputs[0][0])
            self.names = tuple(str(name) for name in classes)
            outputs = [np.array([[row[name] for name in classes] for row in rows]) for rows in outputs]
        for some in outputs:  # of a constant or a sum over the rows, the first ones would pass for theirs
            if some.shape[:1] != (self.batch or len(X),):
                expected = f"{self.path} must return one row of outputs for each of {self.batch or len(X)} rows"
                raise ValueError(f"{expected}, got shape {some.shape}")
        joined: Array = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return joined[: len(X)]

    def _feeds(self, X: Any) -> Iterator[dict[str, Array]]:
        """What the model is called with: all rows at once, or as many as it takes, the last one repeated."""
        if self.by_column:
            arrays = {one.name: _as_dtype(X[self.columns[one.name]].to_numpy(), one.type) for one in self.inputs}
        else:
            arrays = {self.inputs[0].name: _as_dtype(np.asarray(X), self.inputs[0].type)}
        size = self.batch or len(X)
        for start in range(0, len(X), size):
            rows = np.minimum(np.arange(start, start + size), len(X) - 1)
            feed = {name: array if size == len(X) else array[rows] for name, array in arrays.items()}
            yield {one.name: feed[one.name].reshape(size, *[-1] * (len(one.shape) - 1)) for one in self.inputs}


def _among(names: Collection[str], column: str) -> str:
    """Return the input's name for a column: its own, or as skl2onnx spells it, with letters, digits, _ and + alone."""
    if column in names:
        return column
    spelled = re.sub(r"[^\w+]", "_", column)
    return f"_{spelled}" if spelled[:1].isdecimal() else spelled


def _as_dtype(values: Array, kind: str) -> Array:
    """Return values in an input's dtype; noise makes integers fractions, which are rounded."""
    dtype = DTYPES[kind]
    whole = dtype in (np.int64, np.int32, np.bool_) and values.dtype.kind == "f"
    return (np.rint(values) if whole else values).astype(dtype, copy=False)


def _check_range(data: Data, column: Any, values: Any, kind: str) -> None:
    """Refuse numbers that are infinite, or others, in an input's dtype."""
    if kind in FLOATS or kind in ("tensor(int64)", "tensor(int32)"):
        dtype = DTYPES[kind]
        largest = float((np.finfo if kind in FLOATS else np.iinfo)(dtype).max)
        bad = np.abs(np.asarray(values, float)) > largest
        refuse_cells(data, column, bad, f"a number larger than {largest:.2g}, the largest that the model takes,")


def _output(outputs: list[Any], asked: str | None, path: str) -> str:
    """Return the name of the output to explain: the one asked for, or probabilities, or the only one of numbers."""
    if not outputs:
        raise UsageError(f"{path} has no outputs")
    types: dict[str, str] = {one.name: one.type for one in outputs}
    numeric = [name for name, kind in types.items() if kind.startswith(MAPS) or DTYPES.get(kind, object) is not object]
    if asked is not None:
        if asked not in numeric:
            raise UsageError(f"--output-name must be an output of numbers: {join_names(numeric)}, got {asked!r}")
        return asked
    maps = [name for name in numeric if types[name].startswith(MAPS)]
    floats = [name for name in numeric if types[name] in FLOATS]
    for found in (maps, floats, [name for name in floats if "prob" in name.lower()]):
        if len(found) == 1:
            return found[0]
    if not maps and not floats:
        raise UsageError(
            f"{path} returns no probabilities or other floats, but {join_names(types)}:"
            " export it with its probabilities"
        )
    raise UsageError(f"{path} has several outputs of numbers: {join_names(numeric)}; choose one with --output-name")
