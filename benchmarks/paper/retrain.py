"""Keep and retrain (Figures 5 and 6): the least important features are removed, and a network is trained anew."""

import numpy as np

from benchmarks.paper import attribute, choose, explain, retraining
from benchmarks.paper.study import Study
from normlime_fast import evaluation
from normlime_fast.evaluation.retraining import Gain

KINDS = "pixels", "features"
PAPER = {  # what it reports: error gain in points
    ("pixels", "NormLIME", 0.5): 0.0,
    ("features", "NormLIME", 0.8): 0.0,
    ("features", "NormLIME", 0.9): 0.45,
    ("features", "LIME", 0.9): 0.6,
}
LATE = (0.5, 0.7, 0.8, 0.9)  # levels at which methods differ: those of chosen settings


def run(study: Study) -> None:
    for kind in KINDS:
        importances = rankings(study, kind)
        retraining.keep_and_retrain(study, kind, importances, study.plan.levels)
        for method, level in _claimed(study, kind):
            retraining.keep_and_retrain(study, kind, {method: importances[method]}, (level,), retraining.SEEDS)
        chosen = choose.chosen(study, kind)
        explain.explain(study, [way.setting for way in chosen.values()])
        retraining.keep_and_retrain(study, kind, by_ways(study, chosen), late(study))


def late(study: Study) -> tuple[float, ...]:
    return tuple(level for level in study.plan.levels if level in LATE)


def load(study: Study, kind: str) -> dict[str, evaluation.Retrained]:
    """Return the errors in percent by method, NaN where they are not known."""
    importances = rankings(study, kind) | by_ways(study, choose.chosen(study, kind))
    return retraining.load(study, kind, importances, study.plan.levels)


def claimed(study: Study) -> dict[tuple[str, str, float], Gain]:
    """Return what `PAPER` has, over rankings and trainings with several seeds."""
    found = {}
    for kind in KINDS:
        importances = rankings(study, kind)
        for method, level in _claimed(study, kind):
            one = retraining.load(study, kind, {method: importances[method]}, (level,), retraining.SEEDS)
            found[kind, method, level] = one[method].summary()[0]
    return found


def _claimed(study: Study, kind: str) -> list[tuple[str, float]]:
    return [(method, level) for of, method, level in PAPER if of == kind and level in study.plan.levels]


def rankings(study: Study, kind: str) -> dict[str, np.ndarray]:
    """Return the importance of every feature by every method, (n_replicates, d)."""
    images, parts = study.images(), study.parts()
    setting, output = (explain.LITERAL, "probability") if kind == "pixels" else (explain.FEATURES, "log-probability")
    ways = {name: explain.Way(name, setting, output) for name in ("NormLIME", "LIME")}
    found = by_ways(study, ways)
    found["random"] = np.zeros_like(found["LIME"])  # all ties
    gradients = attribute.load(study, "gradients")
    for name in attribute.TUNNELS:
        keys = {"": ", log-probability"} if kind == "pixels" else {"": "", " times variance": " times variance"}
        for suffix, key in keys.items():
            values = gradients[f"{kind}, {name}{key}"]
            found[name + suffix] = np.stack([values[np.isin(images, part)].mean(axis=0) for part in parts])
    found["SHAP"] = np.abs(attribute.load(study, "shap")[kind]).mean(axis=0)[None]
    found["standard deviation"] = study.rows(kind).std(axis=0)[None]
    return found


def by_ways(study: Study, ways: dict[str, explain.Way]) -> dict[str, np.ndarray]:
    return {name: way.importance(study, study.parts()) for name, way in ways.items()}
