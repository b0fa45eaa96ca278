"""The same bits wherever the work is done, and nothing lost when it ends half-way."""

import asyncio
import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import dask.array
import dask.dataframe
import distributed
import loky
import numpy as np
import pandas
import pytest
from helpers.runs import X, arrays, explainer, model
from numpy.testing import assert_array_equal

import normlime_fast as nlf
from normlime_fast._engine import executors
from normlime_fast._inputs.sources import Partitions, blocks_of_partitions

OPTIONS = {"n_features": 4, "n_samples": 60, "targets": "all", "rng": 0}
ROWS = np.random.default_rng(1).normal(size=(40, 12))


@contextmanager
def loky_pool():
    pool = loky.ProcessPoolExecutor(max_workers=2)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True)


def processes(method):
    return lambda: ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method))


POOLS = {
    "threads": lambda: ThreadPoolExecutor(3),
    "spawn": processes("spawn"),
    "forkserver": processes("forkserver"),
    "loky": loky_pool,
}


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module", params=[*POOLS, "dask"])
def executor(request):
    if request.param == "dask":
        yield request.getfixturevalue("client").get_executor()
    else:
        with POOLS[request.param]() as executor:
            yield executor


@pytest.fixture(scope="module")
def expected():
    return explainer().explain(ROWS)


def same(local, expected):
    assert_array_equal(arrays(local), arrays(expected))
    for name in ("data", "indices", "indptr"):
        one, other = getattr(local.weights, name), getattr(expected.weights, name)
        assert one.dtype == other.dtype
        assert_array_equal(one, other)


def same_sums(one, other):
    for name in ("sums", "explanations", "groups"):
        assert_array_equal(getattr(one, name), getattr(other, name))


# --- the same bits


@pytest.mark.parametrize("block_size", [1, 7, 100, None])
def test_explanations(executor, block_size, expected):
    same(explainer().explain(ROWS, executor=executor, block_size=block_size), expected)


def test_explanations_of_a_frame_under_other_numbers(executor):
    frame = pandas.DataFrame(ROWS, columns=list("abcdefghijkl"))
    numbers = np.random.default_rng(2).permutation(40) + 100
    one = nlf.NormLIME(frame_model, nlf.Gaussian(0.7), **OPTIONS)
    local = one.explain(frame, executor=executor, index=numbers, block_size=6)
    same(local, one.explain(frame, index=numbers))
    assert local.feature_names == tuple("abcdefghijkl")


def frame_model(frame):
    return model(frame.to_numpy())


@pytest.mark.parametrize("by", [None, "target", np.arange(40) % 3])
def test_sums(executor, by):
    one = explainer().statistics(ROWS, by=by, block_size=7, executor=executor)
    same_sums(one, explainer().statistics(ROWS, by=by, block_size=7))
    whole = explainer().explain(ROWS).importance(by=by)
    np.testing.assert_allclose(one.importance().values, whole.values, rtol=40 * 3 * np.finfo(float).eps)


def test_threads_of_ours_on_the_workers(executor, expected):
    same(explainer(n_jobs=2).explain(ROWS, executor=executor, block_size=9), expected)


@pytest.mark.parametrize("make", [dask.array.from_array, None], ids=["array", "dataframe"])
@pytest.mark.parametrize("known", [True, False], ids=["known lengths", "unknown lengths"])
def test_partitions_stay_where_they_are(client, make, known, expected, monkeypatch):
    frame = pandas.DataFrame(ROWS, columns=list("abcdefghijkl"))
    partitions = make(ROWS, chunks=(15, 5)) if make else dask.dataframe.from_pandas(frame, npartitions=3)
    if not known:
        partitions = partitions[partitions[:, 0] > -9] if make else partitions[partitions.a > -9]
    one = nlf.NormLIME(model if make else frame_model, nlf.Gaussian(0.7), **OPTIONS)
    alone = one.explain(partitions)
    sums = one.statistics(partitions, by="target")
    # what comes here is only what `gather` and futures' results bring: watch the size of all of it
    seen = []
    set_result = Future.set_result
    monkeypatch.setattr(Future, "set_result", lambda future, result: (seen.append(result), set_result(future, result)))
    same(one.explain(partitions, executor=client.get_executor()), alone)
    same_sums(one.statistics(partitions, by="target", executor=client.get_executor()), sums)
    assert not any(isinstance(result, np.ndarray | pandas.DataFrame) for result in seen)
    assert_array_equal(arrays(alone), arrays(expected))


def partitioned(kind, rows=ROWS):
    if kind == "array":
        return dask.array.from_array(rows, chunks=(15, 12))
    return dask.dataframe.from_pandas(pandas.DataFrame(rows, columns=list("abcdefghijkl")), npartitions=3)


@pytest.mark.parametrize("kind", ["array", "dataframe"])
@pytest.mark.parametrize("remote", [True, False], ids=["cluster", "here"])
def test_progress_over_partitions_is_in_numbers(client, kind, remote):
    one = nlf.NormLIME(model if kind == "array" else frame_model, nlf.Gaussian(0.7), **OPTIONS)
    executor = client.get_executor() if remote else None
    told = []
    sums = one.statistics(partitioned(kind), executor=executor, progress=lambda *now: told.append(now))
    assert told[-1] == (40, 40)
    assert {type(number) for now in told for number in now} == {int}
    same_sums(one.statistics(partitioned(kind), executor=executor, progress=True), sums)


def test_rows_are_numbered_partition_by_partition():
    """Numbers of all rows at once are 8 bytes a row where partitions are to stay where they are."""
    blocks = list(blocks_of_partitions(Partitions(partitioned("array"), None), None, 100))
    assert [block.instance_ids.base is None for block in blocks] == [True] * 3
    assert_array_equal(np.concatenate([block.instance_ids for block in blocks]), np.arange(100, 140))


def test_what_is_kept_of_blocks_that_are_done_does_not_grow():
    sizes = []

    def count(done, total):
        frame = sys._getframe()
        while frame.f_code.co_name != "explain_blocks":
            frame = frame.f_back
        sizes.append(len(frame.f_locals["sizes"]))

    explainer().statistics(ROWS, block_size=1, progress=count)
    assert len(sizes) == 40
    assert max(sizes) == 1


@pytest.mark.parametrize("kind", ["array", "dataframe"])
@pytest.mark.parametrize("remote", [True, False], ids=["cluster", "here"])
def test_rows_of_partitions_that_cannot_be_used(client, kind, remote, tmp_path):
    rows = ROWS.copy()
    bad = [3, *range(15, 30), 31]  # of arrays, a whole partition
    rows[bad, 5] = np.inf
    good = np.setdiff1d(range(40), bad)
    one = nlf.NormLIME(model if kind == "array" else frame_model, nlf.Gaussian(0.7), **OPTIONS)
    options = {"executor": client.get_executor() if remote else None, "on_error": "skip"}
    expected = one.explain(ROWS[good] if kind == "array" else pandas.DataFrame(ROWS[good]), index=good)
    message = r"51 empty because the row could not be used \(status 9\), first with ValueError: X must be finite, got "
    for k in range(2):
        with pytest.warns(UserWarning, match=message if k == 0 else "51 empty because the row"):
            local = one.explain(partitioned(kind, rows), checkpoint=tmp_path / "run", **options)
        failed = np.isin(local.instance, bad)
        assert_array_equal(local.status == 9, failed)
        assert_array_equal(arrays(local)[~failed], arrays(expected))
    labels = np.array([None if k == 8 else k % 2 for k in range(40)], object)
    with pytest.warns(UserWarning, match="empty because the row could not be used"):
        sums = one.statistics(partitioned(kind, rows), by=labels, **options)
    kept = good[good != 8]
    assert sums.explanations.tolist() == [3 * (kept % 2 == 0).sum(), 3 * (kept % 2 == 1).sum()]
    with pytest.raises(ValueError, match="none of the 40 rows could be used, first with ValueError: X must be finite"):
        one.explain(partitioned(kind, rows * np.nan), **options)
    with pytest.raises(ValueError, match="none of the 40 rows could be used, first with ValueError: X must") as caught:
        one.statistics(partitioned(kind, rows * np.nan), **options)
    assert caught.value.rows_finished == 0


def test_rows_that_cannot_be_used_are_skipped_on_any_executor(executor, expected):
    rows = ROWS.copy()
    bad = [0, 1, 2, 17]  # the first block, and one of another
    rows[bad, 5] = np.nan
    with pytest.warns(
        UserWarning, match=r"12 empty because the row could not be used \(status 9\), first with ValueError"
    ):
        local = explainer().explain(rows, executor=executor, block_size=3, on_error="skip")
    failed = np.isin(local.instance, bad)
    assert_array_equal(local.status == 9, failed)
    assert_array_equal(arrays(local)[~failed], arrays(expected)[~failed])
    labels = np.arange(40) % 3
    sums = []
    for where in (executor, None):
        with pytest.warns(UserWarning, match="empty because the row could not be used"):
            sums.append(explainer().statistics(rows, by=labels, executor=where, block_size=3, on_error="skip"))
    same_sums(*sums)


# --- how much is sent, and what


def test_a_bounded_number_in_flight():
    class Counting(ThreadPoolExecutor):
        flying = most = 0

        def submit(self, *call):
            future = super().submit(*call)
            with lock:
                self.flying += 1
                self.most = max(self.most, self.flying)
            future.add_done_callback(self.landed)
            return future

        def landed(self, future):
            with lock:
                self.flying -= 1

    lock = threading.Lock()
    read = []

    def batches():
        for k in range(100):
            read.append(k)
            yield ROWS[:2] + k

    with Counting(2) as executor:
        sent = []

        def watching(X):
            sent.append(len(read))
            time.sleep(0.001)
            return model(X)

        one = nlf.NormLIME(watching, nlf.Gaussian(0.7), **OPTIONS)
        one.statistics(batches(), executor=executor, block_size=2)
    assert executor.most <= 2 * executors.AHEAD
    assert sent[0] <= 2 * executors.AHEAD + 1  # the stream is read as far as it is sent, not to its end
    assert len(read) == 100


def test_finished_blocks_do_not_pile_up_behind_a_slow_one():
    most = executors.WINDOW * executors.AHEAD * 2
    too_many = threading.Event()
    waited_in_vain = []

    def work(k):
        if k == 0:
            waited_in_vain.append(not too_many.wait(0.5))
        elif k >= most:
            too_many.set()
        return k

    with ThreadPoolExecutor(2) as pool:
        taken = []
        executors.run(pool, work, ((k,) for k in range(200)), lambda k, result: taken.append((k, result)))
    assert waited_in_vain == [True]
    assert sorted(taken) == [(k, k) for k in range(200)]
    assert taken.index((0, 0)) == most - 1


def test_the_model_is_pickled_once_and_unpickled_once_a_process(tmp_path):
    one = nlf.NormLIME(Counted(tmp_path), nlf.Gaussian(0.7), **OPTIONS)
    with POOLS["spawn"]() as executor:
        same(one.explain(ROWS, executor=executor, block_size=2), explainer().explain(ROWS))
    assert len(list(tmp_path.glob("pickled-*"))) == 1
    assert 1 <= len(list(tmp_path.glob("unpickled-*"))) <= 2


class Counted:
    """A model that leaves a file whenever it is pickled or unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, X):
        return model(X)

    def __getstate__(self):
        (self.folder / f"pickled-{time.perf_counter_ns()}").touch()
        return {"folder": self.folder}

    def __setstate__(self, state):
        self.__dict__.update(state)
        (self.folder / f"unpickled-{os.getpid()}-{time.perf_counter_ns()}").touch()


def test_lambdas_travel_by_cloudpickle(expected):
    one = nlf.NormLIME(lambda X: model(X), nlf.Gaussian(0.7), **OPTIONS)
    with POOLS["spawn"]() as executor:
        same(one.explain(ROWS, executor=executor, block_size=20), expected)


def test_what_cannot_travel_is_named():
    lock = threading.Lock()
    one = nlf.NormLIME(lambda X: (lock, model(X))[1], nlf.Gaussian(0.7), **OPTIONS)
    with (
        POOLS["spawn"]() as executor,
        pytest.raises(TypeError, match=r"predict and .* must be picklable .*lock"),
    ):
        one.explain(ROWS, executor=executor)
    with ThreadPoolExecutor(2) as executor:
        same(one.explain(ROWS, executor=executor), explainer().explain(ROWS))


# --- errors


def failing(X):
    if (X[:, 0] > 4).any():
        raise KeyError("too large", 4)
    return model(X)


class AwkwardError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def awkward(X):
    if (X[:, 0] > 4).any():
        raise AwkwardError("this", "that")
    return model(X)


@pytest.mark.parametrize(("predict", "error"), [(failing, KeyError), (awkward, (AwkwardError, RuntimeError))])
def test_what_predict_raises_comes_back_with_what_was_finished(executor, predict, error):
    rows = ROWS.copy()
    rows[23, 0] = 9.0
    one = nlf.NormLIME(predict, nlf.Gaussian(0.1), **OPTIONS)
    with pytest.raises(error, match=r"too large|this and that") as caught:
        one.explain(rows, executor=executor, block_size=3)
    assert "instance" in "".join(caught.value.__notes__)
    finished = caught.value.finished
    numbers = np.unique(finished.instance)
    assert len(numbers) >= 3 * (8 - executors.AHEAD * executors.workers_of(executor))  # of 8 blocks, all not in flight
    assert not {21, 22, 23} & set(numbers)
    assert_array_equal(arrays(finished), arrays(one.explain(rows[numbers], index=numbers)))


@pytest.mark.parametrize(("predict", "error"), [(failing, "KeyError"), (awkward, "(AwkwardError|RuntimeError)")])
def test_skipped_instances(executor, predict, error):
    rows = ROWS.copy()
    rows[[3, 4, 5, 23], 0] = 9.0
    one = nlf.NormLIME(predict, nlf.Gaussian(0.1), **OPTIONS)
    message = rf"of 120 explanations, 12 empty because the model failed \(status 6\), first with {error}"
    with pytest.warns(UserWarning, match=message):
        local = one.explain(rows, executor=executor, block_size=3, on_error="skip")
    with pytest.warns(UserWarning, match=message):
        same(local, one.explain(rows, on_error="skip"))
    assert sorted(set(local.instance[local.status == 6])) == [3, 4, 5, 23]


def dies_once(X):
    if (X[:, 0] > 4).any():
        os._exit(1)
    return model(X)


@pytest.mark.parametrize("kind", ["spawn", "loky"])
def test_a_pool_whose_worker_dies(kind):
    rows = ROWS.copy()
    rows[30, 0] = 9.0
    one = nlf.NormLIME(dies_once, nlf.Gaussian(0.1), **OPTIONS)
    with POOLS[kind]() as executor, pytest.raises(nlf.IncompleteRunError, match="the executor failed") as caught:
        one.explain(rows, executor=executor, block_size=3)
    numbers = np.unique(caught.value.finished.instance)
    assert len(numbers) >= 3
    assert not {30, 31, 32} & set(numbers)


def test_a_pool_that_is_shut_down():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(nlf.IncompleteRunError, match="cannot schedule new futures after shutdown") as caught:
        explainer().explain(ROWS, executor=executor)
    assert caught.value.finished is None


def slow_model(X):
    time.sleep(0.01)
    return model(X)


def fails_until_there_is_a_file(path):
    def predict(X):
        if not path.exists():
            raise ConnectionError("down")
        return model(X)

    return predict


def test_dask_asks_again_what_failed_before(client, tmp_path, expected):
    one = nlf.NormLIME(fails_until_there_is_a_file(tmp_path / "up"), nlf.Gaussian(0.7), **OPTIONS)
    errors = []  # kept, as a notebook does
    for _ in range(2):
        with pytest.raises(ConnectionError) as caught:
            one.explain(ROWS, executor=client.get_executor(), block_size=10)
        errors.append(caught)
    (tmp_path / "up").touch()
    same(one.explain(ROWS, executor=client.get_executor(), block_size=10), expected)


def test_no_calls_at_all():
    taken = []
    with ThreadPoolExecutor(1) as pool:
        executors.run(pool, abs, iter(()), lambda k, result: taken.append(k))
    assert taken == []


class Synchronous(Executor):
    """Works when it is asked to, and raises there."""

    _client = "none of Dask's"

    def submit(self, function, /, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_an_executor_that_works_at_once(expected):
    same(explainer().explain(ROWS, executor=Synchronous(), block_size=7), expected)
    rows = ROWS.copy()
    rows[23, 0] = 9.0
    with pytest.raises(KeyError, match="too large"):
        nlf.NormLIME(failing, nlf.Gaussian(0.1), **OPTIONS).explain(rows, executor=Synchronous(), block_size=3)


class Nonsense(Executor):
    """Works on two calls as it should, and then does something else."""

    def __init__(self, third):
        self.calls = 0
        self.third = third

    def submit(self, function, /, *arguments):
        self.calls += 1
        future = Synchronous().submit(function, *arguments)
        self.latest = future if self.calls < 3 else self.latest
        return self.third(self) if self.calls == 3 else future


def made(method, *arguments):
    """Return a future after a call of one of its methods."""
    future = Future()
    getattr(future, method)(*arguments)
    return future


NOT_A_FUTURE = {
    "nothing": (lambda executor: None, "NoneType"),
    "result": (lambda executor: executor.latest.result(), "Returned"),
    "coroutine": (lambda executor: asyncio.sleep(0), "coroutine"),
    "class": (lambda executor: Future, "type"),
    "another library's": (lambda executor: SimpleNamespace(done=lambda: True), "SimpleNamespace"),
}
FAILED = "the executor failed with "
NO_RESULT = {
    "cancelled": (lambda executor: made("cancel"), f"{FAILED}CancelledError$"),
    "failed": (lambda executor: made("set_exception", OSError("no route")), f"{FAILED}OSError: no route$"),
    "submit raises": (lambda executor: {}["no worker"], f"{FAILED}KeyError: 'no worker'$"),
    "another result": (lambda executor: made("set_result", None), "executor.submit must .* what .* returns, got None$"),
    "result of another call": (lambda executor: executor.latest, "executor.submit must .* got that of another call$"),
}


@pytest.mark.parametrize("name", [*NOT_A_FUTURE, *NO_RESULT])
def test_executors_that_do_not_keep_their_contract(name, expected):
    if name in NOT_A_FUTURE:
        third, got = NOT_A_FUTURE[name]
        error, message = TypeError, rf"^executor.submit must return a concurrent\.futures\.Future, got {got}$"
    else:
        (third, message), error = NO_RESULT[name], nlf.IncompleteRunError
    with pytest.raises(error) as caught:
        explainer().explain(ROWS, executor=Nonsense(third), block_size=7)
    assert re.search(message, str(caught.value)), str(caught.value)  # `match` would match the notes, too
    assert "\n" not in str(caught.value)
    numbers = np.unique(caught.value.finished.instance)
    assert set(range(14)) <= set(numbers)
    assert not set(range(14, 21)) & set(numbers)
    assert_array_equal(arrays(caught.value.finished), arrays(explainer().explain(ROWS[numbers], index=numbers)))


def test_a_pool_that_is_shut_down_in_mid_run():
    """It cancels the future of the second call, but does not tell those who wait for it."""
    sent = threading.Semaphore(0)

    class Counting(ThreadPoolExecutor):
        def submit(self, *call):
            future = super().submit(*call)
            sent.release()
            return future

    def closing(X):
        if len(X) == 20:  # of the first block itself
            sent.acquire()
            sent.acquire()
            executor.shutdown(wait=False, cancel_futures=True)
        return model(X)

    executor = Counting(1)
    one = nlf.NormLIME(closing, nlf.Gaussian(0.7), **OPTIONS)
    with pytest.raises(nlf.IncompleteRunError) as caught:
        one.explain(ROWS, executor=executor, block_size=20)
    assert str(caught.value) == "the executor failed with CancelledError"
    assert_array_equal(np.unique(caught.value.finished.instance), np.arange(20))


def test_on_threads_exceptions_are_what_they_were():
    rows = ROWS.copy()
    rows[23, 0] = 9.0
    one = nlf.NormLIME(awkward, nlf.Gaussian(0.1), **OPTIONS)
    with ThreadPoolExecutor(2) as executor, pytest.raises(AwkwardError):
        one.explain(rows, executor=executor, block_size=3)


def test_a_dask_worker_killed_in_mid_run(client, expected):
    one = nlf.NormLIME(slow_model, nlf.Gaussian(0.7), **OPTIONS)
    (first, *_) = client.run(os.getpid).values()
    killed = []

    def kill(done, total):
        if not killed:
            killed.append(done)
            os.kill(first, signal.SIGKILL)

    same(one.explain(ROWS, executor=client.get_executor(), block_size=1, progress=kill), expected)
    assert killed[0] < 40
    assert first not in client.run(os.getpid).values()


def test_after_an_error_what_has_begun_is_waited_for_and_taken():
    begun = threading.Event()

    def work(k):
        if k == 0:
            begun.wait(60)
            raise executors.mark_ours(KeyError(k))
        begun.set()
        time.sleep(0.2)
        return k

    taken = []
    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyError):
        executors.run(pool, work, ((k,) for k in range(50)), lambda k, result: taken.append(k))
    assert 1 in taken
    assert len(taken) <= 2  # the rest of those in flight was cancelled


def test_ctrl_c_does_not_wait():
    begun, released, ended = threading.Event(), threading.Event(), threading.Event()

    def work(k):
        if k == 1:
            begun.set()
            released.wait(5)
            ended.set()
        return k

    def interrupt(k, result):
        begun.wait(60)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            executors.run(pool, work, ((k,) for k in range(50)), interrupt)
        assert not ended.is_set()
        released.set()


def test_ctrl_c_keeps_what_was_finished():
    def interrupted(done, total):
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as executor, pytest.raises(KeyboardInterrupt) as caught:
        explainer().explain(ROWS, executor=executor, block_size=1, progress=interrupted)
    assert 1 <= len(set(caught.value.finished.instance)) <= 2 * executors.AHEAD


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"executor": 2}, TypeError, r"executor must be a concurrent.futures.Executor, got int"),
        ({"executor": ThreadPoolExecutor}, TypeError, r"executor must be a concurrent.futures.Executor, got type"),
        ({"block_size": 0}, ValueError, "block_size must be at least 1, got 0"),
        ({"on_error": "ignore"}, ValueError, 'on_error must be "raise" or "skip", got \'ignore\''),
    ],
)
def test_bad_options(options, error, message):
    for call in (explainer().explain, explainer().statistics):
        with pytest.raises(error, match=message):
            call(X, **options)


def test_a_client_is_no_executor(client):
    with pytest.raises(TypeError, match=r"got a Dask client; use client.get_executor\(\)"):
        explainer().explain(ROWS, executor=client)


def test_partitions_without_rows():
    for empty in (dask.array.zeros((0, 12)), dask.dataframe.from_pandas(pandas.DataFrame(ROWS[:0]), npartitions=1)):
        for call in (explainer().explain, explainer().statistics):
            with pytest.raises(ValueError, match=r"X must not be empty, got shape \(0, 12\)"):
                call(empty)


def test_partitions_need_the_executor_of_their_client():
    partitions = dask.array.from_array(ROWS, chunks=(15, 12))
    with ThreadPoolExecutor(1) as executor, pytest.raises(TypeError, match=r"executor must be client.get_executor\(\)"):
        explainer().explain(partitions, executor=executor)
    with pytest.raises(TypeError, match='by must be None, "target" or one label per row'):
        explainer().statistics(partitions, by=lambda batch: batch[:, 0])
    with pytest.raises(ValueError, match=r"X must be 2-D, got shape \(40,\)"):
        explainer().explain(partitions[:, 0])


def test_an_exception_that_does_not_travel_says_the_same():
    error = executors.make_picklable(AwkwardError("this", "that"))
    assert str(pickle.loads(pickle.dumps(error))) == "AwkwardError: this and that"
