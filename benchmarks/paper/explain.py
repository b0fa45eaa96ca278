"""Local explanations of images, and of the outputs of the second block; kept as files, block by block."""

import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import normlime_fast as nlf
from benchmarks.paper import network
from benchmarks.paper.study import CLASSES, Study

SIGMA = 0.3  # of the noise, in units of ink
OUTPUTS = ("probability", "log-probability")


class Setting(NamedTuple):
    """Of which kind explanations are: with "features" the noise is each feature's standard deviation."""

    neighborhood: str  # gaussian, mask or features
    n_features: int

    def __str__(self) -> str:
        return f"{self.neighborhood}, K = {self.n_features}"


LITERAL = Setting("gaussian", 20)
SETTINGS = (LITERAL, Setting("mask", 20), Setting("mask", 50))
FEATURES = Setting("features", 100)


def run(study: Study) -> None:
    explain(study, [*SETTINGS, FEATURES])


def explain(study: Study, settings: Iterable[Setting], choosing: bool = False) -> None:
    """Explain what is not yet explained."""
    missing = [setting for setting in settings if not _path(study, setting, choosing).exists()]
    for neighborhood in dict.fromkeys(setting.neighborhood for setting in missing):
        _explain(study, [setting for setting in missing if setting.neighborhood == neighborhood], choosing)


def load(study: Study, setting: Setting, choosing: bool = False) -> nlf.LocalExplanations:
    """Return explanations of `study.images(choosing)`, ordered by target and image: see `of_output`."""
    return nlf.LocalExplanations.load(_path(study, setting, choosing))


def of_output(local: nlf.LocalExplanations, output: str, images: np.ndarray) -> Any:
    """Return the weights (len(images), d) of the predicted class's probability or log-probability."""
    rows = np.flatnonzero(local.target // 10 == OUTPUTS.index(output))
    place = {number: row for number, row in zip(local.instance[rows], rows, strict=True)}
    return local.weights[[place[number] for number in images]]


def _path(study: Study, setting: Setting, choosing: bool) -> Path:
    name = f"{setting.neighborhood}-{setting.n_features}{'-to-choose' if choosing else ''}"
    return study.work / f"explanations-{name}.npz"


def _explain(study: Study, settings: list[Setting], choosing: bool) -> None:
    """Explain in one neighborhood, with several numbers of features."""
    images = study.images(choosing)
    if settings[0].neighborhood == "features":
        everything = network.features(study.cnn, study.data.X)
        neighborhood, X = nlf.Gaussian.from_data(everything), everything[images]
        predict = network.Outputs(study.cnn[1], study.work / "head.onnx")
        outputs = OUTPUTS[1:]
    else:
        neighborhood = nlf.Mask() if settings[0].neighborhood == "mask" else nlf.Gaussian(SIGMA)
        X = study.data.X[images]
        predict = network.Outputs(study.cnn, study.work / "cnn.onnx")
        outputs = OUTPUTS
    parts: dict[Setting, list[nlf.LocalExplanations]] = {setting: [] for setting in settings}
    seconds = dict.fromkeys(settings, 0.0)
    for c in CLASSES:
        asked = Remembering(predict) if len(settings) > 1 else predict
        here = study.predicted[images] == c
        for setting in settings:
            start = time.perf_counter()
            explainer = nlf.NormLIME(
                asked,
                neighborhood,
                n_features=setting.n_features,
                n_samples=study.plan.n_samples,
                targets=[c + 10 * OUTPUTS.index(output) for output in outputs],
                rng=0,
                n_jobs=-1,
            )
            folder = study.work / "checkpoints" / f"{_path(study, setting, choosing).stem}-{c}"
            folder.parent.mkdir(exist_ok=True)
            local = explainer.explain(X[here], index=images[here], checkpoint=folder, block_size=10, progress=True)
            parts[setting].append(local)
            seconds[setting] += time.perf_counter() - start
    for setting in settings:
        local = nlf.LocalExplanations.concatenate(parts[setting])
        local.save(_path(study, setting, choosing))
        for output in outputs:
            chosen = local.target // 10 == OUTPUTS.index(output)
            used = np.diff(local.weights.indptr)[chosen]
            study.results("explanations").append(
                setting=str(setting),
                output=output,
                choosing=choosing,
                images=len(images),
                r2=np.median(local.r2[chosen]),
                features_used=used.mean(),
                never_used=local.weights.shape[1] - len(np.unique(local.weights[np.flatnonzero(chosen)].indices)),
                seconds=seconds[setting],
            )


class Remembering:
    """A model that is not asked twice about the same rows: explanations of several sizes draw the same samples."""

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        self._predict = predict
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, X: np.ndarray) -> np.ndarray:
        key = hashlib.blake2b(np.ascontiguousarray(X), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = self._predict(X)
        return self._known[key]
