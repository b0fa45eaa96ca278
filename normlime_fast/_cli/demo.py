"""The demo: explain a classifier of scikit-learn's handwritten digits, and write a picture and a table."""

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import normlime_fast as nlf

Array = NDArray[Any]

SIDE = 8  # images are 8 x 8 pixels
N_SAMPLES = 5000
N_FEATURES = 20
NOISE = 0.1  # of the range from no ink to full ink


def run(out: Path) -> None:
    """Train, explain every image for its predicted class, print a summary, and write the picture and the table."""
    from sklearn.datasets import load_digits
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    images, digits = load_digits(return_X_y=True)
    X = (images / 16).astype(np.float32)  # ink from 0 to 1
    # One BLAS thread, for comparable times: more threads gain little here, and cost much on busy cores.
    with threadpool_limits(1, "blas"):
        by_class, overall = _explain(_train(X, digits), X)
    _print_top(by_class, overall)
    _write_table(out / "importance.csv", by_class, overall)
    _write_picture(out / "importance.png", by_class, overall)
    print(f"\nWrote {out / 'importance.png'} and {out / 'importance.csv'}.")


def _explain(model: Any, X: Array) -> tuple[nlf.Importance, nlf.Importance]:
    """Explain every image for its predicted class; return the positive importances, by class and over all."""
    predict = _Timed(model.decision_function)
    explainer = nlf.NormLIME(
        predict,
        nlf.Gaussian(NOISE),
        n_features=N_FEATURES,
        n_samples=N_SAMPLES,
        rng=0,
        batch_size=20 * N_SAMPLES,
    )
    start = time.perf_counter()
    explainer.explain(X[:1]).importance()
    print(f"\nCompiled the kernels, or loaded them from the cache, in {time.perf_counter() - start:.1f} s.", flush=True)

    predict.calls, predict.rows, predict.seconds = 0, 0, 0.0
    start = time.perf_counter()
    local = explainer.explain(X, progress=progress())
    seconds = time.perf_counter() - start
    _print_run(local, predict, seconds)
    return local.importance(by="target", sign="positive"), local.importance(sign="positive")


class _Timed:
    """The model's function, with its number of calls, rows and seconds."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.calls, self.rows, self.seconds = 0, 0, 0.0

    def __call__(self, X: Array) -> Array:
        start = time.perf_counter()
        outputs: Array = self.function(X)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        self.rows += len(X)
        return outputs


def _train(X: Array, digits: Array) -> Any:
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline

    X_train, X_test, y_train, y_test = train_test_split(X, digits, stratify=digits, random_state=0)
    kernel_map = Nystroem(gamma=0.2, n_components=100, random_state=0)
    model = make_pipeline(kernel_map, LogisticRegression(C=10, max_iter=1000)).fit(X_train, y_train)
    print(
        f"Data: {len(X):,} handwritten digits of {SIDE} x {SIDE} pixels, ink from 0 to 1 (scikit-learn's load_digits)."
    )
    print(f"Model: logistic regression on an RBF kernel map, trained on {len(X_train):,} images;")
    print(f"accuracy on the other {len(X_test):,}: {model.score(X_test, y_test):.1%}.")
    return model


def progress() -> Callable[[int, int], None] | Literal[False]:
    """Return a callable that draws the progress on stderr, or False if that is not a terminal."""

    def report(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\rexplained {done:,} of {total:,} images", end=end, file=sys.stderr, flush=True)

    return sys.stderr.isatty() and report


def _print_run(local: nlf.LocalExplanations, predict: _Timed, seconds: float) -> None:
    n = len(local.r2)
    print(f"\nExplained: all {n:,} images, including training images, each for its predicted class. The output is the")
    print(f"class score before the softmax (decision_function), the noise has a standard deviation of {NOISE} ink on")
    print(f"every pixel, and an explanation has at most {N_FEATURES} pixels, fitted to {N_SAMPLES:,} perturbed images.")
    print(f"Mean local R^2: {local.r2.mean():.3f}.")
    print(f"The model was called {predict.calls:,} times, with {predict.rows:,} rows in all.")
    per_image, share = seconds / n * 1e3, predict.seconds / seconds
    print(f"On one thread that took {seconds:.1f} s, {per_image:.2f} ms per image, {share:.0%} of it in the model.")


def _print_top(by_class: nlf.Importance, overall: nlf.Importance) -> None:
    print("\nMost important pixels, by the positive part of NormLIME's importance: how far ink there raises the score.")
    print("Rows and columns count from 0. The count is that of explanations with a positive weight for the pixel.")
    print("class  row  column  importance  count  standard error")
    for group, pixel, value, count, stderr in by_class.top(5) + overall.top(5):
        row, column = divmod(int(pixel), SIDE)
        label = "all" if group is None else group
        print(f"{label:>5}  {row:>3}  {column:>6}  {value:>10.4f}  {count:>5}  {stderr:>14.4f}")


def _write_table(path: Path, by_class: nlf.Importance, overall: nlf.Importance) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["class", "pixel", "importance", "count", "stderr"])
        for label, values, counts, errors in _maps(by_class, overall):
            for pixel, row in enumerate(zip(values.tolist(), counts.tolist(), errors.tolist(), strict=True)):
                table.writerow([label, pixel, *row])


def _maps(by_class: nlf.Importance, overall: nlf.Importance) -> list[tuple[str, Array, Array, Array]]:
    """Return (label, values, counts, standard errors) of every class, and of all images together."""
    assert by_class.groups is not None
    assert by_class.stderr is not None
    assert overall.stderr is not None
    labels = [str(group) for group in by_class.groups]
    classes = zip(labels, by_class.values, by_class.counts, by_class.stderr, strict=True)
    return [*classes, ("all", overall.values, overall.counts, overall.stderr)]


def _write_picture(path: Path, by_class: nlf.Importance, overall: nlf.Importance) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    grid = figure.subplots(2, 6)
    brightest = float(np.percentile(by_class.values, 99))
    maps = _maps(by_class, overall)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (label, values, _, _) in zip(grid.flat, maps, strict=False):
        picture = axes.imshow(values.reshape(SIDE, SIDE), cmap="magma", vmin=0.0, vmax=brightest)
        axes.set_title("all classes" if label == "all" else label, fontsize=11)
    figure.colorbar(picture, ax=grid, extend="max", shrink=0.9, label="importance, cut at its 99th percentile")
    figure.suptitle("Where ink raises the score of a digit (NormLIME, positive part)", fontsize=12)
    figure.savefig(path, dpi=100)
