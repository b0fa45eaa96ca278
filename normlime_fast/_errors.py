"""The library's exceptions, and partial results attached to any exception."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress


class IncompleteRunError(RuntimeError):
    """A run ended half-way for a reason outside the model, such as a full disk or workers that died.

    Attributes
    ----------
    finished : LocalExplanations, ImportanceStatistics or None
        The result so far; None if nothing was finished. A `checkpoint` has it, too: the same call continues from it.
    rows_finished : int
        Number of rows of a stream whose sums are in `finished`; 0 otherwise.
    """

    finished: object = None
    rows_finished: int = 0


class CheckpointMismatchError(ValueError):
    """A folder cannot serve as the checkpoint of a run.

    It was begun with another model, data or settings; it is damaged, in use, or not a folder of its own. Nothing in it
    was changed, and no instance was explained.
    """


def attach_partial_result(
    error: BaseException, finished: object, note: str | None = None, rows: int | None = None
) -> None:
    """Attach the finished part, of `rows` rows of a stream, to the exception that ends the run."""
    with suppress(Exception):  # some exceptions take no attributes
        error.finished = finished  # type: ignore[attr-defined]
        if rows is not None:
            error.rows_finished = rows  # type: ignore[attr-defined]
        if note is not None:
            error.add_note(f"normlime_fast: {note}")


@contextmanager
def keep_result_if_warning_raises(result: object, rows: int | None = None) -> Iterator[None]:
    """Attach a result to the exception that prevents its return: a warning turned into an error, or Ctrl-C."""
    try:
        yield
    except BaseException as error:
        attach_partial_result(error, result, "the result is this exception's .finished", rows)
        raise


@contextmanager
def none_finished() -> Iterator[None]:
    """Attach an empty partial result to an exception raised before the first row of a stream."""
    try:
        yield
    except BaseException as error:
        attach_partial_result(error, None, rows=0)
        raise
