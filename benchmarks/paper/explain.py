"""Local explanations of images, and of the outputs of the second block; kept as files, block by block."""

import time
from collections.abc import Iterable
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
    times: int = 1  # as many samples as the plan says

    def __str__(self) -> str:
        more = f", {self.times} times the samples" if self.times > 1 else ""
        return f"{self.neighborhood}, K = {self.n_features}{more}"


METHODS: dict[str, dict[str, Any]] = {  # what is made of explanations
    "NormLIME": {},
    "NormLIME, shrunk": {"shrink": True},
    "NormLIME, min_count 5": {"min_count": 5},
    "LIME": {"kind": "l2"},  # Eq. 6
}


class Way(NamedTuple):
    """From explanations to an importance."""

    method: str
    setting: Setting
    output: str

    def __str__(self) -> str:
        return f"{self.method}, {self.setting}, {self.output}"

    def importance(self, study: Study, parts: list[np.ndarray], choosing: bool = False) -> np.ndarray:
        """Return that of each part of the images, (len(parts), d)."""
        local = load(study, self.setting, choosing)
        sums = [nlf.aggregate(of_output(local, self.output, part)) for part in parts]
        return np.stack([one.importance(**METHODS[self.method]).values for one in sums])


LITERAL = Setting("gaussian", 20)
SETTINGS = (LITERAL, Setting("mask", 20), Setting("mask", 50))
FEATURES = Setting("features", 100)


def run(study: Study) -> None:
    explain(study, [*SETTINGS, FEATURES])


def explain(study: Study, settings: Iterable[Setting], choosing: bool = False) -> None:
    """Explain in settings in which that is not done yet."""
    for setting in settings:
        if not _path(study, setting, choosing).exists():
            _explain(study, setting, choosing)


def load(study: Study, setting: Setting, choosing: bool = False) -> nlf.LocalExplanations:
    """Return explanations of `study.images(choosing)`, ordered by target and image: see `of_output`."""
    return nlf.LocalExplanations.load(_path(study, setting, choosing))


def of_output(local: nlf.LocalExplanations, output: str, images: np.ndarray) -> Any:
    """Return the weights (len(images), d) of the predicted class's probability or log-probability."""
    rows = np.flatnonzero(local.target // 10 == OUTPUTS.index(output))
    place = dict(zip(local.instance[rows].tolist(), rows, strict=True))
    return local.weights[[place[number] for number in images]]


def _path(study: Study, setting: Setting, choosing: bool) -> Path:
    more = f"-{setting.times}-times" if setting.times > 1 else ""
    name = f"{setting.neighborhood}-{setting.n_features}{more}{'-to-choose' if choosing else ''}"
    return study.work / f"explanations-{name}.npz"


def _explain(study: Study, setting: Setting, choosing: bool) -> None:
    start, images = time.perf_counter(), study.images(choosing)
    path = _path(study, setting, choosing)
    if setting.neighborhood == "features":
        everything = study.rows("features")
        plain = {"numeric": range(everything.shape[1])}  # noise as in the paper, also for few values
        X, neighborhood = everything[images], nlf.Gaussian.from_data(everything, **plain)
        predict = network.Outputs(study.cnn[1], study.work / "head.onnx")
    else:
        X, neighborhood = study.data.X[images], nlf.Mask() if setting.neighborhood == "mask" else nlf.Gaussian(SIGMA)
        predict = network.Outputs(study.cnn, study.work / "cnn.onnx")
    parts = []
    for c in CLASSES:
        here = study.predicted[images] == c
        explainer = nlf.NormLIME(
            *(predict, neighborhood),
            n_features=setting.n_features,
            n_samples=setting.times * study.plan.n_samples,
            targets=[c, c + 10],
            rng=0,
        )
        folder = study.work / "checkpoints" / f"{path.stem}-{c}"
        folder.parent.mkdir(exist_ok=True)
        parts.append(
            explainer.explain(X[here], index=images[here], checkpoint=folder, block_size=5, executor=study.executor)
        )
        print(f"{setting}: class {c} of 0 to 9 explained", flush=True)
    local = nlf.LocalExplanations.concatenate(parts)
    for output in OUTPUTS:
        rows = np.flatnonzero(local.target // 10 == OUTPUTS.index(output))
        study.results("explanations").append(
            setting=str(setting),
            output=output,
            choosing=choosing,
            images=len(images),
            r2=np.median(local.r2[rows]),
            features_used=np.diff(local.weights.indptr)[rows].mean(),
            never_used=local.weights.shape[1] - len(np.unique(local.weights[rows].indices)),
            seconds=time.perf_counter() - start,
        )
    local.save(path)  # after its results, so that these are there if it is
