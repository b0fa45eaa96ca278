"""Which settings rank pixels and features best, on images that nothing else is judged on.

Other images are explained; small networks are trained on one part of the training images, without the least important
features, and their errors counted on another part. The setting with the least errors, on average over replicates, is
chosen, for NormLIME's S and for LIME's global importance (Eq. 6) each for itself.
"""

import itertools
from typing import Any

from benchmarks.paper import explain, retraining
from benchmarks.paper.explain import LITERAL, METHODS, OUTPUTS, Setting, Way
from benchmarks.paper.study import Study

LEVEL = 0.9
SETTINGS = {
    "pixels": (
        *(LITERAL, Setting("gaussian", 100), Setting("gaussian", 20, times=4)),
        *(Setting("mask", 20), Setting("mask", 50), Setting("mask", 100)),
    ),
    "features": (
        *(Setting("features", n_features) for n_features in (20, 50, 100, 200, 400)),
        Setting("features", 100, times=4),
    ),
}


def run(study: Study) -> None:
    lines = []
    for kind, settings in SETTINGS.items():
        explain.explain(study, settings, choosing=True)
        ways = [Way(*way) for way in itertools.product(METHODS, settings, OUTPUTS)]
        importances = {way: way.importance(study, study.parts(choosing=True), choosing=True) for way in ways}
        retraining.keep_and_retrain(study, kind, importances, (LEVEL,), choosing=True)
        found = retraining.load(study, kind, importances, (LEVEL,), choosing=True)
        gains = {way: retrained.gains[0, :, 0] for way, retrained in found.items()}
        ranked = sorted(gains, key=lambda way: gains[way].mean())
        lines += [{"kind": kind, **way._asdict(), "gains": gains[way], "mean": gains[way].mean()} for way in ranked]
    study.results("choice").write(lines)


def chosen(study: Study, kind: str) -> dict[str, Way]:
    """Return the best settings found for NormLIME and for LIME; none before that is done."""
    found: dict[str, Way] = {}
    for line in study.results("choice"):  # the best first
        if line["kind"] == kind:
            way = of_line(line)
            found.setdefault(f"{way.method.split(',')[0]}, chosen", way)
    return found


def of_line(line: dict[str, Any]) -> Way:
    """Return the way of a line of the results."""
    return Way(line["method"], Setting(*line["setting"]), line["output"])
