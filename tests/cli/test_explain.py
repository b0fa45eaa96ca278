"""The command explain, from a model and a table in files to explanations; and commands as processes."""

import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import export, export_adult, onnx_of_columns, people, run, without_columns, write_models
from numpy.testing import assert_array_equal

import normlime_fast as nlf


@pytest.fixture(scope="module")
def adult(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adult")
    return folder, *export_adult(folder)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, but for the module nlf_models."""
    write_models(tmp_path, monkeypatch)
    return tmp_path


def assert_same(one, other):
    for name in ("intercept", "r2", "prediction", "status", "instance", "target"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    assert_array_equal(one.weights.toarray(), other.weights.toarray())
    assert (one.feature_names, one.target_names) == (other.feature_names, other.target_names)


# --- explain


NEIGHBORHOODS = {
    "gaussian": lambda X, texts: nlf.Gaussian.from_data(X, categorical=texts),
    "pool": lambda X, texts: nlf.Pool.from_data(X, categorical=texts),
    "binned": lambda X, texts: nlf.Binned.from_data(X, categorical=texts),
}


@pytest.mark.parametrize(
    ("file", "neighborhood", "classes"),
    [
        ("model", "gaussian", None),
        ("zipmap", "gaussian", ("<=50K", ">50K")),
        ("zipmap", "pool", ("<=50K", ">50K")),
        ("model", "binned", None),
    ],
)
def test_onnx_pipeline_is_explained_as_in_python(adult, capsys, tmp_path, file, neighborhood, classes):
    folder, model, table = adult
    path = folder / f"{file}.onnx"
    explain = ["explain", "--model", path, "--data", folder / "people.csv", "--label", "income", "--limit", 20]
    explain += ["--samples", 300, "--features", 4, "--output", tmp_path / "local.npz"]
    code, out, err = run(capsys, *explain, *(["--neighborhood", neighborhood] * (neighborhood != "binned")))
    assert (code, out) == (0, "")
    assert "explained 20 rows" in err
    assert "20 explanations of output '" in err
    local = nlf.LocalExplanations.load(tmp_path / "local.npz")

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(X):
        feed = {}
        for name in X:
            numeric = X[name].dtype.kind in "fiu"
            values = X[name].to_numpy(np.float32 if numeric else object).reshape(-1, 1)
            feed[name.replace("-", "_")] = values  # as skl2onnx spells the names
        found = session.run(None, feed)[1]
        return found if classes is None else np.array([[row[name] for name in classes] for row in found])

    X = table.drop(columns="income")
    neighbors = NEIGHBORHOODS[neighborhood](X, list(X.select_dtypes(exclude="number")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of categories that few of 300 points have
        own = nlf.NormLIME(predict, neighbors, n_features=4, n_samples=300, rng=0).explain(X[:20])
    assert local.target_names == classes
    assert_same(local, nlf.LocalExplanations(**{**vars(own), "target_names": classes}))
    # float32 against float64: probabilities differ by some units of 2^-24, through sums of some 100 terms
    numbers = X.select_dtypes("number").columns
    expected = model.predict_proba(X[:20].astype(dict.fromkeys(numbers, "float32"))).max(axis=1)
    np.testing.assert_allclose(local.prediction, expected, rtol=0, atol=100 * 2**-24)


def test_same_command_gives_the_same_file(adult, capsys, tmp_path):
    files = []
    for seed in (0, 0, 1):
        files.append(tmp_path / f"{len(files)}.npz")
        explain = ["explain", "--model", adult[0] / "model.onnx", "--data", adult[0] / "people.csv", "--drop", "income"]
        assert run(capsys, *explain, "--limit", 3, "--samples", 50, "--seed", seed, "--output", files[-1])[0] == 0
    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize(
    ("function", "names"), [("with_text", None), ("model.predict_proba", ("poor", "rich"))], ids=["function", "method"]
)
def test_function_of_a_module_gets_a_frame(here, capsys, suffix, function, names):
    table, file = people(), f"people.{suffix}"
    table.to_parquet(file) if suffix == "parquet" else table.to_csv(file, index=False)
    explain = ["explain", "--model", f"nlf_models:{function}", "--data", file, "--output", "local.npz", "--samples", 99]
    assert run(capsys, *explain, "--targets", "all", "--jobs", 2)[0] == 0

    import nlf_models

    predict = nlf_models.with_text if names is None else nlf_models.model.predict_proba
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bins that few of 99 points share
        own = nlf.NormLIME(predict, table, n_samples=99, targets="all", rng=0).explain(table)
    local = nlf.LocalExplanations.load("local.npz")
    assert_same(local, own)
    assert local.feature_names == ("age", "work")
    assert local.target_names == names


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_array_with_regression_model(here, capsys, dtype):
    """Columns go by their positions in the file, with and without a background, under --drop and --categorical."""
    X = np.random.default_rng(0).normal(size=(60, 5)).round(2).astype(dtype)
    X[:, 4] = np.arange(60) % 3
    np.save("X.npy", X[:10])
    np.save("background.npy", X)
    kept = [0, 2, 3, 4]
    from sklearn.linear_model import LinearRegression

    export(LinearRegression().fit(X[:, kept], X[:, 0] + 2 * X[:, 2]), X[:1, kept], here / "model.onnx")
    explain = ["explain", "--model", "model.onnx", "--data", "X.npy", "--background", "background.npy"]
    explain += ["--drop", 1, "--categorical", 4, "--features", "all", "--width", 0.5, "--output", "local.npz"]
    explain += ["--neighborhood", "gaussian"]
    assert run(capsys, *explain)[0] == 0
    local = nlf.LocalExplanations.load("local.npz")
    assert local.weights.shape == (10, 4)
    assert local.feature_names is None
    # Linear: the weights are coefficients times the scale, but for float32's rounding of the inputs, sums and the fit.
    scale = 0.5 * X[:, kept].std(axis=0, dtype=np.float64)
    expected = np.array([1.0, 2.0, 0.0, 0.0]) * scale
    np.testing.assert_allclose(local.weights.toarray(), np.tile(expected, (10, 1)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch", [None, 1, 7, 10**4])
def test_fixed_batches_and_integer_inputs(here, capsys, batch):
    onnx_of_columns("model.onnx", batch)
    pd.DataFrame({"b": [1, 2, 3, 4] * 3, "a": np.linspace(0, 1, 12)}).to_csv("X.csv", index=False)
    explain = ["explain", "--model", "model.onnx", "--data", "X.csv", "--categorical", "b", "--output", "local.npz"]
    assert run(capsys, *explain, "--samples", 60)[0] == 0
    local = nlf.LocalExplanations.load("local.npz")
    assert local.feature_names == ("b", "a")
    assert_array_equal(local.prediction, (np.linspace(0, 1, 12, dtype=np.float32) + [2, 4, 6, 8] * 3).astype("f4"))
    # The rows of a call are asked one by one: the same in calls of any size.
    assert run(capsys, *explain[:-1], "again.npz", "--samples", 60)[0] == 0
    assert Path("local.npz").read_bytes() == Path("again.npz").read_bytes()


def test_jobs_are_the_threads_of_onnxruntime(here, capsys, monkeypatch):
    import onnxruntime

    class Session(onnxruntime.InferenceSession):
        def __init__(self, path, options, **more):
            threads.append(options.intra_op_num_threads)
            super().__init__(path, options, **more)

    threads = []
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    onnx_of_columns("model.onnx")
    pd.DataFrame({"a": [0.0, 1.0], "b": [1, 2]}).to_csv("X.csv", index=False)
    for jobs in ([], ["--jobs", 2]):
        explain = ["explain", "--model", "model.onnx", "--data", "X.csv", "--output", f"{len(threads)}.npz"]
        assert run(capsys, *explain, "--samples", 20, *jobs)[0] == 0
    assert threads == [1, 2]


def test_fractions_are_rounded_for_integer_inputs(here, capsys):
    onnx_of_columns("model.onnx")
    pd.DataFrame({"a": [0.0] * 8, "b": [1.25, 2.25, 3.25, 4.25] * 2}).to_csv("X.csv", index=False)
    explain = ["explain", "--model", "model.onnx", "--data", "X.csv", "--output", "local.npz", "--width", 100]
    assert run(capsys, *explain, "--neighborhood", "gaussian")[0] == 0
    weights = nlf.LocalExplanations.load("local.npz").weights.toarray()[:, 1]
    # Rounding noise of 112 by 0.29, evenly to both sides, moves no weight; cutting towards 0 would: by 0.5 * 2 / 112 of
    # the part that is not linear. The fit to 5000 samples has an error of 0.58 / sqrt(5000) = 0.008 each.
    np.testing.assert_allclose(weights, 2 * 100 * np.std([1, 2, 3, 4]), rtol=0, atol=0.05)


def test_output_is_chosen_by_name(here, capsys):
    onnx_of_columns("model.onnx", outputs=("y", "z"))
    pd.DataFrame({"a": [0.0, 1.0], "b": [1, 2]}).to_csv("X.csv", index=False)
    explain = ["explain", "--model", "model.onnx", "--data", "X.csv", "--output", "local.npz"]
    code, _, err = run(capsys, *explain)
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith("has several outputs of numbers: 'y', 'z'; choose one with --output-name\n")
    assert run(capsys, *explain, "--output-name", "z", "--target-names", "price")[0] == 0
    assert nlf.LocalExplanations.load("local.npz").target_names == ("price",)


def test_targets_by_name_and_links(here, capsys):
    people().to_csv("people.csv", index=False)
    explain = ["explain", "--model", "nlf_models:model.predict_proba", "--data", "people.csv", "--link", "logit"]
    found = []
    for k, options in enumerate(
        (["--targets", "rich"], ["--targets", 1], ["--targets", "wealthy", "--target-names", "not,wealthy"])
    ):
        code, _, err = run(capsys, *explain, *options, "--samples", 50, "--output", f"{k}.npz")
        assert code == 0, err
        found.append(nlf.LocalExplanations.load(f"{k}.npz"))
    assert_same(found[0], found[1])
    assert [local.target_names for local in found[1:]] == [("poor", "rich"), ("not", "wealthy")]
    assert_array_equal(found[2].target, 1)
    table = people()  # the log-odds are (age - 40) / 10 + (work == "office")
    expected = (table["age"] - 40) / 10 + (table["work"] == "office")
    np.testing.assert_allclose(found[0].prediction, expected, rtol=1e-9, atol=1e-9)
    code, _, err = run(capsys, *explain, "--target-names", "rich,poor", "--output", "other.npz")
    assert (code, err.count("\n")) == (2, 1)
    assert "--target-names must be in the order of the model's classes, ['poor', 'rich'], got ['rich', 'poor']" in err


def test_the_largest_output_of_a_regressor(here, capsys):
    pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 2.0]}).to_csv("X.csv", index=False)
    explain = ["explain", "--model", "nlf_models:regressor.predict", "--data", "X.csv", "--output", "local.npz"]
    warning = 'warning: --targets is "predicted", the largest of the 2 outputs of a regressor, whose units may differ;'
    code, _, err = run(capsys, *explain, "--samples", 50)
    assert code == 0
    assert err.count(warning) == 1
    code, _, err = run(capsys, *explain, "--samples", 50, "--targets", "all", "--force")
    assert code == 0
    assert "warning" not in err


def test_text_that_looks_like_numbers_stays_text(here, capsys):
    """The model was fitted to text: "01" is not "1"."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    X = pd.DataFrame({"zip code": ["01", "1", "02"] * 10})
    y = (X["zip code"] == "01").astype(int)
    encode = OneHotEncoder(sparse_output=False)
    export(make_pipeline(encode, LogisticRegression(C=100)).fit(X, y), X[:1], here / "model.onnx")
    X.to_csv("X.csv", index=False)
    explain = ["explain", "--model", "model.onnx", "--data", "X.csv", "--output", "local.npz", "--targets", 1]
    assert run(capsys, *explain)[0] == 0
    assert_array_equal(nlf.LocalExplanations.load("local.npz").prediction > 0.5, y == 1)


# --- what ends half-way
# The models of these tests fail where a is above 900: not for the rows themselves, which they are asked about first.

ROWS = pd.DataFrame({"a": [k + 0.25 for k in [*range(60), 895, *range(20)]], "b": [0.5, 1.5, 4.0] * 27})
EXPLAIN = ["explain", "--data", "X.csv", "--neighborhood", "gaussian", "--output", "local.npz", "--samples", 20]


def test_checkpoint_goes_on_after_a_failure(here, capsys):
    ROWS.to_csv("X.csv", index=False)
    assert run(capsys, *EXPLAIN[:-3], "whole.npz", "--samples", 20, "--model", "nlf_models:fragile")[0] == 0
    Path("broken").touch()
    command = [*EXPLAIN, "--model", "nlf_models:fragile", "--checkpoint", "run"]
    code, out, err = run(capsys, *command)
    err = without_columns(err)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "error: the model raised RuntimeError: no more memory (while predicting data row 61)" in err
    assert err.endswith("finished blocks are in run: the same command resumes from there\n")
    assert not Path("local.npz").exists()
    Path("broken").unlink()
    code, _, err = run(capsys, *command)
    assert code == 0
    asked = int(re.search(r"predicted ([\d,]+) rows", err)[1].replace(",", ""))
    assert asked < len(ROWS) * 21  # samples and the rows themselves
    assert Path("local.npz").read_bytes() == Path("whole.npz").read_bytes()
    code, _, err = run(capsys, *command[:-2], "--checkpoint", "run", "--seed", 5, "--force")
    assert (code, err.count("\n")) == (2, 1)
    assert "begun with --seed 0, got 5; use the same" in err
    code, _, err = run(capsys, *EXPLAIN, "--model", "nlf_models:other", "--checkpoint", "run", "--force")
    assert (code, err.count("\n")) == (2, 1)
    assert "begun with --model nlf_models:fragile, got nlf_models:other; use the same" in err


@pytest.mark.parametrize(
    ("function", "expected"), [("fragile", (1, "error: the model raised")), ("interrupted", (130, "stopped by Ctrl-C"))]
)
def test_finished_explanations_are_kept(here, capsys, function, expected):
    far = pd.concat([ROWS[:60]] * 5 + [ROWS])  # more than a batch
    far.to_csv("X.csv", index=False)
    Path("broken").touch()
    Path("local.npz.partial").write_text("of an earlier run")
    command = [*EXPLAIN, "--samples", 2000, "--model", f"nlf_models:{function}", "--target-names", "price"]
    code, _, err = run(capsys, *command)
    err = without_columns(err)
    assert (code, err.count("\n")) == (expected[0], 1)
    assert err.startswith(f"normlime-fast: {expected[1]}")
    assert Path("local.npz.partial").read_text() == "of an earlier run"
    number = int(re.search(r"the ([\d,]+) finished explanations are in local.npz.partial1$", err)[1].replace(",", ""))
    part = nlf.LocalExplanations.load("local.npz.partial1")
    assert len(part.status) == number > 0
    assert part.target_names == ("price",)
    assert_array_equal(part.instance, np.arange(number))
    # No different from those of a run to the end, without the row that breaks it.
    far[:number].to_csv("X.csv", index=False)
    far.to_csv("background.csv", index=False)
    assert run(capsys, *command, "--background", "background.csv")[0] == 0
    assert_same(nlf.LocalExplanations.load("local.npz"), part)


def test_explanations_are_kept_where_the_output_cannot_be_written(here, capsys, monkeypatch):
    ROWS[:5].to_csv("X.csv", index=False)
    monkeypatch.setattr("tempfile.tempdir", str(here))
    save = nlf.LocalExplanations.save

    def full(local, path):
        if not str(path).startswith(str(here)):
            raise OSError(28, "No space left on device")
        save(local, path)

    monkeypatch.setattr(nlf.LocalExplanations, "save", full)
    code, _, err = run(capsys, *EXPLAIN, "--model", "nlf_models:linear")
    err = without_columns(err)
    assert (code, err.count("\n")) == (1, 1)
    assert "local.npz could not be written: [Errno 28] No space left on device; the 5 finished explanations" in err
    assert len(nlf.LocalExplanations.load(re.search(r"explanations are in (\S+)$", err)[1]).status) == 5


# --- what is said meanwhile


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_and_summary(here, capsys, monkeypatch):
    ROWS.to_csv("X.csv", index=False)
    command = [*EXPLAIN, "--model", "nlf_models:linear", "--force", "--features", 5]
    _, out, err = run(capsys, *command)
    assert out == ""
    lines = err.splitlines()[3:]
    assert re.fullmatch(r"explained 81 rows of X.csv in \S+ s; the model predicted 1,701 rows, .*", lines[0])
    assert lines[1] == "81 explanations: 81 OK (status 0)"
    assert re.fullmatch(r"mean R\^2 (0.99.|1.000)", lines[2])
    assert lines[3] == "wrote local.npz; next: normlime-fast importance local.npz"
    told = run(capsys, *command, "--progress")[2].splitlines()[3:-4]
    assert 1 <= len(told) <= 21
    assert told[-1] == "explained 81 of 81 rows"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(capsys, *command)[0] == 0
    assert "\rexplained 81 of 81 rows" in terminal.getvalue()


# --- as a process


def command(*arguments, **options):
    line = [sys.executable, "-W", "error", "-m", "normlime_fast", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300, **options)


def test_commands_as_processes(here):
    people().to_csv("people.csv", index=False)
    explain = ["explain", "--model", "nlf_models:model.predict_proba", "--data", "people.csv", "--samples", 99]
    done = command(*explain, "--output", "local.npz", cwd=here)
    assert (done.returncode, done.stdout) == (0, "")
    done = command("importance", "local.npz", "--by", "target", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("target poor: normlime, of ")
    done = command("importance", "nowhere.npz", cwd=here)
    expected = (2, "", "normlime-fast: error: there is no file nowhere.npz\n")
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_help_imports_no_optional_package(here):
    script = "import sys; from normlime_fast._cli.main import main\n"
    script += "try: main(['explain', '--help'])\nexcept SystemExit: pass\n"
    optional = {"matplotlib", "onnxruntime", "pandas", "pyarrow", "sklearn"}
    script += f"print({optional} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nset()\n")
    assert "examples:" in done.stdout


def test_reader_that_stops_reading_is_no_error(here):
    """What head does."""
    local = nlf.NormLIME(lambda X: X.sum(axis=1), nlf.Gaussian(1.0), n_features=None, n_samples=2002, rng=0)
    local.explain(np.eye(1, 2000)).save("local.npz")
    line = [sys.executable, "-m", "normlime_fast", "importance", "local.npz", "--top", "all", "--csv"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("neighborhood", ["pool", "binned"])
def test_sets_of_samples(here, capsys, neighborhood):
    (here / "curved.py").write_text("def f(X): return X[:, 0] ** 2\n")
    np.save("X.npy", np.random.default_rng(0).normal(size=(60, 3)))
    explain = ["explain", "--model", "curved:f", "--data", "X.npy", "--samples", 50, "--features", 1]
    explain += ["--neighborhood", neighborhood, "--force", "--output", "local.npz"]
    for sets, error in (([], False), (["--sets", 3], False), (["--sets", 1], True)):
        code, _, err = run(capsys, *explain, *sets)
        assert code == 0, err
        local = nlf.LocalExplanations.load("local.npz")
        assert local.sample_set.tolist() == [row % (sets or [8])[-1] for row in range(60)]
        why = "no standard errors, since all explanations share one set of samples"
        assert (why in run(capsys, "importance", "local.npz")[1]) == error


@pytest.mark.parametrize("neighborhood", ["gaussian", "pool", "binned"])
def test_a_category_that_the_background_does_not_have(here, capsys, neighborhood):
    (here / "worker.py").write_text("def f(X): return X['age'] + 2.0 * (X['work'] == 'farm')\n")
    table = pd.DataFrame({"age": np.arange(40.0), "work": ["farm", "office"] * 20})
    table.to_csv("background.csv", index=False)
    table[:5].assign(work=["farm", "shop", "office", "shop", "farm"]).to_csv("X.csv", index=False)
    explain = ["explain", "--model", "worker:f", "--data", "X.csv", "--background", "background.csv", "--samples", 40]
    code, _, err = run(capsys, *explain, "--neighborhood", neighborhood, "--output", "local.npz")
    assert code == 0, err
    assert err.count("does not have: 'shop' in column 'work' (2 rows)") == 1
    assert len(nlf.LocalExplanations.load("local.npz")) == 5
