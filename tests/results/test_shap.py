"""Results as shap.Explanation: the numbers in them, and what shap draws of them."""

import sys
import warnings
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import normlime_fast as nlf
from normlime_fast._results.shap import importance_to_shap, local_to_shap

mpl.use("Agg")
import matplotlib.pyplot as plt

with warnings.catch_warnings(action="ignore"):  # of shap about Matplotlib's plans
    import shap

D = 7
X = np.random.default_rng(0).normal(size=(24, D)).round(2)
FRAME = pd.DataFrame(X, columns=["cost in $", "$_{$", "new\nline", "same <b>", "same <b> ", "x = 3", "ü" * 40])
FRAME["kind"] = pd.Categorical(np.array(["low $", "high"])[np.arange(24) % 2])
FRAME = FRAME.drop(columns="x = 3")


def model(rows):
    rows = np.asarray(rows, float)
    return np.stack([rows @ np.arange(D), rows[:, 0] * rows[:, 1], 3 * rows[:, 2] - rows[:, 3]], axis=1)


def explained(rows=X, targets="all", n_features=4, **options):
    explainer = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=n_features, n_samples=200, rng=0, targets=targets)
    return explainer.explain(rows, **options)


LOCAL, SEVERAL, PREDICTED = explained(targets=0), explained(targets=[2, 0]), explained(targets="predicted")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def drawn(plot, *arguments, **options):
    """The axes, after all of the figure was rendered."""
    plt.figure()
    plot(*arguments, show=False, **options)
    plt.gcf().canvas.draw()
    return plt.gcf().axes[0]


def labels(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


# --- the numbers of local explanations


def test_values_are_the_weights_and_the_sum_is_the_surrogate():
    result = local_to_shap(LOCAL, X)
    assert_array_equal(result.values, LOCAL.weights.toarray())
    assert_array_equal(result.data, X)
    # two sums of 7 terms: 16 roundings of numbers that are below the sum of all magnitudes
    magnitude = np.abs(LOCAL.intercept) + np.abs(result.values).sum(axis=1)
    error = np.abs(result.base_values + result.values.sum(axis=1) - LOCAL.intercept)
    assert (error <= 16 * np.finfo(float).eps * magnitude).all()
    assert result.feature_names == [f"Feature {j}" for j in range(D)]


def test_without_contributions_the_base_of_masks_is_the_model_of_nothing():
    """A linear model of words: its surrogate is itself, and without any word it is the constant."""
    counts = sparse.csr_array(np.random.default_rng(1).poisson(1.0, (6, 5)) + 1.0)
    explainer = nlf.NormLIME(
        lambda rows: 2.0 + rows @ np.arange(1.0, 6.0), nlf.Mask(), n_features=5, n_samples=100, rng=0
    )
    result = local_to_shap(replace(explainer.explain(counts), contributions=None), counts)
    assert_allclose(result.base_values, 2.0, rtol=1e-9)  # a regression of 100 rows on 5 columns loses few digits
    assert_array_equal(result.data, counts.toarray())


def test_waterfalls_go_from_the_mean_to_the_surrogate():
    binned = nlf.Binned.from_data(X)
    local = nlf.NormLIME(lambda rows: np.abs(rows).sum(axis=1), binned, n_features=3, rng=0).explain(X)
    result = local_to_shap(local, X)
    assert_array_equal(result.values, local.contributions.toarray())
    assert_allclose(result.base_values, local.base_value, rtol=1e-15)
    assert_allclose(result.base_values + result.values.sum(axis=1), local.intercept, rtol=1e-12)


def test_several_targets_are_the_last_axis():
    result = local_to_shap(SEVERAL, X)
    assert result.shape == (24, D, 2)
    assert result.output_names == ["Output 0", "Output 2"]
    for k, target in enumerate((0, 2)):
        here = SEVERAL.target == target
        assert_array_equal(result.values[..., k], SEVERAL.weights[here].toarray())
        assert_allclose(result.base_values[:, k] + result.values[..., k].sum(axis=1), SEVERAL.intercept[here])
    assert_array_equal(result.data, X)
    named = replace(SEVERAL, target_names=("cat", "dog", "cow"))
    assert local_to_shap(named).output_names == ["cat", "cow"]
    assert_array_equal(local_to_shap(named)[:, :, "cow"].values, result.values[..., 1])
    shuffled = nlf.LocalExplanations.concatenate([explained(targets=2), explained(targets=0)])
    assert_array_equal(local_to_shap(shuffled, X).values, result.values)


def test_rows_of_other_targets_are_rows_of_their_own():
    """One row per explanation where an instance has another number of targets, or another target."""
    assert len(np.unique(PREDICTED.target)) == 3
    assert local_to_shap(PREDICTED).output_names is None
    assert local_to_shap(replace(LOCAL, target_names=("cat",))).output_names == "cat"
    parts = explained(X[:3], targets=[0, 1], index=[5, 6, 7]), explained(X[3:5], targets=1, index=[1, 2])
    local = nlf.LocalExplanations.concatenate(parts)
    result = local_to_shap(local, X[:5])
    assert_array_equal(result.values, local.weights.toarray())
    assert_array_equal(result.data, X[[0, 0, 1, 1, 2, 2, 3, 4]])


@pytest.mark.parametrize(
    ("instance", "target"),
    [
        ([0, 0, 0, 0], [0, 1, 0, 1]),  # twice the same
        ([0, 1, 0, 0], [0, 0, 0, 1]),  # as many of both targets, but not for each
        ([0, 1, 1], [0, 0, 1]),
        ([0, 1], [0, 1]),
        ([0, 0, 1, 1], [0, 0, 1, 1]),
    ],
)
def test_other_targets_for_other_rows_are_no_axis(instance, target):
    n = len(instance)
    columns = {name: getattr(LOCAL, name)[:n] for name in ("intercept", "r2", "prediction", "status")}
    of = {"instance": np.array(instance), "target": np.array(target)}
    local = replace(LOCAL, weights=LOCAL.weights[:n], effective_samples=np.ones(n), **columns, **of)
    result = local_to_shap(local, X[: max(instance) + 1])
    assert_array_equal(result.values, local.weights.toarray())
    assert_array_equal(result.data, X[instance])


def test_rows_of_x_follow_the_order_of_explain():
    local = explained(X[:4], targets=0, index=[30, 10, 20, 0])
    assert_array_equal(local_to_shap(local, X[:4]).data, X[:4])
    assert_array_equal(local_to_shap(local, X[:4]).values, local.weights.toarray())


@pytest.mark.parametrize("status", [6, 7, 8])
def test_what_is_no_explanation_is_left_out(status):
    statuses = LOCAL.status.copy()
    statuses[[0, 5]] = status
    result = local_to_shap(replace(LOCAL, status=statuses), X)
    kept = np.delete(np.arange(24), [0, 5])
    assert_array_equal(result.values, LOCAL.weights[kept].toarray())
    assert_array_equal(result.data, X[kept])
    with pytest.raises(ValueError, match="to_shap needs explanations, got 24, all with status 6 to 9"):
        local_to_shap(replace(LOCAL, status=np.full(24, status)))


def test_tables_keep_their_categories_and_names():
    result = local_to_shap(LOCAL, FRAME)
    assert result.data.dtype == object
    assert result.data[:2, -1].tolist() == ["low $", "high"]
    assert_array_equal(result.data[:, 0].astype(float), X[:, 0])
    assert result.feature_names[0] == "cost in $"
    numbers = FRAME.drop(columns="kind").assign(whole=pd.array([1, None] * 12, dtype="Int64"))
    data = local_to_shap(replace(LOCAL, feature_names=tuple(numbers.columns)), numbers).data
    assert data.dtype == float
    assert_array_equal(data[:2, -1], [1, np.nan])


# --- the plots of local explanations

PLOTS = {
    "bar": lambda one: drawn(shap.plots.bar, one),
    "bar of one": lambda one: drawn(shap.plots.bar, one[0]),
    "beeswarm": lambda one: drawn(shap.plots.beeswarm, one),
    "decision": lambda one: drawn(shap.plots.decision, float(one.base_values[0]), one.values),
    "heatmap": lambda one: drawn(shap.plots.heatmap, one),
    "violin": lambda one: drawn(shap.plots.violin, one),
    "waterfall": lambda one: drawn(shap.plots.waterfall, one[0]),
    "scatter": lambda one: drawn(shap.plots.scatter, one[:, 0]),
}
NAMED = replace(LOCAL, feature_names=tuple(FRAME.columns))
RESULTS = {
    "array": lambda: local_to_shap(LOCAL, X),
    "no X": lambda: local_to_shap(NAMED),
    "frame": lambda: local_to_shap(NAMED, FRAME),
    "one of several targets": lambda: local_to_shap(SEVERAL, X)[..., 1],
    "targets that differ": lambda: local_to_shap(PREDICTED, X),
}
UNDRAWN = {("no X", "scatter"), ("frame", "violin")}  # as the docstring says


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("plot", PLOTS)
def test_shap_draws(plot, result):
    if (result, plot) in UNDRAWN:
        with pytest.raises((AttributeError, TypeError)):
            PLOTS[plot](RESULTS[result]())
    else:
        assert PLOTS[plot](RESULTS[result]()).has_data()


def test_waterfall_ends_at_the_surrogate_and_names_values():
    result = local_to_shap(NAMED, FRAME)
    axes = drawn(shap.plots.waterfall, result[3])
    ticks = [text.get_text() for one in plt.gcf().axes for text in one.get_xticklabels()]
    assert any(f"= {LOCAL.intercept[3]:.3f}".rstrip("0").replace("-", "\N{MINUS SIGN}") in tick for tick in ticks)
    assert "high = kind" in labels(axes)
    assert rf"{X[3, 1]:g} = \$_{{\$".replace("-", "\N{MINUS SIGN}") in labels(axes)


# --- importances


def test_bar_draws_an_importance_as_it_is():
    importance = replace(LOCAL, feature_names=tuple(FRAME.columns)).importance("mean")
    result = importance_to_shap(importance)
    assert_array_equal(result.values, importance.values)
    axes = drawn(shap.plots.bar, result)
    best = importance.top(D)
    widths = [bar.get_width() for bar in axes.containers[0]]
    assert_array_equal(widths[: len(best)], [row.value for row in best])
    assert [text.replace(r"\$", "$") for text in labels(axes)[: len(best)]] == [row.feature for row in best]
    assert axes.get_xlabel() == "mean(SHAP value)"
    assert_array_equal(importance.values, LOCAL.importance("mean").values)  # nothing was written into


@pytest.mark.parametrize("sign", ["absolute", "negative", "net"])
def test_bar_draws_groups_side_by_side(sign):
    importance = replace(PREDICTED, target_names=("cat", "dog", "cow")).importance(by="target", sign=sign)
    result = importance_to_shap(importance)
    assert list(result) == importance.groups.tolist() == ["cat", "dog", "cow"]
    for label, values in zip(importance.groups, importance.values, strict=True):
        assert_array_equal(result[label].values, values)
    axes = drawn(shap.plots.bar, result)
    order = np.argsort(np.mean([np.argsort(np.argsort(-np.abs(row))) for row in importance.values], axis=0))
    for bars, values in zip(axes.containers, importance.values, strict=True):
        assert_array_equal(np.sort([bar.get_width() for bar in bars]), np.sort(values[order]))
    counts = [f"{label} [{count}]" for label, count in zip(result, importance.explanations, strict=True)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == counts
    assert axes.get_xlabel() == f"{'' if sign == 'absolute' else sign + ' '}normlime(SHAP value)"


def test_groups_that_are_numbers_keep_them():
    assert list(importance_to_shap(PREDICTED.importance(by="target"))) == [0, 1, 2]


# --- what is refused


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (X[:5], r"shape \(24, 7\), got shape \(5, 7\)"),
        (X[:, :3], r"shape \(24, 7\), got shape \(24, 3\)"),
        (sparse.csr_array(X[:, :3]), r"shape \(24, 7\), got shape \(24, 3\)"),
        (["a text"] * 24, r"got shape \(24,\); leave X out if features are not its columns"),
        (np.zeros((24, 7, 1)), r"got shape \(24, 7, 1\)"),
        (FRAME.rename(columns={"kind": "sort"}), "explained, got 'sort' in place of 'kind'$"),
    ],
)
def test_x_that_does_not_fit(rows, expected):
    local = NAMED if isinstance(rows, pd.DataFrame) else LOCAL
    with pytest.raises(ValueError, match=expected) as caught:
        local_to_shap(local, rows)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_into_memory():
    wide = sparse.csr_array(([1.0], [0], np.repeat([0, 1], [1, 24])), shape=(24, 2**45))
    with pytest.raises(
        MemoryError, match=r"to_shap needs 6291456\.0 GiB for dense weights of 24 explanations, .* columns"
    ):
        local_to_shap(replace(LOCAL, weights=wide))


@pytest.mark.parametrize("call", [lambda: local_to_shap(LOCAL), lambda: importance_to_shap(LOCAL.importance())])
def test_without_shap(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match=r'^to_shap needs shap; .*pip install "normlime-fast\[shap\]"$'):
        call()
