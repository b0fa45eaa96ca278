"""Texts of errors and notes that keep the facts they are made of, so that others can put them in words of their own.

The command line calls `n_samples` --samples and counts rows from 1: it joins a text's parts anew, and reads none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Term(str):
    """A word of the Python interface, such as a parameter's name, for which other interfaces have another."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers of instances or rows, counted from 0, in a text."""

    of: str  # what they are numbers of, in the singular
    values: NDArray[Any]

    def __str__(self) -> str:
        return self.told(self.of)

    def told(self, of: str, first: int = 0) -> str:
        """Return the numbers in words; the first of all is `first`."""
        numbers = [int(number) + first for number in self.values[:5]]
        if len(self.values) == 1:
            return f"{of} {numbers[0]}"
        if (np.diff(self.values) == 1).all():
            return f"{of}s {numbers[0]} to {int(self.values[-1]) + first}"
        some = ", ".join(map(str, numbers))
        return f"{of}s {some}" if len(self.values) <= 5 else f"{len(self.values)} {of}s, the first {some}"


class Message(str):
    """A text made of parts, of which Term and Numbers are facts."""

    parts: tuple[object, ...]

    def __new__(cls, *parts: object) -> "Message":
        """Put the parts together."""
        self = super().__new__(cls, "".join(map(str, parts)))
        self.parts = tuple(one for part in parts for one in (part.parts if isinstance(part, Message) else (part,)))
        return self

    @classmethod
    def joined(cls, separator: str, texts: Iterable[str]) -> "Message":
        """Put texts together as `str.join` does."""
        parts = [part for text in texts for part in (separator, text)]
        return cls(*parts[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts


class ModelNote(Message):
    """A note with an error that the model raised, with the numbers of the instances or points it was called for."""

    @property
    def rows(self) -> Numbers:
        """Which instances or points these were."""
        return next(part for part in self.parts if isinstance(part, Numbers))
