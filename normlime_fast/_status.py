"""The outcomes of a fit, with the texts that warnings, errors and the command line use."""

from enum import IntEnum
from typing import Literal, NamedTuple

from normlime_fast._kernels import codes
from normlime_fast._messages import Message, Term

RARE = 10  # points; with fewer, the effect of a category rests on chance


class Status(IntEnum):
    """Outcome of the fit of an explanation: the meaning of the integers in `LocalExplanations.status`.

    Attributes
    ----------
    explanation : {"there", "approximate", "empty"}
        Result of the fit.
    reason : str
        Why it is not the full explanation requested.
    text : str
        Both in words, as in warnings.
    empty : bool
        Whether the explanation has no weights.
    counted : bool
        Whether it counts in importances, even if it uses no feature.
    warned : bool
        Whether `NormLIME.explain` warns of it.
    cause : str or None
        Short reason why it does not count; None if it counts.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> nlf.Status(2).name, nlf.Status(2).text
    ('CONSTANT_OUTPUT', 'empty because the output did not vary')
    >>> [int(status) for status in nlf.Status if not status.counted]
    [6, 7, 8, 9]
    """

    OK = codes.OK
    FEWER_FEATURES = codes.FEWER_FEATURES
    CONSTANT_OUTPUT = codes.CONSTANT_OUTPUT
    NO_WEIGHT = codes.NO_WEIGHT
    NOT_CONVERGED = codes.NOT_CONVERGED
    OVERFLOW = codes.OVERFLOW
    MODEL_FAILED = 6
    TOO_FEW = codes.TOO_FEW
    NO_FEATURES = 8
    INVALID_ROW = 9
    RARE_CATEGORY = 10

    @property
    def explanation(self) -> Literal["there", "approximate", "empty"]:
        """Result of the fit."""
        return _MEANINGS[self].explanation

    @property
    def reason(self) -> str:
        """Why it is not the full explanation requested."""
        return _MEANINGS[self].reason

    @property
    def cause(self) -> str | None:
        """Short reason why it does not count; None if it counts."""
        return _MEANINGS[self].cause

    @property
    def text(self) -> str:
        """The result and its reason, in words."""
        return Message(f"{self.explanation} because ", self.reason) if self.warned else self.reason

    @property
    def empty(self) -> bool:
        """Whether the explanation has no weights."""
        return self.explanation == "empty"

    @property
    def counted(self) -> bool:
        """Whether the explanation counts in importances."""
        return self.cause is None

    @property
    def warned(self) -> bool:
        """Whether `NormLIME.explain` warns of it."""
        return self.explanation != "there"


class _Meaning(NamedTuple):
    explanation: Literal["there", "approximate", "empty"]
    reason: str
    cause: str | None = None  # if it does not count


_MEANINGS = {
    Status.OK: _Meaning("there", "OK"),
    Status.FEWER_FEATURES: _Meaning("there", "with fewer features than requested"),
    Status.CONSTANT_OUTPUT: _Meaning("empty", "the output did not vary"),
    Status.NO_WEIGHT: _Meaning("empty", "all sample weights were 0"),
    Status.NOT_CONVERGED: _Meaning("approximate", "the solver did not converge"),
    Status.OVERFLOW: _Meaning("empty", "the output's range, or a weight, overflows float64"),
    Status.MODEL_FAILED: _Meaning("empty", "the model failed", "the model failed"),
    Status.TOO_FEW: _Meaning(
        "empty", Message("the effective sample size is below ", Term("n_features"), " + 2"), "too few effective samples"
    ),
    Status.NO_FEATURES: _Meaning("empty", "the instance has no feature to perturb", "nothing to perturb"),
    Status.INVALID_ROW: _Meaning("empty", "the row could not be used", "the row could not be used"),
    Status.RARE_CATEGORY: _Meaning("approximate", f"fewer than {RARE} points share a category or bin of the instance"),
}

SKIPPED = (Status.MODEL_FAILED, Status.INVALID_ROW)  # of instances skipped by on_error="skip": nothing was fitted
