"""Repeat the experiments of the paper.

    python -m benchmarks.paper [STEP ...] [--quick] [--out FOLDER] [--work FOLDER]

Without steps all are done, in this order. What was stopped goes on where it was: call it again.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks.paper.study import QUICK, Plan, Study

STEPS = {
    "train": "train the CNN",
    "explain": "explain images, and outputs of the second block",
    "attribute": "SmoothGrad-squared, VarGrad and SHAP of the same images",
    "choose": "settings that rank best, on other images",
    "retrain": "keep and retrain, pixels and features",
    "maps": "maps of classes, and what speaks for them in place of people",
    "questionnaire": "the page that people would be asked with, and its analysis on simulated votes",
    "figures": "what the others found, drawn",
    "report": "README.md: what the paper says beside what was found",
}


def main() -> int:
    steps = "\n".join(f"  {name:<14}{text}" for name, text in STEPS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper",
        description=f"{__doc__}\nSteps:\n{steps}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help="all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see it run: minutes instead of hours")
    parser.add_argument("--out", type=Path, help="where results and figures go; by default here, or with --quick WORK")
    parser.add_argument("--work", type=Path, default=Path("paper-work"), help="where the network and explanations go")
    given = parser.parse_args()
    unknown = [step for step in given.steps if step not in STEPS]
    if unknown:
        parser.error(f"STEP must be of {', '.join(STEPS)}, got {unknown[0]!r}")
    work = given.work / ("quick" if given.quick else "full")
    out = given.out or (work if given.quick else Path(__file__).parent)
    study = Study(QUICK if given.quick else Plan(), out, work)
    for step in given.steps or STEPS:
        start = time.perf_counter()
        print(f"{step}: {STEPS[step]}", flush=True)
        importlib.import_module(f"benchmarks.paper.{step}").run(study)
        print(f"{step}: {time.perf_counter() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
