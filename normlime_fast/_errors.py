"""The exceptions of the library's own, and what any exception takes along."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress


class IncompleteRunError(RuntimeError):
    """A run ended half-way for a reason outside the model, such as a full disk or workers that died.

    Attributes
    ----------
    finished : LocalExplanations, ImportanceStatistics or None
        What was finished before; None if nothing was. A `checkpoint` has it, too, and the same call continues there.
    rows_finished : int
        How many rows of a stream `finished` has the sums of; 0 otherwise.
    """

    finished: object = None
    rows_finished: int = 0


class CheckpointMismatchError(ValueError):
    """A folder cannot serve as the checkpoint of a run.

    It was begun with another model, data or settings; it is damaged, in use, or no folder of its own. Nothing in it was
    changed, and no instance was explained.
    """


def attach_partial_result(
    error: BaseException, finished: object, note: str | None = None, rows: int | None = None
) -> None:
    """Leave what is finished with the exception that ends the run, `rows` of a stream; some take no attributes."""
    with suppress(Exception):
        error.finished = finished  # type: ignore[attr-defined]
        if rows is not None:
            error.rows_finished = rows  # type: ignore[attr-defined]
        if note is not None:
            error.add_note(f"normlime_fast: {note}")


@contextmanager
def keep_result_if_warning_raises(result: object, rows: int | None = None) -> Iterator[None]:
    """Leave a result with what keeps it from being returned: a warning, where these are errors, or Ctrl-C."""
    try:
        yield
    except BaseException as error:
        attach_partial_result(error, result, "the result is this exception's .finished", rows)
        raise


@contextmanager
def none_finished() -> Iterator[None]:
    """Let what ends a stream before its first row say so, as what ends it later does."""
    try:
        yield
    except BaseException as error:
        attach_partial_result(error, None, rows=0)
        raise
