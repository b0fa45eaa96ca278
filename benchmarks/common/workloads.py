"""Data and models that the comparison explains; what has to be downloaded has a small stand-in."""

import csv
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import sqrtm
from scipy.special import expit
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import fetch_california_housing, fetch_openml, load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Predict = Callable[[np.ndarray], np.ndarray]

EPOCHS = 10  # of the dense layers of the CNN
NOISE = 0.5  # its largest deviation, in the images that the CNN learns from
PIECE = 25  # images that the CNN takes at a time: what it computes on the way stays in the cache


class Table(NamedTuple):
    name: str
    X: np.ndarray  # (n, d) float64
    y: np.ndarray
    categorical: tuple[int, ...] = ()  # columns whose numbers stand for categories


class Reviews(NamedTuple):
    name: str
    texts: list[str]
    y: np.ndarray


class Images(NamedTuple):
    name: str
    X: np.ndarray  # (n, 784) float32, ink from 0 to 1, to train on
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def breast_cancer() -> Table:
    return Table("breast cancer", *load_breast_cancer(return_X_y=True))


def adult(path: str | None = None) -> Table:
    """Census incomes, categories as 0/1 columns, from OpenML or from an npz file.

    That has X with categories as numbers, y, and category_names: JSON of column to names.
    """
    path = path or _in_data_folder("adult.npz")
    if path is None:
        frame, y = fetch_openml("adult", version=2, as_frame=True, return_X_y=True)
        from pandas import get_dummies

        X = get_dummies(frame.drop(columns="education"), dtype=float).to_numpy()  # education-num says the same
        return Table("adult", X, (y == ">50K").to_numpy(int))
    with np.load(path) as file:
        categories = {int(column): len(names) for column, names in json.loads(str(file["category_names"])).items()}
        columns = [
            np.eye(categories[j])[column.astype(int)] if j in categories else column[:, None]
            for j, column in enumerate(file["X"].T)
        ]
        return Table("adult", np.hstack(columns), file["y"])


def adult_in_codes(path: str | None = None) -> Table:
    """Return the same, with categories as numbers."""
    path = path or _in_data_folder("adult.npz")
    if path is not None:
        with np.load(path) as file:
            return Table(
                "adult", file["X"], file["y"], tuple(int(column) for column in json.loads(str(file["category_names"])))
            )
    frame, y = fetch_openml("adult", version=2, as_frame=True, return_X_y=True)
    frame = frame.drop(columns="education")
    categorical = [name for name, dtype in frame.dtypes.items() if dtype.name == "category"]
    frame[categorical] = frame[categorical].apply(lambda column: column.cat.codes)
    positions = tuple(frame.columns.get_loc(name) for name in categorical)
    return Table("adult", frame.to_numpy(float), (y == ">50K").to_numpy(int), positions)


def california(path: str | None = None) -> Table:
    """Median house values of blocks, from scikit-learn or from an npz file with X and y."""
    path = path or _in_data_folder("california.npz")
    if path is None:
        return Table("California", *fetch_california_housing(return_X_y=True))
    with np.load(path) as file:
        return Table("California", file["X"], file["y"])


def synthetic_codes() -> Table:
    """Stands in for that: numbers and categories."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.lognormal(size=(2000, 6)), rng.integers(0, rng.integers(2, 9, 6), (2000, 6))])
    effects = rng.standard_normal((6, 8))[np.arange(6), X[:, 6:].astype(int)].sum(axis=1)
    y = X[:, :6] @ rng.standard_normal(6) + effects + rng.logistic(size=2000) > 0
    return Table("synthetic codes", X, y.astype(int), tuple(range(6, 12)))


def reviews(path: str | None = None) -> Reviews:
    """Clothing reviews, recommended or not, from a gzipped csv file with the columns text and recommended."""
    path = path or _in_data_folder("reviews.csv.gz")
    if path is None:
        raise OSError("a file of reviews was not given")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Reviews(
        "clothing reviews", [row["text"] for row in rows], np.array([int(row["recommended"]) for row in rows])
    )


def synthetic_reviews() -> Reviews:
    """Stands in for them: random words, some of which are praise and some are blame."""
    rng = np.random.default_rng(0)
    syllables = ["ba", "do", "fe", "li", "mu", "no", "ri", "sa"]
    words = np.array([a + b + c for a in syllables for b in syllables for c in syllables[:3]])
    effects = rng.standard_normal(len(words))
    chosen = [rng.choice(len(words), rng.integers(15, 40)) for _ in range(600)]
    y = np.array([effects[some].sum() + rng.logistic() > 0 for some in chosen]).astype(int)
    return Reviews("synthetic reviews", [" ".join(words[some]).capitalize() + "." for some in chosen], y)


def synthetic_table() -> Table:
    """Stands in for adult: numbers and 0/1 columns."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.lognormal(size=(2000, 6)), rng.random((2000, 24)) < rng.uniform(0.1, 0.5, 24)])
    return Table("synthetic table", X, (X @ rng.standard_normal(30) + rng.logistic(size=2000) > 0).astype(int))


def mnist(path: str | None = None) -> Images:
    """MNIST from an npz file with x_train, y_train, x_test and y_test, or from OpenML."""
    path = path or _in_data_folder("mnist.npz")
    if path is None:
        X, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
        parts = X[:60000], y[:60000], X[60000:], y[60000:]
    else:
        with np.load(path) as file:
            parts = file["x_train"], file["y_train"], file["x_test"], file["y_test"]
    X, y, X_test, y_test = (part.reshape(len(part), -1) for part in parts)
    ink, ink_test = (part.astype(np.float32) / np.float32(255) for part in (X, X_test))
    return Images("MNIST", ink, y.ravel().astype(int), ink_test, y_test.ravel().astype(int))


def enlarged_digits() -> Images:
    """Stands in for MNIST: scikit-learn's 8 x 8 digits, three times as large, with a margin."""
    X, y = load_digits(return_X_y=True)
    large = np.kron(X.reshape(-1, 8, 8), np.ones((3, 3))) / 16
    large = np.pad(large, ((0, 0), (2, 2), (2, 2))).reshape(len(X), -1).astype(np.float32)
    return Images("enlarged digits", large[:1000], y[:1000], large[1000:], y[1000:])


def _in_data_folder(name: str) -> str | None:
    folder = os.environ.get("NORMLIME_DATA")
    return str(Path(folder) / name) if folder else None


class Sigmoids:
    """Outputs sigmoid(X @ slopes + intercepts), whose local weights are known exactly.

    For x' = x + scale * z with z normal of variance v, least squares of an output on z has, as n grows, the weights
    slopes * scale * E[derivative of the sigmoid] (Stein's lemma), an expectation in one dimension.
    """

    def __init__(self, slopes: np.ndarray, intercepts: np.ndarray | float = 0.0) -> None:
        self.slopes = slopes  # (d, m)
        self.intercepts = np.broadcast_to(intercepts, slopes.shape[1:])
        self.used = 1 + np.flatnonzero(slopes.any(axis=1)).max()  # columns past it need not be read

    def __call__(self, X: np.ndarray) -> np.ndarray:
        return expit(X[:, : self.used] @ self.slopes[: self.used] + self.intercepts)

    def expected(self, x: np.ndarray, scale: Any, target: int, variance: float = 1.0) -> tuple[np.ndarray, float]:
        """Weights (d,), and the standard deviation of the output."""
        slopes = self.slopes[:, target] * scale
        t = np.linspace(-8, 8, 4001)
        density = np.exp(-0.5 * t * t)
        density /= density.sum()
        center = x @ self.slopes[:, target] + self.intercepts[target]
        outputs = expit(center + np.sqrt(variance) * np.linalg.norm(slopes) * t)
        mean = density @ outputs
        return slopes * (density @ (outputs * (1 - outputs))), float(np.sqrt(density @ (outputs - mean) ** 2))

    def assert_explained(self, x, scale, target, explained, n, *, n_features, variance=1.0):
        """Check (features, weights) against the exact ones, up to the sampling noise of n samples.

        The standard error of a refitted weight is at most the deviation of what the selected features leave of the
        output, over sqrt(n); that of what decides the selection has the deviation of the output itself. Lime's
        weights of samples leave it more than half of n, and its ridge of 1 beside a sum of weights above 0.4 n
        shrinks by less than 4 / n. 5 standard errors are for chance, sqrt(K) + 4 for the root of the sum of K squares.
        """
        features, weights = explained
        expected, deviation = self.expected(x, scale, target, variance)
        size = np.abs(expected)
        left_out = np.delete(size, features)
        rest = np.sqrt(max(deviation**2 - variance * (size[features] ** 2).sum(), 0.0))
        error = rest / np.sqrt(n / 2)
        assert len(features) == min(n_features, len(x))
        np.testing.assert_allclose(weights, expected[features], rtol=4 / n, atol=5 * error)
        off = np.linalg.norm(weights - expected[features])
        assert off < (np.sqrt(len(features)) + 4) * error + 4 / n * np.linalg.norm(weights)
        doubt = 2 * 5 * deviation / np.sqrt(n / 2)
        assert not left_out.size or left_out.max() < size[features].min() + doubt


def logistic(data: Table) -> Sigmoids:
    """Probabilities of both classes by logistic regression."""
    scaler = StandardScaler().fit(data.X)
    regression = LogisticRegression(max_iter=1000).fit(scaler.transform(data.X), data.y)
    slopes = regression.coef_[0] / scaler.scale_
    intercept = regression.intercept_[0] - scaler.mean_ @ slopes
    return Sigmoids(np.column_stack([-slopes, slopes]), np.array([-intercept, intercept]))


def undecided(model: Sigmoids, X: np.ndarray, count: int) -> np.ndarray:
    """The rows of which the model is least sure: elsewhere its output hardly varies, and most weights are noise."""
    return X[np.argsort(np.abs(model(X)[:, 1] - 0.5))[:count]]


def decaying(d: int, n_features: int, outputs: int = 2) -> Sigmoids:
    """Two opposite outputs, or many, that depend on 2 K features, ever less: K-LASSO has something to leave out."""
    rng = np.random.default_rng(d)
    used = min(d, 2 * n_features)
    sizes = 0.9 ** np.arange(used)
    slopes = np.zeros((d, outputs))
    for k in range(outputs):
        slopes[:used, k] = rng.permutation(sizes * rng.choice([-1.0, 1.0], used))
    if outputs == 2:
        slopes[:, 0] = -slopes[:, 1]
    return Sigmoids(slopes / np.linalg.norm(sizes))


def logistic_regression(data: Table) -> Predict:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(data.X, data.y).predict_proba


def lightgbm(data: Table, n_trees: int = 200) -> Predict:
    """Probability of the second class."""
    from lightgbm import Dataset, train

    settings = {"objective": "binary", "num_threads": 1, "verbose": -1, "seed": 0, "deterministic": True}
    booster = train(settings, Dataset(data.X, data.y), n_trees)
    return lambda X: booster.predict(X, num_threads=1)


def both_classes(predict: Predict) -> Predict:
    """Make the probabilities of both classes of that of the second."""

    def predict_proba(X: np.ndarray) -> np.ndarray:
        second = predict(X)
        return np.column_stack([1 - second, second])

    return predict_proba


def random_forest(data: Table) -> Predict:
    return RandomForestClassifier(n_jobs=1, random_state=0).fit(data.X, data.y).predict_proba


class Cnn(NamedTuple):
    predict: Predict  # (n, 784) float32 to (n, 10) probabilities
    accuracy: float  # on the test set


def cnn(images: Images) -> Cnn:
    """Train the MNIST network of the NormLIME paper without a framework for that, and run it in ONNX.

    Convolutions of 32 and 64 filters, 3 x 3, leave 1,600 features to dense layers of 128, 128 and 10. Only those are
    trained; the filters are centres of whitened patches (Coates and Ng, 2012), which cost what trained ones do. The
    images get noise, as those of an explanation have: without, the network takes noise for some digit, and is sure.
    """
    rng = np.random.default_rng(0)
    some = rng.permutation(len(images.X))[:20000]
    train, y = images.X[some], images.y[some]
    train = train + rng.uniform(0, NOISE, (len(train), 1)) * rng.standard_normal(train.shape)
    train = train.astype(np.float32)
    first = filters(train[:2000].reshape(-1, 1, 28, 28), 32, 1.0, rng)
    maps = session(onnx_graph([first]))
    second = filters(maps(train[:2000]).reshape(-1, 32, 13, 13), 64, 0.5, rng)
    features = session(onnx_graph([first, second]))
    np.testing.assert_allclose(features(train[:20]), with_numpy(train[:20], [first, second]), rtol=1e-3, atol=1e-3)
    known = features(train)
    assert known.shape[1] == 1600
    spread = known.std(axis=0) + np.float32(0.1) * known.std()
    known /= spread
    head = MLPClassifier((128, 128), batch_size=100, random_state=0)
    for _ in range(EPOCHS):
        head.partial_fit(known, y, classes=np.arange(10))
    inner, *others = head.coefs_
    dense = list(zip([inner / spread[:, None], *others], head.intercepts_, strict=True))
    predict = session(onnx_graph([first, second], dense))
    np.testing.assert_allclose(predict(train[:100]), head.predict_proba(known[:100]), rtol=0, atol=1e-4)
    accuracy = float((predict(images.X_test).argmax(axis=1) == images.y_test).mean())
    assert accuracy > 0.8  # chance is 0.1
    return Cnn(predict, accuracy)


def filters(maps: np.ndarray, count: int, threshold: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weights (count, channels, 3, 3) and biases of a convolution: centres of whitened patches of its input.

    They answer when a patch is `threshold` standard deviations more like them than the mean is.
    """
    windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(2, 3))  # (n, channels, y, x, 3, 3)
    n, channels, height, width = windows.shape[:4]
    where = rng.integers((n, height, width), size=(20000, 3)).T
    patches = windows[where[0], :, where[1], where[2]].reshape(20000, -1).astype(float)
    patches = patches[patches.std(axis=1) > 0.1 * patches.std()]
    mean = patches.mean(axis=0)
    covariance = np.cov(patches.T)
    whiten = np.linalg.inv(np.real(sqrtm(covariance + 0.1 * np.trace(covariance) / len(mean) * np.eye(len(mean)))))
    white = (patches - mean) @ whiten
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    centres = MiniBatchKMeans(count, n_init=1, random_state=0).fit(white).cluster_centers_
    weights = centres @ whiten
    weights /= ((patches - mean) @ weights.T).std(axis=0)[:, None]
    return weights.reshape(count, channels, 3, 3).astype(np.float32), (-weights @ mean - threshold).astype(np.float32)


def with_numpy(X: np.ndarray, convolutions: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """What the convolutions of `onnx_graph` compute."""
    maps = X.reshape(-1, 1, 28, 28)
    for weights, biases in convolutions:
        windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(2, 3))
        maps = np.maximum(np.einsum("ncyxij,kcij->nkyx", windows, weights) + biases[:, None, None], 0)
        n, k, height, width = maps.shape
        pairs = maps[:, :, : height // 2 * 2, : width // 2 * 2].reshape(n, k, height // 2, 2, width // 2, 2)
        maps = pairs.max(axis=(3, 5))
    return maps.reshape(len(X), -1)


def onnx_graph(convolutions: list, dense: list = ()) -> bytes:
    """Return an ONNX model: convolutions, each with ReLU and 2 x 2 max-pooling, then perhaps dense layers, softmax."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"shape": np.array([-1, 1, 28, 28])}
    nodes = []

    def add(operator: str, *parameters: str, **attributes: object) -> None:
        source = nodes[-1].output[0] if nodes else "X"
        nodes.append(helper.make_node(operator, [source, *parameters], [f"output{len(nodes)}"], **attributes))

    add("Reshape", "shape")
    for k, (weights, biases) in enumerate(convolutions):
        constants |= {f"filters{k}": weights, f"thresholds{k}": biases}
        add("Conv", f"filters{k}", f"thresholds{k}")
        add("Relu")
        add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten")
    for k, (weights, biases) in enumerate(dense):
        constants |= {f"weights{k}": weights, f"biases{k}": biases}
        add("Gemm", f"weights{k}", f"biases{k}")
        add("Relu" if k < len(dense) - 1 else "Softmax")
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 784])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["n", None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def session(model: bytes) -> Predict:
    """Run an ONNX model on one thread, some images at a time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    running = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(X: np.ndarray) -> np.ndarray:
        return np.concatenate([running.run(None, {"X": X[i : i + PIECE]})[0] for i in range(0, len(X), PIECE)])

    return predict
