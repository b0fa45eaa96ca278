"""The study of sampling, in small: Sobol points save calls on a smooth function, and wrong answers are noticed."""

from itertools import combinations

import numpy as np
import pytest

from benchmarks.studies import sampling


@pytest.fixture(scope="module")
def smooth():
    return sampling.study(sampling.smooth(), sampling.QUICK)


def test_sobol_points_save_calls_on_a_smooth_function(smooth):
    for saving in smooth.savings:
        assert np.median(saving.ratios) > 3
        assert saving.ratio_chosen > 3
        assert saving.calls > 3


def test_variance_falls_as_one_over_n_under_iid_sampling(smooth):
    """20 weights, each of 4 variances of 8 seeds: their slopes have a standard error of about 0.06 on the mean."""
    assert 0.7 < smooth.decay < 1.3


def test_other_sizes_than_powers_of_two_are_compared_with_the_nearest(smooth):
    assert list(smooth.unbalanced) == [(300, 256)]
    assert smooth.unbalanced[300, 256] > 256 / 300  # as balanced as the power of two, it would be that


def test_report_has_a_row_for_every_size(smooth):
    page = sampling.report([smooth], ["adult: no network"], sampling.QUICK)
    for n in sampling.QUICK.sizes:
        assert f"| {n} |" in page
    assert "variance at n = 300 / at 256" in page
    assert page.endswith("Skipped: adult: no network")


def test_quick_study_prints_its_report(monkeypatch, capsys, smooth):
    monkeypatch.setattr(sampling, "study", lambda case, plan: smooth)
    assert sampling.main(["--quick"]) == 0
    assert capsys.readouterr().out == sampling.report([smooth], [], sampling.QUICK) + "\n"


def test_agreement_is_the_mean_jaccard_index_of_pairs():
    rng = np.random.default_rng(0)
    chosen = rng.random((4, 3, 9)) < 0.5
    sets = [[set(np.flatnonzero(row)) for row in seed] for seed in chosen]
    expected = [len(a & b) / len(a | b) for x, y in combinations(sets, 2) for a, b in zip(x, y, strict=True)]
    assert sampling.agreement(chosen) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    ("jaccard", "calls"),
    [(0.4, "< 1.00"), (0.5, "1.00"), (0.6, "1.41"), (0.7, "2.00"), (0.9, "4.00"), (0.95, "> 4.00")],
)
def test_calls_for_an_agreement_lie_between_those_measured(jaccard, calls):
    nothing = np.zeros((1, 1))
    iid = {n: sampling.Spread(nothing, nothing, nothing, known) for n, known in ((100, 0.5), (200, 0.7), (400, 0.9))}
    assert sampling.calls_for(iid, jaccard, 100) == calls


def test_other_means_are_noticed():
    rng = np.random.default_rng(0)
    seeds = rng.standard_normal((2, 20, 5, 6))
    one, other = (sampling.Spread(w.mean(axis=0), w.var(axis=0, ddof=1), np.ones(5), 1.0) for w in seeds)
    sampling.assert_same_means(one, other, 20)
    moved = other._replace(mean=other.mean + 4.0)
    with pytest.raises(AssertionError):
        sampling.assert_same_means(one, moved, 20)
