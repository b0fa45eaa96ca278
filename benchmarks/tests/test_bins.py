"""The study of bins, in small: the simulated truths are those of the effects, and quartiles miss a wave."""

import numpy as np
import pytest

from benchmarks.studies import bins
from benchmarks.studies.bins import NUMBERS_OF_BINS, QUICK, Agreement
from benchmarks.studies.defaults import ADDS, TREESHAP


@pytest.mark.parametrize("make", [bins.wave, bins.flags])
def test_truths_are_those_of_the_label(make):
    """Effects are what the label changes by, on average, if a column takes the values of other rows."""
    n = 20_000
    data = make(n)
    X, y, truth = data.table.X, data.table.y, data.truths[ADDS]
    assert truth.shape == (X.shape[1],)
    for j, adds in enumerate(truth):
        order = np.argsort(X[:, j], kind="stable")
        groups = np.array_split(order, 200)  # neighbors in column j: the mean of the label is its effect there
        if j in data.table.categorical:
            groups = [np.flatnonzero(X[:, j] == value) for value in (0, 1)]
        means = np.array([y[group].mean() for group in groups])
        counts = np.array([len(group) for group in groups])
        # a mean of a group has the standard error s; if the effect is 0, its mean size is 0.8 s
        noise = 0.8 * np.mean(y.std() / np.sqrt(counts))
        assert counts @ np.abs(means - y.mean()) / n == pytest.approx(adds, abs=0.05 * adds + 1.2 * noise)


def test_quartiles_miss_a_wave_that_eight_bins_see():
    pytest.importorskip("lightgbm")
    data = bins.wave(QUICK.simulated)
    four, eight = (bins.agreement(data, count, 1000, QUICK) for count in (4, 8))
    assert four.size[0] < 0.85 < 0.95 < eight.size[0]
    assert set(four.truth) == {*bins.WAYS, TREESHAP}


def test_report_has_every_table_and_difference():
    ways = {way: np.array([0.5, 0.7]) for way in bins.WAYS}
    more = {way: np.array([0.6, 0.7]) for way in bins.WAYS}
    known = {**ways, TREESHAP: np.array([0.9, 1.0])}
    agreements = [Agreement(ways if k == 0 else more, known, np.array([1.0, 1.2])) for k in range(len(NUMBERS_OF_BINS))]
    page = bins.report({("a table", 500): agreements}, ["Adult: no network"], QUICK)
    assert page.count("| a table |") == 6
    assert "0.60 (0.50 to 0.70)" in page
    assert "+0.050 (± 0.050)" in page  # of 0.1 and 0, whose standard deviation is 0.0707
    assert "1.10 (1.00 to 1.20)" in page
    assert "0.95 (0.90 to 1.00)" in page
    assert page.endswith("Skipped: Adult: no network\n")
