"""Run lime's own tests without and with `accelerate`: python -m benchmarks.comparison.lime_suite CHECKOUT_OF_LIME.

Which tests pass must be the same; the exit code is 1 if it is not. Some fail in both: they download data, or expect
older releases of what lime uses.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common.measuring import ROOT

REPORT = "NORMLIME_LIME_SUITE_REPORT"  # the file that the tests' process writes
ACCELERATED = "NORMLIME_LIME_SUITE_ACCELERATED"  # "1" if its explainers are

passed: set[str] = set()
failed: set[str] = set()
explainers = 0


# --- in the process of the tests, where this module is a plugin of pytest


def pytest_configure(config: Any) -> None:
    if os.environ[ACCELERATED] == "1":
        from lime.lime_image import LimeImageExplainer
        from lime.lime_tabular import LimeTabularExplainer
        from lime.lime_text import LimeTextExplainer

        for kind in (LimeTabularExplainer, LimeTextExplainer, LimeImageExplainer):
            kind.__init__ = accelerating(kind.__init__)


def accelerating(construct: Any) -> Any:
    from normlime_fast.interop.lime import accelerate

    @functools.wraps(construct)
    def wrapper(self: Any, *arguments: Any, **options: Any) -> None:
        global explainers
        construct(self, *arguments, **options)
        accelerate(self)
        explainers += 1

    return wrapper


def pytest_runtest_logreport(report: Any) -> None:
    if report.failed:
        failed.add(report.nodeid)
    elif report.when == "call":
        passed.add(report.nodeid)


def pytest_sessionfinish(session: Any) -> None:
    outcome = {"passed": sorted(passed - failed), "failed": sorted(failed), "explainers": explainers}
    Path(os.environ[REPORT]).write_text(json.dumps(outcome))


# --- in the process that starts the two


def outcome_of(checkout: Path, accelerated: bool) -> dict[str, Any]:
    """Which tests pass; the directory makes that of the checkout the `lime` which is tested."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        told = {REPORT: str(report), ACCELERATED: str(int(accelerated)), "PYTHONPATH": path}
        plugin = "benchmarks.comparison.lime_suite"  # this module
        command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider"]
        finished = subprocess.run(
            [*command, "lime/tests"],
            cwd=checkout,
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise SystemExit(f"lime's tests did not run in {checkout}:\n{finished.stdout}{finished.stderr}")
        return dict(json.loads(report.read_text()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="a checkout of lime, or its unpacked sdist: the folder of setup.py")
    checkout = parser.parse_args().checkout.resolve()
    if not (checkout / "lime" / "tests").is_dir():
        parser.error(f"no lime/tests in {checkout}")
    plain, accelerated = (outcome_of(checkout, each) for each in (False, True))
    for name, outcome in (("lime", plain), ("accelerated", accelerated)):
        print(f"{name}: {len(outcome['passed'])} pass, {len(outcome['failed'])} fail")
    print(f"{accelerated['explainers']} explainers were accelerated")
    for test in plain["failed"]:
        print(f"fails without: {test}")
    differ = sorted(set(plain["passed"]) ^ set(accelerated["passed"]))
    for test in differ:
        print(f"passes only {'without' if test in plain['passed'] else 'with'} accelerate: {test}")
    return int(bool(differ) or not plain["passed"] or not accelerated["explainers"])


if __name__ == "__main__":
    sys.exit(main())
