"""ONNX models: check their inputs and outputs, and run them with onnxruntime."""

import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._cli.data import Data, held, refuse_cells
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
MAPS = "seq(map("  # beginning of the types of ZipMap's outputs: a list of dicts, class to probability


class Graph:
    """An ONNX model of tables: one input for all columns, or one for each.

    ONNX has missing numbers, which are NaN, but no missing text: they are `missing_text`, whatever text that is in the
    data that the model was fitted to.

    Attributes
    ----------
    names : tuple of str, or None
        Names of classes, if the output has them; known after the first call.
    """

    def __init__(self, session: Any, path: str, output: str | None, missing_text: str | None = None) -> None:
        self.session, self.path, self.missing_text = session, path, missing_text
        self.names: tuple[str, ...] | None = None
        self.columns: dict[str, Any] = {}  # columns of the table, by input
        self.inputs = session.get_inputs()
        if not self.inputs:
            raise UsageError(f"{path} must take a table, but has no inputs; its output does not depend on the data")
        for tensor in self.inputs:
            if tensor.type not in DTYPES or len(tensor.shape) not in (1, 2):
                raise UsageError(
                    f"{path} must take tables of numbers or text, but its input {tensor.name!r} is a {tensor.type} of"
                    f" shape {tensor.shape}"
                )
        self.by_column = len(self.inputs) > 1 or DTYPES[self.inputs[0].type] is np.object_
        wide = [one.name for one in self.inputs if isinstance(one.shape[-1], int) and one.shape[1:] not in ([], [1])]
        if self.by_column and wide:
            raise UsageError(
                f"{path} must have one input for all columns, of numbers, or one of shape (N, 1) for each column, but"
                f" {join_names(wide)} takes several"
            )
        first = self.inputs[0].shape[0]
        self.batch = first if isinstance(first, int) and first > 0 else None  # rows per call, if that is fixed
        self.output = _output(session.get_outputs(), output, path)
        self.text = {one.name for one in self.inputs if DTYPES[one.type] is np.object_}

    @classmethod
    def from_file(cls, path: str, output: str | None, threads: int, missing_text: str | None = None) -> "Graph":
        """Load a file, to be run with `threads` threads."""
        needs("onnxruntime", "an ONNX model", "onnx")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what it logs, it also raises
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has its own classes, one for each kind of error
            program = f"onnxruntime {onnxruntime.__version__}"
            raise UsageError(f"{path} is not an ONNX model that {program} can load: {one_line(error)}") from None
        return cls(session, path, output, missing_text)

    def takes_text(self, column: str) -> bool:
        """Whether this column is text, even if it looks like numbers."""
        return _input_name(self.text, column) in self.text

    def check(self, data: Data) -> None:
        """Refuse a table whose columns do not fit the model's inputs."""
        if not self.by_column:
            self._check_matrix(data)
            for k, column in enumerate(data.columns):
                self._check_cells(
                    data, column, data.table.iloc[:, k] if data.named else data.table[:, k], self.inputs[0].type
                )
            return
        if not data.named:
            raise UsageError(
                f"{self.path} has one input per column, but {data.path} has no column names; use CSV or Parquet"
            )
        names = [one.name for one in self.inputs]
        self.columns = {_input_name(names, column): column for column in data.columns}
        missing = [name for name in names if name not in self.columns]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise UsageError(
                f"the model needs column {missing[0]!r}{more}, which {data.path} does not have; it has"
                f" {join_names(data.columns)}"
            )
        used = {self.columns[name] for name in names}
        unknown = [column for column in data.columns if column not in used]
        if unknown:
            raise UsageError(
                f"{data.path} has columns that the model does not know: {join_names(unknown)};"
                " leave them out with --drop"
            )
        for tensor in self.inputs:
            column = self.columns[tensor.name]
            takes, got = "text" if tensor.name in self.text else "numbers", held(data.table[column])
            if got not in (takes, "nothing"):
                raise UsageError(f"the model takes column {column!r} as {takes}, but {data.path} has {got} there")
            self._check_cells(data, column, data.table[column], tensor.type)

    def _check_matrix(self, data: Data) -> None:
        kinds = [held(data.table[name]) for name in data.columns] if data.named else []
        other = next((kind for kind in kinds if kind in ("text", "dates")), None)
        if other:
            names = [name for name, kind in zip(data.columns, kinds, strict=True) if kind == other]
            raise UsageError(
                f"the model takes only numbers, but {data.path} has {other} in {join_names(names)};"
                " leave it out with --drop, or replace it by numbers"
            )
        width, d = (self.inputs[0].shape[1] if len(self.inputs[0].shape) == 2 else 1), len(data.columns)
        if isinstance(width, int) and width != d:
            hint = "; leave out what it does not take with --label or --drop" if d > width else ""
            raise UsageError(
                f"the model takes {width} columns, but {data.path} has {d}: {join_names(data.columns)}{hint}"
            )

    def _check_cells(self, data: Data, column: Any, values: Any, kind: str) -> None:
        """Refuse missing values that an input cannot have, and numbers that overflow its dtype."""
        if kind not in FLOATS:
            missing = values.isna().to_numpy() if data.named else np.isnan(values)
            if kind != "tensor(string)":
                refuse_cells(data, column, missing, f"an empty cell or NaN, which the model cannot take as a {kind},")
            elif self.missing_text is None:
                advice = " (name the text it was fitted to in place of these with --missing-text, such as nan)"
                refuse_cells(data, column, missing, f"an empty cell, which the model cannot take as text{advice},")
        if kind in FLOATS or kind in ("tensor(int64)", "tensor(int32)"):
            numbers = np.asarray(_numbers(values), float)
            largest = float((np.finfo if kind in FLOATS else np.iinfo)(DTYPES[kind]).max)
            bad = np.abs(numbers) > largest
            refuse_cells(data, column, bad, f"a number larger than {largest:.2g}, the largest that the model takes,")

    def predict(self, X: Any) -> Array:
        """Return the outputs (m, n_outputs) for rows, an array or a DataFrame."""
        outputs = [self.session.run([self.output], feed)[0] for feed in self._feeds(X)]
        if isinstance(outputs[0], list):
            classes = list(outputs[0][0])
            self.names = tuple(str(name) for name in classes)
            outputs = [np.array([[row[name] for name in classes] for row in rows]) for rows in outputs]
        for part in outputs:  # else values of a constant or of sums over rows would pass for outputs
            if part.shape[:1] != (self.batch or len(X),):
                expected = f"{self.path} must return one row of outputs for each of {self.batch or len(X)} rows"
                raise ValueError(f"{expected}, got shape {part.shape}")
        joined: Array = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return joined[: len(X)]

    def _feeds(self, X: Any) -> Iterator[dict[str, Array]]:
        """Yield the model's inputs: all rows at once, or batches of its fixed size, filled up with the last row."""
        if self.by_column:
            arrays = {one.name: self._array(X[self.columns[one.name]], one.type) for one in self.inputs}
        else:
            arrays = {self.inputs[0].name: self._array(X, self.inputs[0].type)}
        size = self.batch or len(X)
        for start in range(0, len(X), size):
            rows = np.minimum(np.arange(start, start + size), len(X) - 1)
            feed = {name: array if size == len(X) else array[rows] for name, array in arrays.items()}
            yield {one.name: feed[one.name].reshape(size, *[-1] * (len(one.shape) - 1)) for one in self.inputs}

    def _array(self, values: Any, kind: str) -> Array:
        """Return a column, or all columns, in an input's dtype; for integers, fractions are rounded."""
        dtype = DTYPES[kind]
        if dtype is np.object_:
            text: Array = values.to_numpy(object, na_value=self.missing_text)
            return text
        numbers = _numbers(values)
        whole = dtype in (np.int64, np.int32, np.bool_) and numbers.dtype.kind == "f"
        return (np.rint(numbers) if whole else numbers).astype(dtype, copy=False)


def _numbers(values: Any) -> Array:
    """Return an array, or a column or table of numbers of pandas, as an array; NaN for missing values."""
    array = np.asarray(values)
    if array.dtype == object and not isinstance(values, np.ndarray):
        array = values.to_numpy(np.float64, na_value=np.nan)
    return array


def _input_name(names: Collection[str], column: str) -> str:
    """Return the input's name for a column: its own, or as skl2onnx spells it, with only letters, digits, _ and +."""
    if column in names:
        return column
    spelled = re.sub(r"[^\w+]", "_", column)
    return f"_{spelled}" if spelled[:1].isdecimal() else spelled


def _output(outputs: list[Any], requested: str | None, path: str) -> str:
    """Return the name of the output to explain: the requested one, or the probabilities, or the only one of floats."""
    if not outputs:
        raise UsageError(f"{path} has no outputs")
    types: dict[str, str] = {one.name: one.type for one in outputs}
    numeric = [name for name, kind in types.items() if kind.startswith(MAPS) or DTYPES.get(kind, object) is not object]
    if requested is not None:
        if requested not in numeric:
            raise UsageError(f"--output-name must be an output of numbers: {join_names(numeric)}, got {requested!r}")
        return requested
    maps = [name for name in numeric if types[name].startswith(MAPS)]
    floats = [name for name in numeric if types[name] in FLOATS]
    for candidates in (maps, floats, [name for name in floats if "prob" in name.lower()]):
        if len(candidates) == 1:
            return candidates[0]
    if not maps and not floats:
        raise UsageError(
            f"{path} returns no probabilities or other floats, but {join_names(types)}:"
            " export it with its probabilities"
        )
    raise UsageError(f"{path} has several outputs of numbers: {join_names(numeric)}; choose one with --output-name")
