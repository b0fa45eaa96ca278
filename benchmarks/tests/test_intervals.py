"""The study of intervals, in small: they cover, by the correction for skewness and by blocks, but never 0."""

import warnings

import numpy as np
import pytest

from benchmarks.studies import intervals


@pytest.fixture(scope="module")
def found():
    with warnings.catch_warnings(action="ignore"):  # of explanations where the model is flat
        return {name: intervals.coverage(name, intervals.QUICK) for name in intervals.MODELS}


def test_intervals_cover(found):
    """Some 1,000 intervals a line, of which some depend on each other: 0.04 is 2 to 4 standard deviations."""
    for rows in found.values():
        assert rows
        for row in rows:
            if row.intervals >= 500:
                assert 0.87 - 0.04 < row.corrected < 0.93 + 0.04


def test_students_fall_short_where_contributions_are_skewed(found):
    few = [row for row in found["probability"] if row.counts == "5 to 9"]
    assert len(few) == 2
    for row in few:
        assert row.students < row.corrected - 0.02


@pytest.mark.parametrize("shared", intervals.SHARED[::2], ids=lambda shared: shared.name)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of explanations where the model is flat
def test_intervals_by_blocks_cover_where_samples_are_shared(shared):
    """Of 300 draws, with 8 features that depend on each other: 0.05 is 3 standard deviations of one."""
    rows = intervals.coverage_by_blocks("linear", shared, intervals.QUICK)
    assert {row.by for row in rows} == {"S", "S_y"}
    for row in rows:
        if row.intervals >= 500:
            assert 0.87 - 0.05 < row.by_blocks < 0.93 + 0.05
            assert row.naive < 0.8


@pytest.mark.parametrize("neighborhood", intervals.WITH_SETS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of explanations where the model is flat
def test_intervals_by_sets_cover(neighborhood):
    """Of 100 runs, with 8 features that depend on each other: 0.09 is 3 standard deviations of one."""
    for row in intervals.coverage_of_sets("linear", neighborhood, intervals.QUICK):
        assert row.intervals >= 200
        assert 0.87 - 0.09 < row.by_sets < 0.93 + 0.09
        assert row.one_set < row.by_sets - 0.1


def test_features_that_are_not_used():
    """1,600 half-normal weights: 0.08 is 4 relative standard deviations, beside d / n of the fit's own parameters."""
    rows = [intervals.null_feature(*fit, intervals.QUICK) for fit in ((100, None), (400, None), (400, intervals.USED))]
    for row in rows[:2]:
        assert abs(row.mean_abs / row.theory - 1) < 0.08 + intervals.D / row.n_samples
        assert row.zero_mean_abs == 0
        assert row.zero_mean > 0.7
    assert rows[2].mean_abs < rows[1].mean_abs / 5
    assert np.isclose(rows[0].theory, 2 * rows[1].theory)
