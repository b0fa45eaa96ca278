"""The comparison of tables, in small: the truth is the truth, and answers and rows are judged as the page says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("polars")

from benchmarks.comparison import tables
from benchmarks.comparison.tables import LIBRARIES, OURS, Cell, Library

SITUATIONS = {one.name: one for one in tables.situations(400)}


def as_pandas(frame):
    return frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame.to_dict(as_series=False))


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_order_is_that_of_the_model(name):
    """Exchanging a column between rows changes the model's output in this order, and not at all for the last one."""
    situation = SITUATIONS[name]
    task = situation.as_it_is
    order = np.random.default_rng(1).permutation(len(task.train))
    output = np.asarray(task.model(task.train), float)
    changes = []
    for column in situation.order:
        columns = list(task.groups.get(column, [column]))
        if isinstance(task.train, pd.DataFrame):
            moved = task.train.assign(**{one: task.train[one].array[order] for one in columns})
        else:
            moved = task.train.with_columns(**{one: task.train[one].to_numpy()[order] for one in columns})
        changes.append(np.abs(np.asarray(task.model(moved), float) - output).mean())
    assert changes[0] > 2 * changes[1] > 0
    assert changes[2] == 0
    assert len(changes) == 3


@pytest.mark.parametrize("name", SITUATIONS)
def test_prepared_tables_say_the_same_and_rows_of_data_are_possible(name):
    situation = SITUATIONS[name]
    for task in filter(None, (situation.as_it_is, situation.prepared)):
        for frame in (task.train, task.rows):
            assert not np.any(task.impossible(as_pandas(frame)))
        if task is situation.prepared:
            np.testing.assert_array_equal(task.model(task.rows), situation.as_it_is.model(situation.as_it_is.rows))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("strings", {"way": "walk"}),
        ("integer codes", {"children": 2.37}),
        ("integer codes", {"children": -1}),
        ("integer codes", {"pclass": 1.5}),
        ("bool", {"cabin": 0.4}),
        ("dates", {"when": pd.Timestamp("2031-01-01")}),
        ("one-hot group", {f"city_{one}": 1 for one in "AB"}),
        ("one-hot group", {f"city_{one}": 0 for one in "ABCDEFGH"}),
        ("one-hot group", {f"city_{one}": 1 / 8 for one in "ABCDEFGH"}),
    ],
)
def test_impossible_rows_are_noticed(name, row):
    task = SITUATIONS[name].as_it_is
    assert np.all(task.impossible(task.train[:5].astype(dict.fromkeys(row, object)).assign(**row)))


def library(sizes, rows=None):
    """Give these sizes, and show the model other rows."""

    def explain(task, predict):
        predict(task.rows if rows is None else task.rows.astype(dict.fromkeys(rows, float)).assign(**rows))
        return sizes

    return Library("numpy", explain)


def test_answers_and_rows_are_judged(monkeypatch):
    task, order = SITUATIONS["integer codes"].as_it_is, SITUATIONS["integer codes"].order
    right, wrong = {"pclass": 3.0, "children": 1.0, "noise": 0.5}, {"pclass": 1.0, "children": 3.0, "noise": 0.5}
    gets = "; the model gets a pandas DataFrame"
    sizes = "pclass 3.00, children 1.00, noise 0.50"
    assert tables.tried(library(right), task, order) == Cell("yes", sizes + gets)
    assert tables.tried(library(wrong), task, order).word == "wrong"
    half = {"children": [1.0, 2.5] * 10}
    some = tables.tried(library(right, half), task, order)
    assert some == Cell("yes, 50 % impossible", f"{sizes}{gets} of other dtypes")

    def refuse(task, predict):
        raise ValueError("`children` must be text\nand more")

    refused = Library("numpy", refuse)
    assert tables.tried(refused, task, order) == Cell("refused", "`ValueError: 'children' must be text`")
    monkeypatch.setitem(LIBRARIES, "lime", refused)
    assert tables.cell("lime", SITUATIONS["integer codes"]).word == "refused"
    monkeypatch.setitem(LIBRARIES, "lime", Library("no-such-package-here", refuse))
    assert tables.cell("lime", SITUATIONS["integer codes"]).word == "not installed"


def test_groups_are_added_up_or_taken_as_they_are():
    task, order = SITUATIONS["one-hot group"].as_it_is, SITUATIONS["one-hot group"].order
    columns = {f"city_{one}": 0.1 for one in "ABCDEFGH"}
    assert tables.tried(library({**columns, "age": 0.7, "noise": 0.0}), task, order).word == "yes"
    assert tables.tried(library({**columns, "age": 0.9, "noise": 0.0}), task, order).word == "wrong"
    assert tables.tried(library({"city": 0.8, "age": 0.7, "noise": 0.0}), task, order).word == "yes"


def test_lime_is_asked_as_it_is_and_as_its_docs_say():
    pytest.importorskip("lime")
    found = tables.cell("lime", SITUATIONS["integer codes"])
    assert found.word == "wrong, 100 % impossible; named: yes"


def test_page_leaves_ours_empty_if_it_was_not_tried():
    some = list(SITUATIONS.values())
    measured = {
        one.name: dict.fromkeys([name for name in LIBRARIES if name != OURS], Cell("yes", "so")) for one in some
    }
    page = tables.report(some, measured)
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in map(row_cells, page.splitlines()) if cells
    }
    assert rows[f"**{OURS}**"] == [""] * len(some)
    assert rows["lime"] == ["yes"] * len(some)
    assert all(f"## {one.name}\n" in page for one in some)


def row_cells(line):
    return line.split("|") if line.startswith("|") else []


def test_the_docs_have_the_table_of_the_page():
    docs = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    page = Path(tables.__file__).with_name("TABLES.md").read_text(encoding="utf-8").splitlines()
    section = docs[docs.index("## What other libraries do") :]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert set(lines) <= set(page)
    assert len(lines) == 2 + len(LIBRARIES)
