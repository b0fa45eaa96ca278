"""The command `explain`: a model and a table in, a file of local explanations out."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from normlime_fast import Binned, CheckpointMismatchError, Gaussian, LocalExplanations, NormLIME, Pool
from normlime_fast._checks import as_jobs, as_targets, printable
from normlime_fast._cli.data import Data, check_finite, held, read_table
from normlime_fast._cli.errors import UsageError, WorkError, check_writable, in_options, join_names, one_line
from normlime_fast._cli.models import Model, TimedModel, check_checkpoint, load_model
from normlime_fast._cli.process import Terminated, prints_on_stderr, stopped_by_sigterm, tell, undisturbed
from normlime_fast._inputs.columns import Columns
from normlime_fast._messages import ModelNote
from normlime_fast._outputs import check_predict, names_of_targets, target_names, warn_of_units
from normlime_fast._status import Status

NEIGHBORHOODS = {"binned": Binned, "gaussian": Gaussian, "pool": Pool}
SHOWN = 30  # columns
N_FEATURES = 10


@prints_on_stderr()
@stopped_by_sigterm()
def explain(arguments: argparse.Namespace) -> None:
    """Explain the rows of a file, and write the explanations to another."""
    started = time.perf_counter()
    if Path(arguments.output).suffix != ".npz":
        raise UsageError(f"--output must be a file *.npz, got {arguments.output}")
    check_writable(arguments.output, arguments.force)
    with _usage():
        threads = as_jobs(arguments.jobs)
    model = load_model(arguments.model, arguments.output_name, threads, arguments.missing_text)
    with _usage():
        check_predict(model.predict)
    data = _data(arguments, model)
    predict = TimedModel(model.predict)
    data, background = _with_background(arguments, model, data)
    neighborhood = _neighborhood(arguments, background)
    with _usage():
        explainer = NormLIME(
            predict,
            neighborhood,
            n_features=_n_features(arguments),
            n_samples=arguments.samples,
            targets="predicted" if _are_names(arguments.targets) else arguments.targets,
            link=arguments.link,
            rng=arguments.seed,
            n_jobs=threads,
        )
        X = data.table[: arguments.limit]
        rows = neighborhood._checked_rows(X, data.path)
    names = _output_names(explainer, model, rows.take(np.arange(1)), arguments)
    with _usage():
        explainer.targets = as_targets(arguments.targets, names)
    del rows  # as large as the table
    predict.rows, predict.seconds = 0, 0.0
    if arguments.checkpoint is not None:
        check_checkpoint(arguments.checkpoint, model.identity | {"--seed": str(arguments.seed)})
    _tell_columns(neighborhood.columns, background)
    local = _explained(explainer, X, names, arguments)
    try:
        local.save(arguments.output)
    except BaseException as error:
        place = _save_elsewhere(local, arguments.output)
        raise _ended(error, f"{arguments.output} could not be written: ", place) from error
    output = model.identity.get("--output-name")
    _tell_summary(local, len(X), output, predict, time.perf_counter() - started, arguments)


# --- before the run


@contextmanager
def _usage() -> Iterator[None]:
    """Turn errors of the library into usage errors: at this stage, they are about the user's input."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageError(one_line(in_options(error))) from error


def _data(arguments: argparse.Namespace, model: Model) -> Data:
    """Read the table, with only the columns that the model gets."""
    data = read_table(arguments.data, model.takes_text)
    label = [arguments.label] if arguments.label else []
    dropped = data.resolve("--drop", arguments.drop) + data.resolve("--label", label)
    data = data.only([column for column in data.columns if column not in dropped])
    if not data.columns:
        raise UsageError(f"no columns of {data.path} are left for the model")
    check_finite(data)
    model.check(data)
    return data


def _with_background(arguments: argparse.Namespace, model: Model, data: Data) -> tuple[Data, Data]:
    """Return the data and the table to make the neighborhood from, by default the data itself."""
    background = data
    if arguments.background is not None:
        background = read_table(arguments.background, model.takes_text)
        missing = [column for column in data.columns if column not in background.columns]
        if missing:
            names = join_names(missing)
            raise UsageError(f"{background.path} must have the columns of {data.path}, but does not have {names}")
        if not data.named and background.width != data.width:
            raise UsageError(
                f"{background.path} must have {data.width} columns as in {data.path}, got {background.width}"
            )
        background = background.only(data.columns)
        check_finite(background)
        model.check(background)
        data, background = _with_same_kinds(data, background)
    if len(background.table) == 1:
        raise UsageError(f"{background.path} must have more than one row; pass a larger table with --background")
    return data, background


def _with_same_kinds(data: Data, background: Data) -> tuple[Data, Data]:
    """Refuse columns that hold text in one table, but not in the other; give those without values a fitting dtype."""
    dtypes: tuple[dict[Any, Any], dict[Any, Any]] = {}, {}
    for column in data.columns if data.named else ():
        pair = data.table[column], background.table[column]
        expected, got = map(held, pair)
        if expected != got and "nothing" not in (expected, got):
            raise UsageError(
                f"column {column!r} of {background.path} must have {expected} as in {data.path}, got {got}"
            )
        for k, kind in enumerate((got, expected)):  # pandas reads cells that are all empty as numbers
            if expected != got and kind != "nothing":
                dtypes[k][column] = float if kind == "numbers" else pair[1 - k].dtype
    tables = [one.table.astype(own) if own else one.table for one, own in zip((data, background), dtypes, strict=True)]
    return data._replace(table=tables[0]), background._replace(table=tables[1])


def _neighborhood(arguments: argparse.Namespace, background: Data) -> Any:
    """Make the neighborhood."""
    columns = {}
    for option in ("categorical", "numeric"):
        chosen = background.resolve(f"--{option}", getattr(arguments, option))
        columns[option] = [position for position, column in enumerate(background.columns) if column in chosen]
    both = set(columns["categorical"]).intersection(columns["numeric"])
    if both:
        raise UsageError(f"--numeric and --categorical both have column {background.columns[min(both)]!r}")
    if arguments.sets is not None and arguments.neighborhood == "gaussian":
        raise UsageError("--sets is for --neighborhood pool or binned, whose samples rows share, got gaussian")
    given = {"width": arguments.width, "n_sets": arguments.sets}
    kind: Any = NEIGHBORHOODS[arguments.neighborhood]
    options = {name: value for name, value in given.items() if value is not None}
    try:
        return kind.from_data(background.table, **columns, **options)
    except (TypeError, ValueError) as error:
        subject, _, rest = one_line(in_options(error)).partition(" ")
        subject = {"X": background.path, "numeric": "--numeric"}.get(subject, subject)
        raise UsageError(f"{subject} {rest}") from error


def _n_features(arguments: argparse.Namespace) -> int | None:
    if arguments.features == "all":
        return None
    return arguments.features or N_FEATURES


def _output_names(explainer: NormLIME, model: Model, row: Any, arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """Predict the first row, check the options that depend on the outputs, and return the outputs' names."""
    try:
        outputs = explainer._settings().model.predict(row, row.values, np.arange(1))
    except (Exception, SystemExit) as error:
        raise UsageError(f"{arguments.data}: {_describe(error)}") from error
    n_outputs = outputs.shape[1]
    if not _are_names(arguments.targets):
        targets = as_targets(arguments.targets)
        if not isinstance(targets, str) and targets.max() >= n_outputs:
            raise UsageError(f"--targets must be below the model's {n_outputs} outputs, got {targets.max()}")
        warn_of_units(model.predict, targets, n_outputs, stacklevel=1)
    if arguments.target_names is None:
        return model.names() or target_names(model.predict, n_outputs)
    names = tuple(arguments.target_names.split(","))
    if len(set(names)) != len(names):
        raise UsageError(f"--target-names must differ from each other, got {join_names(names)}")
    if len(names) != n_outputs:
        raise UsageError(f"--target-names must be one name for each of {n_outputs} outputs, got {join_names(names)}")
    with _usage():
        return names_of_targets(names, model.predict)


def _are_names(targets: str | list[Any]) -> bool:
    """Return whether --targets are names of outputs."""
    return isinstance(targets, list) and isinstance(targets[0], str)


def _tell_columns(columns: Columns, background: Data) -> None:
    """Say what the columns are taken for: a line for each of the first, then how many there are of which kind."""
    lines = [f"columns of {background.path}, as they are taken (--numeric and --categorical change it):"]
    shown = zip(columns[:SHOWN], background.columns, strict=False)  # which has the positions in an npy file
    first = replace(columns, entries=tuple(column._replace(name=str(name)) for column, name in shown))
    lines += [f"  {printable(line)}" for line in repr(first).split("\n")]
    if len(columns) > SHOWN:
        lines.append(f"  and {len(columns) - SHOWN:,} more; of all, {columns.summary()}")
    tell("\n".join(lines))


# --- the run


def _explained(
    explainer: NormLIME, X: Any, names: tuple[str, ...] | None, arguments: argparse.Namespace
) -> LocalExplanations:
    """Explain the rows; if that ends early, keep the finished explanations and tell their place."""
    try:
        local = explainer.explain(X, checkpoint=arguments.checkpoint, progress=_progress(arguments.progress))
    except BaseException as error:
        predict: Any = explainer.predict
        refused = not predict.rows or isinstance(error, CheckpointMismatchError)  # raised after a call of the model
        if refused and isinstance(error, TypeError | ValueError):
            raise UsageError(one_line(in_options(error))) from error
        place = f"finished blocks are in {arguments.checkpoint}: the same command resumes from there"
        if arguments.checkpoint is None:
            finished: LocalExplanations | None = getattr(error, "finished", None)
            place = "no explanation was finished"
            if finished is not None:
                place = _save_elsewhere(replace(finished, target_names=names), arguments.output)
        raise _ended(error, "", place) from error
    return replace(local, target_names=names)


def _ended(error: BaseException, prefix: str, place: str) -> BaseException:
    """Return the exception that ends the command and tells where the finished work is."""
    if isinstance(error, KeyboardInterrupt):
        return (Terminated if isinstance(error, Terminated) else KeyboardInterrupt)(place)
    return WorkError(f"{prefix}{_describe(error)}; {place}")


def _describe(error: BaseException) -> str:
    """Return an error in one line, with the rows that the model was predicting."""
    rows = [note.rows for note in getattr(error, "__notes__", ()) if isinstance(note, ModelNote)]
    shared = any(one.of == "point" for one in rows)
    predicted = ["the points of the neighborhood"] if shared else [in_options(one) for one in rows]
    hint = "; lower --samples" if isinstance(error, MemoryError) else ""
    if predicted:
        return f"the model raised {type(error).__name__}: {one_line(error)} (while predicting {predicted[0]}){hint}"
    clear = isinstance(error, TypeError | ValueError | RuntimeError | OSError)
    return one_line(in_options(error)) if clear else f"{type(error).__name__}: {one_line(error)}{hint}"


@undisturbed()
def _save_elsewhere(local: LocalExplanations, output: str) -> str:
    """Write explanations next to the output, or else to the temporary folder, and return a message that tells where."""
    names = (f"{output}.partial{number or ''}" for number in count())
    neighbor = next(Path(name) for name in names if not Path(name).exists())
    for path in (neighbor, Path(tempfile.gettempdir()) / f"{neighbor.name}.{time.time_ns()}"):
        try:
            local.save(path)
        except Exception:  # any error, also MemoryError: the next path may still work
            continue
        return f"the {len(local.status):,} finished explanations are in {path}"
    return "the finished explanations are lost: saving failed next to the output and in the temporary folder"


def _progress(requested: bool) -> Callable[[int, int], None] | bool:
    """Return a callable that shows the progress on stderr: in place on a terminal, else, if requested, in lines."""
    terminal = sys.stderr.isatty()
    started, done_before, twentieths = 0.0, 0, -1

    def report(done: int, total: int) -> None:
        nonlocal started, done_before, twentieths
        now = time.perf_counter()
        if twentieths < 0:
            started, done_before = now, done
        if not terminal and twentieths == 20 * done // total:  # a line for every twentieth
            return
        twentieths = 20 * done // total
        remaining = ""
        if total > done > done_before:
            remaining = f", {(now - started) / (done - done_before) * (total - done):,.0f} s left"
        text = f"explained {done:,} of {total:,} rows{remaining}"
        end = "\n" if done == total or not terminal else ""
        tell(f"\r{text:<70}" if terminal else text, end)

    return report if terminal or requested else False


# --- after the run


def _tell_summary(
    local: LocalExplanations,
    n_rows: int,
    output: str | None,
    predict: TimedModel,
    seconds: float,
    arguments: argparse.Namespace,
) -> None:
    counts = np.bincount(local.status)
    of = "" if output is None else f" of output {output!r}"
    statuses = [f"{counts[k]:,} {in_options(Status(k).text)} (status {k})" for k in np.flatnonzero(counts).tolist()]
    share = predict.seconds / seconds
    by = " --by target" if len(np.unique(local.target)) > 1 else ""
    lines = [
        f"explained {n_rows:,} rows of {arguments.data} in {seconds:.1f} s; the model predicted"
        f" {predict.rows:,} rows, which took {share:.0%} of the time",
        f"{len(local.status):,} explanations{of}: {', '.join(statuses)}",
        f"mean R^2 {np.nanmean(local.r2):.3f}" if np.isfinite(local.r2).any() else "no explanation has an R^2",
        f"wrote {arguments.output}; next: normlime-fast importance {arguments.output}{by}",
    ]
    tell("\n".join(lines))
