"""Explain a stream block by block, and keep only the sums behind importances."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.block import Explained
from normlime_fast._engine.dispatch import Options, explain_blocks, none_left, outputs_checker, prepared
from normlime_fast._engine.settings import Settings
from normlime_fast._errors import attach_partial_result, none_finished
from normlime_fast._inputs.rows import Rows
from normlime_fast._inputs.sources import Block
from normlime_fast._results.explanations import with_target_names
from normlime_fast._results.statistics import ImportanceStatistics
from normlime_fast._status import Status
from normlime_fast._types import Of


class Summed(NamedTuple):
    """Sums and counts of one or several blocks."""

    statistics: ImportanceStatistics | None  # None if the model failed for every instance
    n_instances: int
    statuses: Array
    n_outputs: int | None
    target_names: tuple[str, ...] | None  # if the groups are targets
    error: Exception | None
    fault: str | None
    unseen: Counter[tuple[str, str]]


def sum_stream(
    settings: Settings,
    blocks: Iterable[Block],
    by_target: bool,
    of: Of,
    debias: bool,
    options: Options,
    instance_ids: range | None,
) -> tuple[ImportanceStatistics, Summed]:
    """Explain blocks and return their sums, added in the order of the blocks, and all counts.

    `instance_ids` are the numbers of all rows, None if unknown.
    """
    total: Summed | None = None
    waiting: dict[int, Summed] = {}
    following = 0
    check_outputs = outputs_checker()

    def take(k: int, summed: Summed) -> None:
        nonlocal total, following
        check_outputs(summed.n_outputs)
        waiting[k] = summed
        while following in waiting:
            total = _added(total, waiting.pop(following))
            following += 1

    try:
        blocks = iter(blocks)
        first = next(blocks)  # read it before the model is called
        if settings.feature_names is not None and isinstance(first.rows, Rows):
            settings.features(first.rows)
        settings = prepared(settings, options, instance_ids)
        summing = partial(_summed, by_target=by_target, of=of, debias=debias)
        explain_blocks(settings, chain([first], blocks), summing, options, take)
    except BaseException as error:
        if total is not None and total.statistics is not None:
            note = f"the sums of the first {total.n_instances} rows are this exception's .finished"
            attach_partial_result(
                error, with_target_names(total.statistics, total.target_names), note, total.n_instances
            )
        else:
            attach_partial_result(error, None, rows=0)  # instead of explanations of part of a block
        raise
    assert total is not None  # there is at least one block
    if total.statistics is None:
        with none_finished():
            raise none_left(total.statuses, total.error, total.fault) from total.error
    return with_target_names(total.statistics, total.target_names), total


def _summed(explained: Explained, block: Block, by_target: bool, of: Of, debias: bool) -> Summed:
    local, n_outputs, error, fault, statuses, unseen = explained
    if local is None:
        assert statuses is not None
        counts = np.bincount(statuses, minlength=len(Status))
        return Summed(None, len(block.instance_ids), counts, None, None, error, fault, unseen)
    groups = local.target if by_target else block.labels
    if block.labels is not None:
        groups = np.repeat(np.ma.getdata(block.labels), len(local.instance) // len(block.instance_ids))
    statistics = local._statistics(groups, of, block.weights, debias)
    counts = np.bincount(local.status, minlength=len(Status))
    names = local.target_names if by_target else None
    return Summed(statistics, len(block.instance_ids), counts, n_outputs, names, error, fault, unseen)


def _added(total: Summed | None, block: Summed) -> Summed:
    if total is None:
        return block
    statistics = total.statistics or block.statistics
    if total.statistics is not None and block.statistics is not None:
        statistics = total.statistics.merge(block.statistics)
    return Summed(
        statistics,
        total.n_instances + block.n_instances,
        total.statuses + block.statuses,
        total.n_outputs or block.n_outputs,
        total.target_names or block.target_names,
        total.error or block.error,
        total.fault or block.fault,
        total.unseen + block.unseen,
    )
