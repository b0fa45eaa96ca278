"""Rows of the comparison that time whole explanations: beside lime, beside the model alone, threads, many instances."""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from lime.lime_tabular import LimeTabularExplainer
from sklearn.linear_model import lars_path

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import (
    Clocked,
    Result,
    Settings,
    SkipError,
    cores,
    interleaved,
    medians,
    seconds,
    spell,
)

TARGET = 1  # the probability of the second class


def explainer(model: workloads.Predict, scale: object, n: int, n_features: int, **options: object) -> nlf.NormLIME:
    settings = {"targets": TARGET, "rng": 0, "standardize": False, **options}  # as lime does
    return nlf.NormLIME(model, nlf.Gaussian(scale), n_samples=n, n_features=n_features, **settings)


def assert_ours(model: workloads.Sigmoids, X: np.ndarray, scale: object, local: nlf.LocalExplanations, n: int, K: int):
    for row, x in enumerate(X):
        weights = local.weights[[row]]
        model.assert_explained(x, scale, local.target[row], (weights.indices, weights.data), n, n_features=K)


class Lime:
    """What lime explains, and what its answers should be."""

    def __init__(self, model: workloads.Sigmoids, X: np.ndarray, n: int, n_features: int, *, defaults: bool = False):
        self.model, self.X, self.n, self.n_features = model, X, n, n_features
        self.clocked = Clocked(model)
        options = {
            "discretize_continuous": False,
            "sample_around_instance": True,
            "feature_selection": "lasso_path",
        }
        self.lime = LimeTabularExplainer(X, random_state=0, **({} if defaults else options))

    def explain(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        told = {"labels": (TARGET,), "num_features": self.n_features, "num_samples": self.n}
        features, weights = zip(*self.lime.explain_instance(x, self.clocked, **told).as_map()[TARGET], strict=True)
        return np.array(features), np.array(weights)

    def own_times(self, X: np.ndarray) -> list[float]:
        return [self.clocked.own(lambda x=x: self.explain(x)) for x in X]

    def assert_continuous(self, x: np.ndarray, scale: np.ndarray) -> None:
        """Gaussian weights of samples make their z a Gaussian of smaller variance."""
        variance = 1 / (1 + 1 / (0.75**2 * len(x)))
        given = {"n_features": self.n_features, "variance": variance}
        self.model.assert_explained(x, scale, TARGET, self.explain(x), self.n, **given)

    def assert_discretised(self, x: np.ndarray) -> None:
        """Weights of "same bin as the instance" are those of weighted least squares on more draws from lime's bins.

        A weight's standard error is the deviation of what the features leave of the output over the square root of
        m p (1 - p), for m effective samples (over half of n), of which the share p is in the bin. Lime's ridge of 1
        shrinks by less than 4 / (m p (1 - p)).
        """
        features, weights = self.explain(x)
        assert len(features) == self.n_features
        rng, discretizer, d = np.random.default_rng(0), self.lime.discretizer, len(x)
        own_bins = discretizer.discretize(x)
        bins = discretizer.discretize(self.X[rng.integers(len(self.X), size=(2 * self.n, d)), np.arange(d)])
        same = (bins == own_bins).astype(float)
        kernel = np.exp(-(d - same.sum(axis=1)) / (2 * 0.75**2 * d))
        kernel /= kernel.sum()
        outputs = self.model(discretizer.undiscretize(bins))[:, TARGET]
        varied = same.std(axis=0) > 0
        centred = same - kernel @ same
        root = np.sqrt(kernel)[:, None]
        y = outputs - kernel @ outputs
        fitted = np.zeros(d)
        fitted[varied] = np.linalg.lstsq(root * centred[:, varied], root[:, 0] * y, rcond=None)[0]
        m = self.n / 2 * np.maximum((kernel @ centred**2)[features], 1e-3)
        rest = kernel @ (y - centred[:, features] @ fitted[features]) ** 2
        error = np.sqrt(1.5 * rest / m)  # of both, where ours has twice the samples
        assert (np.abs(weights - fitted[features]) < 5 * error + 4 / m * np.abs(fitted[features])).all()


def own_time(settings: Settings) -> Iterator[Result]:
    for load in (workloads.breast_cancer, settings.adult):
        try:
            data = load()
        except OSError as error:
            raise SkipError(f"adult was neither given nor can it be downloaded ({error})") from error
        yield from own_time_of(data, settings)


def own_time_of(data: workloads.Table, settings: Settings, K: int = 10) -> Iterator[Result]:
    """Own time of ours and of both of lime's, the model being a logistic regression."""
    model, n = workloads.logistic(data), settings.n_samples
    X, scale = workloads.undecided(model, data.X, settings.instances), data.X.std(axis=0)
    clocked = Clocked(model)
    ours = explainer(clocked, scale, n, K)
    limes = {
        "continuous, around the instance, lasso_path": (Lime(model, data.X, n, K), 25),
        "defaults (discretised, auto)": (Lime(model, data.X, n, K, defaults=True), 60),
    }
    assert_ours(model, X, scale, ours.explain(X), n, K)
    some = X[: settings.peer_instances]
    first = {}
    for name, (lime, _) in limes.items():
        first[name] = lime.own_times(X[:1])[0]  # by a new explainer
        if lime.lime.discretizer is None:
            lime.assert_continuous(some[-1], scale)
        else:
            lime.assert_discretised(some[-1])
    clocked.seconds = 0.0
    own, *others = medians(
        settings.rounds,
        lambda: clocked.own(lambda: ours.explain(X), len(X)),
        *(lambda lime=lime: statistics.median(lime.own_times(some)) for lime, _ in limes.values()),
    )
    model_cost = clocked.seconds / settings.rounds / len(X)
    for (name, (_, bar)), median in zip(limes.items(), others, strict=True):
        yield Result(
            what=f"own time, {data.name}, d={X.shape[1]}, K={K}, an instance",
            against=f"lime, {name}",
            ours=spell(own),
            theirs=spell(median),
            figure=median / own,
            at_least=bar,
            note=f"lime's first instance {spell(first[name])}, the median of later ones {spell(median)}, which counts."
            f" Our run spent another {spell(model_cost)} an instance in the model.",
        )


def own_time_wide(settings: Settings) -> Iterator[Result]:
    """K of many columns: beside lime, and beside the product Z'Z alone."""
    (d, K), n = settings.wide, settings.n_samples
    model = workloads.decaying(d, K)
    X = np.random.default_rng(0).standard_normal((500, d))
    some, scale = X[: settings.wide_instances], X.std(axis=0)
    clocked, lime = Clocked(model), Lime(model, X, n, K)
    ours = explainer(clocked, scale, n, K)
    assert_ours(model, some, scale, ours.explain(some), n, K)
    lime.assert_continuous(X[0], scale)
    Z = np.random.default_rng(0).standard_normal((n, d))
    clocked.seconds = 0.0
    own, peer, product = medians(
        settings.slow_rounds,
        lambda: clocked.own(lambda: ours.explain(some), len(some)),
        lambda: lime.own_times(X[:1])[0],
        lambda: seconds(lambda: Z.T @ Z),
    )
    model_cost = clocked.seconds / settings.slow_rounds / len(some)
    common = {"what": f"own time, d={d}, K={K}, an instance", "ours": spell(own)}
    yield Result(
        **common,
        against="lime, continuous, around the instance, lasso_path",
        theirs=spell(peer),
        figure=peer / own,
        at_least=60,
        note=f"Our run spent another {spell(model_cost)} an instance in the model.",
    )
    yield Result(
        **common,
        against=f"numpy Z.T @ Z of one instance, {n} x {d}, float64",
        theirs=spell(product),
        figure=product / own,
        at_least=1,
        note="numpy sees that the product is symmetric and computes half of it.",
    )


class Recorded:
    """A model's function that keeps its batches."""

    def __init__(self, function: workloads.Predict) -> None:
        self.function = function
        self.batches: list[np.ndarray] = []

    def __call__(self, X: np.ndarray) -> np.ndarray:
        self.batches.append(X.copy())
        return self.function(X)


def assert_fitted(recorded: Recorded, X: np.ndarray, scale: object, local: nlf.LocalExplanations, n: int, K: int):
    """The first instance's features are LARS's, its weights those of least squares, on the model's own outputs."""
    rows = np.concatenate(recorded.batches[1:])[:n].astype(float)  # the first are the instances themselves
    Z = (rows - X[0]) / scale
    outputs = recorded.function(rows.astype(X.dtype)).reshape(n, -1)[:, local.target[0]].astype(float)
    Z, y = Z - Z.mean(axis=0), outputs - outputs.mean()
    path = lars_path(Z, y, method="lasso", max_iter=2 * K)[2]
    with_k = np.flatnonzero(np.count_nonzero(path, axis=0) == K)
    assert with_k.size, f"LARS does not find {K} features"
    support = np.flatnonzero(path[:, with_k[0]])
    explained = local.weights[[0]]
    np.testing.assert_array_equal(explained.indices, support)
    # z comes from inputs rounded to their dtype: an error of eps |x| / scale, averaged over n samples.
    rounding = 10 * np.finfo(X.dtype).eps * (1 + np.abs(X[0] / scale).max())
    expected = np.linalg.lstsq(Z[:, support], y, rcond=None)[0]
    np.testing.assert_allclose(explained.data, expected, rtol=0, atol=rounding * np.abs(expected).max() + 1e-12)


def whole_run(settings: Settings) -> Iterator[Result]:
    data = workloads.breast_cancer()
    X, scale = data.X[: settings.instances], data.X.std(axis=0)
    tabular: list[tuple[str, Callable[[workloads.Table], workloads.Predict], float]] = [
        ("LightGBM, 200 trees", workloads.lightgbm, 1.05),
        ("random forest, 100 trees", workloads.random_forest, 1.05),
        ("logistic regression (scikit-learn pipeline)", workloads.logistic_regression, 1.6),
    ]
    for name, make, bar in tabular:
        what = f"{name}, {data.name}, d={X.shape[1]}, K=10"
        try:
            predict = make(data)
        except ImportError as error:
            yield Result.skip(f"whole run, {what}", error)
            continue
        yield from whole_run_of(what, predict, X, scale, 10, bar, settings)
    try:
        images = settings.images()
        network = workloads.cnn(images)
    except (ImportError, OSError) as error:
        yield Result.skip("whole run, CNN", f"{error}; MNIST comes from --mnist or from OpenML")
        return
    what = f"ONNX CNN ({network.accuracy:.1%} right), {images.name}, d=784, K=20"
    # Where it is sure, float32 rounds its probabilities to 1, and there is nothing to explain.
    sure = network.predict(images.X_test).max(axis=1)
    pictures = images.X_test[np.argsort(sure)[: settings.cnn_instances]]
    yield from whole_run_of(what, network.predict, pictures, 0.3, 20, 1.05, settings)


def whole_run_of(
    what: str, predict: workloads.Predict, X: np.ndarray, scale: object, K: int, bar: float, settings: Settings
) -> Iterator[Result]:
    """Runs on one thread and on two, and the model alone, always on one, on copies of the same batches."""
    n, options = settings.n_samples, {"targets": "predicted"}
    recorded = Recorded(predict)
    assert_fitted(recorded, X, scale, explainer(recorded, scale, n, K, **options).explain(X), n, K)
    clocked = Clocked(predict)
    runs = {jobs: explainer(clocked, scale, n, K, n_jobs=jobs, **options) for jobs in (1, 2)}
    runs[2].explain(X)
    inside = []

    def run(jobs: int) -> float:
        clocked.seconds = 0.0
        spent = seconds(lambda: runs[jobs].explain(X), len(X))
        inside.append(clocked.seconds / len(X) / spent)
        return spent

    def model_alone() -> float:
        return seconds(lambda: [predict(batch) for batch in recorded.batches], len(X))

    rounds = interleaved(settings.rounds, lambda: run(1), model_alone, lambda: run(2), model_alone)
    ours, alone = statistics.median(rounds[0]), statistics.median(rounds[1] + rounds[3])
    common = {"what": f"whole run, {what}, an instance", "theirs": spell(alone)}
    yield Result(
        **common,
        against=f"the model alone on the same {len(recorded.batches)} batches",
        ours=spell(ours),
        figure=ours / alone,
        at_most=bar,
        note=f"The model alone costs {spell(alone)} an instance; within the run, it took"
        f" {statistics.median(inside[::2]):.1%} of the time.",
    )
    both = statistics.median(rounds[2])
    yield Result(
        **common,
        against="the same, ours with n_jobs=2",
        ours=spell(both),
        figure=both / alone,
        threads="ours 2, model 1",
    )


class Replayed:
    """A model that costs nothing: it gives, row after row and run after run, what it gave when it was recorded.

    One that costs something would let threads work while it computes, and outside its time two could beat one by
    more than 2.
    """

    def __init__(self, outputs: np.ndarray) -> None:
        self.outputs = outputs
        self.row = 0

    def __call__(self, X: np.ndarray) -> np.ndarray:
        outputs = self.outputs[self.row : self.row + len(X)]
        self.row = (self.row + len(X)) % len(self.outputs)
        return outputs


def threads(settings: Settings) -> Iterator[Result]:
    if cores() < 2:
        raise SkipError("there is one core")
    yield from threads_of(30, 10, 10 * settings.instances, settings)
    yield from threads_of(*settings.wide, 2 * settings.wide_instances, settings)


def threads_of(d: int, K: int, count: int, settings: Settings) -> Iterator[Result]:
    model = workloads.decaying(d, K)
    X = np.random.default_rng(0).standard_normal((count, d))
    outputs = []

    def record(rows: np.ndarray) -> np.ndarray:
        outputs.append(model(rows))
        return outputs[-1]

    local = explainer(record, 1.0, settings.n_samples, K).explain(X)
    assert_ours(model, X[:5], 1.0, local, settings.n_samples, K)
    replayed = Replayed(np.concatenate(outputs))
    runs = [explainer(replayed, 1.0, settings.n_samples, K, n_jobs=jobs) for jobs in (1, 2)]
    for run in runs:
        np.testing.assert_array_equal(run.explain(X).weights.toarray(), local.weights.toarray())  # bit for bit
    used = []

    def two_threads() -> float:
        busy = time.process_time()
        spent = seconds(lambda: runs[1].explain(X), count)
        used.append((time.process_time() - busy) / count / spent)
        return spent

    single, double = medians(settings.rounds, lambda: seconds(lambda: runs[0].explain(X), count), two_threads)
    yield Result(
        what=f"own time with n_jobs=2, d={d}, K={K}, {count} instances, each",
        against="own time with n_jobs=1",
        ours=spell(double),
        theirs=spell(single),
        figure=single / double,
        at_least=1.8,
        threads="2 and 1",
        note=f"With n_jobs=2 the process kept {statistics.median(used):.2f} cores busy: less than 2 is waiting,"
        " or other work on the machine.",
    )


def linear(settings: Settings) -> Iterator[Result]:
    """Cost per instance from few to many; few columns, so that 100,000 instances take less than a minute."""
    d, K, n = 10, 5, settings.n_samples
    model = workloads.decaying(d, K)
    clocked = Clocked(model)
    X = np.random.default_rng(0).standard_normal((settings.linear[-1], d))
    ours = explainer(clocked, 1.0, n, K)
    assert_ours(model, X[:10], 1.0, ours.explain(X[:10]), n, K)

    def cost_of(count: int) -> float:
        repeats = max(1, settings.linear[-1] // 100 // count)  # short runs are measured longer
        return clocked.own(lambda: [ours.explain(X[:count]) for _ in range(repeats)], repeats * count)

    *short, longest = settings.linear
    measures = [lambda count=count: cost_of(count) for count in short]
    before = interleaved(settings.slow_rounds, *measures)
    last = cost_of(longest)
    after = interleaved(settings.slow_rounds, *measures)
    costs = [*(statistics.median(pair[0] + pair[1]) for pair in zip(before, after, strict=True)), last]
    each = ", ".join(f"{spell(cost)} for {count:,}" for count, cost in zip(settings.linear, costs, strict=True))
    yield Result(
        what=f"own time an instance, {short[0]:,} to {longest:,} instances",
        against="the cheapest of these sizes",
        ours=spell(max(costs)),
        theirs=spell(min(costs)),
        figure=max(costs) / min(costs),
        at_most=1.1,
        note=f"{each}. d={d}, K={K}, n={n}: with few columns, what a call costs once weighs more. The longest"
        " is measured once, the others before and after it.",
    )
