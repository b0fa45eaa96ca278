"""Predict functions from hell: right answers or one clear error, what was finished kept, and nothing left behind."""

import gc
import random
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import normlime_fast as nlf

N_INSTANCES, N_SAMPLES = 7, 40
X = np.random.default_rng(0).normal(size=(N_INSTANCES, 4))
JOBS = pytest.mark.parametrize("n_jobs", [1, 2])


def model(X):
    """Elementwise, and so the same bits in batches of any size."""
    return np.stack([X[:, 0] * X[:, 1] + X[:, 2], X[:, 3] * X[:, 3] - X[:, 0]], axis=1)


def explainer(predict, n_jobs=1, **options):
    """Ask about one neighborhood at a time: call 0 has the rows of X themselves, call k instance k - 1."""
    options = {"n_features": 2, "n_samples": N_SAMPLES, "targets": "all", "batch_size": N_SAMPLES} | options
    return nlf.NormLIME(predict, nlf.Gaussian(0.5), rng=0, n_jobs=n_jobs, **options)


def arrays(local):
    fields = [local.intercept, local.r2, local.prediction, local.status, local.instance, local.target]
    return np.column_stack([local.weights.toarray(), *fields])


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("normlime_fast")]


# ---- Survived: the same bits as of a model that behaves


def in_place(X):
    outputs = model(X)
    X[:] = np.nan
    return outputs


def into_its_input(X):
    X[:, :2] = model(X)
    return X[:, :2]


def reshaping(X):
    outputs = model(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2.5
        X.shape = (-1,)
        X.dtype = np.int64
    return outputs


def unaligned(X):
    outputs = model(X)
    room = np.zeros(outputs.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(outputs.shape)
    room[...] = outputs
    return room


def read_only(X):
    outputs = model(X)
    outputs.setflags(write=False)
    return outputs


def with_error_state(X):
    np.seterr(all="raise")
    np.seterrcall(print)
    np.setbufsize(16)
    return model(X)


def with_global_state(X):
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    np.set_printoptions(precision=1, legacy="1.13")
    return model(X)


def printing(X):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    return model(X)


def slow(X):
    time.sleep(0.003)
    return model(X)


def collecting(X):
    gc.collect()
    return model(X)


def with_threads(X):
    with ThreadPoolExecutor(3) as threads:
        return np.concatenate(list(threads.map(model, np.array_split(X, 3))))


class Holder:
    def __init__(self, outputs):
        self.outputs = outputs

    def __array__(self, dtype=None, copy=None):
        return self.outputs


def recursive(n_jobs):
    def predict(X):
        inner = explainer(model, n_jobs).explain(X[:3])
        nlf.fit_surrogates(X, model(X), n_features=2)
        nlf.aggregate(inner.weights)
        nlf.sample_gaussian(9, rng=1)
        return model(X)

    return predict


# predict, and the model that behaves and must give the same
SURVIVED = {
    "lists": (lambda X: model(X).tolist(), model),
    "tuples": (lambda X: tuple(map(tuple, model(X))), model),
    "float16": (lambda X: model(X).astype(np.float16), lambda X: model(X).astype(np.float16).astype(np.float64)),
    "long double": (lambda X: model(X).astype(np.longdouble), model),
    "big-endian": (lambda X: model(X).astype(">f8"), model),
    "Fortran order": (lambda X: np.asfortranarray(model(X)), model),
    "negative strides": (lambda X: model(X)[::-1, ::-1].copy()[::-1, ::-1], model),
    "zero strides": (lambda X: np.broadcast_to(X[:, :1], (len(X), 2)), lambda X: np.repeat(X[:, :1], 2, axis=1)),
    "unaligned": (unaligned, model),
    "read-only": (read_only, model),
    "its input": (lambda X: X, lambda X: X.copy()),
    "a view of its input": (lambda X: X[::1, 1:3], lambda X: X[:, 1:3].copy()),
    "a column of its input": (lambda X: X[:, 0], lambda X: X[:, 0].copy()),
    "a frame": (lambda X: pd.DataFrame(model(X), index=[5] * len(X)), model),
    "a series": (lambda X: pd.Series(model(X)[:, 0], dtype="float64"), lambda X: model(X)[:, 0]),
    "a subclass": (lambda X: model(X).view(np.recarray), model),
    "a masked array without a mask": (lambda X: np.ma.array(model(X)), model),
    "an object with __array__": (lambda X: Holder(model(X)), model),
    "works in place": (in_place, model),
    "puts its outputs into its input": (into_its_input, model),
    "reshapes its input": (reshaping, model),
    "sets the error state": (with_error_state, model),
    "sets global states": (with_global_state, model),
    "prints": (printing, model),
    "is slow": (slow, model),
    "collects garbage": (collecting, model),
    "spawns threads": (with_threads, model),
    "uses the library": (recursive(1), model),
    "uses the library with threads": (recursive(2), model),
}


@pytest.fixture
def _restored():
    """Global states as they were."""
    with np.printoptions():
        numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002
        yield
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)


@JOBS
@pytest.mark.parametrize("name", SURVIVED)
@pytest.mark.usefixtures("_restored")
def test_survived(name, n_jobs):
    predict, behaved = SURVIVED[name]
    state = np.geterr(), np.geterrcall(), np.getbufsize()
    local = explainer(predict, n_jobs, batch_size=100).explain(X)
    assert (np.geterr(), np.geterrcall(), np.getbufsize()) == state
    assert_array_equal(arrays(local), arrays(explainer(behaved).explain(X)))
    assert not our_threads()


def test_what_a_model_prints_is_all_that_is_printed(capsys):
    explainer(printing, 2).explain(X)
    out, err = capsys.readouterr()
    assert set(out.splitlines()) == {"to stdout"}
    assert set(err.splitlines()) == {"to stderr"}


# ---- NumPy's error state: the caller's own for the model, none of it for us


@JOBS
def test_the_model_has_the_error_state_of_the_caller(n_jobs):
    seen = []

    def predict(X):
        seen.append((np.geterr(), np.geterrcall()))
        np.seterr(all="raise")
        return model(X) * 1e-290  # the fit's squares underflow

    state = {"divide": "print", "over": "warn", "under": "call", "invalid": "raise"}
    with np.errstate(call=print, **state):
        local = explainer(predict, n_jobs).explain(X)
    assert seen == [(state, print)] * (1 + N_INSTANCES)
    assert (local.status == 0).all()


@JOBS
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e150, 1e307])
def test_nothing_of_ours_raises_where_numpy_does(n_jobs, scale):
    def predict(X):
        with np.errstate(all="ignore"):
            return np.tanh(model(X)) * scale

    expected = explainer(predict).explain(X)
    fitted = nlf.fit_surrogates(X * scale, predict(X), n_features=2)
    with np.errstate(all="raise"):
        local = explainer(predict, n_jobs).explain(X)
        assert_array_equal(arrays(local), arrays(expected))
        assert_array_equal(nlf.fit_surrogates(X * scale, predict(X), n_features=2).coef, fitted.coef)
        with pytest.raises(FloatingPointError, match="divide by zero"):
            explainer(lambda X: X[:, 0] / np.zeros(len(X)), n_jobs).explain(X)


# ---- Failed: one error, what was finished before, and a second run as if nothing had been


class ThreeArguments(Exception):  # noqa: N818
    def __init__(self, one, two, three):
        super().__init__(one, two, three)


class Sealed(Exception):  # noqa: N818
    def __setattr__(self, name, value):
        if name != "__traceback__":  # which contextlib sets; it takes frozen dataclasses no better than we could
            raise AttributeError(name)


class Unprintable(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError("not even that")


class Slotted(BaseException):
    __slots__ = ()


def raising(kind, *arguments):
    def predict(X):
        raise kind(*arguments)

    return predict


def one_nan(X):
    outputs = model(X)
    outputs[len(X) // 2, 1] = np.nan
    return outputs


def too_deep(X):
    return too_deep(X)


def warning(X):
    warnings.warn("of the model", RuntimeWarning, stacklevel=1)
    return model(X)


def half_a_library_run(X):
    def fail_half_way(X, calls=iter(range(3))):  # noqa: B008
        if next(calls, None) is None:
            raise OSError("inner")
        return model(X)

    return explainer(fail_half_way).explain(X)


# predict of one call, error, its message
FAILED = {
    "raises": (raising(ZeroDivisionError, "its own"), ZeroDivisionError, "its own"),
    "raises what takes three arguments": (raising(ThreeArguments, 1, 2, 3), ThreeArguments, ""),
    "raises what is sealed": (raising(Sealed), Sealed, ""),
    "raises what cannot be printed": (raising(Unprintable), Unprintable, None),
    "raises what is slotted": (raising(Slotted), Slotted, ""),
    "interrupts": (raising(KeyboardInterrupt), KeyboardInterrupt, ""),
    "exits": (raising(SystemExit, 3), SystemExit, "3"),
    "ends a generator": (raising(GeneratorExit), GeneratorExit, ""),
    "stops iterations": (raising(StopIteration), StopIteration, ""),
    "has no memory": (raising(MemoryError), MemoryError, ""),
    "raises a group": (raising(ExceptionGroup, "several", [OSError(), ValueError()]), ExceptionGroup, "several"),
    "recurs for ever": (too_deep, RecursionError, "maximum recursion depth"),
    "warns": (warning, RuntimeWarning, "of the model"),
    "asserts": (raising(AssertionError, "its own"), AssertionError, "its own"),
    "fails inside of the library": (half_a_library_run, OSError, "inner"),
    "NaN in one row": (one_nan, ValueError, "predict must return finite numbers, got nan for output 1"),
    "wrong length": (lambda X: model(X)[1:], ValueError, "got shape"),
    "another number of columns": (lambda X: X, ValueError, "got shape"),
    "nothing": (lambda X: None, TypeError, "got a NoneType"),
    "a generator": (lambda X: (row for row in model(X)), TypeError, "got a generator"),
    "a dictionary": (lambda X: {"outputs": model(X)}, TypeError, "got a dict"),
    "fields": (lambda X: model(X).view([(f"name {k}", "u1") for k in range(16)]), TypeError, "got dtype"),
    "masked fields": (lambda X: np.ma.masked_all(len(X), "f8, f8"), TypeError, "got dtype"),
    "very large ints": (lambda X: [[10**5000, 1]] * len(X), TypeError, "got dtype object"),
}


class BadOnce:
    """A model that behaves but for its `bad`-th call."""

    def __init__(self, predict, bad):
        self.predict, self.bad, self.calls = predict, bad, 0

    def __call__(self, X):
        self.calls += 1
        return self.predict(X) if self.calls - 1 == self.bad else model(X)


@JOBS
@pytest.mark.parametrize("bad", [1, 4, N_INSTANCES], ids=["first", "later", "last"])
@pytest.mark.parametrize("name", FAILED)
def test_failed(name, bad, n_jobs):
    predict, kind, message = FAILED[name]
    one, expected = explainer(BadOnce(predict, bad), n_jobs), arrays(explainer(model).explain(X))
    with pytest.raises(kind) as caught:
        one.explain(X)
    if message is not None:
        assert message in str(caught.value)
        assert len(str(caught.value)) < 300
    done = bad - 1  # batches have one instance, also for two threads
    if kind is not Sealed:
        finished = getattr(caught.value, "finished", None)
        assert (finished is None) == (done == 0)
        if finished is not None:
            assert_array_equal(arrays(finished), expected[: 2 * done])
    assert not our_threads()
    assert_array_equal(arrays(one.explain(X)), expected)


def test_an_error_that_was_raised_before_carries_no_old_results():
    again = OSError("the same object")
    calls = iter(range(9))

    def predict(X):
        if next(calls) in (4, 5):
            raise again
        return model(X)

    one = explainer(predict)
    for has_results in (True, False):
        with pytest.raises(OSError, match="the same object"):
            one.explain(X)
        assert hasattr(again, "finished") == has_results


@JOBS
def test_rows_that_were_kept_cannot_be_changed_later(n_jobs):
    kept = []

    def predict(X):
        kept.append(X)
        if len(kept) > 1:
            kept[-2][:] = 0.0
        return model(X)

    with pytest.raises(ValueError, match="read-only"):
        explainer(predict, n_jobs).explain(X)
