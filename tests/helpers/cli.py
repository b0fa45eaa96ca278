"""What tests of the command line share: running it, and models in files."""

import re
import warnings
from pathlib import Path

import pandas as pd

from normlime_fast._cli.main import main

ADULT = Path(__file__).parents[1] / "data" / "adult.csv.gz"

MODELS = '''
"""A module as users have: functions, an object with a method, and some that go wrong."""
import os
import signal
import warnings
from pathlib import Path

import numpy as np


def linear(X):
    return np.asarray(X, float) @ np.arange(1.0, X.shape[1] + 1)


def with_text(people):
    return 1 / (1 + np.exp(-(people["age"] - 40) / 10 - (people["work"] == "office")))


class Model:
    classes_ = np.array(["poor", "rich"])

    def predict_proba(self, people):
        rich = with_text(people)
        return np.stack([1 - rich, rich], axis=1)

    def predict(self, people):
        return self.classes_[self.predict_proba(people).argmax(axis=1)]


class Regressor:
    _estimator_type = "regressor"

    def predict(self, X):
        return np.asarray(X, float)[:, :2] * [1.0, 1000.0]


model = Model()
regressor = Regressor()
number = 3.5


def fragile(X):
    """Breaks above 900, while the file `broken` is there."""
    if Path("broken").exists() and np.asarray(X)[:, 0].max() > 900:
        raise RuntimeError("no more\\nmemory")
    return linear(X)


def interrupted(X):
    if np.asarray(X)[:, 0].max() > 900:
        raise KeyboardInterrupt
    return linear(X)


def other(X):
    return 2 * linear(X)


def labels(X):
    return np.array(["a"] * len(X))


def stops(X):
    raise SystemExit(3)


def hungry(X):
    raise MemoryError("all of it")


def longer(X):
    return np.zeros(len(X) + 1)


def undefined(X):
    return np.full(len(X), np.nan)


def of_two(X, y):
    return linear(X)


def prints(X):
    """Talks and warns, of every call, in all the ways there are."""
    os.write(1, b"raw\\n")
    print("printed")
    warnings.warn("of n_samples of predict was working")
    return linear(X)


def terminated(X):
    if np.asarray(X)[:, 0].max() > 900:
        os.kill(os.getpid(), signal.SIGTERM)
    return linear(X)
'''


def run(capsys, *arguments):
    """Run a command in this process: its exit code, stdout and stderr."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stopped:  # of argparse
        code = stopped.code
    return code, *capsys.readouterr()


def without_columns(err):
    """What a command prints on stderr, except for what it takes columns for."""
    return re.sub(r"^(columns of |  ).*\n", "", err, flags=re.MULTILINE)


def write_models(folder, monkeypatch):
    """Put the module nlf_models into the current directory, which becomes `folder`."""
    (folder / "nlf_models.py").write_text(MODELS)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend("")  # as python -m does
    monkeypatch.delitem(__import__("sys").modules, "nlf_models", raising=False)


def people():
    """100 rows of a number and a text."""
    ages = [20 + 7 * k % 50 for k in range(100)]
    return pd.DataFrame({"age": ages, "work": ["office", "farm", "shop", "office"] * 25})


def export_adult(folder):
    """Write people.csv and the same classifier as model.onnx and, with ZipMap, zipmap.onnx; return it and the data."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = pd.read_csv(ADULT)[:400]
    X = table.drop(columns="income")
    texts = list(X.select_dtypes(exclude="number"))
    numbers = [name for name in X if name not in texts]
    X = X.astype(dict.fromkeys(numbers, "float32"))
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encode = ColumnTransformer([("texts", one_hot, texts), ("numbers", StandardScaler(), numbers)])
    model = make_pipeline(encode, LogisticRegression(max_iter=1000)).fit(X, table["income"])
    table.to_csv(folder / "people.csv", index=False)
    for name, zipmap in (("model", False), ("zipmap", True)):
        export(model, X[:1], folder / f"{name}.onnx", options={"zipmap": zipmap})
    return model, table


def export(model, X, path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of skl2onnx and what it imports
        from skl2onnx import to_onnx

        path.write_bytes(to_onnx(model, X, **options).SerializeToString())


def onnx_of_columns(path, batch=None, inputs="fi", outputs=("y",)):
    """y = a + 2 b of a float column a and an integer column b, whose batch may be fixed."""
    from onnx import TensorProto, helper

    kinds = {"f": TensorProto.FLOAT, "i": TensorProto.INT64}
    columns = [
        helper.make_tensor_value_info(name, kinds[kind], [batch, 1]) for name, kind in zip("ab", inputs, strict=True)
    ]
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    nodes = [
        helper.make_node("Cast", ["b"], ["float_b"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float_b", "two"], ["twice"]),
        *(helper.make_node("Add", ["a", "twice"], [name]) for name in outputs),
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 1]) for name in outputs]
    graph = helper.make_graph(nodes, "columns", columns, results, [two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    Path(path).write_bytes(model.SerializeToString())
