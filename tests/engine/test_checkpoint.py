"""Finished blocks survive whatever ends a run, and the same call goes on from there."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas
import pytest
from helpers.runs import OPTIONS, X, arrays, counting, explainer, model, shards
from numpy.testing import assert_array_equal

import normlime_fast as nlf
from normlime_fast._engine import locks
from normlime_fast._results import archive

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def expected():
    return explainer().explain(X)


@pytest.fixture
def folder(tmp_path):
    """A checkpoint with five blocks of X, all finished."""
    explainer().explain(X, checkpoint=tmp_path / "run", block_size=2)
    return tmp_path / "run"


# --- going on


@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}, {"batch_size": 7}])
@pytest.mark.parametrize("lost", [[], [0], [1, 3], [0, 1, 2, 3, 4]])
def test_what_is_missing_is_computed_and_nothing_else(folder, lost, options, expected):
    for file in [shards(folder)[k] for k in lost]:
        file.unlink()
    predict = counting()
    told = []
    again = nlf.NormLIME(predict, nlf.Gaussian(0.7), **OPTIONS, **options)
    local = again.explain(X, checkpoint=folder, progress=lambda done, total: told.append((done, total)))
    assert_array_equal(arrays(local), arrays(expected))
    instances = min(2 * len(lost), 9)
    probed = 2 if len(lost) < 5 else 0  # rows of a finished block, to see that the model is the same
    assert predict.rows == 61 * instances + probed
    assert len(shards(folder)) == 5
    assert told == sorted(set(told))
    assert not told or told[-1] == (9, 9)


def test_the_folder_is_made_with_its_parents(tmp_path, expected):
    local = explainer().explain(X, checkpoint=str(tmp_path / "a" / "b"))
    assert_array_equal(arrays(local), arrays(expected))
    assert len(shards(tmp_path / "a" / "b")) == 9  # a hundredth of X at most, so that something is finished soon


def test_a_finished_block_is_a_file_of_explanations(folder, expected):
    local = nlf.LocalExplanations.load(shards(folder)[1])
    assert_array_equal(arrays(local), arrays(expected, slice(6, 12)))


def test_on_an_executor_and_with_a_frame(tmp_path):
    frame = pandas.DataFrame(X, columns=list("abcdefghijkl"))
    one = nlf.NormLIME(lambda frame: model(frame.to_numpy()), nlf.Gaussian(0.7), **OPTIONS)
    index = np.arange(9)[::-1]
    expected = one.explain(frame, index=index)
    with ThreadPoolExecutor(2) as executor:
        for _ in range(2):
            local = one.explain(frame, index=index, executor=executor, checkpoint=tmp_path, block_size=2)
            assert_array_equal(arrays(local), arrays(expected))
            assert local.feature_names == tuple("abcdefghijkl")
            shards(tmp_path)[2].unlink()


def test_without_rng_it_goes_on_with_the_seed_that_was_begun_with(folder, expected):
    shards(folder)[3].unlink()
    assert_array_equal(arrays(explainer(rng=None).explain(X, checkpoint=folder)), arrays(expected))


class StopError(Exception):
    pass


@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_exception_leaves_the_blocks_before_it(tmp_path, error, n_jobs, expected):
    predict = counting()

    def stopping(rows):
        if predict.rows >= 300:
            raise error
        return predict(rows)

    options = {**OPTIONS, "n_jobs": n_jobs, "batch_size": 60}
    with pytest.raises(error) as caught:
        nlf.NormLIME(stopping, nlf.Gaussian(0.7), **options).explain(X, checkpoint=tmp_path, block_size=2)
    assert len(shards(tmp_path)) == 2
    finished = caught.value.finished
    assert_array_equal(arrays(finished), arrays(expected, slice(0, len(finished.status))))
    assert len(finished.status) >= 12
    assert any(str(tmp_path) in note for note in caught.value.__notes__)
    assert_array_equal(arrays(explainer().explain(X, checkpoint=tmp_path)), arrays(expected))


def test_skipped_instances_stay_skipped_but_blocks_without_any_answer_are_tried_again(tmp_path):
    def failing(rows):
        if (np.abs(rows[:, 0]) > 4).any():
            raise StopError
        return model(rows)

    rows = X.copy()
    rows[[2, 3, 5], 0] = 9.0
    one = nlf.NormLIME(failing, nlf.Gaussian(0.1), **OPTIONS)
    with pytest.warns(UserWarning, match="9 empty because the model failed"):
        expected = one.explain(rows, on_error="skip")
    for _ in range(2):
        with pytest.warns(UserWarning, match="9 empty because the model failed"):
            local = one.explain(rows, checkpoint=tmp_path, block_size=2, on_error="skip")
        assert_array_equal(arrays(local), arrays(expected))
        assert [int(file.name[:8]) for file in shards(tmp_path)] == [0, 2, 3, 4]


def test_20_kills(tmp_path):
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-W", "error", str(tests / "scripts" / "kill_and_resume.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert ", 0 of them computed twice" in done.stdout


# --- damage


@pytest.mark.parametrize("cut", [0, 1, -1, 100])
def test_blocks_cut_short_are_computed_again(folder, cut, expected):
    for file in shards(folder)[1:3]:
        file.write_bytes(file.read_bytes()[:cut])
    with pytest.warns(
        UserWarning, match=r"blocks that are unusable and computed again: 2 damaged, the first 00000001-[^;]*$"
    ):
        local = explainer().explain(X, checkpoint=folder)
    assert_array_equal(arrays(local), arrays(expected))
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))


def test_any_flipped_bit_is_noticed(folder, expected):
    file = shards(folder)[2]
    content = file.read_bytes()
    for position in range(0, len(content), 97):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        file.write_bytes(changed)
        with pytest.warns(UserWarning, match="1 damaged"):
            local = explainer().explain(X, checkpoint=folder)
        assert_array_equal(arrays(local), arrays(expected))
        assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"\xff\x00", "damaged"),
        (b"[1, 2]", "damaged"),
        (b"{}", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"version": 2, "settings": 3}', "damaged"),
        (b'{"version": 2, "settings": {}}', "damaged"),
        (
            b'{"version": 1, "settings": {}, "sha256": "0"}',
            "has version 1, but only 2 can be read; finish it with the version of normlime_fast that began it, "
            "or use another fo",
        ),
    ],
)
def test_a_damaged_manifest_is_said_to_be(folder, content, message):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(nlf.CheckpointMismatchError, match=message) as caught:
        explainer().explain(X, checkpoint=folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_killed_writer_left_is_cleared_away(folder, expected):
    shards(folder)[0].rename(folder / ".normlime_fast-0123.tmp")
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    assert not list(folder.glob(".*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of the process are POSIX's")
def test_a_full_disk(tmp_path, expected):
    """The file size limit makes the third block's file fail as a full disk would."""
    script = """
import resource, sys
from pathlib import Path
import helpers.runs as here
import numpy as np
import normlime_fast as nlf
from normlime_fast import IncompleteRunError

def set_limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def filling(rows):
    if predict.rows > 2 * 122:
        set_limit(1000)
    return predict(rows)

predict = here.counting()
one = nlf.NormLIME(filling, nlf.Gaussian(0.7), **here.OPTIONS)
try:
    one.explain(here.X, checkpoint=sys.argv[1], block_size=2)
except IncompleteRunError as error:
    print(error)
    print(len(error.finished.status))
    print(*error.__notes__)
set_limit(resource.RLIM_INFINITY)
assert predict.rows == 3 * 122, "the blocks after it were computed in vain"
kept = here.shards(Path(sys.argv[1]))
assert len(kept) == 2, kept
assert not list(Path(sys.argv[1]).glob(".*")), "a temporary file is left"
predict.rows = 0
one.predict = predict
resumed = one.explain(here.X, checkpoint=sys.argv[1])
np.testing.assert_array_equal(here.arrays(resumed), here.arrays(here.explainer().explain(here.X)))
print(predict.rows)
"""
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    message, finished, notes, rows = done.stdout.splitlines()
    assert f"could not be written to the checkpoint {tmp_path}: [Errno 27] File too large" in message
    assert "make room, then call again" in message
    assert finished == "18"  # the block that was not written, too
    assert "the same call goes on from there" in notes
    assert rows == str(2 + 122 + 122 + 61)


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "make room, then call again"), (errno.EIO, "call again once it can be written")],
)
def test_what_to_do_when_a_block_cannot_be_written(tmp_path, monkeypatch, code, advice):
    def fail(*args):
        raise OSError(code, "of the test")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(nlf.IncompleteRunError, match=rf"^manifest.json could not be written to .*; {advice}$"):
        explainer().explain(X, checkpoint=tmp_path)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync(tmp_path, monkeypatch, expected, code):
    def refuse(*args):
        raise OSError(code, "of the test")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.warns(UserWarning, match=r"file system that cannot sync: if power fails, its newest blocks") as caught:
        local = explainer().explain(X, checkpoint=tmp_path, block_size=2)
    assert [warning.filename for warning in caught] == [__file__]
    assert_array_equal(arrays(local), arrays(expected))
    assert len(shards(tmp_path)) == 5
    shards(tmp_path)[3].unlink()
    with pytest.warns(UserWarning, match="cannot sync") as caught:
        explainer().explain(X, checkpoint=tmp_path)
    assert len(caught) == 1


def make_odd(kind, path):
    """Put something there that is no regular file."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.relpath(path))  # the longest path that a socket takes is short
        listener.close()
    else:
        path.symlink_to(path if kind == "link to itself" else "nothing")


ODD = ["folder", "pipe", "socket", "link to nothing", "link to itself"]


@pytest.mark.skipif(sys.platform == "win32", reason="has other pipes, sockets and links")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", [0, "manifest.json"])
def test_what_is_no_file_is_named(folder, monkeypatch, kind, place):
    monkeypatch.chdir(folder)
    file = shards(folder)[place] if place == 0 else folder / place
    file.unlink()
    make_odd(kind, file)
    message = rf"^checkpoint .*/run has {file.name}, which is not a regular file; remove it, or use another folder$"
    with pytest.raises(nlf.CheckpointMismatchError, match=message):
        explainer().explain(X, checkpoint=folder)


def test_a_folder_in_the_place_of_a_block_to_come(folder):
    file = shards(folder)[4]
    file.unlink()

    def planting(rows):
        if len(rows) > 2:
            file.mkdir(exist_ok=True)
        return model(rows)

    message = r"is not a regular file; use another path: .*; call again once it can be written\n"
    with pytest.raises(nlf.IncompleteRunError, match=message):
        nlf.NormLIME(planting, nlf.Gaussian(0.7), **OPTIONS).explain(X, checkpoint=folder)


# --- two runs


IN_USE = r"^checkpoint .* is in use: process {} on [\w.-]+ is at work on it; wait until it ends, or use another folder$"


def test_two_threads(folder, expected):
    shards(folder)[2].unlink()
    at_work, done = threading.Event(), threading.Event()

    def waiting(rows):
        at_work.set()
        assert done.wait(60)
        return model(rows)

    first = nlf.NormLIME(waiting, nlf.Gaussian(0.7), **OPTIONS)
    with ThreadPoolExecutor(1) as executor:
        local = executor.submit(first.explain, X, checkpoint=folder)
        try:
            assert at_work.wait(60)
            for path in (folder, folder / ".." / "run"):
                with pytest.raises(nlf.CheckpointMismatchError, match=IN_USE.format(os.getpid())):
                    explainer().explain(X, checkpoint=path)
        finally:
            done.set()
        assert_array_equal(arrays(local.result(60)), arrays(expected))
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    assert not list(folder.glob(".*"))


WAITS = """
import os, sys
from pathlib import Path
import helpers.runs as here
import normlime_fast as nlf

def waiting(rows):
    if sys.argv[2] == "fork" and os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
    (Path(sys.argv[1]) / ".normlime_fast-0123.tmp").write_text("is being written")
    print("at work", flush=True)
    sys.stdin.read()
    return here.model(rows)

nlf.NormLIME(waiting, nlf.Gaussian(0.7), **here.OPTIONS).explain(here.X, checkpoint=sys.argv[1])
"""


@pytest.fixture
def at_work(folder):
    """Return a function that begins a run in another process, which waits where it calls its model."""
    begun = []

    def begin(how):
        command = [sys.executable, "-c", WAITS, str(folder), how]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, cwd=Path(__file__).parents[1], **pipes))
        assert begun[0].stdout.readline() == "at work\n"
        return begun[0]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", ["alone", pytest.param("fork", marks=NEEDS_FORK)])
def test_two_processes(folder, expected, at_work, how):
    """A killed one leaves no lock, also if a worker outlives it."""
    process = at_work(how)
    shards(folder)[2].unlink()
    with pytest.raises(nlf.CheckpointMismatchError, match=IN_USE.format(process.pid)):
        explainer().explain(X, checkpoint=folder)
    assert (folder / ".normlime_fast-0123.tmp").exists()
    process.kill()
    process.wait()
    assert (folder / ".normlime_fast-lock").exists()
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    assert not list(folder.glob(".*"))


@pytest.mark.skipif(sys.platform == "win32", reason="locks in another way")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_two_processes_where_there_are_no_locks(folder, expected, at_work, monkeypatch, code):
    def refuse(*args):
        raise OSError(code, "of the test")

    at_work("alone")
    shards(folder)[2].unlink()
    monkeypatch.setattr("fcntl.lockf", refuse)
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    assert (folder / ".normlime_fast-0123.tmp").exists()


def test_a_lock_that_cannot_be_opened_or_is_removed_meanwhile(folder, expected, monkeypatch):
    shards(folder)[2].unlink()
    lock = folder / ".normlime_fast-lock"
    lock.mkdir()
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    lock.rmdir()
    lock_file, removed = locks._lock, []

    def removing(file, folder):
        if not removed:
            removed.append(lock.unlink())
        return lock_file(file, folder)

    monkeypatch.setattr(locks, "_lock", removing)
    with locks.only_run(folder) as alone:
        assert alone
        assert lock.read_text() == locks._this_process()
    monkeypatch.setattr(locks, "_is_at", lambda path, file: False)
    with locks.only_run(folder) as alone:
        assert not alone


def test_blocks_that_vanish_while_they_are_read(folder, expected, monkeypatch):
    def vanishing(file):
        if file == second:
            file.unlink()
        return read(file)

    second, read = shards(folder)[1], archive.read
    monkeypatch.setattr("normlime_fast._engine.checkpoint.read", vanishing)
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    assert len(shards(folder)) == 5


# --- another run than the one that was begun


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_features": 3}, "n_features 4, got 3"),
        ({"n_features": None}, "n_features 4, got None"),
        ({"n_samples": 61}, "n_samples 60, got 61"),
        ({"targets": "predicted"}, "targets all, got predicted"),
        ({"targets": [0, 1]}, r"targets all, got \[0, 1\]"),
        ({"ridge": 0.5}, "ridge 0.0, got 0.5"),
        ({"tol": 1e-3}, "tol 0.0001, got 0.001"),
        ({"selection": "highest_weights"}, "selection lasso_path, got highest_weights"),
        ({"shared_samples": 2}, "shared_samples 1, got 2"),
        ({"rng": 1}, r"rng \d+, got \d+"),
        ({"sampling": "sobol"}, "neighborhood sampling iid, got sobol"),
    ],
)
def test_other_settings_are_refused(folder, changed, message):
    with pytest.raises(
        nlf.CheckpointMismatchError, match=rf"was begun with {message}; use the same, or another folder"
    ) as caught:
        explainer(**changed).explain(X, checkpoint=folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:8], r"X of shape \[9, 12\], got \[8, 12\]"),
        (X.astype(np.float32), "X of dtype float64, got float32"),
        (np.where(X == X[3, 4], np.nextafter(X, 9), X), r"values of X \w+, got \w+"),
        (pandas.DataFrame(X), "columns None, got"),
    ],
)
def test_other_data_are_refused(folder, rows, message):
    with pytest.raises(nlf.CheckpointMismatchError, match=f"was begun with {message}"):
        explainer().explain(rows, checkpoint=folder)


def test_other_neighborhoods_numbers_and_columns_are_refused(tmp_path):
    frame = pandas.DataFrame(X[:2], columns=list("abcdefghijkl"))

    def explain(scale=0.7, index=(3, 4), columns=frame.columns):
        predict = lambda frame: model(frame.to_numpy())  # noqa: E731
        one = nlf.NormLIME(predict, nlf.Gaussian(scale), **OPTIONS)
        return one.explain(frame.set_axis(columns, axis=1), index=np.array(index, np.int32), checkpoint=tmp_path)

    explain()
    for changed, message in [
        ({"scale": 0.8}, "neighborhood scale 0.7, got 0.8"),
        ({"scale": np.full(12, 0.7)}, r"neighborhood scale 0.7, got \[0.7,"),
        ({"index": (4, 3)}, "index"),
        ({"columns": list("abcdefghijkm")}, "columns"),
    ]:
        with pytest.raises(nlf.CheckpointMismatchError, match=f"was begun with {message}"):
            explain(**changed)
    explain()


class Noise:
    """A neighborhood of the user's own."""

    n_features = 12

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def perturb(self, instance, n_samples, rng):
        z = rng.normal(size=(n_samples, 12))
        return instance + z, z


NOISE = {"scale": [0.5] * 20, "label": "a", "path": "x" * 70 + "a", "inner": nlf.Proximity(width=1.0), "more": [1] * 40}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": "b"}, "neighborhood label a, got b"),
        ({"scale": [0.5] * 19 + [4.0]}, r"neighborhood scale\[19\] 0.5, got 4.0"),
        ({"scale": [0.5] * 21}, r"neighborhood scale \.\.\.[0-9., ]+\], got \.\.\.[0-9., ]+, 0.5\]"),
        ({"path": "x" * 70 + "b"}, r"neighborhood path \.\.\.x{10}a, got \.\.\.x{10}b"),
        ({"inner": nlf.Proximity(width=2.0)}, "neighborhood inner width 1.0, got 2.0"),
        ({"scale": None}, r"neighborhood scale \[0.5, .*\.\.\., got None"),
    ],
)
def test_what_differs_in_a_neighborhood_of_ones_own_is_named(tmp_path, changed, message):
    nlf.NormLIME(model, Noise(**NOISE), **OPTIONS).explain(X, checkpoint=tmp_path)
    with pytest.raises(nlf.CheckpointMismatchError, match=f"was begun with {message}; use the same, or another"):
        nlf.NormLIME(model, Noise(**NOISE | changed), **OPTIONS).explain(X, checkpoint=tmp_path)


def test_another_model_is_refused(folder, tmp_path):
    one = nlf.NormLIME(lambda rows: 1.001 * model(rows), nlf.Gaussian(0.7), **OPTIONS)
    message = r"was begun with another model: output \d of instance \d was -?[\d.]+, got -?[\d.]+; use the same"
    with pytest.raises(nlf.CheckpointMismatchError, match=message):
        one.explain(X, checkpoint=folder)
    rounded = nlf.NormLIME(lambda rows: model(rows) * (1 + 1e-9), nlf.Gaussian(0.7), **OPTIONS)
    rounded.explain(X, checkpoint=folder)  # as another machine might


def test_a_model_with_more_or_fewer_outputs_is_refused(folder):
    for count, other in (
        (4, lambda rows: np.column_stack([model(rows), rows[:, 0]])),
        (2, lambda rows: model(rows)[:, :2]),
    ):
        with pytest.raises(nlf.CheckpointMismatchError, match=f"was begun with a model of 3 outputs, got {count}"):
            nlf.NormLIME(other, nlf.Gaussian(0.7), **OPTIONS).explain(X, checkpoint=folder)


def test_a_wrapped_model_goes_on_and_names_stay(tmp_path):
    class Classifier:
        classes_ = np.array(["x", "y", "z"])

        def decision_function(self, rows):
            return model(rows)

    predict = Classifier().decision_function
    explain = lambda predict: nlf.NormLIME(predict, nlf.Gaussian(0.7), **OPTIONS).explain(  # noqa: E731
        X, checkpoint=tmp_path, block_size=2
    )
    expected = explain(predict)
    shards(tmp_path)[3].unlink()
    again = explain(lambda rows: predict(rows))
    assert_array_equal(arrays(again), arrays(expected))
    assert again.target_names == ("x", "y", "z")
    shards(tmp_path)[3].unlink()

    def failing(rows):
        if len(rows) > 2:
            raise StopError
        return predict(rows)

    with pytest.raises(StopError) as caught:
        explain(failing)
    assert len(caught.value.finished.status) == 21


@pytest.mark.parametrize(("name", "other"), [('"block_size": 2', '"block_size": 3'), ('"rng": 1', '"rng": 2')])
def test_an_altered_manifest_is_refused(folder, name, other):
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    assert name in text
    manifest.write_text(text.replace(name, other))
    with pytest.raises(nlf.CheckpointMismatchError, match=r"damaged manifest.json: its checksum does not match"):
        explainer(rng=None).explain(X, checkpoint=folder)


def test_a_block_of_another_place_is_not_taken(folder, expected):
    first, *_, last = shards(folder)
    digest = first.name.partition("-")[2]
    last.unlink()
    first.rename(folder / f"00000004-{digest}")
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))


@pytest.mark.parametrize(
    ("rows", "predict"), [(X + 1, model), (X, lambda rows: 2 * model(rows))], ids=["other data", "another model"]
)
def test_a_block_of_another_run_is_not_taken(folder, tmp_path, expected, rows, predict):
    nlf.NormLIME(predict, nlf.Gaussian(0.7), **OPTIONS).explain(rows, checkpoint=tmp_path / "other", block_size=2)
    shards(folder)[0].write_bytes(b"")
    shards(folder)[3].unlink()
    foreign = Path(shutil.copy(shards(tmp_path / "other")[3], folder))
    message = (
        rf"^the checkpoint .* had blocks that are unusable and computed again: 1 damaged, the first 00000000-\w+\.npz;"
        rf" 1 from another run, left in place, the first {foreign.name}$"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        local = explainer().explain(X, checkpoint=folder)
    assert [warning.filename for warning in caught] == [__file__]
    assert_array_equal(arrays(local), arrays(expected))
    assert foreign in shards(folder)
    foreign.unlink()
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    assert len(shards(folder)) == 5


def test_files_of_the_user_stay(folder, expected):
    for name in ("final-result.npz", "notes.tmp", "0-1.npz"):
        (folder / name).write_text("mine")
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))
    assert {file.read_text() for file in (folder / "notes.tmp", folder / "0-1.npz", folder / "final-result.npz")} == {
        "mine"
    }


def test_a_finished_run_says_so(folder):
    told = []
    explainer().explain(X, checkpoint=folder, progress=lambda *now: told.append(now))
    assert told == [(9, 9)]


def test_a_result_is_not_lost_in_its_warning(tmp_path):
    def failing(rows):
        if (rows[:, 0] > 1.5).any():
            raise StopError("of\nmany lines " * 1000)
        return model(rows)

    one = nlf.NormLIME(failing, nlf.Gaussian(0.01), **OPTIONS)
    with pytest.raises(UserWarning, match="3 empty because the model failed") as caught:
        one.explain(X, on_error="skip")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert len(caught.value.finished.status) == 27


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        nlf.CheckpointMismatchError, match=r"must be a folder of its own, got .*, which holds other files"
    ):
        explainer().explain(X, checkpoint=tmp_path)
    with pytest.raises(nlf.CheckpointMismatchError, match=r"checkpoint must be a folder, got the file .*notes.txt"):
        explainer().explain(X, checkpoint=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_manifest_says_what_was_begun(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["version"] == 2
    assert manifest["settings"]["n_samples"] == 60
    assert manifest["settings"]["block_size"] == 2
