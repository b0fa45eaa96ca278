"""Texts of errors and notes that keep their parts, so that another interface can reword them.

The command line calls `n_samples` --samples and counts rows from 1: it joins the parts again and parses no text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Term(str):
    """A word of the Python interface, such as a parameter's name, which other interfaces replace by their own."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers of instances or rows, counted from 0, in a text."""

    of: str  # the noun that they count, in the singular
    values: NDArray[Any]

    def __str__(self) -> str:
        return self.text(self.of)

    def text(self, of: str, first: int = 0) -> str:
        """Return the numbers as text, counted from `first` instead of 0."""
        numbers = [int(number) + first for number in self.values[:5]]
        if len(self.values) == 1:
            return f"{of} {numbers[0]}"
        if (np.diff(self.values) == 1).all():
            return f"{of}s {numbers[0]} to {int(self.values[-1]) + first}"
        listed = ", ".join(map(str, numbers))
        return f"{of}s {listed}" if len(self.values) <= 5 else f"{len(self.values)} {of}s, the first {listed}"


class Message(str):
    """A text made of parts: plain text, `Term` and `Numbers`."""

    parts: tuple[object, ...]

    def __new__(cls, *parts: object) -> "Message":
        """Join the parts, and flatten those that are messages."""
        self = super().__new__(cls, "".join(map(str, parts)))
        self.parts = tuple(leaf for part in parts for leaf in (part.parts if isinstance(part, Message) else (part,)))
        return self

    @classmethod
    def joined(cls, separator: str, texts: Iterable[str]) -> "Message":
        """Join texts as `str.join` does."""
        parts = [part for text in texts for part in (separator, text)]
        return cls(*parts[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts


class ModelNote(Message):
    """A note on an error of the model: names the instances or points that it was called for."""

    @property
    def rows(self) -> Numbers:
        """The instances or points."""
        return next(part for part in self.parts if isinstance(part, Numbers))
