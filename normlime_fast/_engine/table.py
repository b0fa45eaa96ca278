"""Explain a table block by block, and concatenate the explanations."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.block import Explained, failed_explanations
from normlime_fast._engine.checkpoint import Checkpoint
from normlime_fast._engine.dispatch import Options, explain_blocks, none_left, outputs_checker, outputs_of, prepared
from normlime_fast._engine.settings import Settings
from normlime_fast._errors import attach_partial_result
from normlime_fast._inputs.sources import Block, Partitions, Table
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._status import Status


def explain_table(
    settings: Settings,
    table: Table | Partitions,
    instance_ids: Array,
    size: int,
    store: Checkpoint | None,
    options: Options,
) -> tuple[LocalExplanations, Exception | None, str | None, int | None, Counter[tuple[str, str]]]:
    """Explain all rows of a table.

    Also returns the first skipped error of the model, and of a row, the number of the model's outputs, and how many
    rows have which unseen category.
    """
    slices = table.slices(size)
    n_outputs: int | None = None
    kept = {} if store is None else _kept(store, [instance_ids[block] for block in slices])
    if store is not None and kept:
        k = min(kept)
        outputs = outputs_of(settings, Block(table.rows(slices[k]), instance_ids[slices[k]]), options)
        store.check_predictions(kept[k], outputs, instance_ids[slices[k]])
        n_outputs = outputs.shape[1]
    finished: dict[int, LocalExplanations | None] = dict(kept)
    todo = [k for k in range(len(slices)) if k not in finished]
    before = len(instance_ids) - sum(len(instance_ids[slices[k]]) for k in todo)
    check_outputs = outputs_checker()
    first_error: Exception | None = None
    fault = table.whole.fault if isinstance(table, Table) else None
    unseen: Counter[tuple[str, str]] = Counter()
    failures: dict[int, Array] = {}  # statuses of the instances of blocks without explanations

    def take(i: int, explained: Explained) -> None:
        nonlocal first_error, fault, n_outputs
        n_outputs = check_outputs(explained.n_outputs) or n_outputs
        finished[todo[i]] = explained.local
        first_error, fault = first_error or explained.error, fault or explained.fault
        unseen.update(explained.unseen)
        if explained.statuses is not None:
            failures[todo[i]] = explained.statuses
        if store is not None and explained.local is not None:
            store.write(todo[i], explained.local)

    def progress(done: int) -> None:
        options.progress(before + done)

    blocks = (Block(table.rows(slices[k]), instance_ids[slices[k]]) for k in todo)
    if before:
        options.progress(before)
    try:
        if todo:
            settings = prepared(settings, options, np.concatenate([instance_ids[slices[k]] for k in todo]))
        explain_blocks(settings, blocks, _whole, options._replace(progress=progress), take)
    except BaseException as error:
        parts = [finished[k] for k in sorted(finished)] + [getattr(error, "finished", None)]
        if present := [part for part in parts if part is not None]:
            attach_partial_result(
                error, _joined(present), "the explanations finished before are this exception's .finished"
            )
        if store is not None:
            with suppress(Exception):  # some exceptions take no notes
                error.add_note(f"normlime_fast: finished blocks are in {store.path}: the same call goes on from there")
        raise
    example = next((finished[k] for k in sorted(finished) if finished[k] is not None), None)
    if example is None:
        statuses = np.bincount(np.concatenate([failures[k] for k in sorted(failures)]), minlength=len(Status))
        raise none_left(statuses, first_error, fault) from first_error
    parts = []
    for k, block in enumerate(slices):
        part = finished[k]
        parts.append(failed_explanations(settings, instance_ids[block], example, failures[k]) if part is None else part)
    return _joined(parts), first_error, fault, n_outputs, unseen


def _kept(store: Checkpoint, instance_ids: list[Array]) -> dict[int, LocalExplanations]:
    """Return the finished blocks of a checkpoint whose instances are those with these ids."""
    return {
        k: local
        for k, local in store.finished.items()
        if k < len(instance_ids) and np.array_equal(np.unique(local.instance), np.sort(instance_ids[k]))
    }


def _joined(parts: list[LocalExplanations]) -> LocalExplanations:
    """Concatenate parts; those from a checkpoint may have names of targets if others do not."""
    names = next((part.target_names for part in parts if part.target_names is not None), None)
    return LocalExplanations.concatenate([replace(part, target_names=names) for part in parts])


def _whole(explained: Explained, block: Block) -> Explained:
    return explained
