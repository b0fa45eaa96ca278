"""What the paper's experiments keep, and how they compare rankings: the parts that need no torch."""

import gzip
import json
from unittest.mock import Mock

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


def test_packed_lines_are_read_with_those_appended_since(tmp_path):
    lines = Lines(tmp_path / "found.jsonl")
    lines.pack()
    assert not list(tmp_path.iterdir())
    for n in (0, 0, 1):
        lines.append(name="SmoothGrad²", n=n)
    lines.pack()
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl.gz"]
    lines.append(name="LIME", n=2)
    assert [line["n"] for line in lines] == [0, 0, 1, 2]
    lines.pack()
    assert [line["n"] for line in lines] == [0, 0, 1, 2]
    text = gzip.decompress(lines.packed.read_bytes()).decode()
    assert [json.loads(line) for line in text.splitlines()] == list(lines)
    lines.write([{"n": 3}])
    assert list(lines) == [{"n": 3}]
    assert not lines.packed.exists()


def test_packing_gives_the_same_bytes_whenever_it_is_done(tmp_path):
    once, twice = Lines(tmp_path / "once.jsonl"), Lines(tmp_path / "twice.jsonl")
    for n in range(20):
        once.append(n=n)
        twice.append(n=n)
        if n == 10:
            twice.pack()
    once.pack()
    twice.pack()
    assert once.packed.read_bytes() == twice.packed.read_bytes()
    assert once.packed.read_bytes()[4:8] == bytes(4)  # no time


@pytest.mark.parametrize("stop", ["replace", "unlink"])
def test_packing_that_was_stopped_costs_no_line_and_doubles_none(tmp_path, monkeypatch, stop):
    lines = Lines(tmp_path / "found.jsonl")
    lines.append(n=0)
    lines.pack()
    lines.append(n=1)
    with monkeypatch.context() as patched:
        patched.setattr(type(lines.path), stop, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lines.pack()
    lines.append(n=2)
    assert [line["n"] for line in lines] == [0, 1, 2]
    lines.pack()
    assert [line["n"] for line in lines] == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl.gz"]


def test_a_character_that_was_cut_off_costs_no_other_line(tmp_path):
    lines = Lines(tmp_path / "found.jsonl")
    lines.append(n=0)
    lines.path.write_bytes(lines.path.read_bytes() + '{"name": "²'.encode()[:-1])
    lines.append(n=1)
    assert list(lines) == [{"n": 0}, {"n": 1}]


@pytest.fixture
def wrong():
    """Return which images a network gets wrong that knows one of 20 features alone."""
    rng = np.random.default_rng(0)
    errors = {
        (f, seed): set(rng.choice(N, 40 + f + seed, replace=False).tolist()) for f in range(20) for seed in (0, 1)
    }
    return {(key(np.array([f])), seed): images for (f, seed), images in errors.items()}


def keeping(features, seeds, wrong):
    """Return the errors in percent of rankings each of which keeps one of the features; and the images, in order."""
    found = evaluation.keep_and_retrain(
        np.eye(20)[features],
        lambda kept, seed: 100 * len(wrong.get((key(kept), seed), ())) / N,
        [0.95],
        seeds=seeds,
    )
    return found, [wrong[key(np.array([f])), seed] for f in features for seed in seeds]


def mcnemar(mine, theirs):
    """Return the exact p-value: either is as likely to be wrong alone."""
    alone, n = len(mine - theirs), len(mine ^ theirs)
    return min(1.0, 2 * stats.binom.cdf(min(alone, n - alone), n, 0.5))


@pytest.mark.parametrize(
    ("theirs", "seeds"), [([10, 14, 11, 19], [0]), ([17], [0, 1])], ids=["ranking by ranking", "with a single ranking"]
)
def test_errors_are_compared_by_trainings_and_by_images(wrong, theirs, seeds):
    (one, mine), (other, theirs) = (keeping(features, seeds, wrong) for features in ([0, 9, 1, 4], theirs))
    theirs = theirs * (len(mine) // len(theirs))
    gaps = np.array([len(a) - len(b) for a, b in zip(mine, theirs, strict=True)]).reshape(4, len(seeds)) * 100 / N
    parts = [np.var(gaps.mean(axis=1), ddof=1) / 4, np.var(gaps.mean(axis=0), ddof=1) / 2 if len(seeds) > 1 else 0.0]
    df = sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 1)  # Welch and Satterthwaite's
    half = sum(parts) ** 0.5 * stats.t.ppf((1 + CONFIDENCE) / 2, df)
    found = difference(one, other, 0.95, wrong)
    np.testing.assert_allclose(found[:3], [gaps.mean(), gaps.mean() - half, gaps.mean() + half], rtol=1e-9)
    p = np.median([mcnemar(*pair) for pair in zip(mine, theirs, strict=True)])
    np.testing.assert_allclose(found.p, min(1, 2 * p), rtol=1e-9)


def test_rankings_that_keep_the_same_do_not_differ(wrong):
    same, _ = keeping([0, 1, 2], [0], wrong)
    found = difference(same, same, 0.95, wrong)
    assert found[::3] == (0, 1)
    assert np.isnan(found[1:3]).all()
    assert str(found) == "0.00, p = 1"
