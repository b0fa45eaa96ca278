"""The command explain takes tables as they are: missing values, text, integers, dates; it says so, and can be told."""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import export, run
from numpy.testing import assert_allclose, assert_array_equal

import normlime_fast as nlf

MODEL = '''
import numpy as np

seen = []


def score(X):
    """Who survives: whether the age is known matters, and the fare does not."""
    seen.append(X.dtypes)
    return 0.4 * X["age"].isna() + 0.5 * (X["sex"] == "female") - 0.1 * X["class"] + 0.2 * X["deck"].notna()


def missing(X):
    return np.isnan(np.asarray(X, float)).sum(axis=1)
'''


def passengers(n=200):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"class": rng.integers(1, 4, n), "survived": rng.integers(0, 2, n)})
    table["sex"] = rng.choice(["male", "female"], n)
    table["age"] = np.where(rng.random(n) < 0.2, np.nan, rng.integers(1, 80, n))
    table["siblings"] = rng.poisson(3, n)
    table["fare"] = rng.lognormal(3, 1, n).round(2)
    table["deck"] = rng.choice(np.array(["A", "B", None]), n)
    return table


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "ship.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.delitem(sys.modules, "ship", raising=False)
    return tmp_path


def explained(capsys, *options, model="ship:score", data="ship.csv"):
    """The explanations of a command, and what it printed of the columns."""
    command = ["explain", "--model", model, "--data", data, "--samples", 300, "--output", "local.npz", "--force"]
    code, out, err = run(capsys, *command, *options)
    assert (code, out) == (0, ""), err
    told = re.search(r"^columns of .*\n((?:  .*\n)*)", err, re.MULTILINE)
    return nlf.LocalExplanations.load("local.npz"), [line.strip() for line in told[1].splitlines()]


def assert_as_in_python(local, predict, neighborhood, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bins that few of 300 points share
        own = nlf.NormLIME(predict, neighborhood, n_samples=300, rng=0).explain(X)
    assert_array_equal(local.weights.toarray(), own.weights.toarray())
    assert_array_equal(local.prediction, own.prediction)
    assert_array_equal(local.sample_set, own.sample_set)
    assert local.feature_names == own.feature_names


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "feather", "arrow"])
def test_table_as_it_is(here, capsys, suffix):
    """The file, through one call in Python, gives the same; the model gets what pandas reads."""
    file, table = f"ship.{suffix}", passengers()
    write = {"parquet": table.to_parquet, "feather": table.to_feather, "arrow": table.to_feather}
    write[suffix](file) if suffix in write else table.to_csv(file, index=False)
    read = {"parquet": pd.read_parquet, "feather": pd.read_feather, "arrow": pd.read_feather}.get(suffix, pd.read_csv)
    X = read(file).drop(columns="survived")
    local, told = explained(capsys, "--label", "survived", data=file)
    from ship import score, seen

    assert all(dtypes.equals(X.dtypes) for dtypes in seen)
    assert_as_in_python(local, score, X, X)
    assert [line.split()[:2] for line in told] == [
        ["class", "category"],
        ["sex", "category"],
        ["age", "integer"],
        ["siblings", "integer"],
        ["fare", "number"],
        ["deck", "category"],
    ]
    assert told[1] == "sex       category  text; 2 values"
    assert told[2].endswith(f"; {X['age'].isna().mean():.1%} missing")
    values = dict(zip(local.feature_names, local.importance("mean_abs", of="contributions").values, strict=True))
    assert min(values[name] for name in ("class", "sex", "age", "deck")) > 2 * max(values["siblings"], values["fare"])


def test_stream_of_arrow(here, capsys):
    import pyarrow

    table = pyarrow.Table.from_pandas(passengers())
    with pyarrow.OSFile("ship.arrow", "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    local, _ = explained(capsys, data="ship.arrow")
    passengers().to_feather("ship.feather")
    assert_array_equal(local.weights.toarray(), explained(capsys, data="ship.feather")[0].weights.toarray())


@pytest.mark.parametrize("neighborhood", ["gaussian", "pool", "binned"])
def test_kinds_are_overridden(here, capsys, neighborhood):
    table = passengers()
    table.to_csv("ship.csv", index=False)
    X = pd.read_csv("ship.csv")
    options = ["--neighborhood", neighborhood, "--numeric", "class,survived", "--categorical", "siblings"]
    local, told = explained(capsys, *options, "--limit", 20)
    assert [line.split()[1] for line in told] == [
        "integer",
        "integer",
        "category",
        "integer",
        "category",
        "number",
        "category",
    ]
    assert "named in numeric" in told[0]
    assert "named in categorical" in told[4]
    from ship import score

    make = getattr(nlf, neighborhood.title()).from_data
    assert_as_in_python(local, score, make(X, numeric=["class", "survived"], categorical=["siblings"]), X[:20])


def test_columns_of_other_dtypes(here, capsys):
    """Dates, bools and integers with missing values, and categories; dates of a CSV file are text."""
    n = 60
    table = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=n), "flag": [True, False, None] * (n // 3)})
    table["count"] = pd.array([*range(n - 1), None], "Int64")
    table["level"] = pd.Categorical(["low", "high"] * (n // 2), ["low", "middle", "high"])
    table.loc[3, "day"] = pd.NaT
    (here / "days.py").write_text("def f(X): return 1.0 * X['day'].isna() + 2.0 * X['count'].isna()\n")
    table.to_parquet("days.parquet")
    assert [line.split()[1] for line in explained(capsys, model="days:f", data="days.parquet")[1]] == [
        "date",
        "category",
        "integer",
        "category",
    ]
    table.to_csv("days.csv", index=False)
    kinds = [line.split()[1] for line in explained(capsys, model="days:f", data="days.csv")[1]]
    assert kinds == ["category", "category", "integer", "category"]


def test_many_columns_are_summarized(here, capsys):
    X = np.random.default_rng(0).normal(size=(20, 33))
    X[3, 32] = np.nan
    pd.DataFrame(X).add_prefix("c").to_csv("X.csv", index=False)
    _, told = explained(capsys, model="ship:missing", data="X.csv")
    assert [line.split()[0] for line in told[:-1]] == [f"c{j}" for j in range(30)]
    assert told[-1] == "and 3 more; of all, 33 numbers; 1 with missing values"


def test_array_with_missing_values(here, capsys):
    """Columns have the positions that they have in the file, also if others are left out."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[::4, 2] = np.nan
    np.save("X.npy", X)
    local, told = explained(capsys, "--drop", 0, model="ship:missing", data="X.npy")
    assert [line.split()[0] for line in told] == ["1", "2"]
    assert told[1].endswith("; 25.0% missing")
    assert_array_equal(local.prediction, np.isnan(X[:, 2]))
    assert_allclose(local.weights.toarray()[::4], np.tile([0.0, 1.0], (10, 1)), atol=1e-9)


def test_columns_that_are_empty_in_one_of_two_files(here, capsys):
    """pandas reads them as numbers; the other file tells that they are text."""
    table = passengers()
    table.to_csv("ship.csv", index=False)
    one = table[:1].assign(deck=None, sex="male")
    one.to_csv("one.csv", index=False)
    local, _ = explained(capsys, "--background", "ship.csv", data="one.csv")
    from ship import score

    assert_array_equal(local.prediction, score(one))
    table.assign(deck=None).to_csv("empty.csv", index=False)
    local, _ = explained(capsys, "--background", "empty.csv")
    assert_array_equal(local.prediction, score(pd.read_csv("ship.csv")))


@pytest.mark.parametrize("text", ["nan", "None", ""])
def test_missing_values_of_onnx_models(here, capsys, text):
    """skl2onnx writes NaN and None among the categories of an encoder as text; numbers may be NaN."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    table = passengers()[["age", "deck"]].astype({"deck": object})
    table.to_csv("X.csv", index=False)
    fill = {"nan": np.nan, "None": None, "": ""}[text]
    decks = [fill if pd.isna(deck) else deck for deck in table["deck"]]
    X = table.assign(deck=pd.Series(decks, dtype=object))
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("deck", encode, ["deck"]), ("age", SimpleImputer(), ["age"])])
    y = table["deck"].isna() ^ (table["age"] > 60)
    model = make_pipeline(columns, LogisticRegression()).fit(X, y)
    types = [("age", FloatTensorType([None, 1])), ("deck", StringTensorType([None, 1]))]
    export(model, None, here / "model.onnx", initial_types=types, options={"zipmap": False})
    options = ["--missing-text", text, "--targets", 1, "--checkpoint", "run"]
    local, _ = explained(capsys, *options, model="model.onnx", data="X.csv")
    # float32 against float64: sums of few terms
    assert_allclose(local.prediction, model.predict_proba(X)[:, 1], rtol=0, atol=1e-5)
    command = ["explain", "--model", "model.onnx", "--data", "X.csv", "--output", "other.npz", *options]
    code, _, err = run(capsys, *command[:7], "--samples", 300, *command[7:], "--missing-text", "other")
    assert code == 2
    assert f"--checkpoint run was begun with --missing-text {text}, got other; use the same" in err


@pytest.mark.parametrize("inputs", ["ab", "X"], ids=["columns", "matrix"])
def test_missing_numbers_of_onnx_models(here, capsys, inputs):
    """An input of floats gets NaN, also for missing values of dtypes that pandas makes objects of."""
    from onnx import TensorProto, helper

    def of(name, width):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])

    nodes = [
        helper.make_node("Concat", list(inputs), ["all"], axis=1),
        helper.make_node("IsNaN", ["all"], ["are"]),
        helper.make_node("Cast", ["are"], ["flags"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["flags", "two"], ["y"]),
    ]
    two = helper.make_tensor("two", TensorProto.FLOAT, [2, 1], [1.0, 2.0])
    graph = helper.make_graph(nodes, "g", [of(name, 3 - len(inputs)) for name in inputs], [of("y", 1)], [two])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    Path("model.onnx").write_bytes(made.SerializeToString())
    table = pd.DataFrame(
        {"a": pd.array([None, *range(29)], "Int64"), "b": pd.array([True, False, None] * 10, "boolean")}
    )
    table.to_parquet("X.parquet")
    local, _ = explained(capsys, model="model.onnx", data="X.parquet")
    assert_array_equal(local.prediction, table["a"].isna() + 2.0 * table["b"].isna())
