"""Ctrl-C at every line of the library that the caller's thread runs: what is kept is right, and nothing is left behind.

A trace function raises KeyboardInterrupt where a line is about to run: at the first time and the last.
"""

import gc
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import model
from numpy.testing import assert_array_equal

import normlime_fast as nlf

PACKAGE = str(Path(nlf.__file__).parent)
X = np.random.default_rng(0).normal(size=(7, 12))
TEXTS = ["good fit", "a bad fit", "fine, fine fit", "good colour", "bad colour, bad fit", "so good", "it is fine"]
BLOCK = 3  # instances: two whole blocks, and one that is not


def letters(texts):
    return np.array([[text.count("o"), len(text) % 5, text.count("i") ** 2] for text in texts], float)


NEIGHBORHOODS = {  # one of each kind of sampler, its model and rows
    "gaussian": (nlf.Gaussian(0.7), model, X),
    "pool": (nlf.Pool.from_data(np.random.default_rng(1).normal(size=(200, 12)), share=0.5), model, X),
    "texts": (nlf.Mask.text(TEXTS), letters, TEXTS),
}
OPTIONS = {"n_features": 2, "n_samples": 30, "rng": 0, "batch_size": 60}


class Interrupter:
    """A trace function that counts how often each line of the library runs, and raises at one."""

    def __init__(self, where=None, armed=True, files=PACKAGE):
        self.where = where
        self.files = files  # how the names of those whose lines count begin
        self.armed = armed
        self.seen = Counter()

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(self.files):
            return None
        if "__del__" in (frame.f_code.co_name, frame.f_back.f_code.co_name):
            return None  # what is raised there goes nowhere
        if event == "line" and self.armed:
            line = frame.f_code.co_filename, frame.f_lineno
            self.seen[line] += 1
            if (line, self.seen[line]) == self.where:
                raise KeyboardInterrupt
        return self

    @contextmanager
    def at_work(self):
        before = sys.gettrace()  # that of coverage
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)


class Call:
    """A call of an explainer in one of the modes, on folders of its own, and what it is to return."""

    def __init__(self, kind, n_jobs, mode, executor, folder):
        neighborhood, predict, self.rows = NEIGHBORHOODS[kind]
        self.explainer = nlf.NormLIME(predict, neighborhood, n_jobs=n_jobs, **OPTIONS)
        self.mode, self.folder = mode, folder
        self.executor = executor if "executor" in mode else None
        self.runs = 0
        self.expected = self.explainer.explain(self.rows)
        self.sums = {count: self.explainer.statistics(self.rows[:count], block_size=BLOCK).sums for count in (3, 6, 7)}

    def __call__(self, progress=False):
        options = {"executor": self.executor, "block_size": BLOCK, "progress": progress}
        if "stream" in self.mode:
            return self.explainer.statistics(self.rows, **options)
        if "checkpoint" in self.mode:
            options["checkpoint"] = self.folder / str(self.runs)
        return self.explainer.explain(self.rows, **options)

    def check(self, result):
        """See that each explanation is that of its instance, to the bit, or each sum that of the first rows."""
        if isinstance(result, nlf.ImportanceStatistics):
            assert_array_equal(result.sums, self.sums[int(result.explanations.sum())])
            return
        assert len(np.unique(result.instance)) == len(result.instance) > 0
        assert_array_equal(result.weights.toarray(), self.expected.weights.toarray()[result.instance])
        for name in ("intercept", "r2", "prediction", "status", "target", "effective_samples"):
            assert_array_equal(getattr(result, name), getattr(self.expected, name)[result.instance])

    def check_whole(self, result):
        self.check(result)
        explanations = result.explanations if "stream" in self.mode else result.instance
        assert_array_equal(explanations, [7] if "stream" in self.mode else np.arange(7))

    def interrupted(self, interrupter, progress=False):
        """Make the call, interrupted; return whether it came to that, and whether the exception carries something."""
        self.runs += 1
        came, carried = False, None
        try:
            with interrupter.at_work():
                self.check_whole(self(progress))
        except KeyboardInterrupt as error:
            came, carried = True, getattr(error, "finished", None)
            if carried is not None:
                self.check(carried)
        assert not list(self.folder.glob("*/.*.tmp"))
        if came:
            self.check_whole(self())  # goes on from the checkpoint, if there is one
            assert not list(self.folder.glob("*/.*")), "a lock is left"
        no_thread_is_left()
        return came, carried is not None

    def at_every_line(self, interruption):
        """Interrupt the call at each line that `interruption` sees without, and count what comes of it."""
        interrupter, *options = interruption(None)
        self.interrupted(interrupter, *options)
        first = set() if "checkpoint" in self.mode else {1}  # which takes so long that the last time must do
        moments = [(line, k) for line, count in interrupter.seen.items() for k in first | {count}]
        outcomes = Counter(self.interrupted(*interruption(moment)) for moment in moments)
        print(self.mode, dict(outcomes))
        return outcomes


def no_thread_is_left():
    deadline = time.monotonic() + 30
    while [thread for thread in threading.enumerate() if thread.name.startswith("normlime_fast")]:
        gc.collect()  # of the frames that the exception went through
        assert time.monotonic() < deadline, "a thread is left"
        time.sleep(0.001)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


MODES = ["alone", "checkpoint", "executor", "checkpoint and executor", "stream", "stream and executor"]


@pytest.fixture
def call(kind, n_jobs, mode, pool, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # which takes most of the time
    return Call(kind, n_jobs, mode, pool, tmp_path)


def seldom(kind, mode):
    """Mark combinations as nightly whose lines others have: a checkpoint is the same for all kinds."""
    return [pytest.mark.nightly] if "checkpoint" in mode and kind != "gaussian" else []


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    ("kind", "mode"), [pytest.param(kind, mode, marks=seldom(kind, mode)) for kind in NEIGHBORHOODS for mode in MODES]
)
def test_at_every_line(call):
    outcomes = call.at_every_line(lambda where: [Interrupter(where)])
    assert outcomes[True, True] > 20
    assert outcomes[True, False] > 20


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a file that is left to be collected
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["gaussian"])
def test_a_second_time_at_every_line_that_the_first_one_leads_to(call):
    def twice(where):
        interrupter = Interrupter(where, armed=False)

        def interrupt(done, total):
            if done >= 5 and not interrupter.armed:
                interrupter.armed = True
                raise KeyboardInterrupt

        return interrupter, interrupt

    outcomes = call.at_every_line(twice)
    gc.collect()
    assert outcomes[True, True] > 0
    assert outcomes[False, False] == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a ZipFile that was never finished
def test_saving_at_every_line_also_of_the_zip_writer(tmp_path):
    local = nlf.NormLIME(model, nlf.Gaussian(0.7), **OPTIONS).explain(X)
    path, files = tmp_path / "local.npz", (PACKAGE, zipfile.__file__)
    local.save(path)
    content = path.read_bytes()
    counting = Interrupter(files=files)
    with counting.at_work():
        local.save(path)
    for line in counting.seen:
        path.write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt), Interrupter((line, 1), files=files).at_work():
            local.save(path)
        assert path.read_bytes() in (b"old", content)
        assert list(tmp_path.iterdir()) == [path]
    gc.collect()  # of what was never finished


def test_real_signals():
    script = Path(__file__).parents[1] / "scripts" / "interrupt_at_random.py"
    command = [sys.executable, "-W", "error", str(script), "12", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    print(done.stdout)
    assert done.stdout.count("right") >= 3
    assert done.stdout.endswith("0 wrong\n")
