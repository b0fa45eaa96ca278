"""Data from hell, for tests/robustness/test_hostile_data.py: strategies of hypothesis."""

import array
import contextlib
import datetime
import decimal
import fractions
import math

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse

LARGEST, TINY = np.finfo(np.float64).max, np.finfo(np.float64).tiny

ORDINARY = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -7.25, 1e-3, 100.0])
EXTREME = st.sampled_from(
    [1e308, -1e308, LARGEST, -LARGEST, TINY, -TINY, 5e-324, -5e-324, 1e-310, 1e-160, 1e160, 3e38, -3e38, 1e-45, 6e4]
)
NOT_FINITE = st.sampled_from([np.nan, np.inf, -np.inf])
NUMBERS = st.one_of(ORDINARY, ORDINARY, EXTREME, st.floats(width=64, allow_nan=False, allow_infinity=False))

REAL = ["f2", "f4", "f8", "g", ">f2", ">f4", ">f8", ">i8", ">u2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
OTHER = ["c8", "c16", "G", "M8[s]", "m8[ns]", "U5", "S3", "V8", "a,b", "T", "O"]
STRUCTURED = np.dtype([(f"field number {k}", "f8") for k in range(40)])

CONTAINERS = ["array"] * 3 + ["frame"] * 2 + ["list", "tuple", "matrix", "masked", "sparse", "buffer", "object"]
COLUMNS = ["float32", "float64", "float16", "Float32", "Float64", "Int64", "boolean", "category", "string", "object"]
COLUMNS += ["Sparse[float16]", "Sparse[float32]", "Sparse[float64]", "float[pyarrow]", "double[pyarrow]", "complex128"]
COLUMNS += ["datetime64[ns]", "timedelta64[s]", "period[D]"]

ODD = [None, "1", b"2", "a\nb" * 300, 1j, 10**400, -(10**4000), True, (), [1.0], {}, object(), type]
ODD += [decimal.Decimal("1e400"), decimal.Decimal("sNaN"), fractions.Fraction(1, 3), datetime.date(2020, 1, 1)]
ODD += [pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.longdouble("1e4000"), np.float16(1), np.array([1.0]), np.ma.masked]
OBJECTS = NUMBERS | st.sampled_from(ODD)


def entries(draw, count, elements):
    """A few drawn entries, repeated in an order of their own: duplicates, and no example that is too large."""
    few = draw(st.lists(elements, min_size=1, max_size=12))
    if draw(st.booleans()):
        few = few[:1]  # constant
    order = np.random.default_rng(draw(st.integers(0, 9))).integers(len(few), size=count)
    return [few[k] for k in order]


@st.composite
def arrays(draw, ndim=2, of=REAL):
    """An array of any dtype, memory order and alignment."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=ndim, max_size=ndim)))
    shape = shape if not shape or draw(st.booleans()) else (shape[0] + 12, *shape[1:])
    if draw(st.integers(0, 30)) == 0:
        shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    count = math.prod(shape)
    kind = draw(st.sampled_from(of))
    if kind == "O":
        out = np.empty(count, object)
        for k, entry in enumerate(entries(draw, count, OBJECTS)):
            out[k] = entry
        return draw(layouts(out.reshape(shape)))
    elements = NUMBERS if draw(st.integers(0, 3)) else st.one_of(NUMBERS, NOT_FINITE)
    values = np.array(entries(draw, count, elements), np.float64).reshape(shape)
    with np.errstate(all="ignore"):
        if kind in ("V8", "a,b"):
            return np.zeros(shape, STRUCTURED if kind == "a,b" else kind)
        if np.dtype(kind).kind in "iuMm":
            values = np.nan_to_num(np.clip(values, -1e9, 1e9)).astype(np.int64)
        if kind == "T":
            return values.astype("U").astype(np.dtypes.StringDType())
        return draw(layouts(values.astype(kind)))


@st.composite
def layouts(draw, values):
    """The same values, elsewhere in memory."""
    how = draw(st.sampled_from(["C", "F", "reversed", "strided", "unaligned", "broadcast", "read-only"]))
    if how == "F":
        return np.asfortranarray(values)
    if how == "reversed" and values.ndim:  # or it would be a number
        return values[tuple([slice(None, None, -1)] * values.ndim)]
    if how == "strided" and values.ndim:
        return np.repeat(values, 2, axis=-1)[..., ::2]
    if how == "unaligned" and values.dtype != object:
        room = np.zeros(values.nbytes + 1, np.uint8)
        out = room[1:].view(values.dtype).reshape(values.shape)
        out[...] = values
        return out
    if how == "broadcast" and values.size:
        return np.broadcast_to(values[..., :1] if values.ndim else values, values.shape)
    if how == "read-only":
        values.setflags(write=False)
    return values


class Arraylike:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


@st.composite
def frames(draw, values):
    """A DataFrame of any column dtypes and names."""
    n, d = values.shape
    names = st.sampled_from(["a", "b", "", "a\nb", 0, 1.5, np.nan, None, ("a", "b"), "long " * 200, pd.Timestamp(0)])
    columns = draw(st.none() | st.lists(names, min_size=d, max_size=d))
    if columns is not None and draw(st.booleans()):
        columns = list({repr(c): c for c in columns}.values()) + list(range(100, 100 + d))
    frame = pd.DataFrame(values)
    if draw(st.booleans()):
        frame = frame.set_index(pd.Index([0] * n))
    for k in range(d):
        if draw(st.booleans()):
            with contextlib.suppress(Exception):  # not all values are values of all dtypes
                frame[k] = frame[k].astype(draw(st.sampled_from(COLUMNS)))
    if columns is not None and d:
        frame.columns = pd.Index(columns[:d], tupleize_cols=draw(st.booleans()))
    if d and draw(st.integers(0, 5)) == 0:
        frame.columns = pd.MultiIndex.from_product([["x"], range(d)])
    return frame


@st.composite
def damaged_matrices(draw):
    """A csr_array whose parts do not fit together: not for functions that hand it to scipy, which may then crash."""
    matrix = sparse.csr_array(np.array(entries(draw, 12, ORDINARY)).reshape(draw(st.sampled_from([(1, 12), (4, 3)]))))
    for part in draw(st.lists(st.sampled_from(["indices", "indptr", "data"]), min_size=1, max_size=2)):
        values = getattr(matrix, part)
        if values.size:
            others = [-1, 17, 10**6, 2**31 - 1, -(2**31), *values[:3].tolist()]
            values[draw(st.integers(0, values.size - 1))] = draw(st.sampled_from(others))
            if draw(st.booleans()):
                values[:] = values[::-1].copy()
            if draw(st.integers(0, 5)) == 0:
                setattr(matrix, part, values[:-1])
    return matrix


@st.composite
def containers(draw, values):
    """The array, or something else that holds its values."""
    how = draw(st.sampled_from(CONTAINERS))
    if how == "list":
        rows = values.tolist()
        if isinstance(rows, list) and rows and draw(st.integers(0, 5)) == 0:
            rows[0] = draw(st.sampled_from([[], 1.0, [[1.0]], "ab", None]))
        return rows
    if how == "tuple":
        return tuple(values) if values.ndim else (values,)
    if how == "matrix" and values.ndim == 2:
        return np.asmatrix(values)
    if how == "masked":
        return np.ma.array(values, mask=draw(st.booleans()))
    if how == "frame" and values.ndim == 2 and values.dtype.isnative and values.dtype.kind in "fiubOMmU":
        with contextlib.suppress(Exception):  # pandas takes less than NumPy
            return draw(frames(values))
    if how == "frame" and values.ndim == 1 and values.dtype.isnative:
        with contextlib.suppress(Exception):
            return pd.Series(values)
    if how == "sparse":
        with contextlib.suppress(Exception):
            return draw(st.sampled_from([sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix]))(
                values
            )
    if how == "buffer" and values.ndim == 1:
        with contextlib.suppress(Exception):
            return array.array("d", values)
    return Arraylike(values) if how == "object" else values


@st.composite
def anything(draw, ndim=2):
    """Mostly numbers in the right number of dimensions, or else there would be little but errors."""
    kind = draw(st.integers(0, 9))
    if kind == 9:
        return draw(OBJECTS)
    values = draw(arrays(ndim) if kind < 8 else arrays(draw(st.integers(0, 3)), [*REAL, *OTHER]))
    return draw(containers(values)) if kind > 3 else values


def fingerprint(value):
    """Everything that a call could have changed, as text."""
    if value is np.ma.masked:
        return "masked"
    if isinstance(value, np.ndarray):
        plain = np.asarray(value)
        content = plain.tolist() if plain.dtype.hasobject else plain.tobytes()
        return repr([plain.shape, plain.strides, plain.dtype, str(plain.flags), content, np.ma.getmask(value)])
    if sparse.issparse(value):
        parts = [fingerprint(part) for part in vars(value).values() if isinstance(part, np.ndarray)]
        return repr([value.shape, value.dtype, value.format, *parts])
    if isinstance(value, pd.DataFrame | pd.Series):
        return repr([value.dtypes, value.axes, value.to_numpy(object).tolist()])
    if isinstance(value, list | tuple | dict):
        return repr([fingerprint(part) for part in (value.values() if isinstance(value, dict) else value)])
    return fingerprint(value.values) if isinstance(value, Arraylike) else object.__repr__(value)
