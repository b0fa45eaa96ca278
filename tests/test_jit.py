import ast
import os
import subprocess
import sys

import pytest

from normlime_fast.kernels.jit import kernel

MODULE = """
import os
from normlime_fast.kernels.jit import kernel

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
