import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import normlime_fast as nlf
from normlime_fast._results import display
from normlime_fast._status import Status

NAMES = ("age", "a < b & <script>alert(1)</script>", "$x_1$")
WEIGHTS = [[0.0, 2.0, -3.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.5, 0.25]]


def explanations(**changes):
    n = len(WEIGHTS)
    fields = {
        "weights": csr_array(np.array(WEIGHTS)),
        "intercept": np.arange(n) / 4,
        "r2": np.array([0.9, 0.8, np.nan, 0.4]),
        "prediction": np.array([0.1, 0.2, np.nan, 0.4]),
        "status": np.array([0, 1, Status.MODEL_FAILED, 0]),
        "instance": np.array([7, 7, 8, 3]),
        "target": np.array([0, 1, -1, 1]),
        "effective_samples": np.array([100.0, 100.0, 0.0, np.nan]),
        "feature_names": NAMES,
        "target_names": ("no", "yes"),
    }
    return nlf.LocalExplanations(**fields | changes)


def grouped(labels=("b", "a", "b", "b"), kind="normlime", **options):
    return nlf.aggregate(WEIGHTS, labels, feature_names=NAMES).importance(kind, **options)


def test_long_frame_has_one_row_per_weight():
    frame = explanations().to_frame()
    assert frame.columns.tolist() == ["instance", "target", "feature", "weight"]
    expected = [
        (instance, target, name, weight)
        for instance, target, row in zip([7, 7, 8, 3], ["no", "yes", None, "yes"], WEIGHTS, strict=True)
        for name, weight in zip(NAMES, row, strict=True)
        if weight
    ]
    assert list(frame.itertuples(index=False, name=None)) == expected


def test_wide_frame_holds_the_matrix():
    frame = explanations().to_frame("wide")
    assert frame.to_numpy().tolist() == WEIGHTS
    assert frame.columns.tolist() == list(NAMES)
    assert frame.loc[(7, "yes")].tolist() == WEIGHTS[1]
    unnamed = explanations(feature_names=None, target_names=None).to_frame("wide")
    assert unnamed.columns.tolist() == [0, 1, 2]
    assert unnamed.index.tolist() == [(7, 0), (7, 1), (8, -1), (3, 1)]


def test_frame_of_fits_has_everything_but_the_weights():
    local = explanations()
    frame = local.to_frame("fits")
    assert frame["n_features"].tolist() == [2, 1, 0, 3]
    assert frame["target"].tolist()[:2] == ["no", "yes"]
    for name in ("instance", "intercept", "r2", "prediction", "status", "effective_samples"):
        np.testing.assert_array_equal(frame[name], getattr(local, name))


def test_wide_importance_is_the_long_one_pivoted():
    importance = grouped()
    long, wide = importance.to_frame(), importance.to_frame("wide")
    pivoted = long.pivot(index="group", columns="feature", values="value")[list(NAMES)]
    pd.testing.assert_frame_equal(wide, pivoted, check_names=False)
    overall = nlf.aggregate(WEIGHTS).importance("l2")
    assert overall.to_frame("wide").loc["l2"].tolist() == overall.values.tolist()


def test_features_of_one_name_stay_apart():
    names = ("same", "same", "other")
    assert explanations(feature_names=names).to_frame("wide").to_numpy().tolist() == WEIGHTS
    assert nlf.aggregate(WEIGHTS, feature_names=names).importance().to_frame("wide").shape == (1, 3)


@pytest.mark.parametrize("result", [explanations(), grouped()], ids=["local", "importance"])
@pytest.mark.parametrize("layout", ["deep", None, ["long"]])
def test_other_layouts_are_refused(result, layout):
    with pytest.raises(ValueError, match=r"^layout must be one of long, wide.*, got "):
        result.to_frame(layout)


def test_frames_need_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for result in (explanations(), grouped()):
        with pytest.raises(ImportError, match=r"^to_frame needs pandas; install it with: pip install pandas$"):
            result.to_frame()


def as_json(result):
    return json.loads(json.dumps(result, allow_nan=False))


def test_dict_of_explanations_is_json():
    found = as_json(explanations().to_dict())
    assert found["columns"] == 3
    first, _, failed, last = found["explanations"]
    assert first["weights"] == [{"feature": NAMES[2], "weight": -3.0}, {"feature": NAMES[1], "weight": 2.0}]
    assert (first["instance"], first["target"], first["status"]) == (7, "no", 0)
    assert (failed["r2"], failed["prediction"], failed["target"], failed["weights"]) == (None, None, None, [])
    assert last["effective_samples"] is None
    assert [one["weight"] for one in last["weights"]] == [-1.0, 0.5, 0.25]
    assert as_json(explanations(feature_names=None).to_dict())["explanations"][1]["weights"][0]["feature"] == 0


@pytest.mark.parametrize("kind", ["normlime", "l2"])
def test_dict_of_an_importance_is_json(kind):
    importance = grouped(kind=kind)
    found = as_json(importance.to_dict())
    assert (found["kind"], found["sign"], found["min_count"]) == (kind, "absolute", 1)
    assert [(one["group"], one["explanations"]) for one in found["groups"]] == [("a", 1), ("b", 3)]
    for g, group in enumerate(found["groups"]):
        assert [one["feature"] for one in group["features"]] == list(NAMES)
        assert [one["value"] for one in group["features"]] == importance.values[g].tolist()
        assert [one["count"] for one in group["features"]] == importance.counts[g].tolist()
        errors = [None] * 3 if importance.stderr is None else importance.stderr[g].tolist()
        assert [one["stderr"] for one in group["features"]] == [None if e is None or e != e else e for e in errors]


def test_dict_of_the_top_features():
    importance = grouped()
    found = as_json(importance.to_dict(2))["groups"]
    top = importance.top(2)
    assert [(g["group"], f["feature"], f["value"]) for g in found for f in g["features"]] == [
        (row.group, row.feature, row.value) for row in top
    ]
    assert [len(group["features"]) for group in found] == [1, 2]  # of "a" one feature is used
    with pytest.raises(ValueError, match=r"^k must be at least 1, got 0$"):
        importance.to_dict(0)


@pytest.mark.parametrize("unit", ["D", "ns"])
def test_dates_are_labels(unit):
    days = np.array(["2026-01-02", "2026-01-03", "2026-01-03", "2026-01-03"], f"datetime64[{unit}]")
    groups = as_json(grouped(days).to_dict(1))["groups"]
    assert [group["group"][:10] for group in groups] == ["2026-01-02", "2026-01-03"]
    assert [len(group["features"]) for group in groups] == [1, 1]
    assert "2026-01-02" in repr(grouped(days))


def test_reprs_say_what_one_has():
    line = "4 explanations of 3 instances, 3 features (2.0 used on average), mean R^2 0.700, status 0: 2, 1: 1, 6: 1"
    assert repr(explanations()) == f"<LocalExplanations: {line}>"
    statistics = nlf.aggregate(WEIGHTS, ["b", "a", "b", "b"])
    assert repr(statistics) == "<ImportanceStatistics: 4 explanations, 3 features, 2 groups (a, b)>"
    expected = "mean, 4 explanations, 3 features, 2 groups (a, b); first a: column 0 (1), b: column 2 (-0.917)"
    assert repr(statistics.importance("mean")) == f"<Importance: {expected}>"
    one = nlf.aggregate([[0.0, -2.0]], feature_names=["x", "y\nz"]).importance("sum")
    assert repr(one) == "<Importance: sum, 1 explanation, 2 features; first y z (-2)>"
    none = nlf.aggregate([[0.0]]).importance()
    assert repr(none).endswith("1 explanation, 1 feature; first none, since no feature is used by 1 explanation>")
    hidden = statistics.importance(min_count=3, sign="net")
    assert "normlime, net, min_count 3, 4 explanations" in repr(hidden)
    assert repr(hidden).endswith("first none, since no feature is used by 3 explanations>")


class Table(HTMLParser):
    """Cells of the rows, widths and colours of the bars, and all tags, as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.bars = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "div":
            style = dict(attrs)["style"]
            self.bars.append((float(re.search(r"width:([\d.]+)em", style)[1]), style.split("background:")[1]))

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_html_shows_names_as_they_are():
    table = Table(explanations()._repr_html_())
    assert set(table.tags) == {"p", "table", "thead", "tbody", "tr", "th", "td", "div", "caption"}  # no script
    assert [row[0] for row in table.rows[1:]] == [best.feature for best in explanations().importance().top(10)]
    assert NAMES[1] in [row[0] for row in table.rows]


def test_every_group_has_its_own_rows_where_labels_are_equal():
    importance = replace(grouped(), groups=np.array(["same", "same"]))
    assert [len(group["features"]) for group in importance.to_dict(2)["groups"]] == [1, 2]


def test_equal_target_names_are_no_labels():
    local = explanations(target_names=("same", "same"))
    assert local.importance(by="target").groups.tolist() == [0, 1]
    assert local.to_frame()["target"].tolist() == [0, 0, 1, 1, 1, 1]


def test_bars_are_as_long_as_the_values():
    importance = nlf.aggregate(WEIGHTS, feature_names=NAMES).importance("sum")
    table, best = Table(importance._repr_html_()), importance.top(10)
    widths, colours = zip(*table.bars, strict=True)
    np.testing.assert_allclose(widths, [8 * abs(b.value) / abs(best[0].value) for b in best], atol=0.005)  # 2 digits
    assert colours == tuple(display.COLOURS[b.value < 0] for b in best)


def test_what_rests_on_few_explanations_is_last_and_marked_in_html():
    W = np.zeros((20, 4))
    W[:, 0], W[:3, 1], W[:, 3] = 1.0, 9.0, -2.0
    importance = nlf.aggregate(W, feature_names=list("abcd")).importance("l2")
    text = importance._repr_html_()
    assert [(row[0], row[-1]) for row in Table(text.partition("</table>")[0]).rows[1:]] == [
        ("d", "20"),
        ("a", "20"),
        ("b", "3*"),
    ]
    assert text.endswith("</table>\n<p>* few explanations use it; listed last</p>")
    assert repr(importance).endswith("first d (8.94), a (4.47), b (15.6)>")
    alike = nlf.aggregate(W, feature_names=list("abcd")).importance("l2", min_count=1)
    assert [(row[0], row[-1]) for row in Table(alike._repr_html_()).rows[1:]] == [("b", "3"), ("d", "20"), ("a", "20")]
    assert "few" not in alike._repr_html_()
    assert [row["feature"] for row in importance.to_dict(2)["groups"][0]["features"]] == ["d", "a"]


def test_html_of_many_groups_is_small():
    labels, d = np.arange(30), 50
    importance = nlf.aggregate(np.random.default_rng(0).normal(size=(30, d)), labels).importance()
    text = importance._repr_html_()
    table = Table(text)
    assert len(table.rows) == 1 + display.HTML_ROWS * display.HTML_ROWS_A_GROUP
    assert [row[0] for row in table.rows[1:]] == [str(label) for label in range(10) for _ in range(3)]
    assert text.endswith("<p>and 20 groups more</p>")
    short = nlf.aggregate(np.eye(25), labels[:25]).importance()._repr_html_()  # with a row for each group
    assert len(Table(short).rows) == 11
    assert short.endswith("<p>and 15 groups more</p>")


def test_html_of_nothing_is_a_line():
    known = np.array([0, 1, 3])
    local = explanations()
    nothing = replace(
        local,
        weights=csr_array((4, 3)),
        status=np.full(4, Status.MODEL_FAILED),
        r2=np.full(4, np.nan),
        target=np.full(4, -1),
    )
    assert nothing._repr_html_() == "<p>LocalExplanations: 4 explanations of 3 instances, 3 features, status 6: 4</p>"
    unused = replace(
        local, weights=csr_array((4, 3)), status=np.where(np.isin(np.arange(4), known), 2, Status.MODEL_FAILED)
    )
    assert "<table>" not in unused._repr_html_()
    assert "<table>" in local._repr_html_()


@pytest.mark.parametrize("label", ["red\x1b[31m", np.str_("red\x1b[31m")])
def test_names_and_labels_do_not_move_or_colour_the_terminal(label):
    name = "a\x1b[2J\rb\u202ec\n"
    labels = np.array([label] * 4, object)
    result = nlf.aggregate(WEIGHTS, labels, feature_names=[name] * 3).importance()
    local = explanations(feature_names=(name,) * 3, target_names=(label, "x"))
    said = [repr(result), repr(replace(result, groups=np.array(["\x07\n"]))), repr(local)]
    assert "red\\x1b[31m: a\\x1b[2J b\\u202ec" in said[0]
    assert "(\\x07)" in said[1]
    for text in [*said, local._repr_html_().replace("\n", " "), result._repr_html_().replace("\n", " ")]:
        assert text.isprintable()
