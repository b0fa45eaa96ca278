import ast
import os
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest

from normlime_fast._kernels import jit
from normlime_fast._kernels.jit import kernel

MODULE = """
import os
from normlime_fast._kernels.jit import kernel

@kernel(fastmath=set(os.environ.get("FLAGS", "").split()))
def total(values):
    result = 0.0
    for i in range(values.shape[0]):
        result += 3.0 * values[i]
    return result
"""

PRELUDE = """
import importlib
import sys
from pathlib import Path

import numpy as np

def fresh():
    sys.modules.pop("module", None)
    return importlib.import_module("module").total

def call(total, dtype=np.float64):
    assert not total.signatures, "compiled on import"
    assert total(np.arange(5, dtype=dtype)) == 30.0
    return sum(total.stats.cache_hits.values())

def cached(suffix):
    (path,) = Path("cache").rglob("*" + suffix)
    return path
"""


@pytest.fixture
def run(tmp_path):
    """Runs a script in a process of its own beside the module and returns what it printed, as Python reads it."""
    (tmp_path / "module.py").write_text(MODULE)

    def start(script, **environment):
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PRELUDE + script],
            cwd=tmp_path,
            env={**os.environ, "NUMBA_CACHE_DIR": "cache", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(process):
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert not errors
        return ast.literal_eval(output)

    def run(script, **environment):
        return finish(start(script, **environment))

    run.start, run.finish = start, finish
    return run


def test_second_process_loads_what_the_first_compiled(run):
    assert run("print(call(fresh()))") == 0
    assert run("print(call(fresh()))") == 1


@pytest.mark.parametrize("option", [{"NUMBA_BOUNDSCHECK": "1"}, {"FLAGS": "contract nsz reassoc"}])
def test_options_that_the_source_does_not_show_make_other_code(run, option):
    assert run("print(call(fresh()))") == 0
    assert run("print(call(fresh()))", PYTHONHASHSEED="1", **option) == 0
    assert run("print(call(fresh()))", PYTHONHASHSEED="2", **option) == 1


def test_a_change_in_a_file_beside_makes_other_code(run, tmp_path):
    (tmp_path / "called.py").write_text("FACTOR = 1")
    assert [run("print(call(fresh()))") for _ in range(2)] == [0, 1]
    (tmp_path / "called.py").write_text("FACTOR = 2")
    assert run("print(call(fresh()))") == 0


def test_no_directory_to_cache_in(run, tmp_path):
    blocked = tmp_path / "__pycache__"
    blocked.write_text("a file where numba looks for a directory")
    below = str(blocked / "below")
    environment = {"NUMBA_CACHE_DIR": below, "HOME": below, "XDG_CACHE_HOME": below}
    assert run("total = fresh(); print((call(total), total.stats.cache_path))", **environment) == (0, None)


def test_disk_refuses_writes(run, tmp_path):
    pytest.importorskip("resource")
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
total = fresh()
print((call(total), total.stats.cache_path is None))
"""
    assert run(script) == (0, False)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_files_cut_short(run):
    script = """
call(fresh())
hits = []
for suffix in (".nbi", ".nbc"):
    for length in (0, 1, 20, 100, -100, -1):
        path = cached(suffix)
        path.write_bytes(path.read_bytes()[:length])
        hits.append((call(fresh()), call(fresh())))
print(hits)
"""
    assert run(script) == [(0, 1)] * 12  # compiled again, saved again


def test_flipped_bits(run):
    script = """
call(fresh())
hits = []
for suffix, n_positions in ((".nbi", 20), (".nbc", 60)):
    content = cached(suffix).read_bytes()
    for position in np.linspace(0, len(content) - 1, n_positions).astype(int):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        cached(suffix).write_bytes(damaged)
        call(fresh())
        hits.append(call(fresh()))
print(hits)
"""
    assert run(script) == [1] * 80


def test_data_of_another_signature(run):
    script = """
call(fresh(), np.float64)
path = cached(".nbc")
content = path.read_bytes()
path.with_name(cached(".nbi").name).unlink()
call(fresh(), np.int64)
path.write_bytes(content)
print((call(fresh(), np.int64), call(fresh(), np.int64)))
"""
    assert run(script) == (0, 1)


def test_two_processes_fill_a_cold_cache(run):
    processes = [run.start(f"print(call(fresh(), np.{dtype}))") for dtype in ("float64", "float64", "int64", "int64")]
    assert all(run.finish(process) in (0, 1) for process in processes)
    assert run("call(fresh()); call(fresh(), np.int64); print([call(fresh()), call(fresh(), np.int64)])") == [1, 1]


def test_stopped_between_index_and_data(run, tmp_path):
    assert run("print(call(fresh()))") == 0
    (tmp_path / "module.py").write_text(MODULE.replace("3.0", "4.0"))  # which numba's key does not show
    script = """
import os
replace = os.replace

def stop(source, target):
    if target.endswith(".nbc"):
        raise KeyboardInterrupt
    replace(source, target)

os.replace = stop
total = fresh()
try:
    total(np.arange(5.0))
except KeyboardInterrupt:
    print(total(np.arange(5.0)))
"""
    assert run(script) == 40.0
    assert run("print(fresh()(np.arange(5.0)))") == 40.0


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_while_llvm_compiles(run):
    script = """
import signal
from numba.core.codegen import CPUCodeLibrary
signal.signal(signal.SIGINT, signal.default_int_handler)
hook = CPUCodeLibrary._object_compiled_hook  # which LLVM calls

def interrupted(*arguments):
    signal.raise_signal(signal.SIGINT)
    hook(*arguments)

CPUCodeLibrary._object_compiled_hook = interrupted
total = fresh()
raised = False
try:
    total(np.arange(5.0))
except KeyboardInterrupt:
    raised = True
print((raised, len(total.signatures), total(np.arange(5.0))))
"""
    assert run(script) == (True, 1, 30.0)
    assert run("print(call(fresh()))") == 1


def test_zip_with_other_sources_makes_other_code(run, tmp_path):
    script = """
sys.path.insert(0, "package.zip")
from zipped import total
print((total(np.arange(5.0)), sum(total.stats.cache_hits.values())))
"""
    environment = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), str(tmp_path / "home"))
    for factor, total in ("3.0", 30.0), ("4.0", 40.0):
        with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
            package.writestr("zipped.py", MODULE.replace("3.0", factor))
        assert [run(script, **environment) for _ in range(2)] == [(total, 0), (total, 1)]


# ---- What others could have written

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="judges owners and modes")
ROOT = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="changes owners")

PLANT = """
import os

class Planted:
    def __reduce__(self):
        return os.mkdir, ("planted",)

total = fresh()
call(total)
files = total._cache._cache_file
files._source_stamp = Planted()
files.flush()
print(0)
"""

LOGGED = """
import logging
logger = logging.getLogger("normlime_fast")
logger.addHandler(logging.FileHandler("log"))
logger.setLevel("DEBUG")
print(call(fresh()))
"""


@POSIX
def test_planted_code_runs_where_it_is_trusted(run, tmp_path):
    """Or the next test would show nothing."""
    run(PLANT)
    assert run("print(call(fresh()))") == 0
    assert (tmp_path / "planted").exists()


@pytest.mark.parametrize(
    ("place", "owner", "mode", "reason"),
    [
        pytest.param("folder", None, 0o777, "everybody can write to it", marks=POSIX),
        pytest.param("index", None, 0o646, "everybody can write to it", marks=POSIX),
        pytest.param("folder", (12345, 0), 0o755, "user 12345 owns it", marks=ROOT),
        pytest.param("index", (12345, 0), 0o644, "user 12345 owns it", marks=ROOT),
        pytest.param("folder", (0, 1), 0o775, "group 1 can write to it", marks=ROOT),
    ],
)
def test_what_others_could_have_written_is_not_unpickled(run, tmp_path, place, owner, mode, reason):
    run(PLANT)
    (index,) = (tmp_path / "cache").rglob("*.nbi")
    path = index.parent if place == "folder" else index
    if owner:
        os.chown(path, *owner)
    path.chmod(mode)
    planted = [file.read_bytes() for file in sorted((tmp_path / "cache").rglob("*.nb?"))]
    assert run(LOGGED) == 0
    assert not (tmp_path / "planted").exists()
    (line,) = set((tmp_path / "log").read_text().splitlines())  # of a file twice: before it is read and replaced
    assert line == f"kernel cache {path.relative_to(tmp_path)} not used: {reason}"
    left = [file.read_bytes() for file in sorted((tmp_path / "cache").rglob("*.nb?"))]
    assert (left == planted) == (place == "folder")  # a file in a folder that is ours is replaced
    assert run("print(call(fresh()))") == 1  # from `__pycache__`, or from that new file


@ROOT
def test_code_of_root_is_read_by_others(run, tmp_path):
    tmp_path.chmod(0o755)
    script = """
import os
call(fresh(), np.int64)  # imports all that numba needs, while it can
total = fresh()
os.seteuid(12345)
print(call(total))
"""
    assert run("print(call(fresh()))") == 0
    assert run(script) == 1


@POSIX
@pytest.mark.parametrize(
    ("owner", "group", "mode", "reason"),
    [
        (1000, 1000, 0o775, None),  # as Debian and Fedora make folders
        (1000, 50, 0o755, None),
        (0, 0, 0o775, None),
        (0, 50, 0o755, None),
        (1000, 100, 0o775, "group 100 can write to it"),  # everybody's group, which lists nobody
        (1000, 1001, 0o775, "group 1001 can write to it"),
        (0, 1000, 0o775, "group 1000 can write to it"),
        (1000, 7, 0o775, "group 7 can write to it"),
        (1000, 1000, 0o757, "everybody can write to it"),
        (1002, 1002, 0o755, "user 1002 owns it"),
    ],
)
def test_who_else_could_write(monkeypatch, owner, group, mode, reason):
    users = {0: ("root", 0), 1000: ("ann", 1000), 1001: ("bob", 1001)}
    groups = {0: ("root", ["root"]), 100: ("users", []), 1000: ("ann", []), 1001: ("team", ["ann", "bob"])}
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: SimpleNamespace(pw_name=users[uid][0], pw_gid=users[uid][1]))
    monkeypatch.setattr("grp.getgrgid", lambda gid: SimpleNamespace(gr_name=groups[gid][0], gr_mem=groups[gid][1]))
    assert jit._why_not_trusted(os.stat_result((mode, 0, 0, 1, owner, group, 0, 0, 0, 0))) == reason


@pytest.mark.parametrize("flags", [{"fast"}, {"contract", "nnan"}, {"ninf"}, {"arcp"}, {"afn"}, {"other"}])
def test_fastmath_flags_that_lose_nan_are_refused(flags):
    with pytest.raises(ValueError, match="fastmath must be among"):
        kernel(fastmath=flags)


def test_options_reach_the_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))  # numba does not show code that it loaded

    @kernel(fastmath={"contract", "reassoc", "nsz"}, inline="always")
    def divide(a, b):
        return a / b

    assert divide(1.0, 0.0) == float("inf")
    (code,) = divide.inspect_llvm().values()
    assert "fdiv reassoc nsz contract double" in code or "fdiv nsz contract reassoc" in code
    assert divide.targetoptions["nogil"]
    assert divide.targetoptions["inline"] == "always"
