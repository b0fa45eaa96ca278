"""The study of intervals of single weights, in small: they cover, and those of Sobol points are too wide."""

import numpy as np
import pytest

from benchmarks.studies import weight_intervals
from benchmarks.studies.weight_intervals import NEIGHBORHOODS, QUICK, Covered


@pytest.mark.parametrize("name", NEIGHBORHOODS)
def test_intervals_cover(name):
    """1,200 intervals, of which those of rows that share points depend on each other: 0.05 is 3 deviations and more."""
    found = weight_intervals.coverage(name, *QUICK.sizes, QUICK)
    if "Sobol" in name:
        assert found.all > 0.98
        assert found.ratio > 2
    else:
        assert abs(found.all - 0.9) < 0.05
        assert abs(found.ratio - 1) < 0.1  # of 30 deviations of 40 seeds, the median; each has an error of 0.11


def test_coverage_decides():
    def of(name, share):
        return Covered(name, 100, 100.0, np.full(weight_intervals.D, share), 1.0).right

    assert [of("Pool", share) for share in (0.86, 0.88, 0.92, 0.94)] == [False, True, True, False]
    assert [of("Gaussian, Sobol points", share) for share in (0.86, 0.94)] == [False, True]


def test_quick_study_writes_nothing(monkeypatch, capsys):
    found = Covered("Pool", 1000, 100.0, np.full(weight_intervals.D, 0.9), 1.0)
    monkeypatch.setattr(weight_intervals, "coverage", lambda name, n, plan: found._replace(neighborhood=name))
    monkeypatch.setattr(weight_intervals.Path, "write_text", lambda *_, **__: pytest.fail("a file was written"))
    assert weight_intervals.main(["--quick"]) == 0
    assert capsys.readouterr().out.count("90.0% |") == (1 + weight_intervals.D) * len(NEIGHBORHOODS)
