"""The examples run, and say what their models have learned."""

import runpy
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_adult(capsys):
    example = run("adult")
    assert [best.feature for best in example["high"].top(2)] == ["capital-gain > 0", "educational-num > 13"]
    assert (example["high"].counts[example["high"].values > 0] >= 30).all()
    assert set(example["local"].status) == {0, 10}  # OK, and rare categories
    assert "+0.811  capital-gain <= 0" in capsys.readouterr().out


def test_reviews(capsys):
    example = run("reviews")
    words = {(str(best.group), best.feature) for best in example["table"].top(20)}
    assert {("0", "unflattering"), ("0", "returned"), ("1", "comfortable"), ("1", "soft")} <= words
    # The model is linear in its columns but for the logistic function: a word's weight has the sign of its coefficient.
    coefficients, weights = example["classifier"].coef_[0], example["local"].weights.tocoo()
    towards = np.where(example["local"].target[weights.row] == 1, 1, -1) * coefficients[weights.col]
    strong = np.abs(weights.data) > 0.02
    assert (np.sign(weights.data) == np.sign(towards))[strong].all()
    assert "love" in capsys.readouterr().out


def test_digits(capsys):
    example = run("digits")
    local, importance = example["local"], example["importance"]
    assert importance.values.shape == (10, 16)
    # What is taken away where a segment is off is ink: segments that speak for a digit are darker than the others.
    ink = np.array([example["images"][example["digits"].target == k].mean(axis=0) for k in range(10)])
    ink = ink.reshape(10, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(10, 16)
    assert (np.average(ink, axis=1, weights=importance.values) > ink.mean(axis=1)).all()
    assert local.r2.mean() > 0.5
    assert capsys.readouterr().out.count("digit") == 10
