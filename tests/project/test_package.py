"""The package as others see it: its names, what importing it does, what it compiles, what can be stored."""

import ast
import copy
import pickle
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

import normlime_fast as nlf

NAMES = {
    *(
        "NormLIME",
        *("Gaussian", "Pool", "Binned", "Mask", "Perturbs", "Neighborhood", "SharedPoints", "Proximity"),
        "LocalExplanations",
        "Importance",
        "ImportanceStatistics",
        "IncompleteRunError",
        "CheckpointMismatchError",
        "Surrogates",
        "Status",
    ),
    *("sample_gaussian", "fit_surrogates", "aggregate", "warm_up"),
}


def run(script):
    """Run a script in a process of its own, where warnings are errors; return what it printed, as Python reads it."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return ast.literal_eval(done.stdout)


def test_public_names():
    assert set(nlf.__all__) == NAMES
    assert len(nlf.__all__) == len(NAMES)
    for name in NAMES:
        assert getattr(nlf, name).__doc__


IMPORT = """
import random, sys, threading, warnings
import numba.core.event, numpy as np, scipy.sparse

def state():
    numpy_state = repr((np.geterr(), np.get_printoptions(), np.random.get_state()))
    numba_state = repr((numba.config.THREADING_LAYER, numba.config.NUMBA_NUM_THREADS, numba.get_num_threads()))
    filters = repr(warnings.filters)
    return numpy_state, numba_state, random.getstate(), filters, threading.active_count()

def refuse(event, arguments):
    if event in ("os.putenv", "os.unsetenv"):
        raise RuntimeError(f"importing changed the environment: {arguments}")

before = state()
sys.addaudithook(refuse)
with numba.core.event.install_recorder("numba:compile") as recorder:
    import normlime_fast
assert state() == before, "importing changed a global state"

from numba.core.dispatcher import Dispatcher
kernels = [sys.modules[name] for name in sys.modules if name.startswith("normlime_fast._kernels.")]
dispatchers = [value for module in kernels for value in vars(module).values() if isinstance(value, Dispatcher)]
optional = {"lime", "lightgbm", "matplotlib", "pandas", "sklearn", "tqdm"}
found = sorted(optional & {name.partition(".")[0] for name in sys.modules})
print((len(dispatchers), sum(len(one.signatures) for one in dispatchers), len(recorder.buffer), found))
"""


def test_importing_compiles_nothing_and_changes_nothing():
    n_kernels, n_compiled, n_events, optional = run(IMPORT)
    assert n_kernels > 10
    assert (n_compiled, n_events, optional) == (0, 0, [])


SUBPACKAGES = """
import sys
import normlime_fast as nlf

heavy = ("matplotlib", "pandas", "scipy.sparse", "scipy.special", "lime")
loaded = [name for name in (*heavy, "normlime_fast.plotting", "normlime_fast.evaluation") if name in sys.modules]
listed = {"plotting", "evaluation", "interop", "__version__", "NormLIME"} <= set(dir(nlf))
found = nlf.plotting.bars.__name__, nlf.evaluation.agreement.__name__, nlf.interop.lime.from_lime.__name__
inside = "lime" in dir(nlf.interop)
print((loaded, listed, found, inside, nlf.plotting is sys.modules["normlime_fast.plotting"]))
"""


def test_subpackages_are_imported_when_they_are_used():
    found = ("bars", "agreement", "from_lime")
    assert run(SUBPACKAGES) == ([], True, found, True, True)


@pytest.mark.parametrize(("module", "name"), [(nlf, "plots"), (nlf, "__wrapped__"), (nlf.interop, "shap")])
def test_what_there_is_not(module, name):
    with pytest.raises(AttributeError, match=f"^module '{module.__name__}' has no attribute '{name}'$"):
        getattr(module, name)


def test_version_is_that_of_the_installed_distribution(monkeypatch):
    assert isinstance(nlf.__version__, str)
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 1.2.3")
    assert nlf.__version__ == "normlime-fast 1.2.3"

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert nlf.__version__ == "unknown"


PIPELINE = """
import numpy as np, pandas as pd, scipy.sparse
import normlime_fast as nlf
from normlime_fast._kernels import aggregation
from normlime_fast._kernels import categories
from normlime_fast._kernels import gaussian
from normlime_fast._kernels import masks
from normlime_fast._kernels import distances
from normlime_fast._kernels import surrogate

def model(X):
    X = np.asarray(X, np.float64)
    return np.stack([X[:, 0] * X[:, 1], X[:, 2] ** 2], axis=1)

def read_only(array):
    array.setflags(write=False)
    return array

X = np.arange(12.0).reshape(4, 3)
rows = [X, X.astype(np.float32), X.astype(int), X.tolist(), np.asfortranarray(X), pd.DataFrame(X), X[:1], X[::2]]
rows += [read_only(X.copy()), read_only(X.astype(np.float32))]
for scale in (0.5, np.ones(3)):
    for one in rows:
        for n_jobs in (1, 2):
            explainer = nlf.NormLIME(model, nlf.Gaussian(scale), n_features=2, n_samples=20, rng=0, n_jobs=n_jobs)
            local = explainer.explain(one)
            for by in (None, "target", np.zeros(len(one), bool)):
                local.importance(by=by)
nlf.NormLIME(lambda X: X[:, 0], nlf.Gaussian(np.ones(1)), n_features=1, n_samples=20, rng=0).explain(X[:, :1])
class Shaken:
    n_features = 3
    def perturb(self, x, n, rng):
        Z = rng.normal(size=(n, 3))
        return x + Z, Z

table = np.random.default_rng(0).normal(size=(40, 3)).round(1) + 5
table[:, 1] = np.arange(40) % 3
for data in (table, table.astype(np.float32), read_only(table.copy()), pd.DataFrame(table)):
    neighborhoods = [nlf.Gaussian.from_data(data), nlf.Binned.from_data(data, categorical=[1], quantiles=4)]
    neighborhoods += [nlf.Pool.from_data(data, categorical=[1], share=0.5), nlf.Pool.from_data(data, nearest=20)]
    for neighborhood in (*neighborhoods, nlf.Mask(), Shaken()):
        for n_jobs in (1, 2):
            nlf.NormLIME(model, neighborhood, n_features=2, n_samples=100, rng=0, n_jobs=n_jobs).explain(data)
for dtype in (np.float32, np.float64, np.uint8):
    images = np.arange(1, 33).reshape(2, 4, 4).astype(dtype)
    for neighborhood in (nlf.Mask(segments=2), nlf.Mask(segments=lambda image: np.arange(16).reshape(4, 4) // 8)):
        nlf.NormLIME(lambda X: X[:, 0, 0], neighborhood, n_features=2, n_samples=20, rng=0).explain(read_only(images))
    if dtype != np.uint8:
        sparse = scipy.sparse.csr_array(images.reshape(2, 16))
        nlf.NormLIME(lambda X: X.sum(axis=1), nlf.Mask(), n_features=2, n_samples=20, rng=0).explain(sparse)
texts = ["one two two", "three is \u4e09"]
nlf.NormLIME(lambda X: [len(x) for x in X], nlf.Mask.text(texts), n_features=2, n_samples=20, rng=0).explain(texts)
for dtype in (np.float32, np.float64):
    nlf.sample_gaussian((3, 5), rng=0, dtype=dtype)
    for weight in (None, np.ones(4), read_only(np.ones(4))):
        nlf.fit_surrogates(read_only(X.astype(dtype)), X[:, 0].astype(dtype), n_features=1, sample_weight=weight)
weights = np.eye(3)
wide = scipy.sparse.csr_array(weights)
wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
frozen = scipy.sparse.csr_array(weights)
frozen.data = read_only(frozen.data)
for one in (weights, weights.astype(np.float32), read_only(weights.astype(int)), wide, frozen):
    for groups in (None, ["a", "b", "a"], read_only(np.arange(3))):
        nlf.aggregate(one, groups)
kernels = [gaussian.fill, gaussian.perturb, surrogate.fit, aggregation.aggregate, categories.redraw, masks.draw]
kernels += [masks.render, masks.count, masks.thin, masks.write]
kernels += [distances.squared_distances, distances.relative_features]
print({kernel.__name__: len(kernel.signatures) for kernel in kernels})
"""


def test_warm_up_leaves_nothing_to_compile():
    """Else a first call in a forked child could wait for ever."""
    compiled = """
import sys
from numba.core.dispatcher import Dispatcher
modules = [module for name, module in sys.modules.items() if name.startswith("normlime_fast._kernels.")]
kernels = [value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)]
signatures = {f"{kernel.__module__}.{kernel.__name__}": len(kernel.signatures) for kernel in kernels}
"""
    script = f"import normlime_fast; assert normlime_fast.warm_up() is None\n{compiled}before = signatures\n"
    sobol = """
for X in (X, X.astype(np.float32)):
    explainer = nlf.NormLIME(model, nlf.Gaussian(1.0, sampling="sobol"), n_features=2, n_samples=32, rng=0)
    explainer.explain(X)
    explainer.statistics(X)
"""
    output = "print({name: (before[name], n) for name, n in signatures.items() if n != before[name]})"
    assert run(script + PIPELINE.rpartition("kernels = [")[0] + sobol + compiled + output) == {}


def test_number_of_specialisations():
    assert run(PIPELINE) == {
        "fill": 2,  # float32, float64
        "perturb": 2,  # X of float32, float64
        "fit": 2,  # Z of float32 from the neighborhood, of float64 from users
        "aggregate": 2,  # indices of int32, int64
        "redraw": 2,  # X of float32, float64
        "draw": 1,
        "render": 3,  # numbers of 1, 4 and 8 bytes
        "count": 1,
        "thin": 2,  # numbers of 4 and 8 bytes
        "write": 2,  # texts in Latin-1, and others
        "squared_distances": 1,
        "relative_features": 1,
    }


def predict(X):
    return np.stack([X[:, 0] * X[:, 1], X[:, 2] ** 2], axis=1)


def stored():
    gaussian = nlf.Gaussian([1.0, 0.5, 2.0])
    local = nlf.NormLIME(predict, gaussian, n_features=2, n_samples=20, rng=0).explain(np.eye(3))
    statistics = nlf.aggregate(local.weights, ["a", "b", "a"], feature_names=("x", "y", "z"))
    surrogates = nlf.fit_surrogates(np.eye(4), np.arange(4.0), n_features=1)
    return [gaussian, nlf.Gaussian(2.0), local, local.importance("l2"), statistics, statistics.importance(), surrogates]


def assert_same(a, b):
    if isinstance(a, csr_array):
        a, b = (np.concatenate([m.data, m.indices, m.indptr, m.shape]) for m in (a, b))
    assert_array_equal(a, b, strict=isinstance(a, np.ndarray))


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy, copy.copy])
@pytest.mark.parametrize("which", range(7))
def test_results_can_be_stored(which, copied):
    one = stored()[which]
    other = copied(one)
    assert type(other) is type(one)
    assert vars(other).keys() == vars(one).keys()
    for name, value in vars(one).items():
        assert_same(value, getattr(other, name))


def test_results_of_a_pickle_are_of_use():
    gaussian, _, local, _, statistics, importance, _ = pickle.loads(pickle.dumps(stored()))
    assert_array_equal(local.importance(by="target").values, stored()[2].importance(by="target").values)
    assert_array_equal(statistics.importance().values, importance.values)
    assert str(importance.top(1)) == str(stored()[5].top(1))
    explainer = pickle.loads(pickle.dumps(nlf.NormLIME(predict, gaussian, n_features=2, n_samples=20, rng=0)))
    assert_array_equal(explainer.explain(np.eye(3)).weights.toarray(), local.weights.toarray())


@pytest.mark.parametrize("which", range(7))
def test_results_are_frozen(which):
    one = stored()[which]
    name = next(iter(vars(one)))
    with pytest.raises(AttributeError):
        setattr(one, name, None)
