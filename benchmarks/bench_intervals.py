"""The study of intervals, in small: they cover, and the correction for skewness is what makes them."""

import warnings

import pytest

from benchmarks import intervals


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
