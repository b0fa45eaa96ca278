"""The study of stability, in small: what is counted and compared is right, and more rows bring S to its limit."""

import json
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.studies import stability, stability_study
from benchmarks.studies.stability_study import QUICK, Agreement, Curve, Level


@pytest.fixture(scope="module")
def small():
    return stability_study.study(stability_study.synthetic_case, QUICK)


def test_model_rows_are_points_for_every_instance_or_for_all(small):
    for c in small.curves:
        for at in c.levels:
            points = at.n_samples * (QUICK.instances if c.name.startswith("Gaussian") else 1)
            assert at.rows == points + QUICK.instances


def test_a_pool_of_rows_ends_at_half_of_them_and_its_limit_is_all(small):
    pools = [c for c in small.curves if c.name.startswith("Pool of rows")]
    assert len(pools) == 2
    for c in pools:
        assert c.levels[-1].n_samples == 300
        assert c.limit_rows == 600 + QUICK.instances


def test_limits_find_the_columns_that_count_most(small):
    """Slopes fall by 0.7 from column to column; bins of a pool blur them most, and still rank the first three."""
    for c in small.curves:
        assert list(np.argsort(-c.limit)[:3]) == [0, 1, 2], c.name


def test_more_rows_bring_seeds_and_limit_closer(small):
    grown = [c for c in small.curves if len(c.levels) > 1]
    assert len(grown) == 3
    for c in grown:
        first, last = c.levels[0], c.levels[-1]
        assert last.spread < first.spread
        assert last.seeds.tau > first.seeds.tau
        assert last.limit.tau > first.limit.tau


def test_only_independent_errors_average_out(small):
    """Independent ones leave 0.32 of the spread, shared ones all; 4 seeds and 5 features estimate it roughly."""
    gains = {c.name: stability.gain(c.levels[-1]) for c in small.curves}
    assert gains["Gaussian, width 1"] < 0.5 < gains["Pool of rows, lime's kernel"]


def test_only_weighted_points_are_less_effective_than_all(small):
    effective = {c.name: c.effective for c in small.curves}
    assert effective["Gaussian, width 1"] == 1
    assert effective["Pool of rows"] == pytest.approx(0.1, rel=0.01)  # what its width is chosen for


def test_agreement_compares_the_features_that_were_used():
    rng = np.random.default_rng(0)
    first, second = (np.where(rng.random(8) < 0.7, rng.random(8), 0.0) for _ in range(2))
    ranked = [sorted(np.flatnonzero(S), key=lambda j, S=S: -S[j]) for S in (first, second)]
    known = stability_study.agreement([first, first], [second, 2 * first])
    for k, found in ((5, known.top5), (10, known.top10)):
        a, b = (set(order[:k]) for order in ranked)
        assert found == len(a & b) / len(a | b)
    assert known.tau == pytest.approx(kendalltau(first, second).statistic)
    assert known.tau_of_used == pytest.approx(1.0)


def test_spread_is_relative_to_the_mean_and_leaves_out_unused_features():
    S = np.array([[1.0, 20.0, 0.0], [3.0, 20.0, 0.0]])
    assert stability_study.spread(S) == pytest.approx(np.sqrt((0.5 + 0.0) / 2))  # deviation sqrt(2) of a mean of 2


def test_chance_is_the_mean_over_all_pairs_of_sets():
    sets = [set(chosen) for chosen in combinations(range(7), 3)]
    expected = np.mean([len(a & b) / len(a | b) for a in sets for b in sets])
    assert stability.by_chance(7, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seeds", "limit", "rows"),
    [
        ([0.95, 0.95, 0.95], [0.9, 0.9, 0.9], "100"),
        ([0.95, 0.8, 0.95], [0.95, 0.95, 0.95], "300"),
        ([0.95, 0.95, 0.95], [0.5, 0.95, 0.95], "200"),
        ([0.95, 0.95, 0.89], [1.0, 1.0, 1.0], "> 300"),
    ],
)
def test_rows_needed_are_the_fewest_from_which_on_both_agree(seeds, limit, rows):
    levels = [
        Level(n, n, Agreement(a, 0, 0, 0), Agreement(b, 0, 0, 0), 0, 0)
        for n, a, b in zip((100, 200, 300), seeds, limit, strict=True)
    ]
    nothing = Agreement(0, 0, 0, 0)
    assert stability.rows_for(Curve("any", levels, 0, np.zeros(1), 1.0, nothing), "top5") == rows


@pytest.mark.parametrize("named", [True, False])
def test_adult_keeps_its_columns(monkeypatch, tmp_path, named):
    X = np.array([[1.0, 0.0], [2.0, 2.0]])
    np.savez(tmp_path / "adult.npz", X=X, y=[0, 1], category_names=json.dumps({"1": ["a", "b", "c"]}))
    monkeypatch.setenv("NORMLIME_DATA", "nowhere" if named else str(tmp_path))
    data, categorical = stability_study.adult(str(tmp_path / "adult.npz") if named else None)
    np.testing.assert_array_equal(data.X, X)
    assert categorical == [1]


def test_quick_study_prints_every_level_and_writes_nothing(monkeypatch, capsys, tmp_path, small):
    monkeypatch.setattr(stability, "study", lambda make, plan: small)
    monkeypatch.setattr(stability, "HERE", tmp_path)
    assert stability.main(["--quick"]) == 0
    page = capsys.readouterr().out
    for c in small.curves:
        for at in c.levels:
            assert f" {at.n_samples:,} | " in page
            assert f" {at.rows:,} | " in page
    assert not list(tmp_path.iterdir())


def test_whole_study_writes_its_page_and_plot(monkeypatch, capsys, tmp_path, small):
    monkeypatch.setattr(stability, "studies", lambda makes, plan: [small, small])
    monkeypatch.setattr(stability, "recommendation", lambda *arguments: "## Recommendation")
    monkeypatch.setattr(stability, "HERE", tmp_path)
    assert stability.main(["--adult", "none.npz"]) == 0
    assert (tmp_path / "STABILITY.md").read_text(encoding="utf-8") + "\n" == capsys.readouterr().out
    assert (tmp_path / "stability.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
