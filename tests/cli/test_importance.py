"""The command importance: tables, JSON, CSV and pictures of a file of explanations."""

import csv
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import run
from scipy.sparse import csr_array

import normlime_fast as nlf
from normlime_fast._cli.main import main


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Explanations of two classes, in local.npz here, with a feature name that nobody wants on a terminal."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=["a\n\x1b[31m", "b" * 70, "\u540d\u524d"])
    explainer = nlf.NormLIME(
        lambda X: np.stack([X.iloc[:, 0] + X.iloc[:, 2] ** 2, 2 * X.iloc[:, 1]], axis=1),
        nlf.Gaussian.from_data(X),
        n_features=2,
        n_samples=100,
        rng=0,
    )
    monkeypatch.chdir(tmp_path)
    local = explainer.explain(X)
    local.save("local.npz")
    return local


def test_importance_as_a_table(local, capsys):
    code, out, err = run(capsys, "importance", "local.npz", "--by", "target", "--kind", "mean_abs", "--top", 2)
    assert (code, err) == (0, "")
    expected = local.importance("mean_abs", "target")
    blocks = [block.splitlines() for block in out.strip("\n").split("\n\n")]
    assert len(blocks) == 2
    for group, (title, header, *lines) in enumerate(blocks):
        assert title == f"target {group}: mean_abs, of {expected.explanations[group]} explanations"
        assert header.split() == ["feature", "mean_abs", "stderr", "count"]
        best = [row for row in expected.top(2) if row.group == group]
        assert [line.split()[1:] for line in lines] == [
            [f"{row.value:.4g}", f"{row.stderr:.4g}", str(row.count)] for row in best
        ]
        # a Chinese character takes two places
        assert len({len(line) + sum(c > "\u4e00" for c in line) for line in (header, *lines)}) == 1
    assert "a \\x1b" not in out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert f"{'b' * 57}..." in run(capsys, "importance", "local.npz", "--top", "all")[1]


def test_explanations_without_features_are_a_result(local, capsys):
    """An empty table is printed, not an error."""
    code, out, err = run(capsys, "importance", "local.npz", "--min-count", 99)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == ["feature", "normlime", "stderr", "count"]
    assert len(out.splitlines()) == 2
    code, out, _ = run(capsys, "importance", "local.npz", "--min-count", 99, "--json")
    assert json.loads(out)["groups"][0]["features"] == []


def test_importance_as_json(local, capsys):
    code, out, err = run(
        capsys, "importance", "local.npz", "--by", "target", "--sign", "positive", "--json", "--top", 1
    )
    assert (code, err) == (0, "")
    parsed = json.loads(out, parse_constant=pytest.fail)
    expected = local.importance(by="target", sign="positive")
    assert (parsed["kind"], parsed["sign"], parsed["min_count"]) == ("normlime", "positive", 1)
    assert [group["explanations"] for group in parsed["groups"]] == expected.explanations.tolist()
    best = [group["features"][0] for group in parsed["groups"]]
    assert [tuple(one.values()) for one in best] == [row[1:] for row in expected.top(1)]


@pytest.mark.parametrize("by", [[], ["--by", "target"]])
@pytest.mark.parametrize("kind", ["normlime", "l2"])
def test_importance_as_csv(local, capsys, by, kind):
    command = ["importance", "local.npz", *by, "--kind", kind, "--min-count", 3, "--top", "all", "--csv"]
    code, out, err = run(capsys, *command)
    assert (code, err) == (0, "")
    header, *rows = csv.reader(io.StringIO(out, newline=""))
    assert header == [*["group"][: len(by)], "feature", "value", "count", "stderr"]
    expected = local.importance(kind, "target" if by else None, min_count=3).top(3)
    text = [["" if entry is None else str(entry) for entry in row[0 if by else 1 :]] for row in expected]
    assert rows == text


FORMULAS = ["\r", "\n", "\r\n", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"]
HOSTILE = [*FORMULAS, "a\rb", "a\r", "a\nb", "a\r\nb", '"', 'a"b', ",", "", " ", "'", "'=1", "NA", "1.0", "\0", "\x85"]
HOSTILE += ["\u2028", "\ufeff", "#", "a\\b", "1;=1"]


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """Explanations whose features and targets have names that a CSV file may lose, in local.npz here."""
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(len(HOSTILE), len(HOSTILE)))
    explainer = nlf.NormLIME(lambda X: -X, nlf.Gaussian(1.0), n_features=None, n_samples=99, targets="all", rng=0)
    local = dataclasses.replace(explainer.explain(X), feature_names=tuple(HOSTILE), target_names=tuple(HOSTILE))
    local.save("local.npz")
    return local


def printed(monkeypatch, *arguments):
    """What a command prints on a stdout like that of Windows, as it arrives in a file, and that in lines."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\r\n")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        assert main(["importance", "local.npz", *arguments]) == 0
        stdout.flush()
    content = stdout.buffer.getvalue()
    return content, list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


@pytest.mark.parametrize("by", [[], ["--by", "target"]])
def test_csv_gives_all_names_back(hostile, monkeypatch, by):
    content, (_, *rows) = printed(monkeypatch, *by, "--top", "all", "--csv")
    expected = hostile.importance(by="target" if by else None).top(len(HOSTILE))
    names = [row[0 if by else 1 : 2] for row in expected]
    assert [tuple(row[: len(by) // 2 + 1]) for row in rows] == names
    text = dict.fromkeys(["group", "feature"], str)
    table = pd.read_csv(io.BytesIO(content), dtype=text, keep_default_na=False, na_values={"stderr": [""]})
    assert list(table.iloc[:, : len(by) // 2 + 1].itertuples(index=False, name=None)) == names
    assert table["value"].tolist() == [row.value for row in expected]


@pytest.mark.parametrize("by", [[], ["--by", "target"]])
def test_safe_csv_has_no_formulas(hostile, monkeypatch, by):
    _, exact = printed(monkeypatch, *by, "--sign", "net", "--top", "all", "--csv")
    _, safe = printed(monkeypatch, *by, "--sign", "net", "--top", "all", "--csv-safe")
    names = len(by) // 2 + 1
    assert [row[names:] for row in safe] == [row[names:] for row in exact]  # of which some are negative
    assert any(row[names].startswith("-") for row in safe)
    for row, written in zip(exact, safe, strict=True):
        assert written[:names] == [f"'{name}" if name in FORMULAS else name for name in row[:names]]


@pytest.mark.parametrize("by", [[], ["--by", "target"]])
@pytest.mark.parametrize(("name", "begin"), [("out.png", b"\x89PNG"), ("out.SVG", b"<?xml"), ("out.pdf", b"%PDF")])
def test_importance_as_a_picture(capsys, tmp_path, monkeypatch, by, name, begin):
    monkeypatch.chdir(tmp_path)
    gaussian = nlf.Gaussian.from_data(np.eye(4))
    explainer = nlf.NormLIME(lambda X: X @ np.eye(4)[:, :2], gaussian, n_features=2, n_samples=50, rng=0)
    explainer.explain(np.eye(4)).save("local.npz")
    code, out, err = run(capsys, "importance", "local.npz", *by, "--plot", name)
    assert (code, out, err) == (0, "", f"wrote {name}\n")
    assert Path(name).read_bytes().startswith(begin)
    code, _, err = run(capsys, "importance", "local.npz", *by, "--plot", name)
    assert (code, err) == (2, f"normlime-fast: error: {name} exists; --force overwrites it\n")
    assert run(capsys, "importance", "local.npz", *by, "--plot", name, "--force")[0] == 0


def test_picture_stays_where_the_new_one_cannot_be_written(local, capsys, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    Path("out.png").write_text("old")
    monkeypatch.setattr("os.fsync", full)
    code, _, err = run(capsys, "importance", "local.npz", "--plot", "out.png", "--force")
    assert code == 1
    assert err.splitlines()[-1] == "normlime-fast: error: out.png could not be written: No space left on device"
    assert sorted(path.name for path in Path().iterdir()) == ["local.npz", "out.png"]
    assert Path("out.png").read_text() == "old"


def test_unknown_stderr_is_an_empty_cell(capsys, tmp_path, monkeypatch):
    """Of one explanation there is none, for which NumPy has NaN."""
    monkeypatch.chdir(tmp_path)
    explainer = nlf.NormLIME(lambda X: X[:, 0], nlf.Gaussian(1.0), n_features=1, n_samples=20, rng=0)
    explainer.explain(np.ones((1, 2))).save("local.npz")
    out = run(capsys, "importance", "local.npz", "--csv")[1]
    assert out.splitlines()[1].startswith("0,")
    assert out.splitlines()[1].endswith(",1,")


def test_targets_without_explanations_are_named(tmp_path, capsys):
    explainer = nlf.NormLIME(lambda X: X - [0, 9, 9], nlf.Gaussian(0.1), n_features=1, target_names=["a", "b\n", "c"])
    explainer.explain(np.eye(3)).save(tmp_path / "local.npz")
    code, out, _ = run(capsys, "importance", tmp_path / "local.npz", "--by", "target")
    assert code == 0
    assert out.endswith("\n\nno explanations of b, c\n")
    assert "no explanations" not in run(capsys, "importance", tmp_path / "local.npz")[1]


def test_few_of_many_columns_take_the_memory_of_few(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    local = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=2, rng=0).explain(np.eye(2))
    w, places, d = local.weights, np.array([7, 10**8]), 2**62
    wide = csr_array((w.data, places[w.indices], w.indptr), shape=(2, d))
    replace(local, weights=wide, stderr=None).save("wide.npz")
    best = [(places[row.feature], row.value) for row in local.importance().top()]
    run(capsys, "importance", "wide.npz")  # compiles, which takes more
    tracemalloc.start()
    try:
        found = [run(capsys, "importance", "wide.npz", *option) for option in ([], ["--csv"], ["--json"])]
        refused = run(capsys, "importance", "wide.npz", "--json", "--top", "all")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [code for code, _, _ in found] == [0] * 3
    table, cells, dump = (out for _, out, _ in found)
    assert [line.split()[:2] for line in table.splitlines()[2:]] == [[str(j), f"{value:.4g}"] for j, value in best]
    assert [(int(row["feature"]), float(row["value"])) for row in csv.DictReader(io.StringIO(cells))] == best
    assert [(row["feature"], row["value"]) for row in json.loads(dump)["groups"][0]["features"]] == best
    assert refused[:2] == (2, "")
    assert re.fullmatch(r".*weights must have fewer columns, got 4,611,\S+ \(2 in use\): .* GiB; keep .*\n", refused[2])
    assert peak < 1e8  # a byte for each column would be 4.6e18; most of it is what the first command imports


def test_what_rests_on_few_explanations_is_listed_last(local, capsys):
    weights = csr_array(np.where(np.arange(50)[:, None] < [50, 3, 50], [1.0, 9.0, 2.0], 0.0))
    names = ("a", "b", "c")
    replace(local, weights=weights, contributions=None, stderr=None, feature_names=names).save("few.npz")
    code, out, _ = run(capsys, "importance", "few.npz", "--kind", "sum")
    lines = ["sum, of 50 explanations", "  feature  sum  stderr  count", "  c        100             50"]
    lines += [
        "  a         50             50",
        "  b         27              3*",
        "* few explanations use it; listed last",
    ]
    assert (code, out.splitlines()) == (0, lines)
    for option in ("--csv", "--json"):
        out = run(capsys, "importance", "few.npz", option)[1]
        assert re.findall(r'^(?: *"feature": ")?([abc])\b', out, re.MULTILINE) == ["c", "a", "b"]
    alike = run(capsys, "importance", "few.npz", "--kind", "mean_abs", "--min-count", 1, "--csv")[1]
    assert [row["feature"] for row in csv.DictReader(io.StringIO(alike))] == ["c", "a", "b"]
    alike = run(capsys, "importance", "few.npz", "--min-count", 1)[1]
    assert [line.split()[0] for line in alike.splitlines()[2:]] == ["b", "c", "a"]


def test_groups_of_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X = pd.DataFrame(np.eye(4)[np.arange(40) % 4], columns=["A", "B", "C", "=D"])
    explainer = nlf.NormLIME(lambda X: X @ [0.0, 1.0, 2.0, 4.0], nlf.Binned.from_data(X), n_features=4, rng=0)
    local = explainer.explain(X)
    local.save("local.npz")
    code, out, err = run(
        capsys, "importance", "local.npz", "--group", "x=A", "--group", "y==D", "--group", "x=B", "--json"
    )
    assert (code, err) == (0, "")
    expected = local.grouped({"x": ["A", "B"], "y": ["=D"]}).importance().to_dict(20)
    assert json.loads(out) == json.loads(json.dumps(expected))
    assert [row["feature"] for row in expected["groups"][0]["features"]] == ["y", "C", "x"]
    for group, message in {
        "x=A,b": "error: there is no feature 'b'; did you mean 'B'?\n",
        "x": "--group: must be a name and columns, such as city=city_A,city_B, got 'x'; see normlime-fast importance"
        " --help\n",
        "C=A,B": "error: groups must have names that no other column has, got 'C'\n",
    }.items():
        code, out, err = run(capsys, "importance", "local.npz", "--group", group)
        assert (code, out) == (2, "")
        assert err.endswith(message)


@pytest.mark.parametrize("option", [[], ["--csv"]])
def test_names_on_a_stdout_without_their_letters(local, option):
    """A table has escapes for them; CSV is for a file, in UTF-8 wherever it is written."""
    line = [sys.executable, "-m", "normlime_fast", "importance", "local.npz", *option]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(line, capture_output=True, check=True, env=environment)
    assert done.stderr == b""
    assert ("\u540d".encode() in done.stdout) == bool(option)
    assert (rb"\u540d" in done.stdout) != bool(option)


def test_shrunken_importance(local, capsys):
    code, out, _ = run(capsys, "importance", "local.npz", "--shrink", "--json", "--top", "all")
    assert code == 0
    expected = local.importance(shrink=True)
    assert json.loads(out) == json.loads(json.dumps(expected.to_dict()))
    assert expected.values.tolist() != local.importance().values.tolist()
    code, out, err = run(capsys, "importance", "local.npz", "--shrink", "--kind", "l2")
    assert (code, out) == (2, "")
    assert err.startswith("normlime-fast: error: --shrink ")
    assert err.count("\n") == 1


def test_debias(local, capsys):
    expected = local.importance("mean_abs", debias=True)
    code, out, err = run(capsys, "importance", "local.npz", "--kind", "mean_abs", "--debias")
    assert (code, err) == (0, "")
    assert out.startswith("mean_abs, debiased, of 50 explanations\n")
    assert f"{expected.values.max():.4g}" in out
    code, out, _ = run(capsys, "importance", "local.npz", "--kind", "mean_abs", "--debias", "--json", "--top", "all")
    assert json.loads(out) == expected.to_dict()
    for option, message in (
        (["--kind", "mean"], "error: --debias is for kinds that noise biases, normlime, l2, sp_lime and mean_abs, got"),
        (["--shrink"], "error: --shrink must be False with --debias, got True"),
    ):
        code, out, err = run(capsys, "importance", "local.npz", "--debias", *option)
        assert (code, out) == (2, "")
        assert message in err
    dataclasses.replace(local, stderr=None).save("local.npz")
    code, out, err = run(capsys, "importance", "local.npz", "--debias")
    assert (code, out) == (2, "")
    assert "error: --debias must be False, got True: there are no standard errors of the weights in older files" in err
