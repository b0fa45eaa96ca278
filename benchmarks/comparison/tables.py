"""What this library and others do with tables as they are: python -m benchmarks.comparison.tables.

Writes TABLES.md, unless some rows are chosen by `--only`. Every situation is a small table with a model whose answer is
known: the column of the situation counts most, then a number, and a third column is not read. A library first gets the
table as it is, by the call of its own docs. If that fails, it gets the table as its docs tell users to prepare it: text
as codes, dates as days, polars as pandas, categories named where it has a parameter for them.

A library's answer is right if its mean absolute values rank the columns so. The rows that the model gets from it are
kept, and those are counted that no table could have: 2.37 children, a flag between False and True, a row in two cities.
"""

import argparse
import contextlib
import importlib.metadata
import io
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.common.measuring import table

PACKAGES = ("lime", "shap", "dalex", "interpret-core", "lightgbm", "pandas", "polars", "numpy")
N_TRAIN = 2000
N_ROWS = 20  # explained
BACKGROUND = 100  # rows for shap's explainers, as in its docs

Frame = Any  # of pandas or polars
Predict = Callable[[Any], np.ndarray]
Sizes = dict[str, float]  # by column, or by group


class Task(NamedTuple):
    """A table, a model of it, and what is right."""

    train: Frame
    rows: Frame  # explained
    model: Callable[[Frame], np.ndarray]
    impossible: Callable[[pd.DataFrame], np.ndarray]  # which rows no table could have
    categorical: tuple[str, ...] = ()  # columns to name where a library has a parameter for it
    groups: Mapping[str, list[str]] = MappingProxyType({})  # of one-hot columns

    @property
    def places(self) -> list[int]:
        """Return the positions of the named categories."""
        return [list(self.train.columns).index(name) for name in self.categorical]

    def sizes(self, values: Any) -> Sizes:
        """Return the mean sizes of values (rows, columns)."""
        return dict(zip(self.train.columns, np.abs(np.asarray(values, float)).mean(axis=0).tolist(), strict=True))


class Situation(NamedTuple):
    name: str
    meaning: str
    order: tuple[str, ...]  # the columns, or groups, by what they count
    as_it_is: Task
    prepared: Task | None = None  # as docs tell users to
    how: str = ""  # it was prepared


class Cell(NamedTuple):
    """What a library did: a word for the table, and a sentence."""

    word: str
    sentence: str


class Recorded:
    """A model that keeps the rows it gets, as a frame with the columns of the table."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.columns = list(task.train.columns)
        self.seen: list[pd.DataFrame] = []
        self.kinds: set[str] = set()

    def __call__(self, X: Any) -> np.ndarray:
        if isinstance(X, np.ndarray):
            self.kinds.add(f"a numpy array of {X.dtype}")
            X = type(self.task.train)(X, self.columns) if self.polars else pd.DataFrame(X, columns=self.columns)
        else:
            same = list(X.dtypes) == list(self.task.train.dtypes)
            self.kinds.add(f"a {type(X).__module__.split('.')[0]} DataFrame{'' if same else ' of other dtypes'}")
        self.seen.append(pd.DataFrame(X.to_dict(as_series=False)) if self.polars else X.copy())
        return np.asarray(self.task.model(X), float)

    @property
    def polars(self) -> bool:
        return not isinstance(self.task.train, pd.DataFrame)

    def impossible(self) -> float:
        """Return the share of impossible rows."""
        if not self.seen:
            return 0.0
        return float(np.mean(self.task.impossible(pd.concat(self.seen, ignore_index=True))))


# The situations


def nowhere(frame: pd.DataFrame) -> np.ndarray:
    return np.zeros(len(frame), bool)


def outside(**allowed: Sequence[Any]) -> Callable[[pd.DataFrame], np.ndarray]:
    """Return which rows have a value in one of these columns that is none of those allowed."""
    return lambda frame: np.any([~frame[name].isin(list(values)) for name, values in allowed.items()], axis=0)


def numbers(rng: np.random.Generator, n: int) -> pd.DataFrame:
    return pd.DataFrame({"age": rng.normal(40, 12, n), "noise": rng.normal(size=n)})


def by_age(frame: pd.DataFrame) -> np.ndarray:
    return 0.3 * (plain(frame["age"]) - 40) / 12


def plain(values: Any) -> np.ndarray:
    """Return numbers as float64, also those of a column of objects."""
    return values.to_numpy().astype(float)


def missing(rng: np.random.Generator, n: int) -> Situation:
    X = numbers(rng, n).assign(score=rng.normal(size=n))
    X.loc[rng.random(n) < 1 / 3, "score"] = np.nan
    task = Task(X, X[:N_ROWS], lambda frame: by_age(frame) + 2.0 * frame["score"].isna(), nowhere)
    meaning = "A third of `score` is missing, which adds 2. The model reads no more of it than that."
    return Situation("NaN", meaning, ("score", "age", "noise"), task)


EFFECTS = {"bus": 0.0, "car": 1.5, "tram": -1.5, "walk": 3.0}
KNOWN = ["bus", "car", "tram"]


def _of_ways(rng: np.random.Generator, n: int, explained: str | None) -> tuple[Task, Task]:
    """A column of text, as it is and as codes; all explained rows have the category `explained`."""

    def model(frame: pd.DataFrame) -> np.ndarray:
        return by_age(frame) + plain(frame["way"].map(EFFECTS))

    def encode(frame: pd.DataFrame) -> pd.DataFrame:  # as scikit-learn's OrdinalEncoder
        return frame.assign(way=frame["way"].map(dict(zip(KNOWN, range(3), strict=True))).fillna(-1).astype(int))

    def decode(frame: pd.DataFrame) -> pd.DataFrame:
        ways = {-1.0: explained} | dict(enumerate(KNOWN))
        return frame.assign(way=frame["way"].astype(float).round().map(ways))

    X = numbers(rng, n).assign(way=rng.choice(KNOWN, n))
    rows = X[:N_ROWS] if explained is None else X[:N_ROWS].assign(way=explained)
    task = Task(X, rows, model, outside(way=[*KNOWN, *([explained] if explained else [])]))
    codes = outside(way=[0, 1, 2, *([-1] if explained else [])])
    return task, Task(encode(X), encode(rows), lambda frame: model(decode(frame)), codes, ("way",))


def text(rng: np.random.Generator, n: int) -> Situation:
    meaning = "`way` is one of three texts, which adds -1.5 to 1.5."
    return Situation("strings", meaning, ("way", "age", "noise"), *_of_ways(rng, n, None), "as codes")


def unseen(rng: np.random.Generator, n: int) -> Situation:
    meaning = 'The same, but all explained rows have the way "walk", which adds 3 and is in no training row.'
    return Situation("unseen category", meaning, ("way", "age", "noise"), *_of_ways(rng, n, "walk"), "as codes")


def integers(rng: np.random.Generator, n: int) -> Situation:
    def impossible(frame: pd.DataFrame) -> np.ndarray:
        children = plain(frame["children"])
        return ~frame["pclass"].isin([1, 2, 3]).to_numpy() | (children % 1 != 0) | (children < 0)

    X = numbers(rng, n)[["noise"]].assign(pclass=rng.integers(1, 4, n), children=rng.poisson(1.2, n))
    task = Task(X, X[:N_ROWS], lambda frame: 3.0 * (frame["pclass"] == 2) + 0.3 * plain(frame["children"]), impossible)
    meaning = "`pclass` is 1, 2 or 3, of which 2 adds 3; `children` is a whole number, and each adds 0.3."
    named = task._replace(categorical=("pclass", "children"))
    return Situation("integer codes", meaning, ("pclass", "children", "noise"), task, named, "named")


def flag(rng: np.random.Generator, n: int) -> Situation:
    X = numbers(rng, n).assign(cabin=rng.random(n) < 0.2)
    task = Task(X, X[:N_ROWS], lambda frame: by_age(frame) + 3.0 * plain(frame["cabin"]), outside(cabin=[0, 1]))
    whole = X.assign(cabin=X["cabin"].astype(int))
    named = task._replace(train=whole, rows=whole[:N_ROWS], categorical=("cabin",))
    meaning = "`cabin` is a bool, True in a fifth of the rows, which adds 3."
    return Situation("bool", meaning, ("cabin", "age", "noise"), task, named, "named, as 0 and 1")


def date(rng: np.random.Generator, n: int) -> Situation:
    start = pd.Timestamp("2020-01-01")

    def model(frame: pd.DataFrame) -> np.ndarray:
        return by_age(frame) + 3.0 * (pd.to_datetime(frame["when"]) >= "2022-01-01")

    def impossible(frame: pd.DataFrame) -> np.ndarray:
        return ~pd.to_datetime(frame["when"]).between(X["when"].min(), X["when"].max()).to_numpy()

    def decode(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(when=start + pd.to_timedelta(frame["when"].astype(float), unit="D"))

    X = numbers(rng, n).assign(when=start + pd.to_timedelta(rng.integers(0, 1461, n), unit="D"))
    days = X.assign(when=(X["when"] - start).dt.days)
    in_days = Task(days, days[:N_ROWS], lambda frame: model(decode(frame)), lambda frame: impossible(decode(frame)))
    meaning = "`when` is a datetime64 within four years, of which the last two add 3."
    task = Task(X, X[:N_ROWS], model, impossible)
    return Situation("dates", meaning, ("when", "age", "noise"), task, in_days, "as days")


def one_hot(rng: np.random.Generator, n: int) -> Situation:
    cities = list("ABCDEFGH")
    columns = [f"city_{name}" for name in cities]

    def impossible(frame: pd.DataFrame) -> np.ndarray:
        hot = plain(frame[columns])
        return (hot.sum(axis=1) != 1) | (hot % 1 != 0).any(axis=1)

    dummies = pd.get_dummies(rng.choice(cities, n), prefix="city", dtype=int)
    X = pd.concat([numbers(rng, n), dummies], axis=1)
    effects = np.linspace(-2, 2, len(cities))
    groups = {"city": columns}
    task = Task(X, X[:N_ROWS], lambda frame: by_age(frame) + plain(frame[columns]) @ effects, impossible, groups=groups)
    meaning = "Eight columns of 0 and 1 are a city, which adds -2 to 2; and their sizes are added up."
    named = task._replace(categorical=tuple(columns))
    return Situation("one-hot group", meaning, ("city", "age", "noise"), task, named, "named")


def polars(rng: np.random.Generator, n: int) -> Situation:
    import polars as pl

    X = numbers(rng, n).assign(weight=rng.normal(size=n))
    frame = pl.DataFrame({name: X[name].to_numpy() for name in X})
    expression = 2.0 * pl.col("weight") + 0.3 * (pl.col("age") - 40) / 12
    task = Task(frame, frame[:N_ROWS], lambda rows: rows.select(y=expression)["y"].to_numpy(), nowhere)
    in_pandas = Task(X, X[:N_ROWS], lambda rows: task.model(pl.DataFrame(rows.to_dict("list"))), nowhere)
    meaning = "A polars DataFrame of three numbers, whose model is a polars expression."
    return Situation("polars", meaning, ("weight", "age", "noise"), task, in_pandas, "as pandas")


def situations(n: int = N_TRAIN) -> list[Situation]:
    makers = (missing, text, unseen, integers, flag, date, one_hot, polars)
    return [make(np.random.default_rng(0), n) for make in makers]


# The libraries: each returns the mean absolute value over the rows, by column or by group


def by_lime(task: Task, predict: Predict) -> Sizes:
    from lime.lime_tabular import LimeTabularExplainer

    names = list(task.train.columns)
    options = {"categorical_features": places} if (places := task.places) else {}
    explainer = LimeTabularExplainer(
        task.train.to_numpy(), feature_names=names, mode="regression", random_state=0, **options
    )
    sizes = np.zeros(len(names))
    for row in task.rows.to_numpy():
        explanation = explainer.explain_instance(row, predict, num_features=len(names))
        for j, weight in explanation.as_map()[1]:
            sizes[j] += abs(weight) / len(task.rows)
    return dict(zip(names, sizes, strict=True))


def by_permutation(task: Task, predict: Predict) -> Sizes:
    import shap

    explainer = shap.PermutationExplainer(predict, shap.maskers.Independent(task.train, BACKGROUND), seed=0)
    return task.sizes(explainer(task.rows).values)


def by_tree(task: Task, predict: Predict) -> Sizes:
    """LightGBM learns what the model says, and its trees are explained, by their paths: there are no other rows."""
    import shap
    from lightgbm import LGBMRegressor

    train, rows = task.train, task.rows
    if task.categorical:  # its docs: by the dtype
        train, rows = (frame.astype(dict.fromkeys(task.categorical, "category")) for frame in (train, rows))
    model = LGBMRegressor(n_estimators=50, n_jobs=1, random_state=0, verbose=-1).fit(train, task.model(task.train))
    return task.sizes(shap.TreeExplainer(model).shap_values(rows))


def by_kernel(task: Task, predict: Predict) -> Sizes:
    import shap

    np.random.seed(0)  # noqa: NPY002, which it draws from
    explainer = shap.KernelExplainer(predict, shap.sample(task.train, BACKGROUND, random_state=0))
    return task.sizes(explainer.shap_values(task.rows, silent=True))


def by_dalex(task: Task, predict: Predict) -> Sizes:
    import dalex

    explainer = dalex.Explainer(predict, task.train, predict_function=lambda model, X: model(X), verbose=False)
    options: dict[str, Any] = {"type": "shap", "B": 5, "random_state": 0, "processes": 1}
    explaining, name, value = explainer, "variable_name", "contribution"
    if task.groups and task.categorical:  # its aspects are groups of columns
        if not hasattr(np, "in1d"):
            np.in1d = np.isin  # noqa: NPY201, which dalex 1.8 needs, and numpy 2.4 no longer has
        aspects = {column: [column] for column in task.train.columns if column not in task.categorical}
        explaining, name, value = dalex.Aspect(explainer), "aspect_name", "importance"
        options["variable_groups"] = {**aspects, **task.groups}
    sizes: Sizes = {}
    for k in range(len(task.rows)):
        found = explaining.predict_parts(task.rows[k : k + 1], **options).result
        if "B" in found:
            found = found[found["B"] == 0]  # the means over its orders of columns
        for column, size in zip(found[name], found[value], strict=True):
            sizes[column] = sizes.get(column, 0.0) + abs(size) / len(task.rows)
    return sizes


def by_interpret(kind: str, task: Task, predict: Predict) -> Sizes:
    from interpret import blackbox

    if kind == "LimeTabular":  # it passes on what it does not know
        explainer = blackbox.LimeTabular(
            predict, task.train, random_state=0, **({"categorical_features": task.places} if task.places else {})
        )
    else:
        np.random.seed(0)  # noqa: NPY002
        explainer = blackbox.ShapKernel(predict, task.train[:BACKGROUND])
    explanations = explainer.explain_local(task.rows)
    columns = dict(
        zip(explainer.feature_names_in_, task.train.columns, strict=True)
    )  # it has names of its own for polars
    sizes = dict.fromkeys(task.train.columns, 0.0)
    for k in range(len(task.rows)):
        data = explanations.data(k)
        for name, score in zip(data["names"], data["scores"], strict=True):
            sizes[columns[name]] += abs(score) / len(task.rows)
    return sizes


def by_ours(task: Task, predict: Predict) -> Sizes:
    import normlime_fast as nlf

    data = nlf.Binned.from_data(task.train, groups=dict(task.groups)) if task.groups else task.train
    importance = nlf.NormLIME(predict, data, rng=0).explain(task.rows).importance("mean_abs")
    return dict(zip(importance.feature_names, importance.values.tolist(), strict=True))


class Library(NamedTuple):
    package: str
    explain: Callable[[Task, Predict], Sizes]


OURS = "normlime_fast"
LIBRARIES = {
    "lime": Library("lime", by_lime),
    "shap, Permutation": Library("shap", by_permutation),
    "shap, Tree": Library("shap", by_tree),
    "shap, Kernel": Library("shap", by_kernel),
    "dalex": Library("dalex", by_dalex),
    "interpret, LimeTabular": Library("interpret-core", partial(by_interpret, "LimeTabular")),
    "interpret, ShapKernel": Library("interpret-core", partial(by_interpret, "ShapKernel")),
    OURS: Library("normlime-fast", by_ours),
}


# What they did


def tried(library: Library, task: Task, order: Sequence[str]) -> Cell:
    """Explain a table, and judge the answer and the rows that the model got."""
    model = Recorded(task)
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stderr(io.StringIO()):  # progress bars
            sizes = library.explain(task, model)
    except Exception as error:
        lines = str(error).strip().replace("`", "'").splitlines() or [""]
        return Cell("refused", f"`{type(error).__name__}: {shorten(lines[0], 110, placeholder=' ...')}`")
    found = [sum(sizes.get(column, 0.0) for column in [name, *task.groups.get(name, [])]) for name in order]
    right = all(before > after for before, after in pairwise(found))
    impossible = model.impossible()
    word = "yes" if right else "wrong"
    if impossible:
        word += f", {impossible:.0%} impossible".replace("%", " %")
    sentence = ", ".join(f"{name} {size:.2f}" for name, size in zip(order, found, strict=True))
    if model.kinds:
        sentence += f"; the model gets {' and '.join(sorted(model.kinds))}"
    return Cell(word, sentence)


def cell(name: str, situation: Situation) -> Cell:
    """Try the table as it is, and then prepared, if that is not good."""
    library = LIBRARIES[name]
    try:
        importlib.metadata.version(library.package)
    except importlib.metadata.PackageNotFoundError:
        return Cell("not installed", "not installed")
    first = tried(library, situation.as_it_is, situation.order)
    if first.word == "yes" or situation.prepared is None:
        return Cell(first.word, f"{first.word}: {first.sentence}.")
    second = tried(library, situation.prepared, situation.order)
    if first == second:  # it has no such parameter
        return Cell(first.word, f"{first.word}: {first.sentence}.")
    sentence = f"{first.word}: {first.sentence}. {situation.how.capitalize()}, {second.word}: {second.sentence}."
    return Cell(f"{first.word}; {situation.how}: {second.word}", sentence)


Measured = dict[str, dict[str, Cell]]  # by situation and library


def measure(some: Sequence[Situation], libraries: Sequence[str]) -> Measured:
    return {situation.name: {name: cell(name, situation) for name in libraries} for situation in some}


def page_table(measured: Measured) -> str:
    """Libraries in rows; ours last, and empty if it was left out."""
    rows = [
        [name.replace(OURS, f"**{OURS}**"), *(cells[name].word if name in cells else "" for cells in measured.values())]
        for name in LIBRARIES
    ]
    return table(["", *measured], rows, ())


TEXT = """# Tables as they are

Written by `python -m benchmarks.comparison.tables`, not by hand ({versions}).

Each situation is a table of {n:,} rows and a model whose answer is known: the column of the situation counts most,
then a number, and a third column is not read. {rows} rows are explained, by the call of the library's docs. shap's
explainers, and those built on them, have {background} rows of background; dalex explains by `predict_parts`, type
"shap". "shap, Tree" explains LightGBM, which has learned the model's outputs, and its refusals are LightGBM's.

First the table is passed as it is, or as a numpy array if the library takes nothing else. If that does not end in a
plain "yes", it is passed as users are told to prepare it: text as codes, dates as days, polars as pandas, categories
and groups of columns named where there is a parameter for them.

* **yes**: the mean absolute values rank the three columns rightly.
* **wrong**: they do not, without an error.
* **refused**: an error.
* **impossible**: the share of the rows given to the model that no such table can have, such as 2.37 children, a flag
  between False and True, or a row in two cities.

{table}

{sentences}
"""


def report(some: Sequence[Situation], measured: Measured) -> str:
    sentences = []
    for situation in some:
        sentences.append(f"## {situation.name}\n\n{situation.meaning}\n")
        cells = measured[situation.name]
        sentences += [f"* {name}: {cell.sentence}" for name, cell in cells.items()]
        sentences.append("")
    return TEXT.format(
        versions=f"Python {platform.python_version()}, {', '.join(map(versioned, PACKAGES))}",
        n=N_TRAIN,
        rows=N_ROWS,
        background=BACKGROUND,
        table=page_table(measured),
        sentences="\n".join(sentences).rstrip(),
    )


def versioned(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} not installed"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparison.tables", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--only", choices=LIBRARIES, help="one library; writes nothing")
    parser.add_argument("--peers", action="store_true", help="leave this library out: its row stays empty")
    options = parser.parse_args(arguments)
    names = [options.only] if options.only else [name for name in LIBRARIES if not (options.peers and name == OURS)]
    some = situations()
    text = report(some, measure(some, names))
    print(text)
    if not options.only:
        Path(__file__).with_name("TABLES.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
