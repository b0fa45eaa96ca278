"""Progress of a call: not reported, drawn as a bar, or passed to the user's function."""

from collections.abc import Iterator
from contextlib import contextmanager

from normlime_fast._checks import import_optional, short_repr
from normlime_fast._types import Progress


@contextmanager
def reporter(progress: bool | Progress, total: int | None, unit: str = "instance") -> Iterator[Progress]:
    """Yield the function to call with (done, total)."""
    if callable(progress):
        yield progress
    elif progress is False:
        yield lambda done, total: None
    elif progress is not True:
        raise TypeError(f"progress must be True, False or a callable, got {short_repr(progress)}")
    else:
        import_optional("tqdm", "progress=True", '"normlime-fast[progress]"')
        from tqdm.auto import tqdm

        with tqdm(total=total, unit=unit) as bar:
            yield lambda done, total: bar.update(done - bar.n)
