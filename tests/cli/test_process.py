"""The command line among other processes: signals, closed streams, what a model prints, checkpoints of another run."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from helpers.cli import onnx_of_columns, run, without_columns, write_models

import normlime_fast as nlf
from normlime_fast._engine.locks import only_run

# The models of these tests stop where a is above 900: not for the rows themselves, which they are asked about first.
ROWS = pd.DataFrame({"a": [k + 0.25 for k in [*range(60)] * 6 + [895, *range(20)]], "b": [0.5, 1.5, 4.0] * 127})
EXPLAIN = ["explain", "--data", "X.csv", "--output", "local.npz", "--samples", "2000", "--neighborhood", "gaussian"]
SHORT = [*EXPLAIN, "--limit", "5", "--samples", "20"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    write_models(tmp_path, monkeypatch)
    ROWS.to_csv("X.csv", index=False)
    return tmp_path


def line(*arguments):
    return [sys.executable, "-m", "normlime_fast", *arguments]


# --- checkpoints


def test_checkpoint_of_another_model_is_refused(here, capsys):
    """The library compares some predictions, which are the same here."""
    onnx_of_columns("model.onnx")
    onnx_of_columns("other.onnx", 7)
    shutil.copy("model.onnx", "copy.onnx")
    pd.DataFrame({"a": [0.0, 1.0], "b": [1, 2]}).to_csv("X.csv", index=False)
    command = [*SHORT, "--checkpoint", "run", "--force", "--model"]
    assert run(capsys, *command, "model.onnx")[0] == 0
    first = Path("local.npz").read_bytes()
    code, _, err = run(capsys, *command, "other.onnx")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(
        "normlime-fast: error: --checkpoint run was begun with --model an ONNX file with the SHA-256 "
    )
    code, _, err = run(capsys, *command, "copy.onnx")
    assert code == 0
    assert "the model predicted 1 rows" in err  # to see its outputs
    assert Path("local.npz").read_bytes() == first
    code, _, err = run(capsys, *command, "model.onnx", "--limit", 1)
    err = without_columns(err)
    assert (code, err.count("\n")) == (2, 1)
    assert "--checkpoint run was begun with data of shape [2, 2], got [1, 2]; use the same" in err


def test_checkpoint_of_another_output_is_refused(here, capsys):
    onnx_of_columns("model.onnx", outputs=("y", "z"))
    pd.DataFrame({"a": [0.0, 1.0], "b": [1, 2]}).to_csv("X.csv", index=False)
    command = [*SHORT, "--checkpoint", "run", "--force", "--model", "model.onnx", "--output-name"]
    assert run(capsys, *command, "y")[0] == 0
    code, _, err = run(capsys, *command, "z")
    assert (code, err.count("\n")) == (2, 1)
    assert "--checkpoint run was begun with --output-name y, got z; use the same, or another folder" in err


def test_run_that_ended_before_its_checkpoint_began_is_forgotten(here, capsys):
    command = [*SHORT, "--checkpoint", "run", "--model", "nlf_models:linear"]
    Path("run").mkdir()
    Path("run", ".normlime_fast-command.json").write_text("{}")
    assert run(capsys, *command)[0] == 0
    assert run(capsys, *command, "--force")[0] == 0


@pytest.mark.parametrize(
    ("content", "message"), [(None, "was not begun by this command; use"), ("{", "cannot be used: "), ("[]", "cannot")]
)
def test_checkpoint_of_who_knows_what_is_refused(here, capsys, content, message):
    command = [*SHORT, "--checkpoint", "run", "--force", "--model", "nlf_models:linear"]
    assert run(capsys, *command)[0] == 0
    (own,) = (path for path in Path("run").iterdir() if path.name.startswith("."))
    own.unlink() if content is None else own.write_text(content)
    code, _, err = run(capsys, *command)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"normlime-fast: error: --checkpoint run {message}")


@pytest.mark.parametrize(("begun", "message"), [(True, ""), (False, "cannot be used: checkpoint run ")])
def test_checkpoint_in_use_is_refused(here, capsys, begun, message):
    command = [*SHORT, "--checkpoint", "run", "--force", "--model", "nlf_models:linear"]
    if begun:
        assert run(capsys, *command)[0] == 0
    Path("run").mkdir(exist_ok=True)
    lock = only_run(Path("run"))
    with ThreadPoolExecutor(1) as another:
        another.submit(lock.__enter__).result()
        code, _, err = run(capsys, *command)
        another.submit(lock.__exit__, None, None, None).result()
    err = without_columns(err)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"normlime-fast: error: --checkpoint run {message}is in use: process {os.getpid()} on ")
    assert run(capsys, *command)[0] == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes with names")
def test_checkpoint_with_a_pipe_for_its_command_is_refused(here, capsys):
    command = [*SHORT, "--checkpoint", "run", "--force", "--model", "nlf_models:linear"]
    assert run(capsys, *command)[0] == 0
    Path("run", ".normlime_fast-command.json").unlink()
    os.mkfifo(Path("run", ".normlime_fast-command.json"))
    code, _, err = run(capsys, *command)
    assert (code, err.count("\n")) == (2, 1)
    assert "--checkpoint run cannot be used: [Errno 22] is not a regular file; use another path: 'run" in err


# --- signals


@pytest.mark.parametrize("trouble", [lambda: signal.raise_signal(signal.SIGINT), [].pop], ids=["Ctrl-C", "error"])
def test_nothing_disturbs_saving(here, capsys, monkeypatch, trouble):
    save = nlf.LocalExplanations.save
    troubles = [trouble]

    def disturbed(local, path):
        if troubles:
            troubles.pop()()
        save(local, path)

    monkeypatch.setattr(nlf.LocalExplanations, "save", disturbed)
    monkeypatch.setattr("tempfile.tempdir", str(here))
    code, _, err = run(capsys, *EXPLAIN, "--model", "nlf_models:interrupted")
    err = without_columns(err)
    assert (code, err.count("\n")) == (130, 1)
    (kept,) = here.glob("local.npz.partial*")
    assert str(kept.name) in err
    assert 0 < len(nlf.LocalExplanations.load(kept).status) < len(ROWS)


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_sigterm_keeps_what_is_finished(here):
    done = subprocess.run(
        line(*EXPLAIN, "--model", "nlf_models:terminated"), capture_output=True, text=True, check=False
    )
    err = without_columns(done.stderr)
    assert (done.returncode, err.count("\n")) == (143, 1)
    assert err.startswith("normlime-fast: stopped by SIGTERM; the ")
    assert 0 < len(nlf.LocalExplanations.load("local.npz.partial").status) < len(ROWS)


def test_handlers_are_those_of_before(here, capsys):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    assert run(capsys, *SHORT, "--model", "nlf_models:linear")[0] == 0
    assert [signal.getsignal(number) for number in numbers] == before


# --- streams


def test_model_that_prints_and_warns(here):
    """Nothing of that on stdout, where results go, also not of its import; and one warning, not one for each call."""
    Path("talks.py").write_text("print('imported')\nfrom nlf_models import prints\n")
    done = subprocess.run(line(*SHORT, "--model", "talks:prints"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    for text in ("raw\n", "imported\n", "printed\n"):
        assert text in done.stderr
    assert done.stderr.count("normlime-fast: warning: of n_samples of predict was working\n") == 1
    assert done.stderr.count("of n_samples") == 1


def test_model_that_prints_where_streams_have_no_descriptors(here, capsys):
    Path("speaks.py").write_text("print('imported')\nfrom nlf_models import linear\n")
    code, out, err = run(capsys, *SHORT, "--model", "speaks:linear")
    assert (code, out, err.splitlines()[0]) == (0, "", "imported")


def test_reader_of_the_progress_that_stops_reading(here):
    with subprocess.Popen(
        line(*EXPLAIN, "--model", "nlf_models:linear", "--progress"), stderr=subprocess.PIPE
    ) as process:
        process.stderr.close()
        assert process.wait() == 0
    assert len(nlf.LocalExplanations.load("local.npz").status) == len(ROWS)


@pytest.mark.skipif(os.name != "posix", reason="streams are closed by a POSIX shell")
def test_closed_streams(here):
    for arguments in ([*SHORT, "--model", "nlf_models:linear"], ["importance", "local.npz"]):
        shell = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', *line(*arguments)]
        assert subprocess.run(shell, check=False).returncode == 0
    assert Path("local.npz").exists()


# --- headers


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (",b", "X.csv has a column without a name, now 'Unnamed: 0'; if it only numbers the rows, --drop 'Unnamed: 0'"),
        ("1.5,-2e3", "the first line of X.csv is read as its header, but has only numbers"),
    ],
)
def test_headers_that_are_none(here, capsys, header, message):
    content = Path("X.csv").read_text().partition("\n")[2]
    Path("X.csv").write_text(f"{header}\n{content}")
    code, _, err = run(capsys, *SHORT, "--model", "nlf_models:linear")
    assert (code, err.splitlines()[0]) == (0, f"normlime-fast: warning: {message}")
