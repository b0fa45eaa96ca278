"""The same rng gives the same bits, however the work is cut, ordered or spread.

This holds for a model whose output for a row does not depend on the rows beside it; see helpers/runs.py.
"""

import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import X, arrays, digest, explainer, model
from numpy.testing import assert_array_equal

import normlime_fast as nlf
from normlime_fast._kernels import surrogate


@pytest.fixture(scope="module")
def expected():
    return explainer().explain(X)


@pytest.mark.parametrize("batch_size", [1, 7, 60, 130, None])
@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_jobs_and_batches(n_jobs, batch_size):
    assert digest(n_jobs=n_jobs, batch_size=batch_size) == digest()


@pytest.mark.parametrize("options", [{"sampling": "sobol"}, {"shared_samples": 4}], ids=str)
@pytest.mark.parametrize("batch_size", [7, 130, 240, None])
@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_jobs_and_batches_with_options_for_the_samples(n_jobs, batch_size, options):
    assert digest(n_jobs=n_jobs, batch_size=batch_size, **options) == digest(**options) != digest()


@pytest.mark.parametrize("targets", ["predicted", [2, 0], 1])
def test_jobs_and_batches_for_some_targets(targets):
    assert digest(targets=targets, n_jobs=4, batch_size=7) == digest(targets=targets)


@pytest.mark.parametrize(
    "index", [[8, 7, 6, 5, 4, 3, 2, 1, 0], [3, 0, 8, 5, 1, 7, 2, 6, 4], [5], [2, 7], np.array([6, 1, 4], np.uint8)]
)
@pytest.mark.parametrize(
    "options",
    [{}, {"n_jobs": 2, "batch_size": 130}, {"sampling": "sobol"}, {"shared_samples": 4, "n_jobs": 2}],
    ids=str,
)
def test_any_order_or_subset_under_the_same_numbers(index, options):
    expected = explainer(**options).explain(X)
    local = explainer(**options).explain(X[index], index=index)
    rows = (3 * np.array(index, int)[:, None] + range(3)).ravel()
    assert_array_equal(arrays(local), arrays(expected, rows))
    assert_array_equal(local.instance, np.repeat(index, 3))


def test_another_number_means_other_samples():
    numbers = [0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**62, 2**63, 2**64 - 1]
    rows = np.zeros((len(numbers), 12))
    local = explainer().explain(rows, index=np.array(numbers, np.uint64))
    assert_array_equal(local.instance.astype(np.uint64), np.repeat(np.array(numbers, np.uint64), 3))
    assert len(set(local.r2[::3])) == len(numbers)


def test_a_second_process():
    script = "import helpers.runs as here; print(here.digest(n_jobs=2, batch_size=70))"
    command = [sys.executable, "-W", "error", "-c", script]
    printed = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == digest()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_several_threads_at_once(shared, n_jobs, expected):
    explainers = [explainer(n_jobs=n_jobs, batch_size=130)] * 8 if shared else [explainer(n_jobs=n_jobs)] * 8
    with ThreadPoolExecutor(4) as threads:
        for local in threads.map(lambda one: one.explain(X), explainers):
            assert_array_equal(arrays(local), arrays(expected))


@pytest.mark.parametrize(("n_jobs", "n_threads"), [(None, 1), (1, 1), (2, 2), (4, 4), (-1, 3)])
def test_as_many_threads_as_jobs(n_jobs, n_threads, monkeypatch):
    fit, met = surrogate.fit, threading.Barrier(n_threads)
    callers = set()

    def meet_and_fit(*arguments):
        met.wait(timeout=60)  # until all threads are at work at the same time
        callers.add(threading.current_thread())
        fit(*arguments)

    monkeypatch.setattr(surrogate, "fit", meet_and_fit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    explainer(n_jobs=n_jobs).explain(np.concatenate([X, X[:3]]))
    assert len(callers) == n_threads
    assert (threading.current_thread() in callers) == (n_threads == 1)


def test_threads_fit_while_the_model_works(monkeypatch):
    """The fits of the first block wait until the model is at the second, and the model there for the fits."""
    calls, asked, fitted = [], threading.Event(), threading.Event()
    fit = surrogate.fit

    def wait_and_fit(*arguments):
        assert asked.wait(timeout=60)
        fit(*arguments)
        fitted.set()

    def asking(X):
        calls.append(len(X))
        if len(calls) == 3:  # the first call has X itself
            asked.set()
            assert fitted.wait(timeout=60)
        return model(X)

    monkeypatch.setattr(surrogate, "fit", wait_and_fit)
    options = {"n_features": 4, "n_samples": 60, "targets": "all", "rng": 0, "n_jobs": 2, "batch_size": 120}
    local = nlf.NormLIME(asking, nlf.Gaussian(0.7), **options).explain(X[:6])
    assert_array_equal(arrays(local), arrays(explainer().explain(X[:6])))
    assert calls == [6, 120, 120, 120]


# ---- rng (SPEC 7)


@pytest.mark.parametrize("make", [int, np.int64, np.random.SeedSequence, np.random.default_rng])
def test_the_same_rng_means_the_same_samples(make):
    results = [arrays(explainer(make(5)).explain(X)) for _ in range(2)]
    assert_array_equal(*results)
    assert (results[0] != arrays(explainer(make(6)).explain(X))).any(axis=1).all()


def test_a_generator_advances_and_None_is_fresh():  # noqa: N802
    generator = np.random.default_rng(5)
    seeds = {int(explainer(rng).seed) for rng in (generator, generator, None, None)}
    assert len(seeds) == 4


def test_an_explainer_repeats_itself(expected):
    generator = np.random.default_rng(0)
    one = explainer(generator)
    state = generator.bit_generator.state
    for _ in range(2):
        assert_array_equal(arrays(one.explain(X)), arrays(expected))
    assert generator.bit_generator.state == state


@pytest.mark.parametrize("rng", [0, None])
def test_global_states_are_neither_read_nor_set(rng):
    results = []
    for _ in range(2):
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        before = np.random.get_state()[1:], random.getstate(), np.geterr(), np.get_printoptions()  # noqa: NPY002
        results.append(arrays(explainer(rng).explain(X)))
        after = np.random.get_state()[1:], random.getstate(), np.geterr(), np.get_printoptions()  # noqa: NPY002
        assert_array_equal(before[0][0], after[0][0])
        assert (before[0][1:], *before[1:]) == (after[0][1:], *after[1:])
    assert (results[0] == results[1]).all() == (rng is not None)
