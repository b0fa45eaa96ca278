"""Class maps (Figure 1 of the paper), and what can be said of them by numbers: nobody was asked to look at them.

A map says which pixels speak for a class. The measures: would other images have given the same map (stability); does a
class lose its probability without the pixels of its own map, and not without those of others' (ablation); does another
classifier see the digit in it (digits); does it change when the network forgets what it has learned (randomisation).
The mean image of a class and random numbers are controls: they know no network.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn

import normlime_fast as nlf
from benchmarks.paper import attribute, explain, network
from benchmarks.paper.study import CLASSES, Study
from normlime_fast import evaluation

MEASURES = "stability", "ablation", "digits", "randomisation"
KINDS = {"NormLIME": "normlime", "LIME": "l2"}
WAYS = (  # of which there are maps of other networks, too
    (explain.LITERAL, "probability"),
    (explain.Setting("mask", 50), "log-probability"),
)
FEW = 10  # images of a class in the paper's maps by gradients
SPLITS = 20
N_ABLATED = 60  # pixels
FILLS = {"black": 0.0, "mean": "mean"}
CHECKED = 10  # images of a class whose maps are compared with those of other networks
CLASSIFIER_EPOCHS = 5


class Method(NamedTuple):
    """Makes maps (10, 784) of images, which are given by their positions in `study.images()`."""

    of: Callable[[np.ndarray], np.ndarray]
    most: int | None = None  # images of a class; by default all

    def __call__(self, at: np.ndarray) -> np.ndarray:
        return self.of(at if self.most is None else at[: self.most * len(CLASSES)])


def run(study: Study) -> None:
    found = methods(study)
    everything = np.arange(len(study.images()))
    np.savez(_path(study), **{name: method(everything) for name, method in found.items()})
    lines = study.results("maps")
    for measure, make in zip(MEASURES, (_stability, _ablation, _digits, _randomisation), strict=True):
        known = {line["method"] for line in lines if line["measure"] == measure}
        start = time.perf_counter()
        missing = {name: method for name, method in found.items() if name not in known}
        for name, records in make(study, missing):
            for record in records:
                lines.append(measure=measure, method=name, **record)
        print(f"  {measure}: {time.perf_counter() - start:.0f} s", flush=True)


def load(study: Study) -> dict[str, np.ndarray]:
    """Return the maps (10, 784) by their methods' names: see `methods`."""
    with np.load(_path(study)) as file:
        return dict(file)


def _path(study: Study) -> Path:
    return study.work / "maps.npz"


def methods(study: Study) -> dict[str, Method]:
    """Return what makes maps; plain names are the paper's.

    These are "NormLIME", "LIME" (noise, K = 20, probability), "SmoothGrad²", "VarGrad" (log-probability, 10 images of a
    class). Others say in what they differ, as "NormLIME, mask, K = 50, log-probability" or "VarGrad, all images".
    """
    images = study.images()
    classes = study.predicted[images]
    found = {}
    for setting in explain.SETTINGS:
        local = explain.load(study, setting)
        for output in explain.OUTPUTS:
            weights = explain.of_output(local, output, images)
            for name, kind in KINDS.items():
                found[name + _way(setting, output)] = Method(_of_weights(weights, classes, kind))
            if (setting, output) in WAYS:
                shrunk = _of_weights(weights, classes, KINDS["NormLIME"], shrink=True)
                found[f"NormLIME, shrunk{_way(setting, output)}"] = Method(shrunk)
    gradients = attribute.load(study, "gradients")
    for name in attribute.TUNNELS:
        of = {output: _means(gradients[f"pixels, {name}, {output}"], classes) for output in explain.OUTPUTS}
        found[name] = Method(of["log-probability"], FEW)
        found[f"{name}, probability"] = Method(of["probability"], FEW)
        found[f"{name}, all images"] = Method(of["log-probability"])
    found["class mean"] = Method(_means(study.data.X[images], study.data.y[images]))
    found["random"] = Method(lambda at: np.random.default_rng(at).random((len(CLASSES), 784)))
    return found


def _way(setting: explain.Setting, output: str) -> str:
    return "" if (setting, output) == (explain.LITERAL, "probability") else f", {setting}, {output}"


def _of_weights(
    weights: Any, classes: np.ndarray, kind: str, shrink: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """Of explanations: Eq. 3 or 6 over the weights above 0 of each class's images."""
    return lambda at: nlf.aggregate(weights[at], classes[at]).importance(kind, "positive", shrink=shrink).values


def _means(values: np.ndarray, classes: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda at: np.stack([values[at][classes[at] == c].mean(axis=0) for c in CLASSES])


def _blocks(numbers: np.ndarray) -> np.ndarray:
    """Return positions of images: each ten in a row are one of each class."""
    return (len(CLASSES) * numbers[:, None] + np.arange(len(CLASSES))).ravel()


def _parts(study: Study) -> list[np.ndarray]:
    """Return the positions of disjoint parts of the images."""
    return [np.flatnonzero(np.isin(study.images(), part)) for part in study.parts()]


Found = Iterator[tuple[str, list[dict[str, Any]]]]


def _stability(study: Study, found: dict[str, Method]) -> Found:
    """Correlate maps of disjoint random halves, of few images of a class and of all."""
    n = len(study.images()) // len(CLASSES)
    for name, method in found.items():
        sizes = {FEW // 2} if method.most else {min(FEW, n) // 2, n // 2}
        yield name, [_halves(method, size, n) for size in sorted(sizes)]


def _halves(method: Method, size: int, n: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    correlations = []
    for _ in range(SPLITS):
        order = rng.permutation(n)
        halves = [method.of(_blocks(order[start : start + size])) for start in (0, size)]
        both = evaluation.agreement(halves, N_ABLATED)
        correlations.append([both.pearson.mean(), both.spearman.mean()])
    return {"images": size, "splits": SPLITS} | _spread(correlations)


def _spread(correlations: Any) -> dict[str, float]:
    """Return the mean of Pearson's and Spearman's, (n, 2), and their standard deviations."""
    names = zip(("pearson", "spearman"), np.transpose(correlations), strict=True)
    return {name + end: value for name, row in names for end, value in (("", row.mean()), ("_std", row.std(ddof=1)))}


def _ablation(study: Study, found: dict[str, Method]) -> Found:
    """Remove the largest pixels of each class's map from test images; of maps of parts of the images, from fewer."""
    if not found:
        return
    ablated = Ablated(network.Outputs(study.cnn, study.work / "cnn.onnx"), *_judged(study))
    everything, parts = np.arange(len(study.images())), _parts(study)
    made = [[method(at) for at in (everything, *parts)] for method in found.values()]
    yield from zip(found, study.executor.map(ablated, made), strict=True)


class Ablated(NamedTuple):
    """Removes pixels of maps of all images, and of maps of their parts, in any process."""

    outputs: network.Outputs
    X: np.ndarray
    labels: np.ndarray

    def __call__(self, made: list[np.ndarray]) -> list[dict[str, Any]]:
        maps, *of_parts = made
        whole = self._ablate(maps, len(self.X))
        fewer = [self._ablate(part, len(self.X) // len(of_parts)).summary() for part in of_parts]
        return [
            {
                **{key: value for key, value in row._asdict().items() if key != "group"},
                "k": N_ABLATED,
                "replaced": whole.replaced.min(),
                "replicates": [part[fill].difference for part in fewer],
            }
            for fill, row in enumerate(whole.summary())
        ]

    def _ablate(self, maps: np.ndarray, n: int) -> evaluation.Ablation:
        return evaluation.class_ablation(self._probabilities, self.X[:n], self.labels[:n], maps, N_ABLATED, FILLS)

    def _probabilities(self, X: np.ndarray) -> np.ndarray:
        return self.outputs(X)[:, : len(CLASSES)]


def _judged(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Return test images, in turn one of each predicted class, and these classes."""
    predicted = network.predicted(study.cnn, network.as_images(study.data.X_test))
    order = np.random.default_rng(2).permutation(len(predicted))
    n = study.plan.map_images // len(CLASSES)
    images = np.stack([order[predicted[order] == c][:n] for c in CLASSES], axis=1).ravel()
    return study.data.X_test[images], predicted[images]


def _digits(study: Study, found: dict[str, Method]) -> Found:
    """Ask a network without convolutions, of scikit-learn, which digits it sees in the maps."""
    if not found:
        return
    classifier, about = _classifier(study)
    everything, parts = np.arange(len(study.images())), _parts(study)
    for name, method in found.items():
        whole = _recognised(classifier, method(everything))
        of_parts = [_recognised(classifier, method(part)) for part in parts]
        yield name, [whole | {"replicates": of_parts} | about]


def _classifier(study: Study) -> tuple[MLPClassifier, dict[str, Any]]:
    data, rng = study.data, np.random.default_rng(0)
    classifier = MLPClassifier((256,), batch_size=128, random_state=0)
    for _ in range(CLASSIFIER_EPOCHS):
        classifier.partial_fit(_spoiled(data.X, rng), data.y, classes=np.arange(10))
    scores = {
        "accuracy": classifier.score(data.X_test, data.y_test),
        "accuracy_spoiled": classifier.score(_spoiled(data.X_test, rng), data.y_test),
    }
    return classifier, {"classifier": "scikit-learn's MLPClassifier, 256 units, on spoiled images"} | scores


def _spoiled(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images that are pale, have holes and noise as maps have, each to another degree."""

    def degree(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (len(X), 1)).astype(np.float32)

    kept = rng.random(X.shape, np.float32) < degree(0.3, 1)
    noise = np.abs(rng.standard_normal(X.shape, np.float32)) * degree(0, 0.3)
    return np.clip(X * kept * degree(0.3, 1) + noise, 0, 1)


def _recognised(classifier: MLPClassifier, maps: np.ndarray) -> dict[str, float]:
    """Return the share of the ten maps that get their class, and its mean probability."""
    chances = classifier.predict_proba((maps / maps.max(axis=1, keepdims=True)).astype(np.float32))
    return {"recognised": np.mean(chances.argmax(axis=1) == CLASSES), "probability": np.diag(chances).mean()}


def _randomisation(study: Study, found: dict[str, Method]) -> Found:
    """Correlate maps of the CNN with those of networks that know less, of the same images and the same classes.

    References are a network that was trained from another seed, and the CNN's own maps of as many other images.
    """
    n = min(CHECKED, len(study.images()) // len(CLASSES) // 2)
    here, others = _blocks(np.arange(n)), _blocks(np.arange(n, 2 * n))
    checked = {
        name: found[name]
        for name in [*(kind + _way(*way) for way in WAYS for kind in KINDS), *attribute.TUNNELS]
        if name in found
    }
    if not checked:
        return
    models = {name: _maps_of(study, name, model, here) for name, model in _models(study)}
    for name, method in checked.items():
        trained = method.of(here)
        maps = {model: of_model[name] for model, of_model in models.items()} | {"same, other images": method.of(others)}
        records = []
        for model, other in maps.items():
            both = evaluation.agreement([trained, other], N_ABLATED)
            records.append({"model": model, "images": n} | _spread(np.c_[both.pearson[0], both.spearman[0]]))
        yield name, records


def _models(study: Study) -> Iterator[tuple[str, nn.Sequential]]:
    untrained = network.cnn(1).eval()
    yield "random head", nn.Sequential(study.cnn[0], untrained[1]).eval()
    yield "all random", untrained
    path, other = study.work / "cnn-of-another-seed.pt", network.cnn(1)
    if not path.exists():
        network.train(other, network.as_images(study.data.X), study.data.y, study.plan.retrain_epochs, seed=1)
        torch.save(other.state_dict(), path)
    other.load_state_dict(torch.load(path, weights_only=True))
    yield "trained from another seed", other.eval()


def _maps_of(study: Study, name: str, model: nn.Sequential, at: np.ndarray) -> dict[str, np.ndarray]:
    """Return the maps of another network, for the classes that the CNN predicts."""
    images = study.images()[at]
    classes, everything = study.predicted[images], np.arange(len(at))
    of_class = [images[classes == c] for c in CLASSES]
    file = f"{len(at)}-by-{name.replace(' ', '-')}"
    found = {}
    for setting, output in WAYS:
        path = study.work / f"explanations-{setting.neighborhood}-{setting.n_features}-{file}.npz"
        if not path.exists():
            outputs = network.Outputs(model, study.work / f"cnn-{file}.onnx")
            one = partial(_explained, outputs, setting, output, study.plan.n_samples)
            parts = study.executor.map(one, CLASSES, of_class, [study.data.X[here] for here in of_class])
            nlf.LocalExplanations.concatenate(parts).save(path)
        weights = explain.of_output(nlf.LocalExplanations.load(path), output, images)
        for method, kind in KINDS.items():
            found[method + _way(setting, output)] = _of_weights(weights, classes, kind)(everything)
    path = study.work / f"attributions-{file}.npz"
    if not path.exists():
        whole = path.with_suffix(".part.npz")
        np.savez(whole, **_gradients(study, model, images))
        whole.replace(path)
    with np.load(path) as values:
        return found | {kind: _means(values[kind], classes)(everything) for kind in values}


def _explained(
    outputs: network.Outputs,
    setting: explain.Setting,
    output: str,
    n_samples: int,
    c: int,
    images: np.ndarray,
    X: np.ndarray,
) -> nlf.LocalExplanations:
    """Explain images of one class as `explain` does."""
    explainer = nlf.NormLIME(
        outputs,
        nlf.Mask() if setting.neighborhood == "mask" else nlf.Gaussian(explain.SIGMA),
        n_features=setting.n_features,
        n_samples=n_samples,
        targets=[c + len(CLASSES) * explain.OUTPUTS.index(output)],
        rng=0,
    )
    return explainer.explain(X, index=images)


def _gradients(study: Study, model: nn.Sequential, images: np.ndarray) -> dict[str, np.ndarray]:
    X, target = network.as_images(study.data.X[images]), torch.as_tensor(study.predicted[images])
    asked = attribute.forward(model, "log-probability")
    return {
        name: attribute.tunnel(asked, kind, X, target, explain.SIGMA, study.plan.draws)
        for name, kind in attribute.TUNNELS.items()
    }
