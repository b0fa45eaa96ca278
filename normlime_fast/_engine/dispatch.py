"""Explain blocks of instances in this process or on an executor, and prepare for the first."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from normlime_fast._checks import Array, error_text
from normlime_fast._engine import executors
from normlime_fast._engine.block import Explained, explain_block
from normlime_fast._engine.settings import Settings
from normlime_fast._engine.threads import Start, pool
from normlime_fast._inputs.rows import Rows
from normlime_fast._inputs.sources import Block, no_label
from normlime_fast._inputs.usable import usable_rows
from normlime_fast._messages import Message, Term
from normlime_fast._model import Owner, check_same_outputs
from normlime_fast._status import SKIPPED, Status
from normlime_fast._types import Advance


class Options(NamedTuple):
    """Options of a call that do not change its explanations, except those that `skip` leaves empty."""

    executor: Executor | None
    skip: bool
    progress: Advance


def explain_blocks(
    settings: Settings,
    blocks: Iterable[Block],
    finish: Callable[[Explained, Block], Any],
    options: Options,
    take: Callable[[int, Any], None],
) -> None:
    """Explain blocks, call `finish` on each where it was explained, and `take` on k and the k-th result here."""
    reported = done = 0
    sizes: dict[int, int] = {}  # of unfinished blocks

    def report(count: int) -> None:
        nonlocal reported
        if count > reported:
            reported = count
            options.progress(count)

    def complete(k: int, result: Any) -> None:
        nonlocal done
        take(k, result)
        done += sizes.pop(k)
        report(done)

    if options.executor is None:
        with pool(settings.n_jobs) as start:
            for k, block in enumerate(blocks):
                sizes[k] = len(block.instance_ids)
                explained = _explained(settings, block, options.skip, start, lambda count: report(done + count))
                complete(k, finish(explained, block))
        return

    def calls() -> Iterator[tuple[Any, ...]]:
        shipped = executors.Shipped(settings)
        for k, block in enumerate(blocks):
            sizes[k] = len(block.instance_ids)
            yield shipped, finish, options.skip, *block

    executors.run(options.executor, _explain_on_worker, calls(), complete)


def _explain_on_worker(
    shipped: executors.Shipped,
    finish: Callable[[Explained, Block], Any],
    skip: bool,
    rows: Any,
    instance_ids: Array,
    labels: Array | None,
    weights: Array | None,
) -> Any:
    settings = shipped.value
    with pool(settings.n_jobs) as start:
        explained = _explained(settings, Block(rows, instance_ids, labels), skip, start, lambda done: None)
    if explained.error is not None:
        explained = explained._replace(error=executors.make_picklable(explained.error))
    return finish(explained, Block(None, instance_ids, labels, weights))


def _explained(settings: Settings, block: Block, skip: bool, start: Start, advance: Advance) -> Explained:
    """Explain a block; rows without a label count as unusable."""
    try:
        rows = _as_rows(settings, block.rows, skip)
    except (TypeError, ValueError) as error:
        if not skip:
            raise
        return Explained(None, None, None, error_text(error), np.full(len(block.instance_ids), Status.INVALID_ROW))
    if isinstance(block.labels, np.ma.MaskedArray):
        labelled = ~np.ma.getmaskarray(block.labels)
        usable = labelled if rows.usable is None else labelled & rows.usable
        rows = replace(
            rows,
            usable=usable,
            fault=rows.fault or error_text(no_label("by", int(block.instance_ids[labelled.argmin()]))),
        )
    explained = explain_block(settings, rows, block.instance_ids, skip, start, advance)
    return explained._replace(unseen=_unseen(settings, rows))


def _unseen(settings: Settings, rows: Rows) -> Counter[tuple[str, str]]:
    """Count rows with categories, or missing values, that the neighborhood's data does not have."""
    columns = settings.neighborhood._known_columns
    if columns is None or rows.categories is None:
        return Counter()
    values = rows.values if rows.usable is None else rows.values[rows.usable]
    return columns.count_unseen(values, rows.categories, rows.label)


def outputs_of(settings: Settings, block: Block, options: Options, owner: Owner = "instance") -> Array:
    """Return the model's outputs for the rows themselves; it is called on the executor, if there is one."""
    call = (executors.Shipped(settings), options.skip, block.rows, block.instance_ids, owner)
    if options.executor is None:
        return _predicted(*call)
    predicted: list[Array] = []
    executors.run(options.executor, _predicted, [call], lambda k, outputs: predicted.append(outputs))
    return predicted[0]


def _predicted(shipped: executors.Shipped, skip: bool, rows: Any, ids: Array, owner: Owner) -> Array:
    settings: Settings = shipped.value
    outputs, _, error = settings.model.predict_rows(_as_rows(settings, rows, skip), ids, skip=skip, owner=owner)
    if outputs is None:
        raise all_failed(error) from error
    return outputs


def _as_rows(settings: Settings, rows: Any, skip: bool) -> Rows:
    if isinstance(rows, Rows):
        return rows
    checked = settings.neighborhood._checked_rows
    return usable_rows(checked, rows, n_first=None) if skip else checked(rows)


def prepared(settings: Settings, options: Options, instance_ids: Array | range | None) -> Settings:
    """Return settings whose neighborhood has the model's outputs for the points that instances share, if any.

    Each set of points is predicted in one call, on the executor if there is one. No error is skipped: without the
    points, nothing can be explained. `instance_ids` are the numbers of the rows to explain, None if unknown.
    """

    def predict(points: Rows) -> Array:
        block = Block(points, np.arange(points.count))
        return outputs_of(settings, block, options._replace(skip=False), owner="point")

    how = settings.seed, settings.n_samples, settings.n_features
    return replace(settings, neighborhood=settings.neighborhood._prepare(*how, predict, instance_ids))


def outputs_checker() -> Callable[[int | None], int | None]:
    """Return a function that checks that all blocks have the same number of the model's outputs, and returns it."""
    n_outputs: int | None = None

    def check(count: int | None) -> int | None:
        nonlocal n_outputs
        if count is not None and n_outputs is not None:
            check_same_outputs(n_outputs, count)
        n_outputs = n_outputs or count
        return n_outputs

    return check


def all_failed(error: Exception | None) -> ValueError:
    failed = Message(" failed for every ", Term("instance"), f", first with {error_text(error)}")
    return ValueError(Message(Term("predict"), failed))


def none_left(statuses: Array, error: Exception | None, fault: str | None) -> ValueError:
    if error is not None and statuses[list(SKIPPED)].sum() == statuses.sum():
        return all_failed(error)
    if statuses[Status.INVALID_ROW] == statuses.sum():
        return ValueError(f"none of the {statuses.sum()} rows could be used, first with {fault}")
    counts = ", ".join(f"{count} with status {code}" for code, count in enumerate(statuses) if count)
    return ValueError(f"importance needs explanations, but all are empty: {counts}")
