"""The comparison, in small: every row runs, every answer is right, and a wrong one is noticed."""

import math
from functools import partial

import numpy as np
import pytest

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import Clocked, Result, SkipError, quick
from benchmarks.comparison import accelerated_lime, against_lime, growth, kernels, report, runs, stages
from normlime_fast.interop.lime._accelerate import AcceleratedBase

SETTINGS = quick()


@pytest.mark.parametrize("name", report.ROWS)
def test_row_runs_and_its_answers_are_right(name):
    try:
        lines = list(report.ROWS[name].measure(SETTINGS))
    except SkipError as reason:
        pytest.skip(str(reason))
    assert lines
    for line in lines:
        if "cold cache" in line.what:
            assert line.skipped  # which a whole run measures
        else:
            assert not line.skipped
            assert math.isfinite(line.figure)


@pytest.mark.parametrize("axis", growth.AXES)
def test_growth_runs_and_its_answers_are_right(axis, tmp_path):
    line = growth.line(axis, SETTINGS)
    assert min(line.ours) > 0
    assert growth.MEANING[axis] in growth.as_table([line])
    if axis in growth.WITH_PEERS:
        growth.draw([line], tmp_path / "time.png")
        assert (tmp_path / "time.png").read_bytes().startswith(b"\x89PNG")


def test_exponent_of_a_power_law():
    assert growth.exponent([1, 2, 5], [3.0, 12.0, 75.0]) == pytest.approx(2)


def test_report_gives_every_line_its_verdict():
    results = {
        "normals": [Result(what="good", figure=9.0, at_least=8), Result(what="bad", figure=7.0, at_least=8)],
        "memory": [Result(what="small", figure=1.04, at_most=1.05), Result(what="large", figure=1.06, at_most=1.05)],
        "first": [Result(what="informing", figure=3.0), Result.skip("absent", "no such package")],
    }
    page = report.report(results, [], 1.0)
    rows = {
        cells[2].strip(): cells[8].strip() for cells in (row.split("|") for row in page.splitlines()) if len(cells) > 9
    }
    del rows["what"]
    assert {what: word for what, word in rows.items() if not what.startswith("-")} == {
        "good": "pass",
        "bad": "**MISS**",
        "small": "pass",
        "large": "**MISS**",
        "informing": "",
        "absent": "skipped",
    }
    assert "2 pass, 2 MISS, 1 skipped." in page
    assert "no such package" in page


def test_wrong_answer_has_no_time(monkeypatch):
    def measure(settings):
        yield Result(what="right", figure=1.0)
        raise AssertionError("2 is not 3")

    row = report.ROWS["normals"]._replace(measure=measure)
    monkeypatch.setitem(report.ROWS, "normals", row)
    results = report.measured(["normals"], SETTINGS)
    right, wrong = results["normals"]
    assert (report.verdict(right), report.verdict(wrong)) == ("", "**WRONG**")
    assert "2 is not 3" in report.report(results, [], 1.0)


@pytest.fixture(scope="module")
def explained():
    """A model of four columns, an instance, its exact weights, the right features."""
    model = workloads.decaying(40, 2)
    x = np.zeros(40)
    weights, _ = model.expected(x, 1.0, 1)
    return model, x, weights, np.sort(np.argsort(-np.abs(weights))[:2])


def test_check_takes_the_exact_weights(explained):
    model, x, weights, features = explained
    model.assert_explained(x, 1.0, 1, (features, weights[features]), 5000, n_features=2)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda weights, features: (features, 1.2 * weights[features]),
        lambda weights, features: (features, -weights[features]),
        lambda weights, features: (features[:1], weights[features[:1]]),
        lambda weights, features: (np.array([30, 31]), weights[30:32]),  # columns the model does not read
    ],
    ids=["too large", "sign", "too few", "other features"],
)
def test_check_notices_wrong_weights(explained, mistake):
    model, x, weights, features = explained
    with pytest.raises(AssertionError):
        model.assert_explained(x, 1.0, 1, mistake(weights, features), 5000, n_features=2)


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_check_of_discretised_lime_notices_wrong_weights(monkeypatch, factor):
    model = workloads.decaying(10, 5)
    X = np.random.default_rng(0).standard_normal((500, 10))
    lime = runs.Lime(model, X, 5000, 8, defaults=True)
    features, weights = lime.explain(X[0])
    monkeypatch.setattr(lime, "explain", lambda x: (features, factor * weights))
    if factor == 1.0:
        lime.assert_discretised(X[0])
    else:
        with pytest.raises(AssertionError):
            lime.assert_discretised(X[0])


def test_check_of_a_whole_run_notices_wrong_weights():
    model, X = workloads.decaying(10, 3), np.zeros((2, 10))
    recorded = runs.Recorded(model)
    n, K = 500, 3
    local = runs.explainer(recorded, 1.0, n, K).explain(X)
    runs.assert_fitted(recorded, X, 1.0, local, n, K)
    local.weights.data[0] *= 1 + 1e-6
    with pytest.raises(AssertionError):
        runs.assert_fitted(recorded, X, 1.0, local, n, K)


def test_check_of_k_lasso_notices_other_features_and_a_loose_gap():
    p = kernels.problem(500, 20, 3, 2)
    solved = [kernels.lars(p, 3)(k, p.grids[k], 0.0) for k in range(2)]
    assert kernels.largest_gap(p, solved) < 1e-10
    loose = [(0.9 * w, alpha) for w, alpha in solved]
    other = [(w + 1e-9 * (w == 0), alpha) for w, alpha in solved]  # within the gap
    assert kernels.largest_gap(p, loose) is None
    assert kernels.largest_gap(p, other) is None


@pytest.mark.parametrize(
    "mistake",
    [[("a", 1.0), ("b", -0.5 + 2e-6)], [("a", 1.0), ("c", -0.5)], [("a", 1.0)], [("a", -0.5), ("b", 1.0)]],
    ids=["weight", "feature", "too few", "swapped"],
)
def test_check_beside_lime_notices_other_explanations(mistake):
    right = [("b", -0.5), ("a", 1.0)]
    against_lime.assert_same([("a", 1.0), ("b", -0.5 + 5e-7)], right)
    with pytest.raises(AssertionError):
        against_lime.assert_same(mistake, right)


def test_checks_beside_lime_notice_another_kernel(monkeypatch):
    case = next(against_lime.tabular_cases(SETTINGS, 5))
    wider = nlf.Pool.gaussian(*np.ones((2, 12)), kernel="exponential", width=2.7).proximity  # lime's: 0.75 sqrt(12)
    object.__setattr__(case.explainer.keywords["neighborhood"], "proximity", wider)
    with pytest.raises(AssertionError, match="same draws"):
        against_lime.assert_same_points(case)
    monkeypatch.setattr(nlf.Mask, "text", partial(nlf.Mask.text, width=0.3))
    with pytest.raises(AssertionError, match="same draws"):
        list(against_lime.texts(SETTINGS))


@pytest.mark.parametrize("mistake", [lambda pairs: pairs[:-1], lambda pairs: [(j, w * 1.00001) for j, w in pairs]])
def test_check_of_accelerated_lime_notices_other_explanations(monkeypatch, mistake):
    explain = AcceleratedBase.explain_instance_with_data

    def wrong(self, *arguments, **options):
        intercept, pairs, *rest = explain(self, *arguments, **options)
        return intercept, mistake(pairs), *rest

    case = next(accelerated_lime.tables(SETTINGS))
    assert accelerated_lime.both(case, SETTINGS).figure > 0
    monkeypatch.setattr(AcceleratedBase, "explain_instance_with_data", wrong)
    with pytest.raises(AssertionError):
        accelerated_lime.both(case, SETTINGS)


def test_agreement_is_the_share_of_the_strongest_features():
    some = [[("a", -3.0), ("b", 2.0), ("c", 1.0)], [("a", 1.0)], []]
    others = [[("c", 3.0), ("a", 2.0), ("b", 1.0)], [("a", -1.0), ("b", 0.5)], [("a", 1.0)]]
    assert against_lime.agreement(some, others, 2) == 0.75  # a of a and b; a; the empty one does not count


def test_clock_stands_still_while_the_model_computes(monkeypatch):
    ticks = iter([0.0, 1.0, 11.0, 12.0])  # start, model from 1 to 11, end
    monkeypatch.setattr("benchmarks.common.measuring.time.perf_counter", lambda: next(ticks))
    model = Clocked(lambda X: X)
    assert model.own(lambda: model(0), 2) == 1.0  # 2 of 12 s, for each of 2


def test_stages_script_still_fits_the_kernels():
    times = stages.measure(n=200, d=12, n_features=3, runs=1)
    assert sum(times.values()) == pytest.approx(2 * times["whole own time"])  # the whole is among its parts
