"""A whole call of an explainer: blocks of instances, here or on an executor, kept as they finish, and put together."""

import copy
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array, as_array, as_frame, is_sparse, told
from normlime_fast._engine import executors
from normlime_fast._engine.block import Explained, Report, explain_block, failed_explanations
from normlime_fast._engine.checkpoint import Checkpoint
from normlime_fast._engine.settings import Settings, ask_about_rows, check_same_outputs
from normlime_fast._engine.threads import Start, pool
from normlime_fast._errors import attach, none_finished
from normlime_fast._inputs.rows import Rows
from normlime_fast._inputs.sources import UNUSABLE, Block, Partitions, Table, length, no_label
from normlime_fast._messages import Message, PointsNote, Term
from normlime_fast._results.explanations import LocalExplanations, with_target_names
from normlime_fast._results.statistics import ImportanceStatistics
from normlime_fast._status import SKIPPED, Status

Progress = Callable[[int], object]


class Options(NamedTuple):
    """How a call is carried out; its result does not depend on that."""

    executor: Executor | None
    skip: bool
    progress: Progress


# --- work on blocks


def _work(
    settings: Settings,
    blocks: Iterable[Block],
    finish: Callable[[Explained, Block], Any],
    options: Options,
    take: Callable[[int, Any], None],
) -> None:
    """Explain blocks, `finish` them where they were explained, and `take` what comes of the k-th of them."""
    told = done = 0
    sizes: dict[int, int] = {}  # of blocks that are not done

    def tell(now: int) -> None:
        nonlocal told
        if now > told:
            told = now
            options.progress(now)

    def took(k: int, result: Any) -> None:
        nonlocal done
        take(k, result)
        done += sizes.pop(k)
        tell(done)

    if options.executor is None:
        with pool(settings.n_jobs) as start:
            for k, block in enumerate(blocks):
                sizes[k] = len(block.numbers)
                took(k, finish(_explained(settings, block, options.skip, start, lambda now: tell(done + now)), block))
        return

    def calls() -> Iterator[tuple[Any, ...]]:
        shipped = executors.Shipped(settings)
        for k, block in enumerate(blocks):
            sizes[k] = len(block.numbers)
            yield shipped, finish, options.skip, *block

    executors.run(options.executor, _work_elsewhere, calls(), took)


def _work_elsewhere(
    shipped: executors.Shipped,
    finish: Callable[[Explained, Block], Any],
    skip: bool,
    rows: Any,
    numbers: Array,
    labels: Array | None,
) -> Any:
    settings = shipped.value
    with pool(settings.n_jobs) as start:
        explained = _explained(settings, Block(rows, numbers, labels), skip, start, lambda done: None)
    if explained.error is not None:
        explained = explained._replace(error=executors.portable(explained.error))
    return finish(explained, Block(None, numbers, labels))


def _explained(settings: Settings, block: Block, skip: bool, start: Start, report: Report) -> Explained:
    """Explain a block, of which rows without a label cannot be used."""
    try:
        rows = _as_rows(settings, block.rows, skip)
    except (TypeError, ValueError) as error:
        if not skip:
            raise
        return Explained(None, None, None, told(error), np.full(len(block.numbers), Status.INVALID_ROW))
    if isinstance(block.labels, np.ma.MaskedArray):
        labelled = ~np.ma.getmaskarray(block.labels)
        usable = labelled if rows.usable is None else labelled & rows.usable
        rows = replace(
            rows, usable=usable, fault=rows.fault or told(no_label("by", int(block.numbers[labelled.argmin()])))
        )
    return explain_block(settings, rows, block.numbers, skip, start, report)


def _outputs_of(settings: Settings, block: Block, options: Options) -> Array:
    """What the model says of the rows themselves, asked where it works."""
    call = (executors.Shipped(settings), options.skip, block.rows, block.numbers)
    if options.executor is None:
        return _asked(*call)
    asked: list[Array] = []
    executors.run(options.executor, _asked, [call], lambda k, outputs: asked.append(outputs))
    return asked[0]


def _asked(shipped: executors.Shipped, skip: bool, rows: Any, numbers: Array) -> Array:
    settings = shipped.value
    outputs, _, error = ask_about_rows(settings, _as_rows(settings, rows, skip), numbers, skip)
    if outputs is None:
        raise _all_failed(error) from error
    return outputs


def _as_rows(settings: Settings, rows: Any, skip: bool) -> Rows:
    if isinstance(rows, Rows):
        return rows
    return usable_rows(settings, rows, most=None) if skip else checked_rows(settings, rows)


def checked_rows(settings: Settings, X: object, name: str = "X") -> Rows:
    """Return the user's rows, which the neighborhood can perturb."""
    return settings.neighborhood._checked_rows(X, name)


def usable_rows(settings: Settings, X: Any, name: str = "X", most: int | None = UNUSABLE) -> Rows:
    """Return the rows that `checked_rows` takes, with others standing in for the rest.

    Its error is raised if it takes no row, or none of the first `most`. Of n rows, k of which it refuses, it looks at
    O(k log n) parts.
    """
    try:
        return checked_rows(settings, X, name)
    except (TypeError, ValueError) as error:
        table = _as_table(X, name)
        usable = np.zeros(length(table), bool)

        def look(start: int, stop: int) -> None:
            try:
                _checked_numbers(settings, _part_of(table, slice(start, stop)), name)
                usable[start:stop] = True
            except (TypeError, ValueError):
                if stop - start > 1:
                    look(start, (start + stop) // 2)
                    look((start + stop) // 2, stop)

        begin = min(len(usable), most or len(usable))
        if begin:
            look(0, begin)
        if not usable.any():
            raise
        if begin < len(usable):
            look(begin, len(usable))
        rows = _checked_numbers(settings, _part_of(table, np.flatnonzero(usable)), name)
        stands = np.maximum(np.cumsum(usable) - 1, 0)
        return replace(rows.take(stands), usable=usable, fault=told(error))


def _as_table(X: Any, name: str) -> Any:
    """Return what can be cut into parts."""
    frame = as_frame(X, name)
    if frame is not None:
        return frame
    if is_sparse(X):
        return X.tocsr()
    known = isinstance(X, np.ndarray | list | tuple) or hasattr(X, "iloc")
    return X if known else as_array(X, name)


def _part_of(table: Any, here: Any) -> Any:
    if isinstance(table, list | tuple):
        return table[here] if isinstance(here, slice) else [table[k] for k in here]
    return getattr(table, "iloc", table)[here]


def _checked_numbers(settings: Settings, part: Any, name: str) -> Rows:
    """Check some rows, of which a column is one of numbers if that is what they have in it."""
    try:
        return checked_rows(settings, part, name)
    except TypeError:
        if not hasattr(part, "infer_objects"):
            raise
        return checked_rows(settings, part.infer_objects(), name)


def _prepared(settings: Settings, options: Options) -> Settings:
    """Return settings whose neighborhood knows what the model says of the points that serve all instances, if any do.

    The model is asked where it works, but all at once, and an error is not skipped: there would be nothing to explain.
    """

    def ask(points: Rows) -> Array:
        try:
            return _outputs_of(settings, Block(points, np.arange(points.count)), options._replace(skip=False))
        except Exception as error:
            with suppress(Exception):  # some are frozen
                note = "normlime_fast: by instances, points of the neighborhood are meant that serve them all"
                error.add_note(PointsNote(note))
            raise

    ready = copy.copy(settings)
    ready.neighborhood = settings.neighborhood._prepare(settings.seed, settings.n_samples, settings.n_features, ask)
    return ready


def _whole(explained: Explained, block: Block) -> Explained:
    return explained


def _outputs_checker() -> Callable[[int | None], None]:
    """Return a function that takes the number of the model's outputs in every block, and sees that it is one."""
    known: int | None = None

    def check(count: int | None) -> None:
        nonlocal known
        if count is not None and known is not None:
            check_same_outputs(known, count)
        known = known or count

    return check


# --- a table


def explain_table(
    settings: Settings, table: Table | Partitions, numbers: Array, size: int, store: Checkpoint | None, options: Options
) -> tuple[LocalExplanations, Exception | None, str | None]:
    """Explain all rows of a table; also return the first error of the model, and fault of a row, that was skipped."""
    slices = table.slices(size)
    kept = {} if store is None else _kept(store, [numbers[here] for here in slices])
    if store is not None and kept:
        k = min(kept)
        outputs = _outputs_of(settings, Block(table.rows(slices[k]), numbers[slices[k]]), options)
        store.check_predictions(kept[k], outputs, numbers[slices[k]])
    finished: dict[int, LocalExplanations | None] = dict(kept)
    todo = [k for k in range(len(slices)) if k not in finished]
    before = len(numbers) - sum(len(numbers[slices[k]]) for k in todo)
    check_outputs = _outputs_checker()
    first_error: Exception | None = None
    fault = table.whole.fault if isinstance(table, Table) else None
    unknown: dict[int, Array] = {}  # statuses of the instances of blocks without explanations

    def take(i: int, explained: Explained) -> None:
        nonlocal first_error, fault
        check_outputs(explained.n_outputs)
        finished[todo[i]] = explained.local
        first_error, fault = first_error or explained.error, fault or explained.fault
        if explained.statuses is not None:
            unknown[todo[i]] = explained.statuses
        if store is not None and explained.local is not None:
            store.write(todo[i], explained.local)

    def progress(done: int) -> None:
        options.progress(before + done)

    blocks = (Block(table.rows(slices[k]), numbers[slices[k]]) for k in todo)
    if before:
        options.progress(before)
    try:
        if todo:
            settings = _prepared(settings, options)
        _work(settings, blocks, _whole, options._replace(progress=progress), take)
    except BaseException as error:
        parts = [finished[k] for k in sorted(finished)] + [getattr(error, "finished", None)]
        if known := [part for part in parts if part is not None]:
            attach(error, _joined(known), "the explanations finished before are this exception's .finished")
        if store is not None:
            with suppress(Exception):  # some exceptions are frozen
                error.add_note(f"normlime_fast: finished blocks are in {store.path}: the same call goes on from there")
        raise
    like = next((finished[k] for k in sorted(finished) if finished[k] is not None), None)
    if like is None:
        statuses = np.bincount(np.concatenate([unknown[k] for k in sorted(unknown)]), minlength=len(Status))
        raise _none_left(statuses, first_error, fault) from first_error
    parts = []
    for k, here in enumerate(slices):
        part = finished[k]
        parts.append(failed_explanations(settings, numbers[here], like, unknown[k]) if part is None else part)
    return _joined(parts), first_error, fault


def _kept(store: Checkpoint, numbers: list[Array]) -> dict[int, LocalExplanations]:
    """The finished blocks of a checkpoint that are those of the instances with these numbers."""
    return {
        k: local
        for k, local in store.finished.items()
        if k < len(numbers) and np.array_equal(np.unique(local.instance), np.sort(numbers[k]))
    }


def _joined(parts: list[LocalExplanations]) -> LocalExplanations:
    """Put parts together; those that a checkpoint kept may know the targets' names when others do not."""
    names = next((part.target_names for part in parts if part.target_names is not None), None)
    return LocalExplanations.concatenate([replace(part, target_names=names) for part in parts])


def _all_failed(error: Exception | None) -> ValueError:
    failed = Message(" failed for every ", Term("instance"), f", first with {told(error)}")
    return ValueError(Message(Term("predict"), failed))


def _none_left(statuses: Array, error: Exception | None, fault: str | None) -> ValueError:
    if error is not None and statuses[list(SKIPPED)].sum() == statuses.sum():
        return _all_failed(error)
    if statuses[Status.INVALID_ROW] == statuses.sum():
        return ValueError(f"none of the {statuses.sum()} rows could be used, first with {fault}")
    found = ", ".join(f"{count} with status {code}" for code, count in enumerate(statuses) if count)
    return ValueError(f"importance needs explanations, but all are empty: {found}")


# --- a stream


class Summed(NamedTuple):
    """What is kept of a block, or of several."""

    statistics: ImportanceStatistics | None  # None if the model failed for every instance
    n_instances: int
    statuses: Array
    n_outputs: int | None
    target_names: tuple[str, ...] | None  # if the groups are targets
    error: Exception | None
    fault: str | None


def sum_stream(
    settings: Settings, blocks: Iterable[Block], by_target: bool, options: Options
) -> tuple[ImportanceStatistics, Summed]:
    """Explain blocks and keep their sums alone, added in the order of the blocks; also return all that is known."""
    total: Summed | None = None
    waiting: dict[int, Summed] = {}
    following = 0
    check_outputs = _outputs_checker()

    def take(k: int, summed: Summed) -> None:
        nonlocal total, following
        check_outputs(summed.n_outputs)
        waiting[k] = summed
        while following in waiting:
            total = _added(total, waiting.pop(following))
            following += 1

    try:
        blocks = iter(blocks)
        first = next(blocks)  # nothing is asked before it is seen
        settings = _prepared(settings, options)
        _work(settings, chain([first], blocks), partial(_summed, by_target=by_target), options, take)
    except BaseException as error:
        if total is not None and total.statistics is not None:
            note = f"the sums of the first {total.n_instances} rows are this exception's .finished"
            attach(error, with_target_names(total.statistics, total.target_names), note, total.n_instances)
        else:
            attach(error, None, rows=0)  # instead of explanations of part of a block
        raise
    assert total is not None  # blocks are never none
    if total.statistics is None:
        with none_finished():
            raise _none_left(total.statuses, total.error, total.fault) from total.error
    return with_target_names(total.statistics, total.target_names), total


def _summed(explained: Explained, block: Block, by_target: bool) -> Summed:
    local, n_outputs, error, fault, statuses = explained
    if local is None:
        assert statuses is not None
        counts = np.bincount(statuses, minlength=len(Status))
        return Summed(None, len(block.numbers), counts, None, None, error, fault)
    groups = local.target if by_target else block.labels
    if block.labels is not None:
        groups = np.repeat(np.ma.getdata(block.labels), len(local.instance) // len(block.numbers))
    statistics = local._statistics(groups)
    counts = np.bincount(local.status, minlength=len(Status))
    names = local.target_names if by_target else None
    return Summed(statistics, len(block.numbers), counts, n_outputs, names, error, fault)


def _added(one: Summed | None, other: Summed) -> Summed:
    if one is None:
        return other
    statistics = one.statistics or other.statistics
    if one.statistics is not None and other.statistics is not None:
        statistics = one.statistics.merge(other.statistics)
    return Summed(
        statistics,
        one.n_instances + other.n_instances,
        one.statuses + other.statuses,
        one.n_outputs or other.n_outputs,
        one.target_names or other.target_names,
        one.error or other.error,
        one.fault or other.fault,
    )
