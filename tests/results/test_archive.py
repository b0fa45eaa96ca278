"""Files of results: what comes back, what is refused, what a failed write leaves behind."""

import errno
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.files import (
    DATA,
    NAMES,
    STORED,
    assert_round_trip,
    assert_same,
    examples,
    local_explanations,
    members_of,
    of_animals,
    statistics,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.sparse import csr_array

from normlime_fast import ImportanceStatistics, LocalExplanations, aggregate
from normlime_fast._results import archive
from normlime_fast._results.archive import write_atomically
from normlime_fast._results.explanations import COLUMNS


@pytest.fixture(autouse=True)
def no_pickle(monkeypatch):
    """Nothing in this file may use pickle, whatever is read or written."""
    for name in ("load", "loads", "Unpickler", "dump", "dumps", "Pickler"):
        monkeypatch.setattr(pickle, name, lambda *args, **kwargs: pytest.fail("pickle was used"))


VERSIONS = {"local": 3, "importance": 4, "statistics": 3}


# --- round trips


@pytest.mark.parametrize("name", STORED)
def test_files_of_every_version_are_read(name):
    expected = STORED[name]()
    assert_same(expected, type(expected).load(DATA / f"{name}.npz"))


@pytest.mark.parametrize("name", NAMES)
def test_files_of_today_are_those_in_the_repository(name):
    """What is written otherwise is another version."""
    stored = (DATA / f"{name}-version-{VERSIONS[name]}.npz").read_bytes()
    assert members_of(examples()[name]._to_bytes()) == members_of(stored)


@pytest.mark.parametrize("name", ["local-version-1", "importance-version-1"])
def test_what_an_older_file_held_is_saved_as_of_today(tmp_path, name):
    one = STORED[name]()
    one.save(tmp_path / "again")
    assert_same(one, type(one).load(tmp_path / "again"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["one.npz", "no suffix", "with.other.suffix", "\N{SNOWMAN}", "x" * 255])
def test_save_and_load(tmp_path, name, path):
    one = examples()[name]
    one.save(tmp_path / path)
    assert [file.name for file in tmp_path.iterdir()] == [path]
    assert_same(one, type(one).load(str(tmp_path / path)))


def test_the_same_result_gives_the_same_file():
    assert examples()["local"]._to_bytes() == examples()["local"]._to_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_numpy_reads_the_arrays(name):
    one = examples()[name]
    with np.load(io.BytesIO(one._to_bytes()), allow_pickle=False) as archive:
        header = json.loads(archive["header"].tobytes().decode("utf-8", "surrogatepass"))
        key, array = {
            "local": ("data", lambda: one.weights.data),
            "importance": ("values", lambda: one.values),
            "statistics": ("sums", lambda: one.sums),
        }[name]
        np.testing.assert_array_equal(archive[key], array())
    assert (header["format"], header["class"]) == ("normlime_fast", type(one).__name__)
    assert header["version"] == VERSIONS[name]


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_index_dtypes_are_kept(index):
    assert_round_trip(local_explanations(index))


def test_columns_beyond_int32_and_results_without_rows():
    wide = csr_array((np.ones(1), np.array([2**40]), np.array([0, 1])), shape=(1, 2**41))
    numbers = ("status", "instance", "target")
    columns = {name: np.zeros(1, int if name in numbers else float) for name in COLUMNS}
    assert_round_trip(LocalExplanations(wide, **columns))
    none = {name: array[:0] for name, array in columns.items()}
    assert_round_trip(LocalExplanations(csr_array((0, 4)), **none))
    assert_round_trip(ImportanceStatistics(np.zeros((0, 2, 3, 7)), np.zeros(0, int), np.array([], "U3")))
    assert_round_trip(aggregate([[0.0, 0.0]]).importance())  # stderr of NaN alone
    assert_round_trip(of_animals().importance(shrink=True))


def test_arrays_of_any_order_that_may_be_read_only():
    one = statistics()
    frozen = np.asfortranarray(one.sums.astype(">f8"))
    frozen.setflags(write=False)
    other = ImportanceStatistics(frozen, one.explanations[::-1], one.groups, one.feature_names)
    assert_same(one, ImportanceStatistics._from_bytes(other._to_bytes(), "the file"))


TEXT = st.text(st.characters(codec=None) | st.sampled_from(["\0", "\ud800", "\udfff", '"', "\\", "\x85"]), max_size=6)
DTYPES = (
    npst.integer_dtypes(endianness="?") | npst.unsigned_integer_dtypes(endianness="?") | npst.boolean_dtypes()
    | npst.floating_dtypes(endianness="?", sizes=(16, 32, 64)) | npst.unicode_string_dtypes(endianness="?", max_len=9)
    | npst.byte_string_dtypes(max_len=9) | npst.datetime64_dtypes(endianness="?") | npst.timedelta64_dtypes()
)  # fmt: skip
ARRAYS = npst.arrays(DTYPES, st.integers(0, 5)).filter(lambda labels: not np.any(labels != labels))
OBJECTS = st.lists(TEXT) | st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())


@settings(deadline=None, max_examples=150, derandomize=True)
@given(ARRAYS | OBJECTS.map(lambda labels: np.array([*labels, None], object)[:-1]), st.none() | st.tuples(TEXT, TEXT))
def test_labels_and_names_come_back(labels, names):
    labels = np.unique(labels)
    assert_round_trip(statistics(labels, names))
    if len(labels):
        assert_round_trip(statistics(labels, names).importance("l2", "positive", len(labels)))


# --- what is not saved


@pytest.mark.parametrize(
    ("one", "error", "message"),
    [
        (lambda: statistics((1j, 2)), TypeError, r"^groups must be numbers, strings, .*, got 1j of type complex$"),
        (lambda: statistics((None,)), TypeError, r"^groups must be numbers, strings, .*, got None of type NoneType$"),
        (lambda: statistics((np.int64(3),)), TypeError, r"^groups must be .*, got np.int64\(3\) of type int64$"),
        (lambda: statistics((float("inf"),)), TypeError, r"^groups must be numbers, .*, got inf of type float$"),
        (lambda: statistics(np.array([1j, 2j])), TypeError, r"^groups must be .* to be saved, got dtype complex128$"),
        (lambda: statistics(np.array([(1, 2)], "i4,i4")), TypeError, r"^groups must be numbers, strings or dates"),
        (lambda: statistics(np.array([2, 2])), ValueError, r"^groups must be unique labels that can be sorted$"),
        (lambda: statistics((1, "a")), ValueError, r"^groups must be unique labels that can be sorted$"),
        (lambda: statistics(names=(1, 2)), TypeError, r"^feature_names is invalid: \(1, 2\)$"),
        (lambda: statistics(names=("x",)), ValueError, r"^feature_names must have 2 names, got 1$"),
        (lambda: ImportanceStatistics([0.0], np.ones(1, int)), TypeError, r"^sums must be an array to be saved, got l"),
        (lambda: local_explanations(r2=np.zeros(8, np.float32)), TypeError, r"^r2 must not be of dtype <f4$"),
        (lambda: local_explanations(r2=np.zeros(5)), ValueError, r"^r2 must fit the other arrays, got shape \(5,\)$"),
        (lambda: local_explanations(weights=np.eye(8, 3)), TypeError, r"^weights must be a csr_array, got ndarray$"),
        (
            lambda: local_explanations(weights=csr_array((5, 3)), contributions=None, stderr=None),
            ValueError,
            r"^weights must have one row per status",
        ),
        (
            lambda: local_explanations(effective_samples=[1.0]),
            TypeError,
            r"^effective_samples must be an array to be saved, got list$",
        ),
        (
            lambda: local_explanations(effective_samples=np.ones(8)),
            ValueError,
            r"^effective_samples must be finite, at least 0, and 0 where status is 6, 8 or 9$",
        ),
        (
            lambda: replace(of_animals().importance(), min_count=2),
            ValueError,
            r"^values must be 0, and stderr NaN, where counts are below min_count$",
        ),
        (lambda: replace(of_animals().importance(), min_count=0), TypeError, r"^min_count is invalid: 0$"),
        (
            lambda: of_animals().importance(min_count=2**63),
            TypeError,
            r"^min_count is invalid: 9223372036854775808$",
        ),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path, one, error, message):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(error, match=message) as raised:
        one().save(tmp_path / "file")
    assert "\n" not in str(raised.value)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


# --- damage


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_byte_and_every_truncation_is_found(name):
    one = examples()[name]
    content = one._to_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for bad in (bytes(damaged), content[:place]):
            with pytest.raises(ValueError, match=r"^the file is (damaged|not an? \w+ file of normlime_fast): [^\n]+$"):
                type(one)._from_bytes(bad, "the file")
    with pytest.raises(
        ValueError, match=r"^the file is not an? \w+ file of normlime_fast: another program wrote it, or"
    ):
        type(one)._from_bytes(content + b"\0", "the file")


@pytest.mark.parametrize("error", [ValueError("two\nlines" * 100), KeyError(), RecursionError(), zipfile.BadZipFile()])
def test_whatever_goes_wrong_is_said_in_one_line(error):
    def make(version, arrays, header):
        raise error

    with pytest.raises(ValueError, match=r"\Athe file is not a LocalExplanations file of normlime_fast: .{1,300}\Z"):
        archive.unpack(examples()["local"]._to_bytes(), "LocalExplanations", "the file", make)


# --- writes that fail


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("old", [b"old", None])
def test_what_was_there_stays_if_a_write_fails(tmp_path, monkeypatch, error, step, old):
    def fail(*args):
        raise error

    if old:
        (tmp_path / "file").write_bytes(old)
    monkeypatch.setattr(step, fail)
    with pytest.raises(type(error)):
        examples()["importance"].save(tmp_path / "file")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


FULL = """
import resource, sys
from normlime_fast._results.archive import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_atomically(sys.argv[1], bytes(1_000_000))
except OSError as error:
    print(type(error).__name__, error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of resources")
def test_a_full_disk(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    command = [sys.executable, "-W", "error", "-c", FULL, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["OSError", str(errno.EFBIG)]
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_the_folder_is_missing_or_not_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", b"new")
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(NotADirectoryError):
        write_atomically(tmp_path / "file" / "file", b"new")
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions, links and pipes")
def test_permissions_links_and_pipes(tmp_path):
    (tmp_path / "real").mkdir()
    Path(tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    for content in (b"new", b"newer"):
        write_atomically(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "file").read_bytes() == content
    mask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "private", b"new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o640
    for mode in (0o600, 0o664, 0o400):
        (tmp_path / "private").chmod(mode)
        write_atomically(tmp_path / "private", b"newer")
        assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == mode
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"is not a regular file; use another path: '.*pipe'$"):
        write_atomically(tmp_path / "pipe", b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="has other pipes and links")
def test_what_is_no_regular_file_is_neither_read_nor_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("nothing")
    for name in ("pipe", "loop", "link", ""):
        with pytest.raises(OSError, match=r"is not a regular file; use another path: '.*'$") as caught:
            LocalExplanations.load(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    for name in ("pipe", "loop", ""):
        with pytest.raises(OSError, match=r"is not a regular file; use another path: '.*'$") as caught:
            local_explanations().save(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_that_cannot_be_synced(tmp_path, monkeypatch, code):
    def refuse(*args):
        raise OSError(code, "of the test")

    assert write_atomically(tmp_path / "file", b"new")
    monkeypatch.setattr("os.fsync", refuse)
    assert not write_atomically(tmp_path / "file", b"newer")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"newer"]


def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("normlime_fast._results.archive._sync_folder", refuse)
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
