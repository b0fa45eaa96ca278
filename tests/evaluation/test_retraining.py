"""Keep and retrain, on models whose loss without a feature is known; SciPy's intervals are the oracle."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import current_thread

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import normlime_fast as nlf
from normlime_fast.evaluation import Retrained, keep_and_retrain

WEIGHTS = np.array([3.0, -2.0, 1.5, 1.0, 0.5, -0.25, 0.125, 0.0])


def least_squares(seed_scale=0.0):
    """Fit y = X w for an X with orthonormal columns: what is lost with a column is its w^2."""
    X = np.linalg.qr(np.random.default_rng(0).standard_normal((20, len(WEIGHTS))))[0]
    y = X @ WEIGHTS

    def train_and_score(kept, seed):
        fitted = np.linalg.lstsq(X[:, kept], y)[0]
        return np.sum((y - X[:, kept] @ fitted) ** 2) + seed_scale * seed * len(kept)

    return train_and_score


# lstsq and sums of 20 squares of numbers below 4: a few hundred roundings of 2^-52 x 16.
ROUNDING = 1e-12


def test_removes_the_least_important_and_keeps_the_rest():
    result = keep_and_retrain(WEIGHTS, least_squares(), [0, 0.25, 0.5, 0.875])
    assert result.n_kept.tolist() == [8, 6, 4, 1]
    expected = [0, WEIGHTS[6:] @ WEIGHTS[6:], WEIGHTS[4:] @ WEIGHTS[4:], WEIGHTS[1:] @ WEIGHTS[1:]]
    np.testing.assert_allclose(result.gains[:, 0, 0], expected, rtol=0, atol=ROUNDING)
    np.testing.assert_array_equal(result.ranking, [np.arange(8)])


def test_each_replicate_has_its_own_order_and_each_seed_its_own_baseline():
    wrong = np.abs(WEIGHTS)[::-1]  # keeps the columns that matter least
    result = keep_and_retrain([WEIGHTS, wrong], least_squares(seed_scale=0.5), [0.5], seeds=[0, 4])
    np.testing.assert_allclose(result.baseline, [0, 0.5 * 4 * 8], rtol=0, atol=10 * ROUNDING)
    lost = [WEIGHTS[4:] @ WEIGHTS[4:], WEIGHTS[:4] @ WEIGHTS[:4]]
    expected = [[[one, one + 0.5 * 4 * 4 - 0.5 * 4 * 8] for one in lost]]
    np.testing.assert_allclose(result.gains, expected, rtol=0, atol=10 * ROUNDING)
    np.testing.assert_allclose(result.scores - result.baseline, result.gains, rtol=0, atol=0)


def test_takes_importances_as_they_are():
    importance = nlf.aggregate(np.diag(WEIGHTS)).importance("mean")
    plain = keep_and_retrain(WEIGHTS, least_squares(), [0.5])
    for given in (importance, [importance], [WEIGHTS], WEIGHTS.tolist(), pd.Series(WEIGHTS)):
        np.testing.assert_array_equal(keep_and_retrain(given, least_squares(), [0.5]).scores, plain.scores)
    np.testing.assert_array_equal(
        keep_and_retrain([importance, WEIGHTS], least_squares(), [0.5]).scores[:, 1:], plain.scores
    )


def test_ties_are_counted_and_broken_at_random_in_each_replicate():
    kept_sets = []

    def train_and_score(kept, seed):
        kept_sets.append(kept)
        return float(len(kept))

    importance = np.array([0.0, 5, 0, 4, 0, 0, 4, 0, 0, 0])
    result = keep_and_retrain(np.tile(importance, (600, 1)), train_and_score, [0.2, 0.5, 0.7, 0.8])
    assert result.tied.tolist() == [[7] * 600, [7] * 600, [0] * 600, [2] * 600]
    assert (np.sort(result.ranking[:, :3], axis=1) == [1, 3, 6]).all()
    # At 0.5 a replicate keeps 2 of the 7 that are tied; the numbers of times are hypergeometric. The threshold of the
    # chi-squared statistic, of which (1 - 2/7) is for drawing without replacement, is passed once in 1e6 times.
    times = np.array([(result.ranking[:, 3:5] == j).sum() for j in (0, 2, 4, 5, 7, 8, 9)])
    statistic = np.sum((times - 600 * 2 / 7) ** 2) / (600 * 2 / 7 * (1 - 2 / 7)) * 6 / 7
    assert statistic < stats.chi2.isf(1e-6, 6)
    assert len(kept_sets) < 1 + 45 + 21 + 1 + 2 + 1  # sets that are equal are trained on once
    assert all((np.diff(kept) > 0).all() and kept.dtype == np.int64 for kept in kept_sets)


def test_what_is_kept_at_a_level_was_kept_before():
    kept = {}

    def train_and_score(columns, seed):
        kept.setdefault(len(columns), set(columns.tolist()))
        columns[:] = 0  # is the model's own
        return 0.0

    keep_and_retrain(np.zeros(12), train_and_score, [0.25, 0.5, 0.75])
    assert kept[3] < kept[6] < kept[9] < kept[12] == set(range(12))


def test_summary_takes_replicates_and_seeds_apart():
    replicates, seeds = np.array([1.0, 2.0, 6.0]), np.array([-0.5, 0.5])
    scores = 10 + replicates[:, None] + seeds
    one = Retrained(
        np.array([0.5]), np.array([2]), (0, 1), scores[None], np.full(2, 10.0), np.array([[3, 4, 5]]), np.zeros((3, 4))
    )
    found = one.summary()[0]
    assert (found.level, found.n_kept, found.gain, found.tied) == (0.5, 2, 3.0, 4.0)
    assert found.over_replicates == pytest.approx(replicates.std(ddof=1), rel=1e-14)  # a few roundings
    assert found.over_seeds == pytest.approx(seeds.std(ddof=1), rel=1e-14)
    only = replace(one, scores=scores[None, :, :1], baseline=np.array([10.0]), seeds=(0,)).summary(0.95)[0]
    expected = stats.t.interval(0.95, 2, loc=2.5, scale=stats.sem(replicates))
    np.testing.assert_allclose([only.low, only.high], expected, rtol=1e-9)  # quantiles of two libraries' versions
    assert np.isnan(only.over_seeds)
    alone = replace(one, scores=scores[None, :1, :1], baseline=np.array([10.0])).summary()[0]
    assert alone.gain == 0.5
    assert np.isnan([alone.low, alone.high, alone.over_replicates, alone.over_seeds]).all()


def test_equal_gains_have_no_interval():
    importances = np.tile([3.0, 2.0, 1.0], (2, 1))
    scores = {(3, 0): 0.3, (3, 1): 0.7, (1, 0): 0.4, (1, 1): 0.8}  # gains of 0.1, and 0.1 but for rounding
    result = keep_and_retrain(importances, lambda kept, seed: scores[len(kept), seed], [0, 0.6], seeds=[0, 1])
    assert result.gains[1, 0, 0] != result.gains[1, 0, 1]
    nothing_removed, found = result.summary()
    assert nothing_removed[2:7] == (0.0,) * 5
    assert (found.over_replicates, found.over_seeds) == (0.0, 0.0)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(("d", "highest"), [(1, 0.5), (3, 0.8), (4, 0.8), (5, 0.9)])
def test_default_levels_leave_a_feature(d, highest):
    result = keep_and_retrain(np.arange(d), Counting())
    assert result.levels.tolist() == [tenth / 10 for tenth in range(1, round(10 * highest) + 1)]
    assert result.n_kept[-1] == 1 or d == 5


COVERED = {  # how many replicates and seeds, and the standard deviations of replicates, seeds and what is left
    "replicates": ((5, 1), (1, 0, 1)),
    "seeds": ((1, 4), (0, 1, 1)),
    "replicates, no spread over seeds": ((5, 3), (1, 0, 0)),
    "no spread over replicates": ((5, 3), (0, 1, 0)),
    "both": ((5, 3), (3, 1, 1)),
    "few of both": ((3, 3), (1, 1, 1)),
    "neither": ((5, 3), (0, 0, 1)),
}


@pytest.mark.parametrize(("shape", "deviations"), COVERED.values(), ids=COVERED)
def test_intervals_cover(shape, deviations):
    rng, n = np.random.default_rng(0), 4000
    shapes = (n, shape[0], 1), (n, 1, shape[1]), (n, *shape)
    scores = sum(deviation * rng.standard_normal(one) for deviation, one in zip(deviations, shapes, strict=True))
    seeds, zeros = tuple(range(shape[1])), np.zeros((n, 1))
    one = Retrained(np.arange(n) / n, np.arange(n), seeds, scores, np.zeros(shape[1]), zeros, zeros)
    covered = np.mean([found.low <= 0 <= found.high for found in one.summary(0.9)])
    error = np.sqrt(0.09 / n)  # of a share of 90 %
    exact = 1 in shape or deviations[2] == 0
    # Exact where the variance has one source. What is left of both is in the variance twice: at most twice too large.
    assert 0.9 - 4 * error < covered < (0.9 + 4 * error if exact else 0.99)


class Counting:
    """train_and_score that says what it was asked, and fails at one call."""

    def __init__(self, fail_at=None, error=RuntimeError):
        self.calls, self.fail_at, self.error = [], fail_at, error

    def __call__(self, kept, seed):
        if len(self.calls) == self.fail_at:
            raise self.error("out of memory")
        self.calls.append((tuple(kept.tolist()), seed))
        return float(sum(kept) + 0.1 * seed)


IMPORTANCES = np.random.default_rng(1).random((3, 10))
LEVELS = [0.3, 0.6]


@pytest.mark.parametrize("executor", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_done_before_an_error_is_kept(error, executor):
    whole = keep_and_retrain(IMPORTANCES, Counting(), LEVELS, seeds=[7, 8])
    failing = Counting(fail_at=5, error=error)
    with ThreadPoolExecutor(1) as pool, pytest.raises(error, match="out of memory") as caught:
        keep_and_retrain(IMPORTANCES, failing, LEVELS, seeds=[7, 8], executor=pool if executor else None)
    finished = caught.value.finished
    done = ~np.isnan(finished.scores)
    assert done.sum() + (~np.isnan(finished.baseline)).sum() == 5
    np.testing.assert_array_equal(finished.scores[done], whole.scores[done])
    assert "scores are in this exception's .finished" in caught.value.__notes__[-1]
    rest = Counting()
    result = keep_and_retrain(IMPORTANCES, rest, LEVELS, seeds=[7, 8], finished=finished)
    assert len(rest.calls) == 14 - 5
    np.testing.assert_array_equal(result.scores, whole.scores)
    np.testing.assert_array_equal(result.baseline, whole.baseline)


def test_finished_is_asked_for_nothing_twice():
    finished = keep_and_retrain(IMPORTANCES, Counting(), LEVELS, seeds=[7])
    more, told = Counting(), []
    result = keep_and_retrain(
        IMPORTANCES[::-1],
        more,
        [0.3, 0.5, 0.6],
        seeds=[8, 7],
        finished=finished,
        progress=lambda *now: told.append(now),
    )
    assert sorted(len(kept) for kept, seed in more.calls if seed == 7) == [5, 5, 5]
    assert sum(seed == 8 for _, seed in more.calls) == 10
    assert told == [(i, 13) for i in range(1, 14)]
    np.testing.assert_array_equal(result.scores[[0, 2]][..., 1:], finished.scores[:, ::-1])


def test_executor_gives_the_same():
    here = keep_and_retrain(IMPORTANCES, Counting(), LEVELS, seeds=[7, 8])
    threads = set()

    def train_and_score(kept, seed):
        threads.add(current_thread())
        return Counting()(kept, seed)

    with ThreadPoolExecutor(3) as pool:
        there = keep_and_retrain(IMPORTANCES, train_and_score, LEVELS, seeds=[7, 8], executor=pool)
    assert current_thread() not in threads
    np.testing.assert_array_equal(there.scores, here.scores)
    np.testing.assert_array_equal(there.ranking, here.ranking)


def test_frame_and_line():
    result = keep_and_retrain(IMPORTANCES, Counting(), LEVELS, seeds=[7, 8])
    frame = result.to_frame()
    assert len(frame) == 2 * 3 * 2
    for row in frame.itertuples():
        place = LEVELS.index(row.level), row.replicate, [7, 8].index(row.seed)
        assert (row.score, row.gain) == (result.scores[place], result.gains[place])
        assert (row.n_kept, row.tied) == (result.n_kept[place[0]], result.tied[place[:2]])
    assert repr(result).startswith(
        "<Retrained: 2 levels, 3 replicates, 2 seeds, 10 features; baseline 45.75, mean gain -"
    )
    assert repr(result).endswith("] at level 0.6>")


NAMED = [pd.Series([3.0, 2, 1], index=list(names)) for names in ("abc", "acb")]
LOCAL = nlf.NormLIME(lambda X: X[:, 0], nlf.Gaussian(1.0), n_features=2, rng=0).explain(np.zeros((2, 3)))
GROUPED = nlf.aggregate(np.eye(3), ["a", "b", "b"]).importance()
SCORE_MUST = "train_and_score must return a"
BAD_RETRAINING = {
    "groups": ({"importance": GROUPED}, ValueError, "importance must have no groups, got 2"),
    "NaN": ({"importance": [1.0, np.nan]}, ValueError, "importance must be finite"),
    "local": ({"importance": LOCAL}, TypeError, r".*, got LocalExplanations; pass its \.importance\(\)"),
    "dict": ({"importance": {"a": [1.0]}}, TypeError, "importance must be an Importance, an array or a list of these"),
    "names": ({"importance": NAMED}, ValueError, "importance must have the same feature_names in the same order"),
    "sorted": ({"importance": pd.Series([3.0, 1, 2]).sort_values()}, ValueError, "importance must be in the order of"),
    "text": ({"importance": ["a", "b"]}, TypeError, "importance must hold real numbers"),
    "ragged": ({"importance": [[1.0, 2], [3]]}, ValueError, "importance must be an array, got a list whose rows"),
    "no function": ({"train_and_score": 3}, TypeError, "train_and_score must be callable, got 3"),
    "level 1": ({"levels": [0.5, 1.0]}, ValueError, "levels must ascend from 0 or more to below 1"),
    "level below 0": ({"levels": [-0.1, 0.2]}, ValueError, "levels must ascend from 0 or more to below 1"),
    "falling levels": ({"levels": [0.5, 0.2]}, ValueError, "levels must ascend from 0 or more to below 1"),
    "one level": ({"levels": 0.5}, ValueError, "levels must be 1-D"),
    "nothing left": ({"levels": [0.9]}, ValueError, "levels must leave at least 1 of 3 features, got 0.9"),
    "no seeds": ({"seeds": []}, TypeError, "seeds must be a sequence of integers"),
    "one seed": ({"seeds": 3}, TypeError, "seeds must be a sequence of integers, got 3"),
    "seeds twice": ({"seeds": [1, 1]}, ValueError, r"seeds must differ, got \[1, 1\]"),
    "rng": ({"rng": -1}, TypeError, "rng must be None"),
    "executor": ({"executor": 2}, TypeError, "executor must be a concurrent.futures.Executor"),
    "progress": ({"progress": 2}, TypeError, "progress must be True, False or a callable"),
    "finished": ({"finished": 2}, ValueError, "finished must be a Retrained of 3 features, got 2"),
}


@pytest.mark.parametrize(("asked", "error", "message"), BAD_RETRAINING.values(), ids=BAD_RETRAINING)
def test_bad_input_to_keep_and_retrain(asked, error, message):
    model = Counting()
    with pytest.raises(error, match=f"^{message}"):
        keep_and_retrain(**{"importance": [3.0, 2.0, 1.0], "train_and_score": model, "levels": [0.3], **asked})
    assert not model.calls


@pytest.mark.parametrize(
    ("score", "error"), [(np.nan, ValueError), ("0.5", TypeError), ([0.5], TypeError), (None, TypeError)]
)
def test_score_must_be_a_number(score, error):
    with pytest.raises(error, match=f"^{SCORE_MUST}") as caught:
        keep_and_retrain([3.0, 2.0], lambda kept, seed: score if len(kept) < 2 else np.float32(1), [0.5])
    assert caught.value.finished.baseline.tolist() == [1.0]
    assert repr(caught.value.finished) == "<Retrained: 1 level, 1 replicate, 1 seed, 2 features; 1 score missing>"
