"""Keep and retrain (Figures 5 and 6): the least important features are removed, and a network is trained anew."""

import numpy as np

from benchmarks.paper import attribute, choose, explain, retraining
from benchmarks.paper.study import Study
from normlime_fast import evaluation

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
        for method, levels in _crossed(study, kind).items():
            retraining.keep_and_retrain(study, kind, {method: importances[method]}, levels, retraining.SEEDS)
        chosen = choose.chosen(study, kind)
        explain.explain(study, [way.setting for way in chosen.values()])
        retraining.keep_and_retrain(study, kind, by_ways(study, chosen), late(study))


def late(study: Study) -> tuple[float, ...]:
    return tuple(level for level in study.plan.levels if level in LATE)


def load(study: Study, kind: str) -> dict[str, evaluation.Retrained]:
    """Return the errors in percent by method, NaN where they are not known."""
    importances = rankings(study, kind) | by_ways(study, choose.chosen(study, kind))
    return retraining.load(study, kind, importances, study.plan.levels)


def crossed(study: Study, kind: str) -> dict[str, evaluation.Retrained]:
    """Return the errors of NormLIME, and of what else `PAPER` has, each ranking trained on with each seed."""
    importances = rankings(study, kind)
    found = {}
    for method, levels in _crossed(study, kind).items():
        found |= retraining.load(study, kind, {method: importances[method]}, levels, retraining.SEEDS)
    return found


def _crossed(study: Study, kind: str) -> dict[str, tuple[float, ...]]:
    """Return their levels: of NormLIME the late ones, at which it is compared with methods of one ranking, too."""
    found: dict[str, tuple[float, ...]] = {"NormLIME": late(study)}
    for of_kind, method, level in PAPER:
        if of_kind == kind and level in study.plan.levels and level not in found.get(method, ()):
            found[method] = (*found.get(method, ()), level)
    return found


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
