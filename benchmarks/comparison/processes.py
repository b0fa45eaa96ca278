"""Rows of the comparison that need fresh processes: memory, the time to import, the first explanation."""

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common.measuring import Result, Settings, SkipError, in_process, mebibytes, spell

STATUS = Path("/proc/self/status")  # Linux's; the peak of `resource` would be that of the parent where it is higher

# Peak and present memory of the process in bytes; reset() makes the peak what is present.
MEMORY = """
import json, sys

def resident(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))

def reset():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
"""

# A model that costs nothing, so that the time goes into what is measured.
EXPLAIN = """
import numpy as np
import normlime_fast as nlf
from time import perf_counter

def model(X):
    return np.tanh(X[:, :20] @ slopes)

n_instances, d, n_features, n_samples = map(json.loads, sys.argv[1:])
slopes = 0.9 ** np.arange(20) / 3
X = np.random.default_rng(0).standard_normal((n_instances, d))
explainer = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=n_features, n_samples=n_samples, rng=0)
model(X)
"""

RUN = """
reset()
before = resident("VmRSS")
local = explainer.explain(X)
peak = resident("VmHWM")
arrays = (local.weights.data, local.weights.indices, local.weights.indptr, local.intercept, local.r2,
          local.prediction, local.status, local.instance, local.target)
# The largest slope is found, and nothing is that has none.
right = bool((local.weights[:, [0]].toarray() > 0).all() and local.weights.indices.max() < 20)
print(json.dumps({"peak": peak - before, "result": sum(a.nbytes for a in arrays), "right": right}))
"""

STREAM = """
import numpy as np
import normlime_fast as nlf
from scipy.sparse import csr_array

parts, rows, d, K, classes = map(json.loads, sys.argv[1:])

def part(k):
    rng = np.random.default_rng(k)
    features = d // K * np.arange(K) + rng.integers(d // K, size=(rows, K))
    weights = csr_array((rng.standard_normal(rows * K), features.ravel(), np.arange(0, rows * K + 1, K)), (rows, d))
    return weights, np.arange(rows) % classes

statistics = nlf.aggregate(*part(0)).merge(nlf.aggregate(*part(1)))
size = np.abs(part(0)[0].data).sum() + np.abs(part(1)[0].data).sum()
reset()
before = resident("VmRSS")
for k in range(2, parts):
    weights, groups = part(k)
    statistics = statistics.merge(nlf.aggregate(weights, groups))
    size += np.abs(weights.data).sum()
right = bool(np.isclose(statistics.sums[..., 3].sum(), size) and statistics.explanations.sum() == parts * rows)
print(json.dumps({"peak": resident("VmHWM") - before, "sums": statistics.sums.nbytes, "right": right}))
"""

IMPORT = """
import json
from time import perf_counter

start = perf_counter()
import numba
middle = perf_counter()
import normlime_fast
print(json.dumps([middle - start, perf_counter() - middle]))
"""

FIRST = (
    """
import json, sys
"""
    + EXPLAIN
    + """
start = perf_counter()
local = explainer.explain(X)
seconds = perf_counter() - start
print(json.dumps([seconds, local.weights.indices.tolist(), local.weights.data.tolist()]))
"""
)


def memory(settings: Settings) -> Iterator[Result]:
    need_status()
    d, K = 50, 10
    peaks, notes = [], []
    for count in settings.memory:
        seen = in_process(MEMORY + EXPLAIN + RUN, count, d, K, settings.n_samples)
        assert seen["right"]
        peaks.append(seen["peak"] - seen["result"])
        notes.append(f"{mebibytes(peaks[-1])} with {count:,} rows (beside a result of {mebibytes(seen['result'])})")
    yield Result(
        what=f"memory, {settings.memory[-1]:,} rows x {d} columns, n={settings.n_samples}, K={K}",
        against="the process before `explain`, and the result",
        ours=mebibytes(peaks[-1]),
        theirs=f"{mebibytes(peaks[0])} with {settings.memory[0]:,} rows",
        figure=peaks[-1] / 2**20,
        unit="MiB",
        at_most=256,
        note=f"{'; '.join(notes)}. Peak resident memory, kernels and the model's own arrays included.",
    )


def stream(settings: Settings) -> Iterator[Result]:
    need_status()
    rows, d, K, classes = 100, 784, 20, 10
    runs = [in_process(MEMORY + STREAM, parts, rows, d, K, classes) for parts in settings.stream]
    assert all(run["right"] for run in runs)
    short, long = (run["peak"] for run in runs)
    sums = runs[0]["sums"]
    yield Result(
        what=f"memory of merging a stream, {settings.stream[1]:,} parts of {rows} explanations, {classes} classes",
        against=f"{settings.stream[0]:,} parts; bar: the size of the sums",
        ours=mebibytes(long),
        theirs=mebibytes(short),
        figure=max(long - short, 0) / 2**20,
        unit="MiB",
        at_most=round(sums / 2**20, 2),
        note=f"Peak above what was there after two parts; the sums are {mebibytes(sums)}.",
    )


def import_time(settings: Settings) -> Iterator[Result]:
    times = [in_process(IMPORT) for _ in range(settings.processes + 1)][1:]  # the first reads the files from disk
    numba, ours = (statistics.median(column) for column in zip(*times, strict=True))
    yield Result(
        what="import normlime_fast after import numba",
        against="import numba",
        ours=spell(ours),
        theirs=spell(numba),
        figure=ours,
        unit="s",
        at_most=0.1,
        note=f"Medians of {settings.processes} processes.",
    )


def first_explain(settings: Settings) -> Iterator[Result]:
    cold, warm, answers = [], [], []

    def explain(times: list[float], **environment: str) -> None:
        seconds, *answer = in_process(FIRST, 1, 30, 10, settings.n_samples, **environment)
        times.append(seconds)
        answers.append(answer)

    for _ in range(settings.cold_processes):
        with tempfile.TemporaryDirectory() as folder:
            explain(cold, NUMBA_CACHE_DIR=folder)
            assert any(Path(folder).rglob("*.nbi")), "the cache was not used"
            for _ in range(2):
                explain(warm, NUMBA_CACHE_DIR=folder)
    if not cold:
        yield Result.skip("first explain in a new process, cold cache", "it compiles for some ten seconds")
        for _ in range(settings.processes + 1):  # the first may have to fill the cache
            explain(warm)
        del warm[0]
    assert all(answer == answers[0] for answer in answers)
    for name, times, bar in (("cold", cold, 12), ("warm", warm, 0.5)):
        if times:
            median = statistics.median(times)
            yield Result(
                what=f"first explain in a new process, {name} cache",
                against="the clock",
                ours=spell(median),
                figure=median,
                unit="s",
                at_most=bar,
                note=f"One instance, d=30, K=10, n={settings.n_samples}; after the imports; {len(times)} processes.",
            )


def need_status() -> None:
    if not (STATUS.exists() and os.access("/proc/self/clear_refs", os.W_OK)):
        raise SkipError("peak memory is read from /proc, as Linux has it")
