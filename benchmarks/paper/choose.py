"""Which settings rank pixels best, on images that nothing else is judged on.

Other images are explained; small networks are trained on one part of the training images, without the least important
pixels, and their errors counted on another part. The setting with the least errors, on average over replicates, is
chosen, for NormLIME's S and for LIME's global importance (Eq. 6) each for itself.
"""

import itertools

from benchmarks.paper import explain, retraining
from benchmarks.paper.explain import LITERAL, METHODS, OUTPUTS, Setting, Way
from benchmarks.paper.study import Study

LEVEL = 0.9
SETTINGS = (LITERAL, Setting("gaussian", 100), Setting("mask", 20), Setting("mask", 50), Setting("mask", 100))


def run(study: Study) -> None:
    explain.explain(study, SETTINGS, choosing=True)
    parts = study.parts(choosing=True)
    every = [Way(*way) for way in itertools.product(METHODS, SETTINGS, OUTPUTS)]
    importances = {way: way.importance(study, parts, choosing=True) for way in every}
    retraining.keep_and_retrain(study, "pixels", importances, (LEVEL,), choosing=True)
    found = retraining.load(study, "pixels", importances, (LEVEL,), choosing=True)
    gains = {way: retrained.gains[0, :, 0] for way, retrained in found.items()}
    study.results("choice").write(
        {**way._asdict(), "gains": of_way, "mean": of_way.mean()}
        for way, of_way in sorted(gains.items(), key=lambda item: item[1].mean())
    )


def chosen(study: Study) -> dict[str, Way]:
    """Return the best settings found for NormLIME and for LIME; none before that is done."""
    found: dict[str, Way] = {}
    for line in study.results("choice"):  # the best first
        method = line["method"]
        found.setdefault(f"{method.split(',')[0]}, chosen", Way(method, Setting(*line["setting"]), line["output"]))
    return found
