"""Pictures of local explanations; and what no picture can be made of."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from helpers.plots import BLUE, VERMILLION, D, colours, explanations, names, shown, widths
from matplotlib.colors import to_hex
from scipy import sparse

import normlime_fast as nlf
from normlime_fast import plotting
from normlime_fast._checks import as_seed

mpl.use("Agg")
import matplotlib.pyplot as plt

GREY = "#b0b0b0"


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    plt.close("all")


def changed(local, **fields):
    return nlf.LocalExplanations(**{**vars(local), **fields})


# --- one explanation


@pytest.mark.parametrize("d", D)
def test_local_bars(d):
    local = changed(explanations(d, targets=2), target_names=("no", "yes"))
    row = 7  # of instance 3, target 1
    weights = local.weights[[row]].toarray()[0]
    columns = [j for j in np.argsort(-np.abs(weights)) if weights[j]][:4]
    ax = plotting.local_bars(local, 3, "yes", 4)
    assert shown(ax) == names(local, columns)
    assert widths(ax) == weights[columns].tolist()
    assert colours(ax) == [BLUE if weights[j] > 0 else VERMILLION for j in columns]
    assert ax.get_title() == "instance 3, target yes: output 0.25, R^2 0.50"
    assert ax.get_xlabel() == "weight w (change of the output per unit of z)"
    assert widths(plotting.local_bars(local, np.int64(3), 1, 4)) == widths(ax)
    unknown = plotting.local_bars(changed(local, prediction=np.full(60, np.nan)), 3, 1)
    assert unknown.get_title() == "instance 3, target yes: R^2 0.50"
    no_fit = changed(local, r2=np.full(60, np.nan))
    assert plotting.local_bars(no_fit, 3, 1).get_title() == "instance 3, target yes: output 0.25"
    neither = plotting.local_bars(changed(no_fit, prediction=np.full(60, np.nan)), 3, 1)
    assert neither.get_title() == "instance 3, target yes"


@pytest.mark.parametrize(
    "x",
    [
        np.array([1234.5678, 0.0, 2.0]),
        pd.Series([1234.5678, 0.0, 2.0]),
        pd.DataFrame([[1234.5678, 0.0, 2.0]]),
        sparse.csr_array([[1234.5678, 0.0, 2.0]]),
    ],
)
def test_local_bars_with_the_row(x):
    local = changed(explanations(3), weights=sparse.csr_array(np.tile([3.0, -2.0, 1.0], (60, 1))))
    assert shown(plotting.local_bars(local, 0, x=x))[::2] == ["name of feature 0 = 1235", "name of feature 2 = 2"]


def test_the_row_is_read_by_name():
    local = changed(explanations(3), weights=sparse.csr_array(np.tile([3.0, -2.0, 1.0], (60, 1))))
    local = changed(local, feature_names=("a", "b", "c"))
    row = pd.Series([2.0, 0.0, 1.0], index=["c", "a", "b"])
    for x in (row, row.to_frame().T):
        assert shown(plotting.local_bars(local, 0, x=x)) == ["a = 0", "b = 1", "c = 2"]
    by_position = plotting.local_bars(changed(local, feature_names=None), 0, x=row)
    assert shown(by_position) == ["feature 0 = 2", "feature 1 = 0", "feature 2 = 1"]
    plt.close("all")
    for index in (["a", "b", "d"], ["a", "a", "b"], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"^x must have the names of the features, \['a', 'b', 'c'\], got \["):
            plotting.local_bars(local, 0, x=pd.Series([2.0, 0.0, 1.0], index=index))
    assert plt.get_fignums() == []
    twice = changed(local, feature_names=("a", "a", "b"))
    same = pd.Series([2.0, 0.0, 1.0], index=["a", "a", "b"])
    assert shown(plotting.local_bars(twice, 0, x=same)) == ["a = 2", "a = 0", "b = 1"]
    with pytest.raises(ValueError, match="x must have the names of the features"):
        plotting.local_bars(twice, 0, x=same.iloc[[0, 2, 1]])


def test_local_bars_with_words():
    local = changed(explanations(3), weights=sparse.csr_array(np.tile([3.0, -2.0, 1.0], (60, 1))))
    row = pd.Series(["a long\nword, it is", 4, None], dtype=object)
    labels = [label.split(" = ")[1] for label in shown(plotting.local_bars(local, 0, x=row))]
    assert labels == ["a long…it is", "4", "None"]


# --- strip


def points(ax):
    """By row, the points (x, y) and colours."""
    ax.figure.canvas.draw()
    assert not any(np.ma.is_masked(cloud.get_offsets()) for cloud in ax.collections)
    return [(cloud.get_offsets().data, [to_hex(c) for c in cloud.get_facecolors()]) for cloud in ax.collections]


@pytest.mark.parametrize("d", D)
def test_strip_has_a_point_per_weight(d):
    local = explanations(d)
    ax = plotting.strip(local, k=4)
    best = [row.feature for row in local.importance().top(4)]
    assert shown(ax) == best
    for row, (feature, (xy, _)) in enumerate(zip(best, points(ax), strict=True)):
        weights = local.weights[:, [local.feature_names.index(feature)]].toarray().ravel()
        assert sorted(xy[:, 0]) == sorted(weights[weights != 0])
        assert (np.abs(xy[:, 1] - row) <= 0.41).all()
    by_kind = plotting.strip(local, k=4, kind="mean_abs", min_count=5)
    assert shown(by_kind) == [row.feature for row in local.importance("mean_abs", min_count=5).top(4)]


def test_points_of_one_weight_lie_side_by_side():
    local = changed(explanations(2), weights=sparse.csr_array(np.tile([[1.0, 0.0]], (60, 1))))
    ((xy, _),) = points(plotting.strip(local))
    assert len(np.unique(xy[:, 1].round(6))) == 60
    assert abs(xy[:, 1].mean()) < 0.01


def frame_of(n):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 3, n)
    frame = pd.DataFrame({"number": rng.normal(size=n), "word": np.array(["x", "y", "z"])[codes]})
    frame["category"] = pd.Categorical.from_codes(codes, [1, 2, 3])
    frame["code"], frame["integer"] = codes, pd.array(np.where(codes, codes, None), dtype="Int64")
    return frame


def test_points_have_the_colour_of_their_value():
    X = frame_of(60)
    weights = sparse.csr_array(np.random.default_rng(0).normal(size=(60, 5)))
    local = changed(explanations(5), weights=weights, feature_names=tuple(X.columns))
    ax = plotting.strip(local, X, categorical=["code"])
    drawn = dict(zip(shown(ax), points(ax), strict=True))
    for name in ("word", "category", "code"):
        assert set(drawn[name][1]) == {GREY}
    xy, shades = drawn["number"]
    value = dict(zip(weights.toarray()[:, 0].tolist(), X["number"], strict=True))
    ranked = [shade for _, shade in sorted(zip([value[x] for x in xy[:, 0].tolist()], shades, strict=True))]
    assert (ranked[0], ranked[-1]) == (BLUE, "#e08000")
    reds = [shade[1:3] for shade in ranked]  # which grow with the value
    assert reds == sorted(reds)
    assert drawn["integer"][1].count(GREY) == X["integer"].isna().sum() > 0
    assert "grey" in ax.figure.axes[1].get_ylabel()
    numbers = local.importance().top(5)
    assert shown(ax) == [row.feature for row in numbers]


def test_values_that_hardly_differ_have_colours():
    local = changed(explanations(3), weights=sparse.csr_array(np.tile([3.0, 2.0, 1.0], (60, 1))))
    X = np.zeros((60, 3))
    X[0, 1], X[1, 2], X[2:, 2] = 1, np.inf, np.nan
    constant, rare, missing = (set(shades) for _, shades in points(plotting.strip(local, X)))
    assert len(constant) == 1
    assert constant.isdisjoint(rare | {GREY})
    assert rare == {BLUE, "#e08000"}
    assert len(missing) == 2
    assert GREY in missing


def test_the_scale_of_colours_is_that_of_all_rows():
    weights = np.ones((60, 1))
    weights[:50] = 0  # 10 rows are drawn, with the values 50 to 59; the middle of all, 29.5, lies below them
    local = changed(explanations(1), weights=sparse.csr_array(weights))
    ax = plotting.strip(local, np.arange(60.0)[:, None])
    (cloud,) = ax.collections
    low, high = 0.05 * 59, 0.95 * 59
    np.testing.assert_allclose(cloud.get_array(), np.minimum((np.arange(50, 60) - low) / (high - low), 1), rtol=1e-12)
    assert ax.figure.axes[1].get_ylabel() == "feature's value, 5th to 95th percentile"


@pytest.mark.parametrize(
    "form", [np.asarray, sparse.csr_matrix, lambda X: X.reshape(30, 5, 1), lambda X: X.astype(object)]
)
def test_rows_belong_to_instances(form):
    local = explanations(5, targets=2)
    shuffled = changed(local, instance=np.repeat(np.random.default_rng(2).permutation(30), 2))
    X = np.repeat(np.arange(30.0)[:, None], 5, axis=1)
    wanted = points(plotting.strip(shuffled, np.asarray(X), target=1))[0]
    (xy, shades) = points(plotting.strip(shuffled, form(X), target=1))[0]
    np.testing.assert_array_equal(xy, wanted[0])
    assert shades == wanted[1]
    rows = [local.weights[[2 * i + 1]].toarray()[0] for i in range(30)]
    position = {row[np.argmax(local.importance().values)]: i for i, row in enumerate(rows)}
    order = np.argsort([position[x] for x in xy[:, 0]])
    assert (shades[order[0]], shades[order[-1]]) == (BLUE, "#e08000")  # rows in the order of X, not of their numbers


def test_many_points_are_thinned_and_rasterised():
    weights = sparse.csr_array(np.random.default_rng(0).normal(size=(5000, 2)))
    local = changed(explanations(2, 5000), weights=weights)
    first, second = plotting.strip(local), plotting.strip(local)
    assert [len(xy) for xy, _ in points(first)] == [2000, 2000]
    np.testing.assert_array_equal(points(first)[0][0], points(second)[0][0])
    assert all(cloud.get_rasterized() for cloud in first.collections)
    assert "at most 2,000 of up to 5,000 points" in first.get_xlabel()


# --- stability and kinds


@pytest.mark.parametrize("d", D)
@pytest.mark.parametrize("kind", ["normlime", "l2"])
def test_stability_ends_with_the_importance(kind, d):
    local = explanations(d, 100)
    ax = plotting.stability(local, 3, kind)
    importance = local.importance(kind)
    best = importance.top(3)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [row.feature for row in best]
    assert ax.lines[0].get_xdata().tolist() == [2, 4, 8, 16, 32, 64, 100]
    order = np.random.default_rng(as_seed(0)).permutation(100)
    for row, line, band in zip(best, ax.lines, ax.collections, strict=True):
        j = local.feature_names.index(row.feature)
        # sums of another order differ in the last bits
        assert line.get_ydata()[-1] == pytest.approx(row.value, rel=1e-12)
        part = nlf.aggregate(local.weights[order[:64]]).importance(kind)
        assert line.get_ydata()[-2] == (part.values[j] if part.counts[j] else pytest.approx(np.nan, nan_ok=True))
        ends = band.get_paths()[0].vertices if band.get_paths() else np.empty((0, 2))
        ends = ends[ends[:, 0] == 100][:, 1]
        if kind == "l2":
            assert ends.size == 0
        else:
            low, high = importance.interval()
            assert (ends.min(), ends.max()) == pytest.approx((low[j], high[j]))


def test_ranks_and_those_that_are_possible():
    # 0 lies wholly above the others; 1 and 2 differ by less than their intervals are wide
    rng = np.random.default_rng(0)
    weights = rng.normal([10.0, 1.0, 1.01], [0.1, 0.5, 0.5], (50, 3))
    local = changed(explanations(3, 50), weights=sparse.csr_array(weights))
    ax = plotting.stability(local, 3, "mean", quantity="rank")
    last = [line.get_ydata()[-1] for line in ax.lines]
    assert last == [1, 2, 3]
    ends = [band.get_paths()[0].vertices for band in ax.collections]
    ends = [xy[xy[:, 0] == 50][:, 1] for xy in ends]
    assert [(y.min(), y.max()) for y in ends] == [(1, 1), (2, 3), (2, 3)]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_what_one_explanation_uses_can_have_any_rank():
    weights = np.random.default_rng(0).normal([10.0, 1.0, 0.0], [0.1, 0.1, 0.0], (50, 3))
    weights[np.random.default_rng(as_seed(0)).permutation(50)[0], 2] = 5.0  # the first that is looked at
    local = changed(explanations(3, 50), weights=sparse.csr_array(weights))
    ax = plotting.stability(local, 3, quantity="rank")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        *names(local, [0, 1]),
        f"{names(local, [2])[0]}*",
    ]
    assert [line.get_ydata()[-1] for line in ax.lines] == [1, 2, 3]
    ends = [band.get_paths()[0].vertices for band in ax.collections[:2]]
    assert [(y.min(), y.max()) for y in (xy[xy[:, 0] == 50][:, 1] for xy in ends)] == [(1, 1), (2, 2)]
    assert not ax.collections[2].get_paths()  # it is last whatever its value
    ax = plotting.stability(local, 3, quantity="rank", min_count=1)
    assert [line.get_ydata()[-1] for line in ax.lines] == [1, 2, 3]
    ends = [band.get_paths()[0].vertices for band in ax.collections]
    ends = [xy[xy[:, 0] == 50][:, 1] for xy in ends]
    # 2 lies above 0 or below 1 or between
    assert [(y.min(), y.max()) for y in ends] == [(1, 2), (1, 3), (2, 3)]
    (*_, last) = plotting.stability(local, 3, quantity="rank", min_count=2).collections
    assert last.get_paths()[0].vertices[:, 1].max() == 2  # a feature that is hidden has no rank, from the start


@pytest.mark.parametrize("quantity", ["value", "rank"])
def test_min_count_is_of_all_explanations(quantity):
    weights = np.random.default_rng(0).normal(3, 1, (40, 3))
    weights[5:, 2] = 0
    local = changed(explanations(3, 40), weights=sparse.csr_array(weights))
    lines = plotting.stability(local, 3, quantity=quantity, min_count=20).lines
    assert len(lines) == 2
    assert all(np.isfinite(line.get_ydata()).all() for line in lines)


def test_lines_have_names():
    local = changed(explanations(3), feature_names=("_a", "b", "$c$"))
    ax = plotting.stability(local, 3)
    own = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(own) == ["$c$", "_a", "b"]
    assert [label.strip() for label in ax.get_legend_handles_labels()[1]] == own


def test_stability_has_its_own_order():
    local = explanations(30)
    lines = [plotting.stability(local, 1, rng=rng).lines[0].get_ydata().tolist() for rng in (0, 0, 1)]
    assert lines[0] == lines[1] != lines[2]
    looks = {(line.get_color(), line.get_linestyle()) for line in plotting.stability(explanations(30, 500), 24).lines}
    assert len(looks) == 24


@pytest.mark.parametrize("d", D)
def test_compare_kinds(d):
    local = explanations(d)
    kinds = ("normlime", "l2", "mean")
    ax = plotting.compare_kinds(local, kinds, 5, min_count=2)
    scaled = [local.importance(kind, min_count=2).values for kind in kinds]
    scaled = np.array([values / np.abs(values).max() for values in scaled])
    columns = np.argsort(-np.abs(scaled).max(axis=0), kind="stable")[: len(shown(ax))]
    assert shown(ax) == names(local, columns)
    assert widths(ax) == scaled[:, columns].ravel().tolist()
    middles = np.array([bar.get_y() + bar.get_height() / 2 for bar in ax.patches]).reshape(3, -1)
    np.testing.assert_allclose(middles.mean(axis=0), np.arange(len(columns)), atol=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(kinds)
    assert "divided by the largest" in ax.get_xlabel()


# --- bad input


LOCAL = changed(explanations(4, targets=2), target_names=("no", "yes"))
ONE, GROUPS = LOCAL.importance(), LOCAL.importance(by="target")
NOTHING = changed(LOCAL, weights=sparse.csr_array((60, 4)))
FAILED = changed(LOCAL, status=6 * LOCAL.target)
X = np.zeros((30, 4))

BAD = [
    (lambda: plotting.bars({}), TypeError, "bars needs an Importance, got dict"),
    (lambda: plotting.strip(ONE), TypeError, "strip needs LocalExplanations, got Importance"),
    (lambda: plotting.bars(GROUPS), ValueError, "without groups, got 2; use group_bars"),
    (lambda: plotting.group_bars(ONE), ValueError, "with groups, as from by=, got none; use bars"),
    (lambda: plotting.heatmap(ONE), ValueError, "with groups, .* use bars"),
    (lambda: plotting.bars(NOTHING.importance()), ValueError, "that at least 1 explanation uses, got none"),
    (lambda: plotting.maps(LOCAL.importance(min_count=99), (2, 2)), ValueError, "at least 99 explanations use"),
    (lambda: plotting.strip(NOTHING), ValueError, "strip needs a feature"),
    (lambda: plotting.stability(NOTHING), ValueError, "stability needs a feature"),
    (lambda: plotting.compare_kinds(NOTHING), ValueError, "compare_kinds needs a feature"),
    (lambda: plotting.bars(ONE, 0), ValueError, "k must be at least 1, got 0"),
    (lambda: plotting.heatmap(GROUPS, "x"), TypeError, "k must be an integer, got 'x'"),
    (lambda: plotting.bars(ONE, ax=1), TypeError, "ax must be a matplotlib Axes, got int"),
    (lambda: plotting.group_bars(GROUPS, features="all"), ValueError, '"shared" or "own", got \'all\''),
    (lambda: plotting.maps(ONE), TypeError, "needs the shape of the image, or its segments, got neither"),
    (lambda: plotting.maps(ONE, (3, 3)), ValueError, r"shape must have H\*W = 4, .* got \(3, 3\)"),
    (lambda: plotting.maps(ONE, 4), ValueError, "shape must be a height and a width, two integers, got 4"),
    (lambda: plotting.maps(ONE, (-2, -2)), ValueError, "two integers, got"),
    (lambda: plotting.maps(ONE, segments=[[0, 4]]), ValueError, "segments must have labels from 0 to 3, got 0 to 4"),
    (lambda: plotting.maps(ONE, segments=[[-1, 3]]), ValueError, "labels from 0 to 3, got -1"),
    (lambda: plotting.maps(ONE, segments=[0.5]), TypeError, r"2-D map of integers, got shape \(1,\) and dtype float64"),
    (lambda: plotting.maps(ONE, (2, 2), segments=[[0, 3]]), ValueError, r"that of segments, \(1, 2\), got \(2, 2\)"),
    (
        lambda: plotting.local_bars(LOCAL, 99, 0),
        ValueError,
        r"instance must be one of those explained, which begin with \[0, 1, 2",
    ),
    (lambda: plotting.local_bars(LOCAL, "3"), TypeError, "instance must be an integer"),
    (
        lambda: plotting.local_bars(LOCAL, 3),
        ValueError,
        r"target must be given for instance 3, which was explained for the targets \[0, 1\]",
    ),
    (lambda: plotting.local_bars(LOCAL, 3, "nein"), ValueError, r"explained, \['no', 'yes'\], got 'nein'"),
    (lambda: plotting.strip(LOCAL, target=2), ValueError, "target must be one of those explained.*got 2"),
    (
        lambda: plotting.strip(FAILED, target=1),
        ValueError,
        "strip needs explanations, but all .* have status 6",
    ),
    (lambda: plotting.strip(LOCAL, target=True), ValueError, "target must be"),
    (lambda: plotting.local_bars(NOTHING, 3, 0), ValueError, "got none for instance 3: its status is 0"),
    (lambda: plotting.local_bars(LOCAL, 3, 0, x=[1, 2]), ValueError, "x must be one row of 4 values, one per feature"),
    (lambda: plotting.local_bars(LOCAL, 3, 0, x="abcd"), ValueError, "x must be one row of 4 values, .* got str"),
    (lambda: plotting.strip(LOCAL, X[:3]), ValueError, r"shape \(30, 4\), got shape \(3, 4\)"),
    (lambda: plotting.strip(LOCAL, pd.DataFrame(X)), ValueError, "X must have the columns that were explained"),
    (lambda: plotting.strip(LOCAL, X, categorical=[4]), ValueError, "names or positions of columns of X, got 4"),
    (lambda: plotting.strip(LOCAL, categorical="a"), ValueError, "categorical must be columns of X, got 'a' and no X"),
    (lambda: plotting.strip(LOCAL, X, categorical=0), TypeError, "categorical must be a list of columns, got 0"),
    (lambda: plotting.strip(LOCAL, X, kind="best"), ValueError, "kind must be one of"),
    (lambda: plotting.stability(LOCAL, 25), ValueError, "k must be at most 24, the number of lines"),
    (lambda: plotting.stability(LOCAL, quantity="size"), ValueError, '"value" or "rank", got \'size\''),
    (lambda: plotting.stability(LOCAL, rng="x"), TypeError, "rng must be"),
    (lambda: plotting.stability(explanations(4, 1)), ValueError, "at least 2 explanations, got 1"),
    (lambda: plotting.compare_kinds(LOCAL, "l2"), TypeError, "kinds must be a list of kinds, got 'l2'"),
    (lambda: plotting.compare_kinds(LOCAL, ["best"]), ValueError, "kind must be one of .* got 'best'"),
    (lambda: plotting.compare_kinds(LOCAL, ["l2", "l2"]), ValueError, "kinds must not repeat a kind"),
    (lambda: plotting.group_bars(GROUPS, -1), ValueError, "k must be at least 1, got -1"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input_is_refused_in_one_line_before_anything_is_drawn(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert plt.get_fignums() == []


def test_axes_that_do_not_fit():
    _, pair = plt.subplots(1, 2)
    other = plt.figure().add_subplot()
    for axes, error, message in [
        (pair[0], ValueError, "axes must be one per group, 2, got 1"),
        ([pair[0], "b"], TypeError, "axes must be a matplotlib Axes, got str"),
        ([pair[0], other], ValueError, "axes must belong to one figure, got 2"),
    ]:
        with pytest.raises(error, match=message):
            plotting.maps(GROUPS, (2, 2), axes)
    assert not pair[0].images


@pytest.mark.parametrize("name", plotting.__all__)
def test_without_matplotlib(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    given = {"bars": ONE, "group_bars": GROUPS, "heatmap": GROUPS, "maps": ONE}.get(name, LOCAL)
    more = {"maps": ((2, 2),), "local_bars": (0, 0)}.get(name, ())
    with pytest.raises(
        ImportError, match=f'^{name} needs matplotlib; install it with: pip install "normlime-fast\\[plot\\]"$'
    ):
        getattr(plotting, name)(given, *more)


# --- intervals of weights


def test_local_bars_have_90_percent_intervals_of_their_weights():
    explainer = nlf.NormLIME(lambda X: np.sin(X).sum(axis=1), nlf.Gaussian(1.0), n_features=3, n_samples=50, rng=0)
    local = explainer.explain(np.linspace(-1, 1, 10).reshape(2, 5))
    ax = plotting.local_bars(local, instance=1)
    weights, errors = local.weights[[1]].toarray()[0], local.stderr[[1]].toarray()[0]
    order = np.argsort(-np.abs(weights))[:3]
    (lines,) = ax.collections
    ends = np.array([segment[:, 0] for segment in lines.get_segments()])
    np.testing.assert_allclose(ends.mean(axis=1), weights[order])
    np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 2 * 1.6448536 * errors[order], rtol=1e-6)
    assert ax.get_xlabel().endswith("lines: 90% intervals")
    without = plotting.local_bars(nlf.LocalExplanations(**{**vars(local), "stderr": None}), instance=1)
    assert (len(without.collections), "lines" in without.get_xlabel()) == (0, False)
