"""Bad arguments and input of the commands: one clear line on stderr each, an exit code, and no work done."""

import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import export, onnx_of_columns, people, run, without_columns, write_models

import normlime_fast as nlf
from normlime_fast._cli import errors
from normlime_fast._cli import main as entry

GOOD = {"--model": "nlf_models:linear", "--data": "X.csv", "--output": "local.npz"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Data and models, good and bad."""
    folder = tmp_path_factory.mktemp("files")
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 3.0, 2.0, 2.5]})
    X.to_csv(folder / "X.csv", index=False)
    people().to_csv(folder / "people.csv", index=False)
    X.assign(day=pd.Timestamp("2026-11-22")).to_parquet(folder / "day.parquet")
    X.to_feather(folder / "X.feather")
    np.save(folder / "X.npy", X.to_numpy())
    np.save(folder / "three.npy", np.zeros((4, 3)))
    np.save(folder / "objects.npy", np.array([{}, 1], object))
    np.save(folder / "line.npy", np.arange(3.0))
    np.save(folder / "text.npy", np.array([["a", "b"]]))
    np.save(folder / "infinite.npy", np.array([[1.0, np.inf], [2.0, 1.0]]))
    with (folder / "several.npy").open("wb") as file:
        np.savez(file, a=np.eye(2))
    zipped = (folder / "several.npy").read_bytes()
    np.save(folder / "number.npy", np.float64(3.0))
    np.save(folder / "no_rows.npy", np.zeros((0, 2)))
    for name, content in {
        "nothing.npy": b"",
        "cut_zip.npy": zipped[:60],
        "cut_array.npy": (folder / "X.npy").read_bytes()[:100],
        "large.npy": _header("(9223372036854775808, 2)"),
        "overflow.npy": _header("(3037000500, 3037000500)"),
        "bool.npy": _header("(True, 2)"),
        "open.npy": _header("("),
    }.items():
        (folder / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, that older releases do not read it
        np.save(folder / "fields.npy", np.zeros((3, 2), [("\u540d", "f8"), ("b", "i4")]))
    for name, content in {
        "ragged.csv": "a,b\n1,2\n3,4,5\n",
        "huge.csv": "a,b\n1,2\n3,-1e300\n",
        "one.csv": "a,b\n1,2\n",
        "targets.csv": "a,b\n9,2\n",
        "texts.csv": "a,b\n1,x\n2,y\n",
        "semicolons.csv": "a;b\n1;2\n",
        "tabs.csv": "a\tb\n1\t2\n",
        "longer.csv": "a,b\n1,2,3\n3,4,5\n",
        "nan.csv": "a,b\n1,NaN\n3,4\n",
        "infinite.csv": "a,b\n1,2\n3,-inf\n",
        "twice.csv": "a,b,a\n1,2,3\n",
        "header.csv": "a,b\n",
        "empty.csv": "",
        "X.txt": "a,b\n1,2\n",
        "bad.onnx": "no model",
        "bad.parquet": "no table",
        "bad.feather": "ARROW1 but no more",
        "bad.arrow": "no stream",
        "garbage.npy": "no array",
        "model.pkl": "",
        "broken_module.py": "import nowhere_to_be_found\n",
        "closing_module.py": "raise SystemExit('bye')\n",
        "local.pth.npz": "no explanations",
        "there.npz": "",
    }.items():
        (folder / name).write_text(content)
    (folder / "latin.csv").write_bytes("a,b\n1,\xe9t\xe9\n".encode("latin-1"))
    (folder / "wide.csv").write_text("a,b\n1,2\n", encoding="utf-16")
    (folder / "bad.csv.gz").write_bytes(b"no gzip")
    (folder / "folder.npz").mkdir()
    nlf.NormLIME(lambda X: X[:, 0], nlf.Gaussian(1.0), n_features=1, n_samples=20, rng=0).explain(np.eye(2)).save(
        folder / "good.npz"
    )
    _export(folder)
    return folder


def _header(shape):
    """An npy file of 16 bytes that claims to have this shape."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text.encode() + bytes(16)


def _export(folder):
    """A model of two numbers, one of age and work, and one that returns only labels."""
    from onnx import TensorProto, helper
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    export(LinearRegression().fit(np.eye(2), [0.0, 1.0]), np.eye(2, dtype=np.float32), folder / "two.onnx")
    encode = ColumnTransformer([("work", OneHotEncoder(sparse_output=False), ["work"])], remainder="passthrough")
    table = people().astype({"age": "float32"})
    model = make_pipeline(encode, LogisticRegression()).fit(table, table["age"] > 40)
    export(model, table[:1], folder / "people.onnx", options={"zipmap": False})
    kinds = {"labels": TensorProto.INT64, "image": TensorProto.FLOAT}
    for name, kind in kinds.items():
        shape = [None, 2] if name == "labels" else [None, 3, 8, 8]
        given = helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)
        taken = helper.make_tensor_value_info("y", kind, shape)
        node = helper.make_node("Cast", ["X"], ["y"], to=kind)
        graph = helper.make_graph([node], name, [given], [taken])
        _write_graph(folder, graph)
    # graphs whose outputs have no rows, or not one for each row of the input
    x, x3 = (helper.make_tensor_value_info("X", TensorProto.FLOAT, [n, 2]) for n in (None, 3))
    y, number = (helper.make_tensor_value_info("y", TensorProto.FLOAT, shape) for shape in ([4], []))
    four = helper.make_tensor("four", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0])
    constant = helper.make_node("Constant", [], ["y"], value=four)
    total = helper.make_node("ReduceSum", ["X"], ["y"], keepdims=0)
    for name, node, inputs, outputs in [
        ("no_inputs", constant, [], [y]),
        ("no_outputs", helper.make_node("Identity", ["X"], ["y"]), [x], []),
        ("constant", constant, [x], [y]),
        ("total", total, [x], [number]),
        ("total_of_3", total, [x3], [number]),
        ("constant_of_3", constant, [x3], [y]),
    ]:
        _write_graph(folder, helper.make_graph([node], name, inputs, outputs))


def _write_graph(folder, graph):
    from onnx import helper

    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / f"{graph.name}.onnx").write_bytes(made.SerializeToString())


@pytest.fixture
def here(files, monkeypatch):
    write_models(files, monkeypatch)
    (files / "local.npz").unlink(missing_ok=True)  # of a test that failed
    return files


def refused(capsys, *arguments, code=2):
    """The one line with which a command ends that prints nothing else, and leaves no files."""
    before = sorted(Path().iterdir())
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert sorted(path for path in Path().iterdir() if path.name != "__pycache__") == [
        path for path in before if path.name != "__pycache__"
    ]
    err = without_columns(err)
    assert err.startswith("normlime-fast: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.removeprefix("normlime-fast: error: ").rstrip("\n")


def explain(**changes):
    """A good command except for some options."""
    options = GOOD | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return ["explain", *(str(part) for option in options.items() for part in option)]


EXPLAIN = [
    # the model
    ({"model": "nowhere.onnx"}, "there is no file nowhere.onnx"),
    ({"model": "bad.onnx"}, "bad.onnx is not an ONNX model that onnxruntime "),
    ({"model": "folder.npz"}, "--model must be an ONNX file (*.onnx) or module:function, got folder.npz"),
    ({"model": "X.txt"}, "--model must be an ONNX file (*.onnx) or module:function, got X.txt"),
    (
        {"model": "model.pkl"},
        "model.pkl looks like a pickle, and loading a pickle runs any code that its author put in: export",
    ),
    (
        {"model": "m.joblib"},
        "m.joblib looks like a pickle, and loading a pickle runs any code that its author put in: export",
    ),
    ({"model": "nlf_nowhere:f"}, "--model: module nlf_nowhere is neither in the current folder nor installed"),
    (
        {"model": "nlf_models.py:f"},
        "--model: module nlf_models.py is neither in the current folder nor installed; write nlf_models:f, without",
    ),
    ({"model": "a/b:f"}, "--model must be an ONNX file (*.onnx) or module:function, such as models:predict, got a/b:f"),
    ({"model": "nlf_models:"}, "--model must be an ONNX file (*.onnx) or module:function, such as models:predict,"),
    (
        {"model": "nlf_models:nothing"},
        "--model: nlf_models:nothing does not exist: no 'nothing' in <module 'nlf_models'",
    ),
    ({"model": "nlf_models:number"}, "--model: nlf_models:number must be a function, got type float"),
    (
        {"model": "nlf_models:model"},
        "--model: nlf_models:model must be a function, got type Model; choose a method, such as"
        " nlf_models:model.predict_proba",
    ),
    ({"model": "broken_module:f"}, "--model: importing broken_module raised ModuleNotFoundError: No module named"),
    ({"model": "closing_module:f"}, "--model: importing closing_module raised SystemExit: bye"),
    ({"output_name": "y"}, "--output-name is for ONNX files; a function returns its outputs itself"),
    ({"model": "two.onnx", "output_name": "z"}, "--output-name must be an output of numbers: 'variable', got 'z'"),
    (
        {"model": "labels.onnx"},
        "labels.onnx returns no probabilities or other floats, but 'y': export it with its prob",
    ),
    (
        {"model": "image.onnx"},
        "image.onnx must take tables of numbers or text, but its input 'X' is a tensor(float) of",
    ),
    ({"model": "no_inputs.onnx"}, "no_inputs.onnx must take a table, but has no inputs; its output does not depend on"),
    ({"model": "no_outputs.onnx"}, "no_outputs.onnx has no outputs$"),
    *(
        (
            {"model": f"{name}.onnx"},
            f"X.csv: the model raised ValueError: {name}.onnx must return one row of outputs for",
        )
        for name in ("constant", "total", "total_of_3", "constant_of_3")
    ),
    # the data
    ({"data": "nowhere.csv"}, "there is no file nowhere.csv"),
    ({"data": "no\n\x1b[31mwhere.csv"}, r"there is no file no \x1b[31mwhere.csv"),
    ({"data": "folder.npz"}, "folder.npz is a folder, not a file"),
    ({"data": "X.txt"}, "X.txt must be a table, *.csv, *.csv.gz, *.parquet, *.feather, *.arrow or *.npy"),
    (
        {"data": "ragged.csv"},
        "ragged.csv is not a CSV file that pandas can read: Error tokenizing data. C error: Expected 2",
    ),
    ({"data": "longer.csv"}, "longer.csv has rows with more cells than its header, which has 2"),
    (
        {"data": "nan.csv"},
        "nan.csv: the model must return finite numbers, got nan for output 0 of a sample around data row 1; 1",
    ),
    *(
        (changes, "column 'b' of infinite.csv has an infinite value in data row 2, counted from 1 without the header")
        for changes in (
            {"data": "infinite.csv"},
            {"data": "infinite.csv", "model": "two.onnx"},
            {"background": "infinite.csv"},
        )
    ),
    (
        {"data": "huge.csv", "model": "two.onnx"},
        "column 'b' of huge.csv has a number larger than 3.4e+38, the largest that the model takes, in data row 2, c",
    ),
    ({"data": "one.csv"}, "one.csv must have more than one row; pass a larger table with --background"),
    ({"data": "semicolons.csv"}, "semicolons.csv has semicolons between its cells: save it as UTF-8 with commas"),
    ({"data": "tabs.csv"}, "tabs.csv has tabs between its cells: save it as UTF-8 with commas"),
    ({"data": "wide.csv"}, "wide.csv is not in UTF-8: "),
    ({"data": "twice.csv"}, "twice.csv has two columns with the name 'a'"),
    ({"data": "header.csv"}, "header.csv has no rows"),
    ({"data": "empty.csv"}, "empty.csv is empty"),
    ({"data": "latin.csv"}, "latin.csv is not in UTF-8: 'utf-8' codec can't decode byte 0xe9"),
    ({"data": "bad.csv.gz"}, "bad.csv.gz is not a CSV file that pandas can read: Not a gzipped file"),
    ({"data": "bad.parquet"}, "bad.parquet is not a Parquet file that pandas can read: "),
    ({"data": "bad.feather"}, "bad.feather is not a Feather or Arrow file that pandas can read: "),
    ({"data": "bad.arrow"}, "bad.arrow is not a Feather or Arrow file that pandas can read: "),
    ({"data": "objects.npy"}, "objects.npy holds Python objects, whose loading may run code; save numbers"),
    ({"data": "garbage.npy"}, "garbage.npy is not an npy file that NumPy can read: the magic string is not correct"),
    (
        {"data": "nothing.npy"},
        "nothing.npy is not an npy file that NumPy can read: EOF: reading magic string, expected",
    ),
    ({"data": "cut_zip.npy"}, "cut_zip.npy is not an npy file that NumPy can read: the magic string is not correct"),
    *(
        ({"data": f"{name}.npy"}, f"{name}.npy is not an npy file that NumPy can read: ")
        for name in ("cut_array", "large", "overflow", "bool", "open")
    ),
    (
        {"data": "several.npy"},
        "several.npy is a zip of arrays (npz), not one array; save the array to explain with numpy.save",
    ),
    ({"data": "number.npy"}, "number.npy must hold one array of rows and columns, got shape ()"),
    ({"data": "no_rows.npy"}, "no_rows.npy has no rows"),
    ({"data": "fields.npy"}, "fields.npy must hold real numbers, got dtype [('\u540d', '<f8'), ('b', '<i4')]"),
    ({"data": "line.npy"}, "line.npy must hold one array of rows and columns, got shape (3,)"),
    ({"data": "text.npy"}, "text.npy must hold real numbers, got dtype <U1"),
    (
        {"data": "infinite.npy", "drop": "0"},
        "column 1 of infinite.npy has an infinite value in data row 1, counted from 1",
    ),
    # columns
    ({"label": "c"}, "--label: X.csv has no column 'c'; it has 'a', 'b'"),
    ({"drop": "a,c"}, "--drop: X.csv has no column 'c'; it has 'a', 'b'"),
    ({"drop": "a,b"}, "no columns of X.csv are left for the model"),
    ({"categorical": "c"}, "--categorical: X.csv has no column 'c'; it has 'a', 'b'"),
    ({"numeric": "c"}, "--numeric: X.csv has no column 'c'; it has 'a', 'b'"),
    ({"numeric": "a,b", "categorical": "b"}, "--numeric and --categorical both have column 'b'"),
    ({"data": "people.csv", "numeric": "work"}, "--numeric must name columns of numbers, got column 'work' of dtype "),
    ({"data": "X.npy", "drop": "2"}, "--drop: X.npy has no column '2'; it has 0, 1"),
    (
        {"model": "two.onnx", "data": "three.npy"},
        "the model takes 2 columns, but three.npy has 3: 0, 1, 2; leave out what",
    ),
    ({"model": "two.onnx", "drop": "a"}, "the model takes 2 columns, but X.csv has 1: 'b'"),
    (
        {"model": "two.onnx", "data": "people.csv"},
        "the model takes only numbers, but people.csv has text in 'work'; leave",
    ),
    ({"model": "people.onnx"}, "the model needs column 'age' (and 1 more), which X.csv does not have; it has 'a', 'b'"),
    (
        {"model": "people.onnx", "data": "X.npy"},
        "people.onnx has one input per column, but X.npy has no column names;",
    ),
    (
        {"model": "people.onnx", "data": "unknown.csv"},
        "unknown.csv has columns that the model does not know: 'name', 'id';",
    ),
    (
        {"model": "people.onnx", "data": "exchanged.csv"},
        "the model takes column 'age' as numbers, but exchanged.csv has text",
    ),
    ({"model": "two.onnx", "data": "day.parquet"}, "the model takes only numbers, but day.parquet has dates in 'day';"),
    (
        {"model": "people.onnx", "data": "holes.csv"},
        "column 'work' of holes.csv has an empty cell, which the model cannot take as text (name the text it was",
    ),
    (
        {"model": "people.onnx", "data": "people.csv", "background": "holes.csv"},
        "column 'work' of holes.csv has an empty cell, which the model cannot take as text (name the text it was",
    ),
    (
        {"model": "integers.onnx", "data": "nan.csv"},
        "column 'b' of nan.csv has an empty cell or NaN, which the model cannot take as a tensor(int64), in data row 1",
    ),
    ({"missing_text": "nan"}, "--missing-text is for ONNX files; a function gets missing values as pandas reads them"),
    (
        {"model": "people.onnx", "data": "exchanged.parquet"},
        "the model takes column 'work' as text, but exchanged.parquet has",
    ),
    ({"background": "people.csv"}, "people.csv must have the columns of X.csv, but does not have 'a', 'b'"),
    ({"data": "X.npy", "background": "three.npy"}, "three.npy must have 2 columns as in X.npy, got 3"),
    (
        {"model": "two.onnx", "background": "huge.csv"},
        "column 'b' of huge.csv has a number larger than 3.4e+38, the largest that the model takes, in data row 2, c",
    ),
    ({"background": "texts.csv"}, "column 'b' of texts.csv must have numbers as in X.csv, got text"),
    ({"background": "one.csv"}, "one.csv must have more than one row; pass a larger table with --background"),
    # the output
    ({"output": "there.npz"}, "there.npz exists; --force overwrites it"),
    ({"output": "nowhere/local.npz"}, "there is no folder nowhere to write local.npz to"),
    ({"output": "folder.npz"}, "folder.npz is a folder, not a file"),
    ({"output": "local.csv"}, "--output must be a file *.npz, got local.csv"),
    # the method
    ({"width": "auto", "neighborhood": "gaussian"}, "--width must be a number, got 'auto'"),
    ({"samples": "3"}, "--samples must be at least --features + 2 = 4, got 3"),
    ({"targets": "0,1"}, "--targets must be below the model's 1 outputs, got 1"),
    ({"targets": "0,0"}, "--targets must be distinct integers of at least 0, got [0, 0]"),
    (
        {"targets": "first"},
        '--targets must be "predicted", "all", a number, a name or a list of them, got [\'first\']; the',
    ),
    ({"targets": "1,prise", "target_names": "price"}, "--targets must be"),
    (
        {"targets": "prise", "target_names": "price"},
        '--targets must be "predicted", "all", a number, a name or a list of',
    ),
    ({"model": "nlf_models:model.predict"}, "the model must return probabilities or scores, got Model.predict, which"),
    ({"link": "logit"}, 'X.csv: the model must return numbers from 0 to 1 for link="logit", got '),
    ({"target_names": "a,b"}, "--target-names must be one name for each of 1 outputs, got 'a', 'b'"),
    ({"target_names": "a,a"}, "--target-names must differ from each other, got 'a', 'a'"),
    ({"checkpoint": "X.csv"}, "--checkpoint must be a folder, got the file X.csv"),
    ({"checkpoint": "."}, "--checkpoint must be a folder of its own, got ., which holds other files"),
]


@pytest.mark.parametrize(("changes", "message"), EXPLAIN, ids=[message for _, message in EXPLAIN])
def test_explain_refuses(here, capsys, changes, message):
    table = people()
    table.assign(name="x", id=1).to_csv("unknown.csv", index=False)
    table[table["work"] == "farm"].to_csv("rural.csv", index=False)
    exchanged = table.rename(columns={"age": "work", "work": "age"})
    exchanged.to_csv("exchanged.csv", index=False)
    table.assign(work=1).to_parquet("exchanged.parquet")
    table.assign(work=table["work"].where(table["work"] != "shop")).to_csv("holes.csv", index=False)
    onnx_of_columns("integers.onnx")
    found = refused(capsys, *explain(**changes))
    assert f"{found}$".startswith(message), found


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("labels", "the model must return (1, n_outputs) or (1,) numbers for 1 rows of data row 1, got dtype <U1"),
        ("longer", "the model must return (1, n_outputs) or (1,) numbers for 1 rows of data row 1, got shape (2,)"),
        ("undefined", "the model must return finite numbers, got nan for output 0 of a sample around data row 1; 1 of"),
        ("of_two", "the model raised TypeError: of_two() missing 1 required positional argument: 'y' (while pr"),
        ("with_text", "the model raised KeyError: 'age' (while predicting data row 1)"),
        ("hungry", "the model raised MemoryError: all of it (while predicting data row 1); lower --samples"),
        ("stops", "the model raised SystemExit: 3 (while predicting data row 1)"),
    ],
)
def test_model_that_fails_at_once(here, capsys, function, message):
    found = refused(capsys, *explain(model=f"nlf_models:{function}"))
    assert found.startswith(f"X.csv: {message}"), found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npz"], "there is no file nowhere.npz"),
        (["local.pth.npz"], "local.pth.npz is not a LocalExplanations file of normlime_fast"),
        (["X.npy"], "X.npy is not "),
        (
            ["good.npz", "--kind", "l2", "--sign", "net"],
            "--sign must be absolute, positive or negative for kind 'l2', a root",
        ),
        (["good.npz", "--plot", "there.npz"], "there.npz exists; --force overwrites it"),
        (["good.npz", "--plot", "there.xyz"], "--plot must be a picture, *.png, *.jpg, *.svg, *.pdf, got there.xyz"),
        (["good.npz", "--plot", "nowhere/out.png"], "there is no folder nowhere to write out.png to"),
        (["good.npz", "--plot", "out.png", "--min-count", "99"], "--plot: "),
    ],
)
def test_importance_refuses(here, capsys, arguments, message):
    found = refused(capsys, "importance", *arguments)
    assert found.startswith(message), found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: command; see normlime-fast --help"),
        (["nothing"], "command: invalid choice: 'nothing'"),
        (
            ["explain", "--model", "two.onnx"],
            "the following arguments are required: --data, --output; see normlime-fast",
        ),
        (
            explain(seed="-1"),
            "--seed: must be a whole number of at least 0, got '-1'; see normlime-fast explain --help",
        ),
        (explain(features="0"), "--features: must be a whole number of at least 1, or all, got '0'; see "),
        (explain(width="wide"), "--width: must be a number larger than 0, or auto, got 'wide'; see "),
        (explain(width="0"), "--width: must be a number larger than 0, or auto, got '0'; see "),
        (explain(width="-1", neighborhood="pool"), "--width: must be a number larger than 0, or auto, got '-1'; see "),
        (explain(width="nan"), "--width: must be a number larger than 0, or auto, got 'nan'; see "),
        (explain(samples="0"), "--samples: must be a whole number of at least 1, got '0'; see "),
        (explain(jobs="0"), "--jobs: must be a whole number of at least 1, or -1, got '0'; see "),
        (explain(limit="0", data="nowhere.csv"), "--limit: must be a whole number of at least 1, got '0'; see "),
        (explain(limit="1.5"), "--limit: must be a whole number of at least 1, got '1.5'; see "),
        (explain(sets="0", neighborhood="pool"), "--sets: must be "),
        (explain(neighborhood="lime"), "--neighborhood: invalid choice: 'lime'"),
        ([*explain(), "--sample", "10"], "unrecognized arguments: --sample 10; see normlime-fast --help"),
        (["importance", "good.npz", "--json", "--csv"], "--csv: not allowed with argument --json; see "),
        (["importance", "good.npz", "--csv", "--csv-safe"], "--csv-safe: not allowed with argument --csv; see "),
        (["importance", "good.npz", "--min-count", "0"], "--min-count: must be a whole number of at least 1, got '0';"),
        (["importance", "good.npz", "--top", "-1"], "--top: must be a whole number of at least 1, or all, got '-1'; "),
    ],
)
def test_wrong_usage(here, capsys, arguments, message):
    found = refused(capsys, *arguments)
    assert found.startswith(message), found


@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [
        ("onnxruntime", explain(model="two.onnx"), "an ONNX model needs onnxruntime; install it with"),
        ("pandas", explain(), "a CSV file needs pandas; install it with"),
        ("pandas", explain(data="day.parquet"), "a Parquet file needs pandas; install it with"),
        ("pyarrow", explain(data="day.parquet"), "a Parquet file needs pyarrow; install it with"),
        ("pandas", explain(data="X.feather"), "an Arrow file needs pandas; install it with"),
        ("pyarrow", explain(data="X.feather"), "an Arrow file needs pyarrow; install it with"),
        ("matplotlib", ["importance", "good.npz", "--plot", "out.png"], "--plot needs matplotlib; install it with"),
    ],
)
def test_missing_packages(here, capsys, monkeypatch, missing, arguments, message):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == missing else find_spec(name))
    extra = {"onnxruntime": "onnx", "matplotlib": "plot"}.get(missing, "tables")
    assert refused(capsys, *arguments) == f'{message}: pip install "normlime-fast[{extra}]"'


@pytest.mark.skipif(
    os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_folder_that_may_not_be_written_to(here, capsys, tmp_path):
    tmp_path.chmod(0o500)
    assert "is not writable" in refused(capsys, *explain(output=tmp_path / "local.npz"))


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="only Linux has a folder that takes no files, not even root's"
)
def test_folder_that_takes_no_files(here, capsys):
    assert refused(capsys, *explain(output="/proc/local.npz")).startswith("the folder /proc is not writable: ")


def test_traceback_only_where_asked_for(here, capsys):
    command = explain(model="nlf_models:with_text")
    refused(capsys, *command)
    code, _, err = run(capsys, *command, "--traceback")
    assert code == 2
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1].startswith("normlime-fast: error: X.csv: the model raised KeyError")


def test_error_of_ours_is_one_line(here, capsys, monkeypatch):
    """Whatever nobody thought of."""

    def broken(options):
        raise RecursionError("too\ndeep")

    monkeypatch.setattr(entry, "importance", broken)
    assert refused(capsys, "importance", "good.npz", code=1) == "RecursionError: too deep"
