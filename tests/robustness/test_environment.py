"""Hostile surroundings: no cache, flushed subnormals, forks, spawned processes, Ctrl-C."""

import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from helpers.runs import digest

import normlime_fast

TESTS = Path(__file__).parents[1]
PACKAGE = Path(normlime_fast.__file__).parent

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="forks and sends signals as Linux does")


def start(script, *arguments, path=PACKAGE.parent, **environment):
    """Start a script in a process of its own, where every warning is an error."""
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (path, TESTS))), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script, *arguments, **options):
    """Return what the script printed."""
    out, err = start(script, *arguments, **options).communicate(timeout=300)
    assert not err
    return out


# ---- numba's cache. tests/kernels/test_jit.py has the rest, with a kernel that compiles faster.

DIGEST = "import helpers.runs as here; print(here.digest(n_jobs=2))"


def test_nowhere_to_write_a_cache(tmp_path):
    """As in site-packages that are read-only, for a user without a home: root could write there, but not in a file."""
    for folder, _, files in os.walk(PACKAGE):
        copy = tmp_path / "normlime_fast" / Path(folder).relative_to(PACKAGE)
        if copy.name != "__pycache__":
            copy.mkdir()
            (copy / "__pycache__").write_text("a file where a folder should be")
            for name in files:
                shutil.copy(Path(folder, name), copy)
    nowhere = str(tmp_path / "normlime_fast" / "__pycache__" / "below")
    script = (
        DIGEST
        + """
from normlime_fast._kernels import surrogate
print(surrogate.fit.stats.cache_path, surrogate.__file__)
"""
    )
    environment = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), nowhere)
    printed, place = run(script, path=tmp_path, **environment).splitlines()
    assert place == f"None {tmp_path / 'normlime_fast' / '_kernels' / 'surrogate.py'}"
    assert printed == digest()


# ---- Subnormal numbers flushed to zero, as libraries switch it on that were built with -ffast-math

FLUSHED = """
import ctypes, hashlib, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np

if sys.argv[1] == "on":
    libm, environment = ctypes.CDLL("libm.so.6"), ctypes.create_string_buffer(32)
    assert libm.fegetenv(environment) == 0
    mxcsr = int.from_bytes(environment[28:32], "little") | 0x8040  # flush to zero, denormals are zero
    environment[28:32] = mxcsr.to_bytes(4, "little")
    assert libm.fesetenv(environment) == 0

import normlime_fast as nlf
import helpers.runs as here

with ThreadPoolExecutor(1) as threads:
    for product in (np.float64(2e-308) * 0.5, threads.submit(lambda: np.float64(2e-308) * 0.5).result()):
        assert (product == 0.0) == (sys.argv[1] == "on")

tiny = here.X.copy()
tiny[::2, 0], tiny[1::2, 2], tiny[:, 5] = 5e-324, -1e-310, 2e-308 * here.X[:, 5]
scales = np.array([0.7, 5e-324, 1e-310, *[0.7] * 9])
for X in (here.X, tiny):
    for scale in (0.7, scales):
        for n_jobs in (1, 2):
            explainer = nlf.NormLIME(here.model, nlf.Gaussian(scale), n_features=4, n_samples=200, rng=0, n_jobs=n_jobs)
            local = explainer.explain(X)
            bits = [local.weights.data, local.weights.indices, local.intercept, local.r2, local.status]
            print(hashlib.sha256(b"".join(array.tobytes() for array in bits)).hexdigest())

rng = np.random.default_rng(0)
Z, some = rng.normal(size=(100, 6)), np.arange(100) % 3 == 0
y = Z[:, 0] - 2 * Z[:, 3] + 0.1 * rng.normal(size=100)
for samples, outputs, weights in (
    (Z, y, None),
    (Z * [1, 1, 1, 1, 1e-310, 1], y, None),
    (Z * [1, 1, 1, 1, 1e-160, 1], y, None),
    (Z * 1e-307, y, None),
    (Z, np.where(some, 1e-310, y), None),
    (Z, y, np.where(some, 1e-310, 1.0)),
):
    fitted = nlf.fit_surrogates(samples, outputs, n_features=2, sample_weight=weights)
    print(np.flatnonzero(fitted.coef), fitted.status)
"""


@LINUX
@pytest.mark.skipif(platform.machine() != "x86_64", reason="sets a register of x86")
def test_flush_to_zero_changes_nothing():
    """The same bits of explanations; the same support and status of fits to samples that are subnormal themselves."""
    expected = run(FLUSHED, "off").splitlines()
    assert len(set(expected[:8])) == 4  # and two numbers of jobs each
    assert run(FLUSHED, "on").splitlines() == expected


# ---- Processes

FORKED = """
import os, sys, warnings
import helpers.runs as here

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, such as those of BLAS
expected = here.digest(n_jobs=2)
child = os.fork()
if child == 0:
    os._exit(0 if here.digest(n_jobs=2) == expected else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert here.digest(n_jobs=2) == expected
print(expected)
"""

FORKED_AT_WORK = """
import os, sys, warnings
import numpy as np
import normlime_fast as nlf
import helpers.runs as here

warnings.simplefilter("ignore", DeprecationWarning)
here.digest(n_jobs=2)  # compiles or loads
codes = []

def model(X):
    child = os.fork()  # while threads draw and fit
    if child == 0:
        os._exit(0 if here.digest(n_jobs=2) == sys.argv[1] else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return here.model(X)

options = {"n_features": 4, "n_samples": 60, "targets": "all", "rng": 0, "n_jobs": 2, "batch_size": 180}
local = nlf.NormLIME(model, nlf.Gaussian(0.7), **options).explain(here.X)
np.testing.assert_array_equal(here.arrays(local), here.arrays(here.explainer().explain(here.X)))
assert codes == [0] * 6, codes
print(sys.argv[1])
"""


FORKED_WHILE_A_THREAD_COMPILES = """
import os, signal, sys, threading, warnings
from numba.core.compiler_lock import global_compiler_lock
import normlime_fast as nlf
import helpers.runs as here

warnings.simplefilter("ignore", DeprecationWarning)
nlf.warm_up()
compiling, done = threading.Event(), threading.Event()

def compile_something():
    with global_compiler_lock:
        compiling.set()
        done.wait()

thread = threading.Thread(target=compile_something)
thread.start()
compiling.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)  # if it waits for a lock that nobody releases
    os._exit(0 if here.digest(n_jobs=2) == sys.argv[1] else 1)
done.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@LINUX
def test_warm_in_a_fork_while_a_thread_compiles():
    assert run(FORKED_WHILE_A_THREAD_COMPILES, digest()) == "0\n"


@LINUX
def test_use_in_a_fork():
    assert run(FORKED).strip() == digest()
    assert run(FORKED_AT_WORK, digest()).strip() == digest()


def test_use_in_a_spawned_process():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(digest, n_jobs=2).result(timeout=300) == digest()


def test_threading_layers_do_not_matter():
    assert run(DIGEST, NUMBA_THREADING_LAYER="workqueue").strip() == digest()


# ---- Ctrl-C

INTERRUPTED = """
import signal, sys, threading, time
import numpy as np
import normlime_fast as nlf

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
n_jobs, d, n, rows = map(int, sys.argv[1:])
outputs = np.random.default_rng(0).normal(size=1 << 22)
calls = []

def predict(X):
    calls.append(len(X))
    if len(calls) == 20 - rows // -n:  # the rows themselves, and so many instances
        print("working", flush=True)
    return outputs[: len(X)]

X = np.zeros((rows, d), np.float32)
nlf.NormLIME(predict, nlf.Gaussian(1.0), n_samples=50, rng=0).explain(X[:1])  # compiles or loads
calls.clear()
explainer = nlf.NormLIME(predict, nlf.Gaussian(1.0), n_samples=n, rng=0, n_jobs=n_jobs, batch_size=n)
try:
    explainer.explain(X)
except KeyboardInterrupt as error:
    raised = time.time()
    while threading.active_count() > 1 and time.time() < raised + 10:
        time.sleep(0.01)  # one that was just being started is not waited for
    print(raised, len(error.finished.instance), threading.active_count())
    local = explainer.explain(X[:2])
    assert (local.weights != error.finished.weights[:2]).nnz == 0
"""


def interrupt(n_jobs, d, n, rows, delay):
    """Send SIGINT so long after the twentieth instance; seconds to the exception, instances finished, threads left."""
    process = start(INTERRUPTED, n_jobs, d, n, rows)
    assert process.stdout.readline() == "working\n", process.stderr.read()
    time.sleep(delay)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    raised, finished, threads = out.split()
    return float(raised) - sent, int(finished), int(threads)


@LINUX
@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_ctrl_c(n_jobs):
    seconds, finished, threads = interrupt(n_jobs, d=30, n=5000, rows=20_000, delay=0.01)
    print(f"{n_jobs} jobs: interrupted after {seconds:.3f} s, {finished} instances finished")
    assert 8 <= finished < 20_000  # all that threads could not have been at
    assert threads == 1
