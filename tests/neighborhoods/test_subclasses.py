"""Neighborhoods that a user writes as subclasses, outside the package: with shared points, and with a sampler."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import normlime_fast as nlf
from normlime_fast._inputs.rows import as_rows
from normlime_fast._kernels import distances
from normlime_fast._neighborhoods.base import Features, Inputs, Samples

rng = np.random.default_rng(0)
DATA = rng.normal(size=(300, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, -1.0]
DATA[:, 3] = rng.integers(3, size=300)
X = DATA[:40] + np.array([0.01, 0.01, 0.01, 0.0])
COEFFICIENTS = np.array([2.0, -1.0, 0.5, 0.0])


def model(X):
    X = np.asarray(X, float)
    return np.stack([X[:, 0] * X[:, 1], X[:, 2] ** 2 + (X[:, 3] == 1.0)], axis=1)


def linear(X):
    return X @ COEFFICIENTS


class Given(nlf.SharedPoints):
    """The rows of a table, in standard deviations; for the rest it relies on the base class."""

    def __init__(self, data, **proximity):
        self.data = data
        values = np.ascontiguousarray(data, np.float64)
        self.center, self.scale = values.mean(axis=0), values.std(axis=0)
        self.proximity = nlf.Proximity(**proximity)

    def _points(self, seed, n_samples):
        return self._rows(self.data[:n_samples])

    def _draws(self, n_samples):
        return False

    def _coordinates(self, values):
        return (values - self.center) / self.scale


class Categorical(Given):
    """The same with categories in the last column."""

    def _coordinates(self, values):
        coordinates = super()._coordinates(values)
        coordinates[:, 3] = values[:, 3]
        return coordinates

    def _categorical(self, d):
        return np.arange(d) == 3


def explainer(neighborhood, predict=model, **options):
    options = {"n_features": 3, "n_samples": len(DATA), "targets": "all", "rng": 0} | options
    return nlf.NormLIME(predict, neighborhood, **options)


def arrays(local):
    names = ("intercept", "r2", "prediction", "status", "instance", "target", "effective_samples")
    weights = local.weights
    return [weights.data, weights.indices, weights.indptr, *(getattr(local, name) for name in names)]


def assert_same(one, other):
    assert one.feature_names == other.feature_names
    for mine, pools in zip(arrays(one), arrays(other), strict=True):
        assert_array_equal(mine, pools)


PAIRS = {  # of our own, and a Pool with the same points: all of its data
    "auto": (Given(DATA), nlf.Pool.from_data(DATA, numeric=[3])),
    "nearest": (Given(DATA, width=0.7, nearest=50), nlf.Pool.from_data(DATA, numeric=[3], width=0.7, nearest=50)),
    "exponential": (Given(DATA, kernel="exponential"), nlf.Pool.from_data(DATA, numeric=[3], kernel="exponential")),
    "categories": (Categorical(DATA), nlf.Pool.from_data(DATA, categorical=[3])),
}
every_pair = pytest.mark.parametrize(("own", "pool"), list(PAIRS.values()), ids=PAIRS)


@pytest.fixture(scope="module")
def executors():
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        yield {"threads": threads, "processes": processes}


@every_pair
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_shared_points_are_those_of_a_pool(own, pool, n_jobs):
    calls = []

    def counted(X):
        calls.append(len(X))
        return model(X)

    mine = explainer(own, counted, n_jobs=n_jobs).explain(X)
    assert sum(calls) == len(DATA) + len(X)  # the points once, and the rows
    assert_same(mine, explainer(pool, n_jobs=n_jobs).explain(X))
    assert (mine.status == 0).any()


@every_pair
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_shared_points_on_an_executor(own, pool, kind, executors):
    mine = explainer(own).explain(X, executor=executors[kind], block_size=7)
    assert_same(mine, explainer(pool).explain(X))


@every_pair
@pytest.mark.parametrize("kind", [None, "threads"])
def test_shared_points_in_a_stream(own, pool, kind, executors):
    executor = None if kind is None else executors[kind]
    blocks = [X[:5], X[5:25], X[25:]]
    mine = explainer(own).statistics(iter(blocks), executor=executor).importance()
    pools = explainer(pool).statistics(iter(blocks)).importance()
    assert_array_equal(mine.values, pools.values)
    assert_array_equal(mine.counts, pools.counts)


def test_shared_points_of_a_data_frame_in_a_checkpoint(tmp_path):
    frame = pd.DataFrame(DATA, columns=list("abcd"))
    rows = frame[:40]
    mine = explainer(Given(frame)).explain(rows, checkpoint=tmp_path, block_size=10)
    assert mine.feature_names == ("a", "b", "c", "d")
    assert_same(mine, explainer(nlf.Pool.from_data(frame, numeric=[3])).explain(rows))
    assert_same(mine, explainer(Given(frame)).explain(rows, checkpoint=tmp_path, block_size=10))
    with pytest.raises(ValueError, match="proximity"):
        explainer(Given(frame, width=2.0)).explain(rows, checkpoint=tmp_path, block_size=10)


def test_shared_points_are_probed():
    assert explainer(Given(DATA)).probe(X)[:2] == (0.0, 0.0)


def test_too_few_points():
    few = r"must be at least n_features \+ 2 = 5, got 4$"
    for own, pool, name in (
        (Given(DATA[:4]), nlf.Pool.from_data(DATA[:4], numeric=[3]), "the number of points"),
        (Given(DATA, nearest=4), nlf.Pool.from_data(DATA, numeric=[3], nearest=4), "nearest"),
    ):
        with pytest.raises(ValueError, match=f"^{name} {few}"):
            explainer(own, never).explain(X)
        with pytest.raises(ValueError, match=f"^{name}( of the pool)? {few}"):
            explainer(pool, never).explain(X)
    with pytest.raises(ValueError, match=f"^n_samples {few}"):
        explainer(Given(DATA), never, n_samples=4).statistics(iter([X]))


def test_coordinates_of_another_shape():
    class Flat(Given):
        def _coordinates(self, values):
            return values[:, 0]

    class Growing(Given):
        def _coordinates(self, values):
            return values[:, : 4 if len(values) == len(DATA) else 3]

    with pytest.raises(ValueError, match=r"_coordinates must return an array of shape \(300, d\), got shape \(300,\)"):
        explainer(Flat(DATA)).explain(X)
    with pytest.raises(ValueError, match=r"shape \(40, 4\), got shape \(40, 3\)"):
        explainer(Growing(DATA)).explain(X)


def never(X):
    raise AssertionError("the model was called")


def with_method(name, returns):
    """Return points of which one method returns something else."""
    return type("Changed", (Given,), {name: lambda self, *args: returns(*args)})(DATA)


@pytest.mark.parametrize(
    ("name", "returns", "message"),
    [
        (
            "_coordinates",
            lambda X: np.c_[X, X],
            "_coordinates must return one column for each of the 4 features, got 8",
        ),
        ("_coordinates", lambda X: X[:, :3], "_coordinates must return one column for each of the 4 features, got 3"),
        ("_features", lambda rows: Features(3, None), "_coordinates must return one column for each of the 3 features"),
        ("_places", lambda Z: np.tile([0, 1, 2, 4], (len(Z), 1)), "_places must return ascending integers from 0 to 3"),
        ("_places", lambda Z: np.tile([-1, 1, 2, 3], (len(Z), 1)), "_places must return ascending integers from 0 to"),
        ("_places", lambda Z: np.tile([0, 2, 1, 3], (len(Z), 1)), "_places must return ascending integers from 0 to 3"),
        (
            "_places",
            lambda Z: np.arange(4),
            r"_places must return .* of shape \(300, 4\), got array\(\[0, 1, 2, 3\]\)$",
        ),
        ("_places", lambda Z: Z, "_places must return ascending integers from 0 to 3"),
        (
            "_categorical",
            lambda d: np.zeros(3, bool),
            r"_categorical must return a bool for each of 4 coordinates, got",
        ),
        ("_categorical", lambda d: np.zeros(d), r"_categorical .* got shape \(4,\) and dtype float64$"),
    ],
)
def test_features_outside_of_the_result(name, returns, message):
    """They would be written outside of its memory."""
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        explainer(with_method(name, returns), never).explain(X)
    assert "\n" not in str(caught.value)


def test_places_of_the_instances_are_checked_too():
    places = lambda Z: np.tile(np.arange(4) + (len(Z) < len(DATA)), (len(Z), 1))  # noqa: E731
    with pytest.raises(ValueError, match="_places must return ascending integers from 0 to 3"):
        explainer(with_method("_places", places)).explain(X)


FRAME = pd.DataFrame(DATA, columns=list("abcd"))
UNLIKE = {  # points and rows
    "another order": (FRAME, FRAME[list("dcba")]),
    "an array": (FRAME, DATA),
    "a DataFrame": (DATA, FRAME),
    "other names": (FRAME, FRAME.rename(columns={"a": "A"})),
    "fewer columns": (DATA, DATA[:, :3]),
}


@pytest.mark.parametrize(("data", "rows"), UNLIKE.values(), ids=UNLIKE)
def test_rows_unlike_the_points(data, rows):
    """The model would predict the points as something else."""
    calls = []

    def counted(X):
        calls.append(len(X))
        return model(X)

    message = "^X must have the columns that the neighborhood was made of, .*, got "
    own = explainer(Given(data), counted)
    with pytest.raises(ValueError, match=message):
        own.explain(rows[:40])
    with pytest.raises(ValueError, match=message):
        own.statistics(iter([rows[:40]]))
    assert set(calls) == {len(DATA)}  # the points, but no rows
    with pytest.raises(ValueError, match=message):
        own.probe(rows[:40])


@pytest.mark.parametrize(
    ("returns", "error", "message"),
    [
        (lambda seed, n: DATA[:n], TypeError, "300 rows, got a ndarray$"),
        (lambda seed, n: FRAME[:n], TypeError, "300 rows, got a DataFrame$"),
        (lambda seed, n: None, TypeError, "300 rows, got None$"),
        (lambda seed, n: as_rows(DATA[np.arange(n + 1) % 300]), ValueError, "300 rows, got 301$"),
        (lambda seed, n: as_rows(DATA).take(slice(0)), ValueError, "300 rows, got 0$"),
    ],
)
def test_what_points_must_be(returns, error, message):
    own = explainer(with_method("_points", returns), never)
    message = rf"^_points must return self._rows\(...\) of 1 to n_samples = {message}"
    with pytest.raises(error, match=message) as caught:
        own.explain(X)
    assert "\n" not in str(caught.value)
    with pytest.raises(error, match=message.replace("300", "100").replace("301", "101")):
        own.probe(X)


def test_an_error_in_choosing_points_says_so():
    own = explainer(with_method("_points", lambda seed, n: as_rows(DATA * np.nan)), never)
    with pytest.raises(ValueError, match="X must be finite") as caught:
        own.explain(X)
    assert caught.value.__notes__ == ["normlime_fast: the neighborhood was choosing its points"]


def test_coordinates_cannot_change_the_data():
    class Doubling(Given):
        def _coordinates(self, values):
            values *= 2
            return values

    data = DATA.copy()
    with pytest.raises(ValueError, match="read-only"):
        explainer(Doubling(data)).explain(data[:40])
    assert_array_equal(data, DATA)


@pytest.mark.parametrize("order", [np.ascontiguousarray, np.asfortranarray])
def test_coordinates_compile_nothing(order):
    """Whether the values themselves are returned, which are read-only, or others."""
    explainer(with_method("_coordinates", lambda X: order(X))).explain(X)
    assert all(
        array.mutable and array.layout == "C"
        for signature in distances.relative_features.signatures
        for array in signature
        if hasattr(array, "layout")
    )


@pytest.mark.parametrize(
    ("returns", "error", "message"),
    [
        (lambda X: X * np.nan, ValueError, "finite numbers of at most 1e[+]18 for points, got nan$"),
        (lambda X: X / 0, ValueError, "finite numbers of at most 1e[+]18 for points, got -?inf$"),
        (lambda X: X * 1e200, ValueError, "finite numbers of at most 1e[+]18 for points, got -?[0-9.]+e[+]"),
        (lambda X: X * [np.nan if len(X) < 300 else 1.0], ValueError, "finite numbers, got nan$"),
        (lambda X: X.astype(str), TypeError, "real numbers, got dtype <U32$"),
    ],
)
def test_coordinates_that_are_no_finite_numbers(returns, error, message):
    def finite(X):
        with np.errstate(all="ignore"):
            return returns(X)

    with pytest.raises(error, match=f"^_coordinates must return {message}"):
        explainer(with_method("_coordinates", finite)).explain(X)


def test_other_features_than_columns():
    class Doubled(Given):
        def _features(self, rows):
            return Features(2 * rows.values.shape[1], None)

        def _coordinates(self, values):
            coordinates = super()._coordinates(values)
            return np.column_stack([coordinates, coordinates**2])

    assert explainer(Doubled(DATA)).explain(X).weights.toarray().shape == (80, 8)


def test_what_is_missing_is_named():
    class Pointless(nlf.SharedPoints):
        def _coordinates(self, values):
            return values

    with pytest.raises(TypeError, match="_points"):
        Pointless()
    with pytest.raises(TypeError, match="_sampler"):
        nlf.Neighborhood()
    with pytest.raises(
        TypeError,
        match=r"^neighborhood must be training data, a Gaussian, .*, got the class Given; pass an object of it$",
    ):
        nlf.NormLIME(model, Given)
    own = Given(DATA)
    del own.proximity
    message = r"^proximity of the neighborhood must be a Proximity, such as nlf.Proximity\(\), got"
    with pytest.raises(TypeError, match=f"{message} None$"):
        nlf.NormLIME(model, own)
    own.proximity = 0.5
    with pytest.raises(TypeError, match=f"{message} 0.5$"):
        nlf.NormLIME(model, own)


# --- a sampler of its own


class Star(nlf.Neighborhood):
    """Every instance with one column at a time moved up and down by a step; a fourth kind of sampler."""

    def __init__(self, step):
        self.step = step

    def _sampler(self, seed, n_samples, rows):
        return StarSampler(rows, self.step)


class StarSampler:
    n_outputs, shares_sets = None, False

    def __init__(self, rows, step):
        self.rows, self.step = rows, step
        self.n_features = rows.values.shape[1]
        self.n_samples = 1 + 2 * self.n_features
        eye = np.eye(self.n_features, dtype=np.float32)
        self.Z = np.concatenate([0 * eye[:1], eye, -eye])

    def check(self, n_features):
        pass

    def buffer(self, rows, size):
        return StarBuffer(self, size)


class StarBuffer:
    def __init__(self, sampler, size):
        self.sampler = sampler
        self.samples = np.empty((size, *sampler.Z.shape))

    def draw(self, batch, piece):
        values = self.sampler.rows.values[batch.rows][piece]
        stop = piece.start + len(values)
        self.samples[piece.start : stop] = values[:, None] + self.sampler.step * self.sampler.Z

    def inputs(self, batch):
        m = len(batch.instance_ids)
        return Inputs(self.samples[:m].reshape(-1, self.samples.shape[2]), np.ones(m, bool))

    def outputs(self, batch, predicted, own, targets):
        m, t = targets.shape
        outputs = np.zeros((m, len(self.sampler.Z), 1)) if predicted is None else predicted.reshape(m, -1, t)
        return outputs.swapaxes(1, 2).reshape(m * t, -1)  # all targets

    def fits(self, batch, piece):
        stop = min(piece.stop, len(batch.set_ids))
        Z = np.repeat(self.sampler.Z[None], stop - piece.start, axis=0)
        yield Samples(piece.start, stop, Z, np.ones((1, Z.shape[1])))

    def most_features(self, batch):
        return self.sampler.n_features

    def columns(self, batch):
        return None


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("kind", [None, "threads", "processes"])
def test_a_sampler_and_buffer_of_its_own(n_jobs, kind, executors):
    """The differences of a linear model are its coefficients, times the step."""
    executor = None if kind is None else executors[kind]
    options = {"n_jobs": n_jobs, "n_features": 4, "batch_size": 50}
    local = explainer(Star(0.5), linear, **options).explain(X, executor=executor, block_size=15)
    assert_allclose(local.weights.toarray(), np.tile(0.5 * COEFFICIENTS, (40, 1)), atol=1e-12)
    assert_allclose(local.intercept, linear(X), rtol=1e-12, atol=1e-12)
    streamed = explainer(Star(0.5), linear, **options).statistics(iter([X[:11], X[11:]])).importance("mean_abs")
    assert_allclose(streamed.values, 0.5 * np.abs(COEFFICIENTS), atol=1e-12)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_sampler_with_more_features_than_the_result(n_jobs):
    class Fewer(Star):
        def _features(self, rows):
            return Features(3, None)

    class Placed(Star):
        def _sampler(self, seed, n_samples, rows):
            sampler = super()._sampler(seed, n_samples, rows)
            buffer = sampler.buffer(rows, len(rows.values))
            buffer.columns = lambda batch: [self.columns] * len(batch.instance_ids)
            sampler.buffer = lambda rows, size: buffer
            return sampler

    calls = []

    def counted(X):
        calls.append(len(X))
        return linear(X)

    message = "the neighborhood must have features with numbers from 0 to"
    with pytest.raises(ValueError, match=f"^{message} 2, as its _features says, got 3$"):
        explainer(Fewer(0.5), counted, n_jobs=n_jobs).explain(X)
    assert sum(calls) == len(X)  # the rows, but no samples
    placed = Placed(0.5)
    for outside in (4, -1):
        placed.columns = np.array([outside, 0, 1, 2])
        with pytest.raises(ValueError, match=f"^{message} 3, as its _features says, got {outside}$"):
            explainer(placed, linear, n_features=4).explain(X)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("fits", lambda fits: (one._replace(Z=one.Z[:, 1:]) for one in fits)),
        ("fits", lambda fits: (one._replace(Z=one.Z[1:]) for one in fits)),
        ("fits", lambda fits: (one._replace(weights=one.weights[:, 1:]) for one in fits)),
        ("fits", lambda fits: (one._replace(weights=one.weights[0]) for one in fits)),
        ("outputs", lambda Y: Y[1:]),
        ("outputs", lambda Y: np.ascontiguousarray(Y[:, 1:])),
        ("most_features", lambda count: 1),
    ],
)
def test_samples_whose_shapes_do_not_agree(name, changed):
    """Compiled code would read and write outside of its arrays."""

    class Wrong(Star):
        def _sampler(self, seed, n_samples, rows):
            sampler = super()._sampler(seed, n_samples, rows)
            buffer = sampler.buffer(rows, len(rows.values))
            method = getattr(buffer, name)
            setattr(buffer, name, lambda *args: changed(method(*args)))
            sampler.buffer = lambda rows, size: buffer
            return sampler

    with pytest.raises(
        ValueError, match=r"^the neighborhood's samples must have shapes and most_features that agree, got"
    ):
        explainer(Wrong(0.5), linear).explain(X)


def test_a_sampler_of_its_own_is_probed():
    assert explainer(Star(0.5)).probe(X)[:2] == (0.0, 0.0)


# --- what completion shows


@pytest.mark.parametrize(
    ("neighborhood", "names"),
    [
        (nlf.Gaussian(1.0), {"scale", "sampling", "columns", "keep", "from_data"}),
        (
            nlf.Pool.from_data(DATA, numeric=[3]),
            {"center", "scale", "proximity", "drawn", "n_sets", "columns", "from_data", "gaussian"},
        ),
        (
            nlf.Binned.from_data(DATA),
            {"bins", "columns", "draw", "features", "groups", "proximity", "n_sets", "describe", "from_data"},
        ),
        (
            nlf.Mask(),
            {"baseline", "segments", "render", "probability", "scheme", "kernel", "width", "feature_names"}
            | {"from_data", "text"},
        ),
        (Star(1.0), {"step"}),
    ],
    ids=lambda value: "" if isinstance(value, set) else type(value).__name__,
)
def test_completion_shows_no_plumbing(neighborhood, names):
    assert {name for name in dir(neighborhood) if not name.startswith("_")} == names
