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
from normlime_fast._checks import as_jobs, as_targets
from normlime_fast._cli.data import Data, check_same_kinds, check_values, is_category, read_table
from normlime_fast._cli.errors import UsageError, WorkError, check_writable, in_options, join_names, one_line
from normlime_fast._cli.models import Model, TimedModel, check_checkpoint, load_model
from normlime_fast._cli.process import Terminated, prints_on_stderr, stopped_by_sigterm, tell, undisturbed
from normlime_fast._messages import ModelNote
from normlime_fast._model import target_names
from normlime_fast._status import Status

NEIGHBORHOODS = {"gaussian": Gaussian, "pool": Pool, "binned": Binned}
N_FEATURES = 10


@prints_on_stderr()
@stopped_by_sigterm()
def explain(arguments: argparse.Namespace) -> None:
    """Explain the rows of a file, and write the explanations to another."""
    started = time.perf_counter()
    if Path(arguments.output).suffix != ".npz":
        raise UsageError(f"--output must be a file *.npz, which is what the explanations are, got {arguments.output}")
    check_writable(arguments.output, arguments.force)
    with _usage():
        threads = as_jobs(arguments.jobs)
    model = load_model(arguments.model, arguments.output_name, threads)
    data = _data(arguments, model)
    predict = TimedModel(model.predict)
    with _usage():
        neighborhood = _neighborhood(arguments, model, data)
        explainer = NormLIME(
            predict,
            neighborhood,
            n_features=_n_features(arguments, len(data.columns)),
            n_samples=arguments.samples,
            targets=arguments.targets,
            rng=arguments.seed,
            n_jobs=threads,
        )
        X = data.table[: arguments.limit]
        rows = neighborhood._checked_rows(X, data.path)
    names = _asked_once(explainer, model, rows.take(np.arange(1)), arguments)
    del rows  # which is as large as the table
    predict.rows, predict.seconds = 0, 0.0
    if arguments.checkpoint is not None:
        check_checkpoint(arguments.checkpoint, model.identity | {"--seed": str(arguments.seed)})
    local = _explained(explainer, X, names, arguments)
    try:
        local.save(arguments.output)
    except BaseException as error:
        raise _ended(error, f"{arguments.output} could not be written: ", _kept(local, arguments.output)) from error
    output = model.identity.get("--output-name")
    _say_what_was_done(local, len(X), output, predict, time.perf_counter() - started, arguments)


# --- before


@contextmanager
def _usage() -> Iterator[None]:
    """What the library refuses here is the user's input."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageError(one_line(in_options(error))) from error


def _data(arguments: argparse.Namespace, model: Model) -> Data:
    """Read the table for the model."""
    data = read_table(arguments.data, model.takes_text)
    dropped = data.found("--drop", arguments.drop) + data.found("--label", [arguments.label] if arguments.label else [])
    data = data.only([column for column in data.columns if column not in dropped])
    if not data.columns:
        raise UsageError(f"no columns of {data.path} are left for the model")
    check_values(data)
    model.check(data)
    return data


def _neighborhood(arguments: argparse.Namespace, model: Model, data: Data) -> Any:
    """Make the neighborhood of the background, by default the data itself."""
    background = data
    if arguments.background is not None:
        background = read_table(arguments.background, model.takes_text)
        missing = [column for column in data.columns if column not in background.columns]
        if missing:
            lacks = join_names(missing)
            raise UsageError(f"{background.path} must have the columns of {data.path}, but does not have {lacks}")
        if not data.named and background.width != data.width:
            raise UsageError(f"{background.path} must have {data.width} columns as {data.path}, got {background.width}")
        background = background.only(data.columns)
        check_values(background)
        check_same_kinds(background, data)
    if len(background.table) == 1:
        raise UsageError(f"{background.path} has one row, so that nothing varies; give more with --background")
    categorical = data.found("--categorical", arguments.categorical)
    if data.named:
        categorical += [column for column in data.columns if is_category(data.table[column])]
    positions = [position for position, column in enumerate(data.columns) if column in categorical]
    width = {} if arguments.width is None else {"width": arguments.width}
    kind: Any = NEIGHBORHOODS[arguments.neighborhood]
    return kind.from_data(background.table, categorical=positions, **width)


def _n_features(arguments: argparse.Namespace, d: int) -> int | None:
    if arguments.features == "all":
        return None
    return min(N_FEATURES, d) if arguments.features is None else arguments.features


def _asked_once(explainer: NormLIME, model: Model, row: Any, arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """Ask the model about the first row, check what depends on its outputs, and return their names."""
    try:
        outputs = explainer._settings().model.predict(row, row.values, np.arange(1))
    except (Exception, SystemExit) as error:
        raise UsageError(f"{arguments.data}: {_what_failed(error)}") from error
    n_outputs = outputs.shape[1]
    targets = as_targets(arguments.targets)
    if not isinstance(targets, str) and targets.max() >= n_outputs:
        raise UsageError(f"--targets must be below the model's {n_outputs} outputs, got {targets.max()}")
    if arguments.target_names is None:
        return model.names() or target_names(model.predict, n_outputs)
    names = tuple(arguments.target_names.split(","))
    if len(set(names)) != len(names):
        raise UsageError(f"--target-names must differ from each other, got {join_names(names)}")
    if len(names) != n_outputs:
        raise UsageError(f"--target-names must be {n_outputs} names, one for each output, got {join_names(names)}")
    return names


# --- the work


def _explained(
    explainer: NormLIME, X: Any, names: tuple[str, ...] | None, arguments: argparse.Namespace
) -> LocalExplanations:
    """Explain the rows; where that ends half-way, keep what is finished and say where."""
    try:
        local = explainer.explain(X, checkpoint=arguments.checkpoint, progress=_progress(arguments.progress))
    except BaseException as error:
        predict: Any = explainer.predict
        refused = not predict.rows or isinstance(error, CheckpointMismatchError)  # which may ask before it refuses
        if refused and isinstance(error, TypeError | ValueError):
            raise UsageError(one_line(in_options(error))) from error
        place = f"finished blocks are in {arguments.checkpoint}: the same command goes on from there"
        if arguments.checkpoint is None:
            finished: LocalExplanations | None = getattr(error, "finished", None)
            place = "nothing was finished before"
            if finished is not None:
                place = _kept(replace(finished, target_names=names), arguments.output)
        raise _ended(error, "", place) from error
    return replace(local, target_names=names)


def _ended(error: BaseException, what: str, place: str) -> BaseException:
    """Return what the command ends with, which says where the work is."""
    if isinstance(error, KeyboardInterrupt):
        return (Terminated if isinstance(error, Terminated) else KeyboardInterrupt)(place)
    return WorkError(f"{what}{_what_failed(error)}; {place}")


def _what_failed(error: BaseException) -> str:
    """Say in one line what went wrong, and for which rows."""
    rows = [note.rows for note in getattr(error, "__notes__", ()) if isinstance(note, ModelNote)]
    shared = any(one.of == "point" for one in rows)
    where = ["the points of the neighborhood"] if shared else [in_options(one) for one in rows]
    hint = "; lower --samples" if isinstance(error, MemoryError) else ""
    if where:
        return f"the model raised {type(error).__name__}: {one_line(error)} (the model was working on {where[0]}){hint}"
    known = isinstance(error, TypeError | ValueError | RuntimeError | OSError)
    return one_line(in_options(error)) if known else f"{type(error).__name__}: {one_line(error)}{hint}"


@undisturbed()
def _kept(local: LocalExplanations, output: str) -> str:
    """Write explanations beside where they were to go, or else where there is room, and say where that is."""
    names = (f"{output}.partial{number or ''}" for number in count())
    beside = next(Path(name) for name in names if not Path(name).exists())
    for path in (beside, Path(tempfile.gettempdir()) / f"{beside.name}.{time.time_ns()}"):
        try:
            local.save(path)
        except Exception:  # also out of memory: what counts is whether the next one works
            continue
        return f"the {len(local.status):,} explanations finished before are in {path}"
    return "what was finished is lost: neither its folder nor that for temporary files takes it"


def _progress(asked: bool) -> Callable[[int, int], None] | bool:
    """Return what draws the progress on stderr: on a terminal in place, else, where it is asked for, in lines."""
    terminal = sys.stderr.isatty()
    started, before, told = 0.0, 0, -1

    def report(done: int, total: int) -> None:
        nonlocal started, before, told
        now = time.perf_counter()
        if told < 0:
            started, before = now, done
        if not terminal and told == 20 * done // total:  # a line for every twentieth
            return
        told = 20 * done // total
        left = f", {(now - started) / (done - before) * (total - done):,.0f} s left" if total > done > before else ""
        text = f"explained {done:,} of {total:,} rows{left}"
        end = "\n" if done == total or not terminal else ""
        tell(f"\r{text:<70}" if terminal else text, end)

    return report if terminal or asked else False


# --- after


def _say_what_was_done(
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
        f"explained {n_rows:,} rows of {arguments.data} in {seconds:.1f} s; the model was asked about"
        f" {predict.rows:,} rows, which took {share:.0%} of the time",
        f"{len(local.status):,} explanations{of}: {', '.join(statuses)}",
        f"mean R^2 {np.nanmean(local.r2):.3f}" if np.isfinite(local.r2).any() else "no explanation has an R^2",
        f"wrote {arguments.output}; next: normlime-fast importance {arguments.output}{by}",
    ]
    tell("\n".join(lines))
