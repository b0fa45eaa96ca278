"""Read data files, and check that the model and the neighborhood can use them."""

import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import is_zipfile

import numpy as np

from normlime_fast._checks import ignoring_float_errors
from normlime_fast._cli.errors import UsageError, check_readable, join_names, needs, one_line

CSV = (".csv", ".csv.gz")
PARQUET = (".parquet", ".pq")
ARROW = (".feather", ".arrow")


class Data(NamedTuple):
    """A table of a file, or some of its columns: a DataFrame, or an array (n, d) of numbers."""

    path: str
    table: Any
    columns: list[Any]  # names, or positions in a file without names
    width: int  # number of columns in the file

    @classmethod
    def whole(cls, path: str, table: Any) -> "Data":
        """Return the table of a file."""
        width = table.shape[1]
        return cls(path, table, list(getattr(table, "columns", range(width))), width)

    @property
    def named(self) -> bool:
        """Whether this is a DataFrame."""
        return not isinstance(self.table, np.ndarray)

    def resolve(self, option: str, names: Sequence[str]) -> list[Any]:
        """Return the columns that an option names; a name that is not a column is split at its commas."""
        by_name = {str(column): column for column in self.columns}
        parts = [part for name in names for part in ([name] if name in by_name else name.split(","))]
        missing = [part for part in parts if part not in by_name]
        if missing:
            raise UsageError(f"{option}: {self.path} has no column {missing[0]!r}; it has {join_names(self.columns)}")
        return [by_name[part] for part in parts]

    def only(self, columns: Sequence[Any]) -> "Data":
        """Return the table with these columns, in this order."""
        if list(columns) == self.columns:
            return self
        positions = [self.columns.index(column) for column in columns]
        table = self.table.iloc[:, positions] if self.named else self.table[:, positions]
        return self._replace(table=table, columns=list(columns))


def read_table(path: str, takes_text: Callable[[str], bool]) -> Data:
    """Read a table of a file; in a CSV file, columns for which `takes_text` holds are read as text."""
    check_readable(path)
    name = Path(path).name.lower()
    if name.endswith(CSV):
        needs("pandas", "a CSV file", "tables")
        data = Data.whole(path, _read_csv(path, takes_text))
    elif name.endswith(PARQUET):
        needs("pandas", "a Parquet file", "tables")
        needs("pyarrow", "a Parquet file", "tables")
        data = Data.whole(path, _read_parquet(path))
    elif name.endswith(ARROW):
        needs("pandas", "an Arrow file", "tables")
        needs("pyarrow", "an Arrow file", "tables")
        data = Data.whole(path, _read_arrow(path))
    elif name.endswith(".npy"):
        data = Data.whole(path, _read_npy(path))
    else:
        raise UsageError(f"{path} must be a table, *.csv, *.csv.gz, *.parquet, *.feather, *.arrow or *.npy")
    if 0 in data.table.shape:
        raise UsageError(f"{path} has no {'columns' if len(data.table) else 'rows'}")
    return data


def _read_csv(path: str, takes_text: Callable[[str], bool]) -> Any:
    import pandas

    try:
        header = pandas.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
        duplicates = [name for name in header if header.count(name) > 1]
        if duplicates:
            raise UsageError(f"{path} has two columns with the name {duplicates[0]!r}")
        _check_header(path, header)
        dtypes = {name: str for name in header if takes_text(name)}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # pandas would drop cells
            return pandas.read_csv(path, dtype=dtypes, index_col=False, low_memory=False)
    except pandas.errors.EmptyDataError:
        raise UsageError(f"{path} is empty") from None
    except pandas.errors.ParserWarning:
        raise UsageError(f"{path} has rows with more cells than its header, which has {len(header)}") from None
    except UnicodeError as error:
        raise UsageError(f"{path} is not in UTF-8: {one_line(error)}; save it as UTF-8 with commas") from None
    except (pandas.errors.ParserError, OSError, EOFError) as error:
        raise UsageError(f"{path} is not a CSV file that pandas can read: {one_line(error)}") from None


def _check_header(path: str, header: list[str]) -> None:
    """Refuse separators other than commas, and warn if the first line does not look like names."""
    separators = next((name for mark, name in {";": "semicolons", "\t": "tabs"}.items() if mark in header[0]), None)
    if len(header) == 1 and separators:
        raise UsageError(f"{path} has {separators} between its cells: save it as UTF-8 with commas")
    if "" in header:
        name = f"Unnamed: {header.index('')}"
        warnings.warn(
            f"{path} has a column without a name, now {name!r}; if it only numbers the rows, --drop {name!r}",
            stacklevel=2,
        )
    elif all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", name, re.IGNORECASE) for name in header):
        warnings.warn(f"the first line of {path} is read as its header, but has only numbers", stacklevel=2)


def _read_parquet(path: str) -> Any:
    import pandas

    try:
        return pandas.read_parquet(path, engine="pyarrow")
    except Exception as error:  # pyarrow raises many classes, some of them its own
        raise UsageError(f"{path} is not a Parquet file that pandas can read: {one_line(error)}") from None


def _read_arrow(path: str) -> Any:
    """Read a Feather file, which is an Arrow file except for its first version, or a stream of Arrow."""
    try:
        with Path(path).open("rb") as file:
            if file.read(4) in (b"ARRO", b"FEA1"):
                import pandas

                return pandas.read_feather(path)
            import pyarrow

            file.seek(0)
            return pyarrow.ipc.open_stream(file).read_pandas()
    except Exception as error:  # pyarrow raises many classes, some of them its own
        raise UsageError(f"{path} is not a Feather or Arrow file that pandas can read: {one_line(error)}") from None


@ignoring_float_errors
def _read_npy(path: str) -> Any:
    try:
        table = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a forged header makes NumPy raise many classes
        if is_zipfile(path):
            raise UsageError(
                f"{path} is a zip of arrays (npz), not one array; save the array to explain with numpy.save"
            ) from None
        if _holds_objects(path):
            raise UsageError(f"{path} holds Python objects, whose loading may run code; save numbers") from None
        raise UsageError(f"{path} is not an npy file that NumPy can read: {one_line(error)}") from None
    if table.ndim != 2:
        raise UsageError(f"{path} must hold one array of rows and columns, got shape {table.shape}")
    if table.dtype.kind not in "fiub":
        raise UsageError(f"{path} must hold real numbers, got dtype {table.dtype}")
    return table


def _holds_objects(path: str) -> bool:
    """Whether this is an npy file of Python objects; False if its header cannot be read."""
    with suppress(Exception), Path(path).open("rb") as file:
        newer = np.lib.format.read_magic(file) != (1, 0)
        read = np.lib.format.read_array_header_2_0 if newer else np.lib.format.read_array_header_1_0
        return bool(read(file)[2].hasobject)
    return False


def check_finite(data: Data) -> None:
    """Refuse a table with an infinite value; name the column as in the file, which may have others before it."""
    for position, column in enumerate(data.columns):
        values = data.table.iloc[:, position] if data.named else data.table[:, position]
        if values.dtype.kind == "f":
            numbers = values.to_numpy(float, na_value=np.nan) if data.named else values
            refuse_cells(data, column, np.isinf(numbers), "an infinite value")


def refuse_cells(data: Data, column: Any, bad: Any, content: str) -> None:
    """Refuse a table if cells of a column are bad; name the row of the first, counted from 1."""
    if bad.any():
        more = f", and {bad.sum() - 1:,} more" if bad.sum() > 1 else ""
        header = " without the header" if data.path.lower().endswith(CSV) else ""
        raise UsageError(
            f"column {column!r} of {data.path} has {content} in data row {bad.argmax() + 1},"
            f" counted from 1{header}{more}"
        )


def held(values: Any) -> str:
    """Return what a column of a DataFrame holds: text, numbers (also bools), dates, or nothing."""
    import pandas

    if values.isna().all():
        return "nothing"
    kind = pandas.api.types.infer_dtype(getattr(values.dtype, "categories", values), skipna=True)
    if kind in ("boolean", "integer", "floating", "mixed-integer-float", "decimal"):
        return "numbers"
    dates = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "period", "time")
    return "dates" if kind in dates else "text"
