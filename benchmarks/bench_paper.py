"""What the paper's experiments keep, and how they compare rankings: the parts that need no torch."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.paper.comparing import CONFIDENCE, difference, key
from benchmarks.paper.lines import Lines
from normlime_fast import evaluation

N = 1000  # images


def test_lines_come_back_as_they_were_written(tmp_path):
    lines = Lines(tmp_path / "found.jsonl")
    assert list(lines) == []
    lines.append(name="SmoothGrad²", gains=np.array([0.5, 1.5]), n=np.int64(3))
    lines.append(name="LIME", gains=[])
    assert list(lines) == [{"name": "SmoothGrad²", "gains": [0.5, 1.5], "n": 3}, {"name": "LIME", "gains": []}]
    lines.write([{"name": "random"}])
    assert list(lines) == [{"name": "random"}]


@pytest.mark.parametrize("cut", range(1, len('{"n": 1}\n') + 1))
def test_a_line_that_was_cut_off_costs_no_other(tmp_path, cut):
    lines = Lines(tmp_path / "found.jsonl")
    for n in range(2):
        lines.append(n=n)
    whole = lines.path.read_bytes()
    lines.path.write_bytes(whole[:-cut])
    lines.append(n=2)
    kept = [0, 1] if cut == 1 else [0]  # without its end of line it is still whole
    assert [line["n"] for line in lines] == [*kept, 2]


@pytest.fixture
def wrong():
    """Return for each of 20 features which images a network gets wrong that knows it alone."""
    rng = np.random.default_rng(0)
    return {key(np.array([f])): set(rng.choice(N, 40 + f, replace=False).tolist()) for f in range(20)}


def keeping(features, wrong):
    """Return the errors in percent of rankings each of which keeps one of the features."""
    importance = np.eye(20)[features]
    return evaluation.keep_and_retrain(importance, lambda kept, seed: 100 * len(wrong.get(key(kept), ())) / N, [0.95])


def mcnemar(mine, theirs):
    """Return the exact p-value: either is as likely to be wrong alone."""
    alone, n = len(mine - theirs), len(mine ^ theirs)
    return min(1.0, 2 * stats.binom.cdf(min(alone, n - alone), n, 0.5))


@pytest.mark.parametrize("theirs", [[10, 14, 11, 19, 12], [17]], ids=["replicates", "one ranking"])
def test_errors_are_compared_replicate_by_replicate_and_image_by_image(wrong, theirs):
    mine = [0, 3, 1, 4, 2]
    one, other = keeping(mine, wrong), keeping(theirs, wrong)
    found = difference(one, other, 0, wrong)
    errors = [np.array([len(wrong[key(np.array([f]))]) / 10 for f in of]) for of in (mine, theirs)]
    low, high = stats.ttest_1samp(errors[0] - errors[1], 0).confidence_interval(CONFIDENCE)
    np.testing.assert_allclose(found[:3], [np.mean(errors[0] - errors[1]), low, high], rtol=1e-12)
    pairs = zip(mine, np.broadcast_to(theirs, 5), strict=True)
    tests = [mcnemar(*(wrong[key(np.array([f]))] for f in pair)) for pair in pairs]
    np.testing.assert_allclose(found.p, np.median(tests), rtol=1e-9)


def test_rankings_that_keep_the_same_do_not_differ(wrong):
    same = keeping([0, 1, 2], wrong)
    assert difference(same, same, 0, wrong) == (0, 0, 0, 1)
