"""Files that somebody made up."""

import io
import json
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from helpers.files import (
    DATA,
    NAMES,
    STORED,
    archive_of,
    assert_round_trip,
    assert_same,
    examples,
    local_explanations,
    members_of,
    sealed,
    statistics,
)

from normlime_fast import Importance, ImportanceStatistics, LocalExplanations

LOCAL = members_of(local_explanations()._to_bytes())
RUN = "exit('code of a file was run')"


class Payload:
    def __reduce__(self):
        return eval, (RUN,)


PICKLED = pickle.dumps(Payload())
OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([Payload(), 1], object), allow_pickle=True)


@pytest.fixture(autouse=True)
def no_pickle(monkeypatch):
    for name in ("load", "loads", "Unpickler", "dump", "dumps", "Pickler"):
        monkeypatch.setattr(pickle, name, lambda *args, **kwargs: pytest.fail("pickle was used"))


def npy(array, fortran=False, **claims):
    """A .npy file of an array, with some of its header as claimed."""
    header = {"descr": array.dtype.str, "fortran_order": fortran, "shape": array.shape} | claims
    text = repr(header).replace("}", ", }").encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + array.tobytes("F" if fortran else "C")


def with_array(name, array, **claims):
    return archive_of((LOCAL | {f"{name}.npy": npy(np.asarray(array), **claims)}).items())


def with_effective(value, row=0):
    return with_array("effective_samples", np.where(np.arange(8) == row, value, 0.0))


def with_header(**changes):
    header = json.loads(np.load(io.BytesIO(LOCAL["header.npy"])).tobytes().decode("utf-8", "surrogatepass"))
    return with_json(json.dumps({key: value for key, value in (header | changes).items() if value is not ...}))


def with_json(text):
    return with_array("header", np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8))


def with_member_twice():
    with pytest.warns(UserWarning, match="Duplicate name"):
        return archive_of([*LOCAL.items(), ("data.npy", LOCAL["data.npy"])])


def with_record_changed(offset, value):
    """The entry of the second member in the central directory, two of whose bytes say something else."""
    content = bytearray(archive_of(LOCAL.items()))
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    content[entry + offset : entry + offset + len(value)] = value
    return sealed(bytes(content))


def test_the_helpers_make_what_is_read():
    """Else all that they make would be refused for the wrong reason."""
    for content in (archive_of(LOCAL.items()), with_header(), with_array("status", local_explanations().status)):
        assert LocalExplanations._from_bytes(content, "the file").weights.nnz == 5


LONG = "1" * 5000
HUGE = (10**12).to_bytes(8, "little")

HOSTILE = {
    "object array": (lambda: archive_of((LOCAL | {"data.npy": OBJECTS.getvalue()}).items()), "has dtype '|O'"),
    "object dtype": (lambda: with_array("data", np.zeros(5), descr="|O"), "'data.npy' has dtype '|O'"),
    "pickle": (lambda: archive_of((LOCAL | {"data.npy": PICKLED}).items()), "'data.npy' is not a plain array"),
    "pickle alone": (lambda: PICKLED, "another program wrote it, or its end is missing"),
    "npy alone": (lambda: OBJECTS.getvalue(), "another program wrote it, or its end is missing"),
    "text": (lambda: b"weights,intercept\n" * 99, "another program wrote it, or its end is missing"),
    "empty": (lambda: b"", "it is empty"),
    "zeros": (lambda: bytes(10_000), "another program wrote it, or its end is missing"),
    "checksum alone": (lambda: sealed(b"normlime_fast sha256 " + bytes(64)), "File is not a zip file"),
    "huge shape": (lambda: with_array("data", np.zeros(5), shape=(10**12,)), "not have the size of its shape (1000000"),
    "overflowing shape": (lambda: with_array("data", np.zeros(5), shape=(2**32, 2**32)), "not have the size of its sh"),
    "endless shape": (lambda: with_array("data", np.zeros(5), shape=(10**30,)), "'data.npy' is not a plain array"),
    "huge shape of nothing": (lambda: with_array("r2", np.zeros(0), shape=(10**12, 0)), "r2 must have 1 dimensions"),
    "negative shape": (lambda: with_array("data", np.zeros(5), shape=(-5,)), "'data.npy' is not a plain array"),
    "shape too small": (lambda: with_array("data", np.zeros(5), shape=(4,)), "not have the size of its shape (4,)"),
    "shape is code": (lambda: with_array("data", np.zeros(5), shape=RUN), "'data.npy' is not a plain array"),
    "dtype is code": (lambda: with_array("data", np.zeros(5), descr=RUN), "'data.npy' is not a plain array"),
    "Fortran order": (lambda: with_array("r2", np.zeros((8, 1)), fortran=True), "'r2.npy' is not a plain array"),
    "big-endian": (lambda: with_array("r2", np.zeros(8, ">f8")), "r2 must not be of dtype >f8"),
    "float32": (lambda: with_array("data", np.zeros(5, "f4")), "data must not be of dtype <f4"),
    "complex": (lambda: with_array("data", np.zeros(5, "c16")), "'data.npy' has dtype '<c16'"),
    "text for numbers": (lambda: with_array("data", np.zeros(5, "U2")), "data must not be of dtype <U2"),
    "text of no size": (lambda: with_array("data", np.zeros(0), descr="<U0", shape=(10**12,)), "has dtype '<U0'"),
    "structured": (lambda: with_array("data", np.zeros(5), descr=[("a", "<f8")]), "'data.npy' is not a plain array"),
    "two dimensions": (lambda: with_array("data", np.zeros((5, 1))), "data must have 1 dimensions, got shape (5, 1)"),
    "other length": (lambda: with_array("status", np.zeros(7, int)), "status must fit the other arrays"),
    "other length of header": (
        lambda: archive_of((LOCAL | {"r2.npy": LOCAL["r2.npy"].replace(b"\x76\0{", b"\x77\0{")}).items()),
        "'r2.npy' is not a plain array",
    ),
    "no npy": (lambda: archive_of((LOCAL | {"r2.npy": b""}).items()), "'r2.npy' is not a plain array"),
    "missing member": (
        lambda: archive_of([item for item in LOCAL.items() if item[0] != "effective_samples.npy"]),
        "it has no array effective_samples",
    ),
    "negative set": (lambda: with_array("sample_set", np.full(8, -1)), "sample_set must be at least 0"),
    "missing header": (lambda: archive_of(list(LOCAL.items())[1:]), "it has no header"),
    "no members": (lambda: archive_of([]), "it has no header"),
    "extra member": (lambda: archive_of((LOCAL | {"x.npy": LOCAL["r2.npy"]}).items()), "it has the unknown member 'x'"),
    "path": (lambda: archive_of((LOCAL | {"../../x.npy": LOCAL["r2.npy"]}).items()), "unknown member '../../x'"),
    "absolute path": (lambda: archive_of((LOCAL | {"/etc/x": b"x"}).items()), "'/etc/x' is not a plain array"),
    "member twice": (with_member_twice, "it has a member twice"),
    "bomb": (
        lambda: archive_of((LOCAL | {"data.npy": npy(np.zeros(10**6))}).items(), zipfile.ZIP_DEFLATED),
        "its members are compressed or encrypted",
    ),
    "bzip2": (lambda: archive_of(LOCAL.items(), zipfile.ZIP_BZIP2), "its members are compressed or encrypted"),
    "unknown compression": (lambda: with_record_changed(10, b"\x63"), "its members are compressed or encrypted"),
    "encrypted": (lambda: with_record_changed(8, b"\x01"), "its members are compressed or encrypted"),
    "two sizes": (lambda: with_record_changed(24, b"\x01\x00\x00\x00"), "its members are compressed or encrypted"),
    "huge member": (lambda: with_record_changed(20, b"\xff\xff\xff\x7f" * 2), "its members are larger than the file"),
    "member elsewhere": (lambda: with_record_changed(42, b"\x00\x00\x00\x70"), ""),
    "other checksum": (lambda: with_record_changed(16, b"\x00\x00"), "Bad CRC-32 for file 'data.npy'"),
    "bytes before": (lambda: sealed(b"#!/bin/sh\n" + archive_of(LOCAL.items())[:-100]), ""),
    "no JSON": (lambda: with_json("{"), "Expecting property name"),
    "no UTF-8": (lambda: with_array("header", np.full(9, 255, np.uint8)), "'utf-8' codec can't decode byte"),
    "header of floats": (lambda: with_array("header", np.zeros(9)), "its header is not an array of bytes"),
    "other format": (lambda: with_header(format="numpy"), "another program wrote its header"),
    "JSON list": (lambda: with_json("[]"), "another program wrote its header"),
    "deep JSON": (lambda: with_json("[" * 10**6), "maximum recursion depth exceeded"),
    "deep JSON in a name": (lambda: with_json('{"format": ' + '{"a":' * 10**5), "maximum recursion depth exceeded"),
    "NaN in JSON": (lambda: with_header(columns=float("nan")), "its header has NaN"),
    "infinity in JSON": (lambda: with_header(columns=-float("inf")), "its header has -Infinity"),
    "endless integer": (lambda: with_json('{"format": ' + LONG + "}"), "Exceeds the limit"),
    "endless float": (lambda: with_header(columns=1e300), "columns is invalid: 1e+300"),
    "huge columns": (lambda: with_header(columns=10**30), "columns is invalid: 1000000000000000000"),
    "negative columns": (lambda: with_header(columns=-3), "columns is invalid: -3"),
    "bool columns": (lambda: with_header(columns=True), "columns is invalid: True"),
    "other columns": (lambda: with_header(columns=2), "weights must have column indices from 0 to 1"),
    "other names": (lambda: with_header(feature_names=["a"]), "feature_names must have 3 names, got 1"),
    "names of numbers": (lambda: with_header(feature_names=[1, 2, 3]), "feature_names is invalid: (1, 2, 3)"),
    "names in lists": (lambda: with_header(target_names=[["a"]]), "target_names is invalid: (['a'],)"),
    "too few targets": (lambda: with_header(target_names=["a"]), "target must be below the number of target_names, 1"),
    "missing key": (lambda: with_header(columns=...), "its header has missing or unknown fields: ['columns']"),
    "extra key": (lambda: with_header(code=RUN), "its header has missing or unknown fields: ['code']"),
    "no version": (lambda: with_header(version=...), "its header has no class and version"),
    "version 0": (lambda: with_header(version=0), "its header has no class and version"),
    "version is a list": (lambda: with_header(version=[1]), "its header has no class and version"),
    "unknown class": (lambda: with_header(**{"class": "os.system\n"}), r"it holds a 'os.system\n'"),
    "indptr begins later": (lambda: with_array("indptr", [1, 2, 3, 3, 5, 5, 5, 5, 5]), "weights must have an ind"),
    "indptr falls": (lambda: with_array("indptr", [0, 3, 2, 3, 5, 5, 5, 5, 5]), "weights must have an indptr that"),
    "indptr ends early": (lambda: with_array("indptr", [0, 2, 3, 3, 4, 4, 4, 4, 4]), "weights must have an indptr"),
    "indptr beyond": (lambda: with_array("indptr", [0, 2, 3, 3, 10**12, 5, 5, 5, 5]), "weights must have an ind"),
    "no indptr": (lambda: with_array("indptr", np.zeros(0, int)), "weights must have one row per status, 8, got -1"),
    "index beyond": (lambda: with_array("indices", np.array([0, 2, 1, 0, 3])), "column indices from 0 to 2"),
    "negative index": (lambda: with_array("indices", np.array([0, 2, -1, 0, 1])), "column indices from 0 to 2"),
    "index twice": (lambda: with_array("indices", np.array([2, 2, 1, 0, 1])), "must have sorted, unique columns"),
    "indices fall": (lambda: with_array("indices", np.array([0, 2, 1, 1, 0])), "must have sorted, unique columns"),
    "NaN weight": (lambda: with_array("data", np.array([0, 2, 1, 1, np.nan])), "weights must be finite"),
    "infinite r2": (lambda: with_array("r2", np.array([0, 0, 0, 0, 0, np.inf, 0, 0])), "r2 must be finite"),
    "NaN intercept": (lambda: with_array("intercept", [0, 0, 0, 0, 0, 0, np.nan, 0]), "intercept must be finite"),
    "infinite output": (lambda: with_array("prediction", np.array([0.0] * 7 + [np.inf])), "prediction must be finite"),
    "unknown status": (lambda: with_array("status", np.array([0, 0, 0, 0, 0, 6, 7, 11])), "status must be from 0 to 1"),
    "weights of none": (lambda: with_array("status", np.full(8, 6)), "weights must be empty where status is one of"),
    "weights of too few": (lambda: with_array("status", np.full(8, 7)), "weights must be empty where status is one of"),
    "weights of nothing": (lambda: with_array("status", np.full(8, 8)), "weights must be empty where status is one of"),
    "negative target": (lambda: with_array("target", [0, 1, 0, 1, 1, 0, -1, 0]), "instance and target must be at"),
    "negative instance": (lambda: with_array("instance", np.full(8, -1)), "instance and target must be at least 0"),
    "negative effective": (lambda: with_effective(-5e-324), "effective_samples must be finite, at least 0"),
    "infinite effective": (lambda: with_effective(np.inf), "effective_samples must be finite, at least 0"),
    "effective of none": (lambda: with_array("effective_samples", np.full(8, 5e-324)), "0 where status is 6, 8 or 9"),
    "effective of failed": (lambda: with_effective(1.0, 5), "0 where status is 6, 8 or 9"),
    "effective of nothing": (lambda: with_effective(1.0, 7), "0 where status is 6, 8 or 9"),
    "effective float32": (lambda: with_array("effective_samples", np.zeros(8, "f4")), "must not be of dtype <f4"),
    "effective too long": (lambda: with_array("effective_samples", np.zeros(9)), "must fit the other arrays"),
    "later fields in version 1": (lambda: with_header(version=1), "missing or unknown fields: ['index']"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_made_up_files_of_explanations(tmp_path, case):
    make, message = HOSTILE[case]
    path = tmp_path / "results.npz"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=r"^.*results.npz is not a LocalExplanations file of normlime_fast: ."
        ) as raised:
            LocalExplanations.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(raised.value)
    assert text.startswith(str(path))
    assert message in text
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400
    # a JSON value takes at most 64 bytes where two of text do; the modules that are loaded on the way below 3 MB
    assert peak < 40 * path.stat().st_size + 3e6


def changed(one, **changes):
    """The file of a result whose arrays and labels are replaced, whatever the class would say to it."""
    members = members_of(one._to_bytes())
    header = json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes())
    for name, value in changes.items():
        if isinstance(value, bytes):
            members[f"{name}.npy"] = value
        elif isinstance(value, np.ndarray):
            members[f"{name}.npy"] = npy(value)
        elif value is None:
            del members[f"{name}.npy"]
        else:
            header.update(value)
    members["header.npy"] = npy(np.frombuffer(json.dumps(header).encode(), np.uint8))
    return archive_of(members.items())


def sums(*place, value):
    array = statistics().sums.copy()
    array[place] = value
    return {"sums": array}


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("statistics", sums(0, 0, 0, 3, value=-1.0) | {"debiased": None}, "sums must be at least 0"),
        ("statistics", sums(0, 0, 0, 4, value=-1.0), "sums must be at least 0"),
        ("statistics", sums(0, 0, 0, 3, value=np.nan), "sums must be at least 0"),
        ("statistics", {"debiased": np.full((3, 2, 2), np.inf)}, "debiased must be finite"),
        ("statistics", {"set_sums": None}, "set_sums and set_explanations must both be there, or neither"),
        ("statistics", {"set_sums": np.full((3, 2, 2, 2, 3), -1.0)}, "set_sums must be finite and at least 0"),
        ("statistics", {"set_explanations": np.full((3, 2), np.nan)}, "set_explanations must be finite and at least 0"),
        ("statistics", {"set_explanations": np.full((3, 4), 1.0)}, "set_explanations must fit the other arrays"),
        ("importance", {"sets": np.full(3, -1)}, "sets must have the shape of explanations, (3,), and be at least 0"),
        ("statistics", sums(0, 0, 0, 0, value=0.5), "sums must begin with counts: whole numbers"),
        ("statistics", sums(0, 0, 0, 0, value=5.0), "sums must begin with counts: whole numbers"),
        ("statistics", sums(0, 0, 0, 0, value=np.inf), "sums must begin with counts: whole numbers"),
        ("statistics", {"explanations": np.array([7, 7, -7])}, "explanations must be from 0 to 2^53, got -7"),
        ("statistics", {"explanations": np.full(3, 2**64 - 1, np.uint64)}, "explanations must be from 0 to 2^53"),
        ("importance", {"explanations": np.full(3, 2**64 - 1, np.uint64)}, "explanations must be from 0 to 2^53"),
        ("statistics", sums(0, 0, 0, 6, value=-1.0) | {"debiased": None}, "sums must be at least 0"),
        ("statistics", {"sums": np.zeros((3, 2, 2, 5))}, "sums must fit the other arrays, got shape (3, 2, 2, 5)"),
        ("statistics", {"sums": np.zeros((3, 2, 2))}, "sums must have 4 dimensions, got shape (3, 2, 2)"),
        ("statistics", {"sums": np.zeros((4, 2, 2, 7))}, "explanations must fit the other arrays, got shape (3,)"),
        ("statistics", {"x": {"groups": None}}, "groups must have labels for 3 groups, got None"),
        ("statistics", {"x": {"groups": [1, 2]}}, "groups must have one label per row of sums, 3, got shape (2,)"),
        ("statistics", {"x": {"groups": [1, 1, 2]}}, "groups must be unique labels that can be sorted"),
        ("statistics", {"x": {"groups": [1, "a", 2]}}, "groups must be unique labels that can be sorted"),
        ("statistics", {"x": {"groups": [1, [2], 3]}}, "groups is invalid: [1, [2], 3]"),
        ("statistics", {"x": {"groups": [None, 2, 3]}}, "groups is invalid: [None, 2, 3]"),
        ("statistics", {"groups": np.arange(3)}, "it has groups twice"),
        ("statistics", {"x": {"groups": None}, "groups": np.arange(4)}, "groups must fit the other arrays"),
        (
            "statistics",
            {"x": {"groups": None}, "groups": np.array([0.0, 1.0, np.nan])},
            "groups must be unique labels that can be sorted",
        ),
        (
            "statistics",
            {"x": {"groups": None}, "groups": npy(np.array([0, 1, 2], "u1"), descr="|b1")},
            "groups must be bools, got other bytes",
        ),
        (
            "statistics",
            {"x": {"groups": None}, "groups": npy(np.array([0, 1, 0x110000], "u4"), descr="<U1")},
            "groups must be text, got an invalid character",
        ),
        ("statistics", {"x": {"groups": None}, "groups": npy(np.zeros(3), descr="<M8[no]")}, "has dtype '<M8[no]'"),
        ("importance", {"values": np.full((3, 2), np.nan)}, "values must not be NaN"),
        ("importance", {"stderr": np.full((3, 2), -1.0)}, "stderr must be at least 0"),
        ("importance", {"stderr": None}, "stderr must be present if, and only if, the kind is a mean"),
        ("importance", {"x": {"kind": "l2"}}, "stderr must be present if, and only if, the kind is a mean, got 'l2'"),
        (
            "importance",
            {"x": {"kind": RUN}},
            "kind must be one of normlime, l2",
        ),
        (
            "importance",
            {"x": {"sign": "n\net"}},
            "kind must be one of normlime, l2",
        ),
        ("importance", {"counts": np.full((3, 2), 3)}, "counts must be from 0 to the number of explanations"),
        ("importance", {"counts": np.full((3, 2), -1)}, "counts must be from 0 to the number of explanations"),
        ("importance", {"counts": np.full(2, 0)}, "counts and stderr must have the shape of values, (3, 2)"),
        ("importance", {"stderr": np.full(2, 0.0)}, "counts and stderr must have the shape of values, (3, 2)"),
        (
            "importance",
            {"explanations": np.array(3)},
            "groups must have one label per row of values, got values of shape (3, 2)",
        ),
        ("importance", {"groups": None}, "groups must have one label per row of values, got values of shape (3, 2)"),
        ("importance", {"x": {"feature_names": []}}, "feature_names must have 2 names, got 0"),
        ("importance", {"x": {"min_count": 0}}, "min_count is invalid: 0"),
        ("importance", {"x": {"min_count": -1}}, "min_count is invalid: -1"),
        ("importance", {"x": {"min_count": True}}, "min_count is invalid: True"),
        ("importance", {"x": {"min_count": 2.0}}, "min_count is invalid: 2.0"),
        ("importance", {"x": {"min_count": 10**30}}, "min_count is invalid: 1000000000000000000"),
        ("importance", {"x": {"min_count": [2]}}, "min_count is invalid: [2]"),
        ("importance", {"x": {"min_count": 3}}, "values must be 0, and stderr NaN, where counts are below min_count"),
        ("importance", {"values": np.ones((3, 2))}, "values must be 0, and stderr NaN, where counts are below min_cou"),
        ("importance", {"stderr": np.zeros((3, 2))}, "values must be 0, and stderr NaN, where counts are below min_c"),
        (
            "importance",
            {"x": {"version": 1}},
            "its header has missing or unknown fields: ['debias', 'min_count', 'of', 'shrink', 'unexplained_names']",
        ),
        (
            "importance",
            {"x": {"version": 2}, "skewness": None},
            "its header has missing or unknown fields: ['debias', 'of', 'shrink', 'unexplained_names']",
        ),
        ("importance", {"x": {"shrink": 1}}, "shrink is invalid: 1"),
        (
            "importance",
            {"x": {"shrink": True}},
            "shrink needs kind normlime, a sign other than net and no skewness, got ",
        ),
        ("importance", {"x": {"shrink": True, "sign": "net"}, "skewness": None}, "shrink needs kind normlime, a sign "),
        (
            "importance",
            {"x": {"shrink": True, "kind": "mean"}, "skewness": None},
            "shrink needs kind normlime, a sign ",
        ),
    ],
)
def test_made_up_files_of_importances(kind, changes, message):
    one = examples()[kind]
    assert type(one)._from_bytes(changed(one), "the file").groups is not None
    with pytest.raises(ValueError, match=r"^the file is not an? \w+ file of normlime_fast: ") as raised:
        type(one)._from_bytes(changed(one, **changes), "the file")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int16])
@pytest.mark.parametrize(
    ("kind", "names"), [("statistics", ["explanations"]), ("importance", ["explanations", "counts"])]
)
def test_counts_of_any_dtype_are_read_as_those_of_today(kind, names, dtype):
    one = examples()[kind]
    content = changed(one, **{name: getattr(one, name).astype(dtype) for name in names})
    assert_same(type(one)._from_bytes(content, "the file"), one)


def test_files_of_another_class_or_a_newer_version(tmp_path):
    for name, one in examples().items():
        one.save(tmp_path / name)
    (tmp_path / "new").write_bytes(with_header(version=4, more=[1]))
    for name, kind, message in (
        ("importance", LocalExplanations, "importance holds an Importance; use Importance.load"),
        ("local", Importance, "local holds a LocalExplanations; use LocalExplanations.load"),
        ("statistics", Importance, "statistics holds an ImportanceStatistics; use ImportanceStatistics.load"),
        ("new", LocalExplanations, "new has version 4 of the format, which needs a newer normlime_fast"),
        ("new", ImportanceStatistics, "new holds a LocalExplanations; use LocalExplanations.load"),
    ):
        with pytest.raises(ValueError, match=r"\A.+\Z") as raised:
            kind.load(tmp_path / name)
        assert str(raised.value) == f"{tmp_path}{os.sep}{message}"


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path):
    path = tmp_path / "two\nlines"
    path.write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"\A'.*two\\nlines' is not an Importance file of normlime_fast: it is empty\Z"
    ):
        Importance.load(path)


def test_files_that_are_not_there_or_not_to_be_read(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        Importance.load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        Importance.load(tmp_path)
    with pytest.raises(TypeError):
        Importance.load(3)
    with pytest.raises(OSError, match=r"is not a regular file; use another path: '/dev/zero'$"):
        Importance.load("/dev/zero")
    examples()["importance"].save(tmp_path / "importance")

    def no_memory(*args):
        raise MemoryError

    monkeypatch.setattr(zipfile.ZipFile, "read", no_memory)
    with pytest.raises(ValueError, match=r"importance needs more memory than there is$"):
        Importance.load(tmp_path / "importance")


# --- files with something changed at random, and the checksum that belongs to it


def assert_refused_or_sound(kind, content):
    try:
        result = kind._from_bytes(content, "the file")
    except ValueError as error:
        result, said = None, str(error)
    if result is None:
        assert said.startswith("the file ")
        assert "\n" not in said
        return False
    assert_round_trip(result)
    return True


@pytest.mark.parametrize("name", NAMES)
def test_alterations_with_a_right_checksum(name):
    """Of the archive's own structure; the checksums of its members still find what was done to them."""
    kind, content = type(examples()[name]), examples()[name]._to_bytes()
    sound = 0
    for place in range(0, len(content) - 64, 2):
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        sound += assert_refused_or_sound(kind, sealed(bytes(altered)))
    assert sound < len(content) / 2 / 4  # some say nothing, such as the date of a member


@pytest.mark.parametrize("name", STORED)
def test_alterations_of_members_with_right_checksums(name):
    kind, members = type(STORED[name]()), members_of((DATA / f"{name}.npz").read_bytes())
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        changed = dict(members)
        member = random.choice(list(members))
        altered = bytearray(members[member])
        altered[random.integers(len(altered))] ^= 1 << random.integers(8)
        changed[member] = bytes(altered)
        refused += not assert_refused_or_sound(kind, archive_of(changed.items()))
    assert refused > 500  # values are most of what may be changed; the headers of members are longer
