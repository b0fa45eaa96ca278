"""Finished blocks survive whatever ends a run, and the same call goes on from there."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas
import pytest
from numpy.testing import assert_array_equal
from test_reproducibility import X, arrays, explainer, model

import normlime_fast as nlf

OPTIONS = {"n_features": 4, "n_samples": 60, "targets": "all", "rng": 0}


@pytest.fixture(scope="module")
def expected():
    return explainer().explain(X)


@pytest.fixture
def folder(tmp_path):
    """A checkpoint with five blocks of X, all finished."""
    explainer().explain(X, checkpoint=tmp_path / "run", block_size=2)
    return tmp_path / "run"


def shards(folder):
    return sorted(folder.glob("*.npz"))


def counting(predict=model):
    """A model that counts the rows that it is asked about."""

    def count(rows):
        count.rows += len(rows)
        return predict(rows)

    count.rows = 0
    return count


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
    script = Path(__file__).with_name("kill_and_resume.py")
    command = [sys.executable, "-W", "error", str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert ", 0 of them computed twice" in done.stdout


# --- damage


@pytest.mark.parametrize("cut", [0, 1, -1, 100])
def test_blocks_cut_short_are_computed_again(folder, cut, expected):
    for file in shards(folder)[1:3]:
        file.write_bytes(file.read_bytes()[:cut])
    with pytest.warns(UserWarning, match=r"had 2 damaged blocks, the first 00000001-.*: they are computed again"):
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
        with pytest.warns(UserWarning, match="1 damaged block"):
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
        (b'{"version": 1, "settings": 3}', "damaged"),
        (b'{"version": 2, "settings": {}}', "has version 2, but only 1 can be read"),
    ],
)
def test_a_damaged_manifest_is_said_to_be(folder, content, message):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
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
import test_checkpoint as here
from normlime_fast import IncompleteRunError

def set_limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def filling(rows):
    if predict.rows > 2 * 122:
        set_limit(1000)
    return predict(rows)

predict = here.counting()
one = here.nlf.NormLIME(filling, here.nlf.Gaussian(0.7), **here.OPTIONS)
try:
    one.explain(here.X, checkpoint=sys.argv[1], block_size=2)
except IncompleteRunError as error:
    print(error)
    print(len(error.finished.status))
    print(*error.__notes__)
set_limit(resource.RLIM_INFINITY)
assert predict.rows == 3 * 122, "the blocks after it were computed in vain"
kept = here.shards(here.Path(sys.argv[1]))
assert len(kept) == 2, kept
assert not list(here.Path(sys.argv[1]).glob(".*")), "a temporary file is left"
predict.rows = 0
one.predict = predict
resumed = one.explain(here.X, checkpoint=sys.argv[1])
here.assert_array_equal(here.arrays(resumed), here.arrays(here.explainer().explain(here.X)))
print(predict.rows)
"""
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    message, finished, notes, rows = done.stdout.splitlines()
    assert f"could not be written to the checkpoint {tmp_path}: [Errno 27] File too large" in message
    assert "make room, then call again" in message
    assert finished == "18"  # the block that was not written, too
    assert "the same call goes on from there" in notes
    assert rows == str(2 + 122 + 122 + 61)


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
    with pytest.raises(ValueError, match=rf"was begun with {message}; use the same, or another folder") as caught:
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
    with pytest.raises(ValueError, match=f"was begun with {message}"):
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
        with pytest.raises(ValueError, match=f"was begun with {message}"):
            explain(**changed)
    explain()


def test_another_model_is_refused(folder, tmp_path):
    one = nlf.NormLIME(lambda rows: 1.001 * model(rows), nlf.Gaussian(0.7), **OPTIONS)
    message = r"was begun with another model: output \d of instance \d was -?[\d.]+, got -?[\d.]+; use the same"
    with pytest.raises(ValueError, match=message):
        one.explain(X, checkpoint=folder)
    rounded = nlf.NormLIME(lambda rows: model(rows) * (1 + 1e-9), nlf.Gaussian(0.7), **OPTIONS)
    rounded.explain(X, checkpoint=folder)  # as another machine might


def test_a_model_with_more_or_fewer_outputs_is_refused(folder):
    for count, other in (
        (4, lambda rows: np.column_stack([model(rows), rows[:, 0]])),
        (2, lambda rows: model(rows)[:, :2]),
    ):
        with pytest.raises(ValueError, match=f"was begun with a model of 3 outputs, got {count}"):
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
    with pytest.raises(ValueError, match=r"damaged manifest.json: its checksum is another"):
        explainer(rng=None).explain(X, checkpoint=folder)


def test_a_block_of_another_place_is_not_taken(folder, expected):
    first, *_, last = shards(folder)
    digest = first.name.partition("-")[2]
    last.unlink()
    first.rename(folder / f"00000004-{digest}")
    assert_array_equal(arrays(explainer().explain(X, checkpoint=folder)), arrays(expected))


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
    with pytest.raises(ValueError, match=r"must be a folder of its own, got .*, which holds other files"):
        explainer().explain(X, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint must be a folder, got the file .*notes.txt"):
        explainer().explain(X, checkpoint=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_manifest_says_what_was_begun(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["version"] == 1
    assert manifest["settings"]["n_samples"] == 60
    assert manifest["settings"]["block_size"] == 2
