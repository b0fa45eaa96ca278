import contextlib
import csv
import io
import re
import subprocess
import sys

import numpy as np
import pytest

from normlime_fast._cli import demo, errors, main

IMAGES, PIXELS, SAMPLES = 1797, 64, 60


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder that the demo wrote, with fewer samples than it takes, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "a" / "b"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(demo, "N_SAMPLES", SAMPLES)
        patch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
        assert main.main(["demo", "--out", str(out)]) == 0
        assert "matplotlib.pyplot" not in sys.modules  # which chooses a backend for the whole process
    return out, printed.getvalue()


@pytest.fixture(scope="module")
def table(finished):
    """{class: (64, 3) array of importance, count and standard error}."""
    with (finished[0] / "importance.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["class", "pixel", "importance", "count", "stderr"]
    labels = list(dict.fromkeys(row[0] for row in rows))
    assert [row[:2] for row in rows] == [[label, str(pixel)] for label in labels for pixel in range(PIXELS)]
    return {label: np.array([row[2:] for row in rows if row[0] == label], float) for label in labels}


def test_picture_is_a_picture(finished):
    from matplotlib.image import imread

    picture = imread(finished[0] / "importance.png")[..., :3]
    maps = picture[:, : int(0.85 * picture.shape[1])]  # the scale is to the right of them
    coloured = maps[np.ptp(maps, axis=-1) > 0.1]  # and letters are grey
    assert coloured.size > 0.2 * maps.size
    assert len(np.unique(coloured, axis=0)) > 100  # of 11 x 64 pixels, most with a value of their own


def test_table_has_every_class_and_all(table):
    assert list(table) == [*"0123456789", "all"]
    classes = np.stack([table[label] for label in "0123456789"])
    np.testing.assert_array_equal(classes[..., 1].sum(axis=0), table["all"][:, 1])
    # Eq. 9 partitions Eq. 3: the mean over classes, weighted by their counts; sums of 1797 terms, written in full
    total = (classes[..., 0] * classes[..., 1]).sum(axis=0)
    np.testing.assert_allclose(total, table["all"][:, 0] * table["all"][:, 1], rtol=1e-12)


def test_unused_pixels_have_no_importance(table):
    values, counts, errors = np.concatenate(list(table.values())).T
    assert (values[counts == 0] == 0).all()
    assert (values[counts > 0] > 0).all()  # the positive part
    np.testing.assert_array_equal(np.isnan(errors), counts < 2)


def test_important_pixels_are_where_the_digits_have_ink(table):
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    for label in range(10):
        ink = images[digits == label].mean(axis=0)
        assert np.average(ink, weights=table[str(label)][:, 0]) > 1.2 * ink.mean()


def test_printed_pixels_are_the_table_s_largest(finished, table):
    lines = re.findall(r"^ *(\d|all) +(\d) +(\d) +([\d.]+) +(\d+) +([\d.]+)$", finished[1], re.MULTILINE)
    assert len(lines) == 11 * 5
    for label, rows in table.items():
        expected = []
        for pixel in np.argsort(-rows[:, 0], kind="stable")[:5]:
            value, count, error = rows[pixel]
            expected.append((label, str(pixel // 8), str(pixel % 8), f"{value:.4f}", f"{count:.0f}", f"{error:.4f}"))
        assert [line for line in lines if line[0] == label] == expected


def test_printed_figures(finished):
    printed = finished[1]
    assert 95 < float(re.search(r"accuracy on the other 450: ([\d.]+)%", printed)[1]) <= 100
    assert 0.5 < float(re.search(r"Mean local R\^2: ([\d.]+)\.", printed)[1]) < 1
    # A row for every image and every sample: the images by as many as fit a batch, then 20 with their samples a call.
    calls = -(-IMAGES // 20) + -(-IMAGES // (20 * SAMPLES))
    assert f"called {calls} times, with {IMAGES * (SAMPLES + 1):,} rows in all." in printed
    share = int(re.search(r"ms per image, (\d+)% of it in the model\.", printed)[1])
    assert 0 < share < 100


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_only_on_a_terminal(monkeypatch, terminal):
    class Stream(io.StringIO):
        def isatty(self):
            return terminal

    errors = Stream()
    monkeypatch.setattr(sys, "stderr", errors)
    report = demo.progress()
    if report:
        report(3, 1797)
        report(1797, 1797)
    expected = "\rexplained 3 of 1,797 images\rexplained 1,797 of 1,797 images\n"
    assert errors.getvalue() == (expected if terminal else "")


@pytest.mark.parametrize("missing", ["sklearn", "matplotlib"])
def test_missing_package_is_one_line(monkeypatch, tmp_path, capsys, missing):
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == missing else name)
    assert main.main(["demo", "--out", str(tmp_path / "out")]) == 2
    package = {"sklearn": "scikit-learn"}.get(missing, missing)
    expected = f'the demo needs {package}; install it with: pip install "normlime-fast[demo]"'
    assert capsys.readouterr() == ("", f"normlime-fast: error: {expected}\n")
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main.main(["demo", "--out", str(tmp_path / "file")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"normlime-fast: error: the demo cannot create the folder \S+: .+\n", err)


def test_default_folder(monkeypatch, tmp_path):
    folders = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "run", folders.append)
    main.main(["demo"])
    assert [str(folder) for folder in folders] == ["demo-out"]
    assert (tmp_path / "demo-out").is_dir()


def test_module_runs_as_a_command():
    command = [sys.executable, "-W", "error", "-m", "normlime_fast"]
    result = subprocess.run([*command, "demo", "--help"], capture_output=True, text=True, check=True)
    assert "--out DIR" in result.stdout
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
