"""Pictures: what is drawn are the values, in order, with labels that can be read."""

from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from helpers.plots import BLUE, VERMILLION, D, colours, explanations, names, shown, widths
from scipy import sparse

import normlime_fast as nlf
from normlime_fast import plotting

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_hex


@pytest.fixture(autouse=True)
def nothing_else_changes():
    plt.close("all")
    before = mpl.get_backend(), dict(mpl.rcParams)
    yield
    plt.close("all")
    assert (mpl.get_backend(), dict(mpl.rcParams)) == before


def error_bars(ax):
    """The ends of the horizontal lines of the error bars, by row."""
    return {round(a[1]): (a[0], b[0]) for lines in ax.collections for a, b in lines.get_segments()}


# --- all of them


CASES = {
    "bars": lambda local, d: plotting.bars(local.importance()),
    "bars of a signed kind": lambda local, d: plotting.bars(local.importance("mean")),
    "bars of a root": lambda local, d: plotting.bars(local.importance("l2")),
    "group_bars": lambda local, d: plotting.group_bars(local.importance(by="target")),
    "group_bars, own": lambda local, d: plotting.group_bars(local.importance(by="target"), features="own"),
    "heatmap": lambda local, d: plotting.heatmap(local.importance(by="target")),
    "heatmap, net": lambda local, d: plotting.heatmap(local.importance(by="target", sign="net"), 10),
    "maps, positive": lambda local, d: plotting.maps(
        local.importance("sp_lime", by="target", sign="positive"), {3: (1, 3), 30: (5, 6), 784: (28, 28)}[d]
    ),
    "maps": lambda local, d: plotting.maps(
        local.importance(by="target"), (d // 3 if d < 784 else 28, 28 if d > 30 else 3)
    ),
    "local_bars": lambda local, d: plotting.local_bars(local, 3, 1, x=np.arange(d) / 3),
    "strip": lambda local, d: plotting.strip(local, np.random.default_rng(0).normal(size=(30, d))),
    "stability": lambda local, d: plotting.stability(local),
    "ranks": lambda local, d: plotting.stability(local, quantity="rank"),
    "compare_kinds": lambda local, d: plotting.compare_kinds(local),
}


def texts_of(axis):
    return [label for label in axis.get_ticklabels() if label.get_text() and label.get_visible()]


def check_readable(figure):
    """No label lies on another of its axis or is cut by the edge of the figure."""
    figure.canvas.draw()
    for ax in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            labels = [tick.label1 for tick in ticks] + [tick.label2 for tick in ticks]
            boxes = [label.get_window_extent() for label in labels if label.get_visible() and label.get_text()]
            # a pixel of overlap is the empty edge of the boxes
            assert not any(a.padded(-0.5).overlaps(b.padded(-0.5)) for a, b in combinations(boxes, 2))
            label = axis.label.get_window_extent()
            for box in [*boxes, label] if axis.label.get_text() else boxes:
                assert box.x0 >= -1
                assert box.y0 >= -1
                assert box.x1 <= figure.bbox.width + 1
                assert box.y1 <= figure.bbox.height + 1


@pytest.mark.parametrize("d", D)
@pytest.mark.parametrize("case", CASES)
def test_labels_can_be_read_at_default_size(case, d):
    axes = CASES[case](explanations(d, targets=2), d)
    check_readable(np.ravel(axes)[0].figure)
    assert len(plt.get_fignums()) == 1


def test_figures_grow_with_k():
    local = explanations(784, 500, targets=2)
    check_readable(plotting.bars(local.importance(), 60).figure)
    check_readable(plotting.compare_kinds(local, k=40).figure)
    check_readable(plotting.group_bars(local.importance(by="target"), 40)[0].figure)


@pytest.mark.parametrize("style", ["dark_background", {"font.size": 16}])
def test_styles(style):
    with plt.style.context(style):
        ax = plotting.bars(explanations(30).importance("mean"))
        check_readable(ax.figure)
        ink = to_hex(mpl.rcParams["axes.labelcolor"])
        assert {to_hex(lines.get_color()[0]) for lines in ax.collections} == {ink}
        assert ax.yaxis.get_ticklabels()[0].get_fontsize() == mpl.rcParams["font.size"]


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith(("group_bars", "maps"))])
def test_the_axes_given_are_used_and_no_figure_made(case, monkeypatch):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    functions = {name: getattr(plotting, name) for name in plotting.__all__}
    for name, function in functions.items():
        monkeypatch.setattr(plotting, name, lambda *a, _f=function, **k: _f(*a, ax=ax, **k))
    assert CASES[case](explanations(30, targets=2), 30) is ax
    assert plt.get_fignums() == []


# --- bars


@pytest.mark.parametrize("d", D)
@pytest.mark.parametrize(("kind", "sign"), [("normlime", "absolute"), ("mean", "absolute"), ("l2", "negative")])
def test_bars_are_the_values_with_intervals_and_counts(kind, sign, d):
    local = explanations(d, names=d != 784)
    importance = local.importance(kind, sign=sign)
    ax = plotting.bars(importance, 8)
    best = importance.top(8)
    columns = [best_.feature if d == 784 else local.feature_names.index(best_.feature) for best_ in best]
    assert shown(ax) == names(local, columns)
    assert widths(ax) == [row.value for row in best]
    assert colours(ax) == [VERMILLION if row.value < 0 else BLUE for row in best]
    assert len(set(colours(ax))) == (2 if kind == "mean" else 1)
    (counts,) = ax.child_axes
    assert [label.get_text() for label in counts.get_yticklabels()] == [str(row.count) for row in best]
    assert "uses in 60 explanations" in counts.get_ylabel()
    assert ax.get_ylabel() == ("all 3 features" if len(best) == d else f"{len(best)} of {d} features")
    assert "change of the output per unit of z" in ax.get_xlabel()
    assert ("w < 0" in ax.get_xlabel()) == (sign == "negative")
    if kind == "l2":
        assert error_bars(ax) == {}
        return
    assert "90% intervals" in ax.get_xlabel()
    low, high = importance.interval()
    drawn = error_bars(ax)
    assert drawn.keys() == {row for row, j in enumerate(columns) if importance.counts[j] > 1}
    for row, ends in drawn.items():
        assert ends == pytest.approx((low[columns[row]], high[columns[row]]))


def test_bars_leave_out_what_is_rare_or_unused():
    importance = nlf.aggregate([[3.0, 1.0, 0.0], [0.0, 1.0, 0.0]]).importance(min_count=2)
    ax = plotting.bars(importance)
    assert shown(ax) == ["feature 1"]
    assert ax.get_ylabel() == "1 of 3 features"
    assert error_bars(plotting.bars(nlf.aggregate([[3.0, 1.0]]).importance())) == {}  # a count of 1 has no interval


def test_explanations_of_one_set_of_samples_have_no_intervals():
    for sets, note in ((np.arange(60) % 3, "lines: 90% intervals"), (np.ones(60, int), "no intervals: all share one")):
        ax = plotting.bars(replace(explanations(3), sample_set=sets).importance())
        assert note in ax.get_xlabel()
        assert bool(error_bars(ax)) == note.startswith("lines")


def test_shrunken_values_are_called_so_and_have_no_intervals():
    local = explanations(30)
    by = np.arange(60) % 2
    panels = plotting.group_bars(local.importance(by=by, shrink=True))
    grid = plotting.heatmap(local.importance(by=by, shrink=True))
    maps = plotting.maps(local.importance(shrink=True), shape=(5, 6))
    bars = plotting.bars(local.importance(shrink=True))
    labels = [panels[0].figure.get_supxlabel(), bars.get_xlabel()]
    labels += [ax.get_ylabel() for figure in (grid.figure, maps[0].figure) for ax in figure.axes]
    assert sum("shrunk" in label for label in labels) == 4
    assert not any("interval" in label for label in labels)
    assert error_bars(bars) == {}
    assert "shrunk" not in plotting.bars(local.importance()).get_xlabel()


def test_names_are_drawn_as_they_are():
    given = ["$x^2$", "_a", "a\n\tb\x00", "", "same", "same", "x" * 20 + "y" * 20, "<b>"]
    local = explanations(8)
    importance = nlf.aggregate(np.diag(np.arange(8.0, 0, -1)), feature_names=given).importance()
    expected = ["$x^2$", "_a", "a b", "feature 3", "same", "same", "x" * 14 + "…" + "y" * 13, "<b>"]
    ax = plotting.bars(importance)
    assert shown(ax) == expected
    assert not any(label.get_parse_math() or label.get_usetex() for label in ax.get_yticklabels())
    odd = nlf.LocalExplanations(**{**vars(local), "feature_names": tuple(given), "target_names": ("$t",)})
    legend = plotting.stability(odd, 8).get_legend().get_texts()
    assert sorted(text.get_text() for text in legend) == sorted([*expected[:6], "x" * 10 + "…" + "y" * 9, "<b>"])
    title = plotting.local_bars(odd, 0, x=["$"] * 8).title
    assert title.get_text() == "instance 0, target $t: output 0.25, R^2 0.50"
    panel = plotting.group_bars(odd.importance(by="target"))[0]
    assert not any(text.get_parse_math() for text in [*legend, title, panel.title])
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()


def test_shortened_names_can_be_told_apart():
    given = [f"sensor_channel_temperature_{j:03d}_rolling_mean_window" for j in range(3)] + ["a" * 40] * 2 + ["b"]
    weights = np.diag(np.arange(6.0, 0, -1))
    labels = shown(plotting.bars(nlf.aggregate(weights, feature_names=given).importance("mean")))
    assert [label[-4:] for label in labels[:3]] == [" (0)", " (1)", " (2)"]
    assert labels[3:] == ["a" * 14 + "…" + "a" * 13] * 2 + ["b"]  # one name twice is one name
    assert max(map(len, labels)) == 28
    groups = [ax.get_title() for ax in plotting.maps(nlf.aggregate(weights, given).importance(), (2, 3))]
    assert len(set(groups)) == len(groups) == 5


def rare():
    """Feature 1 is used by 3 of 20 explanations, and has the largest value; 2 is not used."""
    W = np.zeros((20, 4))
    W[:, 0], W[:3, 1], W[:, 3] = 1.0, 9.0, -2.0
    return W


@pytest.mark.parametrize("kind", ["normlime", "l2"])
def test_what_rests_on_few_explanations_is_drawn_last_and_marked(kind):
    importance = nlf.aggregate(rare(), feature_names=list("abcd")).importance(kind)
    ax = plotting.bars(importance)
    assert shown(ax) == ["d", "a", "b*"]
    assert widths(ax) == importance.values[[3, 0, 1]].tolist()
    assert ax.get_ylabel() == "3 of 4 features\n* few explanations use it; listed last"
    check_readable(ax.figure)
    ax = plotting.bars(replace(importance, min_count=1))
    assert sorted(shown(ax)) == ["a", "b", "d"]
    assert ax.get_ylabel() == "3 of 4 features"


def test_what_rests_on_few_explanations_of_every_group_is_drawn_last():
    W = np.concatenate([rare(), rare()])
    W[20:, 1] = 9.0
    groups, names = np.repeat(["x", "y"], 20), list("abcd")
    importance = nlf.aggregate(W, groups, feature_names=names).importance("mean")
    for axes in (plotting.group_bars(importance)[0], plotting.heatmap(importance)):
        assert shown(axes) == ["b", "d", "a"]  # many of y use b
    own = plotting.group_bars(importance, features="own")
    assert [shown(ax) for ax in own] == [["d", "a", "b*"], ["b", "d", "a"]]
    only = nlf.aggregate(rare(), groups[::2], feature_names=names).importance("mean")
    assert only.counts[:, 1].tolist() == [3, 0]
    assert shown(plotting.heatmap(only)) == ["d", "a", "b*"]
    check_readable(own[0].figure)


# --- groups


@pytest.mark.parametrize("features", ["shared", "own"])
@pytest.mark.parametrize("d", D)
def test_group_bars(d, features):
    local = explanations(d, targets=2)
    importance = local.importance("mean", by=np.repeat(["a", "b", "c"], 10), min_count=1)
    axes = plotting.group_bars(importance, 5, features=features)
    assert axes.shape == (3,)
    largest = np.argsort(-np.abs(importance.values).max(axis=0))[:5]
    low, high = importance.interval()
    for g, ax in enumerate(axes):
        columns = largest if features == "shared" else np.argsort(-np.abs(importance.values[g]))[:5]
        assert widths(ax) == importance.values[g, columns].tolist()
        assert shown(ax) == (names(local, columns) if features == "own" or g == 0 else [""] * len(columns))
        for row, ends in error_bars(ax).items():
            assert ends == pytest.approx((low[g, columns[row]], high[g, columns[row]]))
        counts = [label.get_text() for label in ax.child_axes[0].get_yticklabels()]
        assert counts == [str(count) for count in importance.counts[g, columns]]
        assert ax.get_title() == f"{'abc'[g]}\nn = 20"
        assert ax.get_xlim() == axes[0].get_xlim()
        ends = np.array([*widths(ax), 0, *np.ravel(list(error_bars(ax).values()))])
        assert ax.get_xlim()[0] <= ends.min()
        assert ends.max() <= ax.get_xlim()[1]


def test_any_number_of_groups(monkeypatch):
    importance = nlf.aggregate(np.eye(12) + 1, np.arange(12)).importance()
    panels = [plotting.group_bars(importance, 3), plotting.maps(importance, (3, 4))]
    for axes in panels:
        assert [ax.get_title().split("\n")[0] for ax in axes] == [str(g) for g in range(12)]
        assert len(axes[0].figure.axes) == 12 + (axes is panels[1])  # the colour bar; no empty ones
        check_readable(axes[0].figure)
    check_readable(plotting.heatmap(importance).figure)
    monkeypatch.setattr(plotting._common, "MOST_PANELS", 11)
    with pytest.raises(ValueError, match="axes must be given for more than 11 groups, got 12"):
        plotting.group_bars(importance)
    _, grid = plt.subplots(3, 4)
    assert plotting.group_bars(importance, axes=grid).tolist() == grid.ravel().tolist()


@pytest.mark.parametrize(
    "names", [("a", "b", "never", "$x_$"), ("a", "b", *(f"a class of a long name, {k}" for k in range(9)))]
)
def test_targets_without_explanations_are_named(names):
    importance = replace(
        nlf.aggregate(np.eye(3) + 1, ["a", "b", "b"], feature_names=list("xyz")).importance(),
        unexplained_names=names[2:],
    )
    bars, heatmap = plotting.group_bars(importance), plotting.heatmap(importance)
    note = heatmap.get_xlabel().removeprefix("2 groups\n")
    assert bars[0].figure.get_supxlabel().endswith(f"use the feature\n{note}")
    if len(names) == 4:
        assert note == "no explanations of never, $x_$"
    else:
        assert note.split("\n") == [
            "no explanations of a class o… name, 0, a class o… name, 1, a",
            "class o… name, 2 and 6 more",
        ]
    for figure in (bars[0].figure, heatmap.figure):
        check_readable(figure)
    _, own = plt.subplots(1, 2, layout="constrained")
    assert plotting.group_bars(importance, axes=own)[0].get_xlabel().endswith(f"\n{note}")
    named = replace(importance, unexplained_names=())
    assert (
        "no explanations"
        not in plotting.group_bars(named)[0].figure.get_supxlabel() + plotting.heatmap(named).get_xlabel()
    )


def test_axes_that_share_y():
    importance = nlf.aggregate(np.eye(3) + np.array([3, 2, 1]), ["x", "y", "z"]).importance("mean")
    _, row = plt.subplots(1, 4, sharey=True)
    _, three = plt.subplots(1, 3, sharey=True)
    for call in (
        lambda: plotting.bars(nlf.aggregate(np.eye(3)).importance(), ax=row[0]),
        lambda: plotting.heatmap(importance, ax=row[0]),
        lambda: plotting.group_bars(importance, axes=three, features="own"),
        lambda: plotting.group_bars(importance, axes=row[:3]),  # the fourth would get their labels
    ):
        with pytest.raises(ValueError, match=r"^axe?s? must not share y with other axes.*got shared ones$"):
            call()
    assert not any(ax.patches or ax.images for ax in [*row, *three])
    plotting.group_bars(importance, axes=three)
    assert shown(three[0]) == ["feature 0", "feature 1", "feature 2"]
    assert [ax.yaxis.get_tick_params()["labelleft"] for ax in three] == [True, False, False]


def test_a_grid_that_is_asked_for_stays_out_of_images():
    importance = nlf.aggregate(np.eye(2), ["x", "y"]).importance()
    with plt.rc_context({"axes.grid": True}):
        drawn = [plotting.heatmap(importance), *plotting.maps(importance, (1, 2))]
        for ax in drawn:
            ticks = [*ax.xaxis.get_major_ticks(), *ax.yaxis.get_major_ticks()]
            assert not any(tick.gridline.get_visible() for tick in ticks)


@pytest.mark.parametrize("d", D)
@pytest.mark.parametrize("kind", ["normlime", "mean"])
def test_heatmap(kind, d):
    local = explanations(d, targets=2)
    importance = local.importance(kind, by="target", min_count=1)
    ax = plotting.heatmap(importance, 12)
    largest = np.abs(importance.values).max(axis=0)
    columns = np.argsort(-largest, kind="stable")[:12]
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), importance.values.T[columns])
    assert image.get_clim() == (0 if kind == "normlime" else -largest.max(), largest.max())
    assert image.cmap.name == ("cividis" if kind == "normlime" else "RdBu")
    assert shown(ax) == names(local, columns)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1"]
    assert "per unit of z" in ax.figure.axes[1].get_ylabel()


@pytest.mark.parametrize(("d", "shape"), [(3, (1, 3)), (30, (5, 6)), (784, (28, 28))])
def test_maps(d, shape):
    local = explanations(d, targets=2)
    importance = local.importance("mean", by="target")
    axes = plotting.maps(importance, shape)
    most = np.abs(importance.values).max()
    for ax, values, title in zip(axes, importance.values, "01", strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), values.reshape(shape))
        assert ax.images[0].get_clim() == (-most, most)
        assert ax.get_title() == title
    assert len(axes[0].figure.axes) == 3  # one colour bar
    (single,) = plotting.maps(local.importance(), list(shape))
    assert single.get_title() == ""
    assert single.images[0].get_clim()[0] == 0


def test_maps_of_segments():
    importance = nlf.aggregate([[1.0, 2.0, 3.0]]).importance("sum")
    segments = [[0, 0, 2], [1, 1, 2]]
    (ax,) = plotting.maps(importance, segments=segments)
    assert ax.images[0].get_array().tolist() == [[1, 1, 3], [2, 2, 3]]


@pytest.mark.parametrize(
    "labels", [["$a", "b" * 99], [1, 2], np.array(["2020-01-31", "2020-02-01"], "M8[ns]"), [True, False]]
)
def test_groups_of_any_kind(labels):
    importance = nlf.aggregate(np.eye(2), labels).importance()
    panels = plotting.group_bars(importance), plotting.maps(importance, (1, 2))
    titles = [[ax.get_title().split("\n")[0] for ax in axes] for axes in panels]
    for title, also, group in zip(*titles, importance.groups, strict=True):
        assert title[:8] == also[:8] == str(group)[:8]
        assert len(also) <= len(title) <= 18


def test_values_that_cancel_have_a_scale():
    importance = nlf.aggregate([[1.0, -1.0], [-1.0, 1.0]], ["a", "a"]).importance("sum")
    assert plotting.heatmap(importance).images[0].get_clim() == (-1, 1)
    assert plotting.group_bars(importance)[0].get_xlim()[1] > 0
    local = nlf.LocalExplanations(**{**vars(explanations(2, 2)), "weights": sparse.csr_array([[1.0, -1.0], [-1, 1]])})
    assert widths(plotting.compare_kinds(local, ["sum"])) == [0, 0]
