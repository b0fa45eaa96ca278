"""Mask: a neighborhood whose features are switched on and off."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_nonnegative, as_numbers, as_positive, ignoring_float_errors, short_repr
from normlime_fast._inputs.rows import Rows, as_any_rows, as_texts, check_names, names_of
from normlime_fast._neighborhoods.base import Features, Neighborhood
from normlime_fast._neighborhoods.masking import Draws, filled, rendered, segmented, sparse, texts
from normlime_fast._neighborhoods.samplers import ArraySampler, InstanceSampler
from normlime_fast._neighborhoods.segments import Segments, absent_values, as_segments
from normlime_fast._neighborhoods.words import Words


@dataclass(frozen=True, eq=False, repr=False)
class Mask(Neighborhood):
    """Switch features on and off (Figure 2 of the paper): off means a baseline, such as a grey or a blurred image.

    The surrogate is fitted to indicators, 1 if a feature is on: a weight is the effect of the feature's presence on the
    output, and the intercept is the surrogate's value with all features on. The first sample is the instance itself.
    Rows are tables, images (H, W) or (H, W, C) of any dtype, time series, sparse rows, or texts: see `text`.

    For a csr matrix, the features are a row's non-zeros, which are set to 0. The model gets csr, the weights belong to
    the matrix's columns, and the cost depends on the number of non-zeros, not on the number of columns.

    The explainer's threads, up to `n_jobs` at a time, call functions that are passed here.

    Parameters
    ----------
    baseline : float, array_like, {"blur", "segment_mean"} or callable, default 0.0
        Value of a feature that is off, in X's own unit: a number; an array of a row's shape, such as the mean of the
        data, see `from_data`; "blur", each image after a Gaussian filter of a tenth of its height; "segment_mean", the
        mean of each segment and channel, as in lime for images; or a function that takes a row and returns an array of
        its shape. Rounded if X holds integers. Must be 0 for sparse rows.
    segments : int, pair of int, array_like of int, callable or None, optional
        Positions that form one feature. None: every column, or every pixel with all its channels. An int or a pair: a
        grid with this number of rows and columns over the image, or this number of pieces of a series. An array with a
        row's shape, or an image's (H, W): labels from 0 to d - 1. A callable, such as
        ``skimage.segmentation.slic``: takes a row and returns labels, any integers. Features then differ between
        images, so weights belong to pixels: each has the weight of its segment. `n_features` counts segments.
    render : callable, optional
        In place of `baseline`: ``render(row, masks)`` takes masks (n, d), True if a feature is on, the first of
        them all True, and returns n inputs of the model, each of a row's shape.
    probability : float, default 0.5
        Mean share of the features that are on, in the scheme "bernoulli".
    scheme : {"bernoulli", "text"}, default "bernoulli"
        "bernoulli": each feature is on or off independently, as in lime for images. "text": the number of features that
        are off is uniform on 1..d, as in lime for texts.
    kernel : {"exponential", "uniform"}, default "exponential"
        Proximity weights: exp(-distance^2 / (2 width^2)), where distance is the cosine distance of mask and instance,
        1 - sqrt(share of the features that are on); or all equal.
    width : float, default 0.25
        Width of the exponential kernel, in units of the distance. The default is lime's for images and for texts; for
        texts, lime has 25 because its distances are in percent.
    feature_names : iterable of str, optional
        Names of the features; by default those of X's columns, if these are the features.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    References
    ----------
    Ahern et al., "NormLIME", AAAI 2020, Figure 2; Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016.

    Examples
    --------
    >>> import normlime_fast as nlf
    >>> neighborhood = nlf.Mask("blur", segments=7)  # a 7 x 7 grid, each square on or blurred
    >>> neighborhood.probability
    0.5
    """

    baseline: Any = 0.0
    segments: Any = field(default=None, kw_only=True)
    render: Callable[[Array, Array], Any] | None = field(default=None, kw_only=True)
    probability: float = field(default=0.5, kw_only=True)
    scheme: Literal["bernoulli", "text"] = field(default="bernoulli", kw_only=True)
    kernel: Literal["exponential", "uniform"] = field(default="exponential", kw_only=True)
    width: float = field(default=0.25, kw_only=True)
    feature_names: Iterable[str] | None = field(default=None, kw_only=True)
    _words: Words | None = field(default=None, init=False, repr=False)
    _columns: tuple[str, ...] | None = field(default=None, init=False, repr=False)  # of the baseline

    def __post_init__(self) -> None:
        object.__setattr__(self, "_columns", names_of(self.baseline))
        object.__setattr__(self, "baseline", _as_baseline(self.baseline))
        object.__setattr__(self, "segments", as_segments(self.segments))
        if self.render is not None and not callable(self.render):
            raise TypeError(f"render must be callable, got {short_repr(self.render)}")
        probability, width = as_nonnegative(self.probability, "probability"), as_positive(self.width, "width")
        if not 0.0 < probability < 1.0:
            raise ValueError(f"probability must be between 0 and 1, got {short_repr(self.probability)}")
        object.__setattr__(self, "probability", probability)
        object.__setattr__(self, "width", width)
        if not isinstance(self.scheme, str) or self.scheme not in ("bernoulli", "text"):
            raise ValueError(f'scheme must be "bernoulli" or "text", got {short_repr(self.scheme)}')
        if not isinstance(self.kernel, str) or self.kernel not in ("exponential", "uniform"):
            raise ValueError(f'kernel must be "exponential" or "uniform", got {short_repr(self.kernel)}')
        if self.feature_names is not None:
            if isinstance(self.feature_names, str) or not isinstance(self.feature_names, Iterable):
                raise TypeError(f"feature_names must be a list of str, got {short_repr(self.feature_names)}")
            object.__setattr__(self, "feature_names", tuple(map(str, self.feature_names)))

    def __repr__(self) -> str:
        """Name what differs from the defaults; a baseline may be as large as an image."""
        given = [entry for entry in fields(self) if entry.init and getattr(self, entry.name) is not entry.default]
        shown = (f"{entry.name}={short_repr(getattr(self, entry.name))}" for entry in given)
        return f"Mask({', '.join(shown)})"

    @classmethod
    @ignoring_float_errors
    def from_data(cls, X: ArrayLike, **options: Any) -> "Mask":
        """Use the mean of data as the baseline: of every column, or the mean image.

        Parameters
        ----------
        X : array_like or pandas.DataFrame of shape (n, ...)
            Data like the model's inputs, usually the training data.
        **options
            See `Mask`; all of its parameters except `baseline`.

        Returns
        -------
        Mask

        Raises
        ------
        TypeError, ValueError
            If `X` is not an array of finite numbers, or its mean overflows; and as in `Mask`.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> nlf.Mask.from_data([[0.0, 10.0], [2.0, 50.0]]).baseline
        array([ 1., 30.])
        """
        rows = cls()._rows(X)
        values = rows.values
        if not isinstance(values, np.ndarray):
            raise TypeError("X must be a dense array, got a sparse matrix; the baseline of sparse rows is 0")
        mean = values.mean(axis=0, dtype=np.float64)
        if not np.isfinite(mean).all():
            raise ValueError("X must have finite means, got an overflow")
        mask = cls(mean, **options)
        object.__setattr__(mask, "_columns", rows.feature_names)
        return mask

    @classmethod
    def text(
        cls,
        documents: Iterable[str] | None = None,
        vectorizer: Any = None,
        *,
        tokenizer: Callable[[str], Iterable[str]] | None = None,
        probability: float = 0.5,
        scheme: Literal["bernoulli", "text"] = "text",
        kernel: Literal["exponential", "uniform"] = "exponential",
        width: float = 0.25,
    ) -> "Mask":
        r"""Remove words from texts, as lime does: X and the model's inputs are lists of str.

        A feature is a word of the text that is in the vocabulary, with all its occurrences. If it is off, they are
        removed from the text; the rest is unchanged. Weights belong to the vocabulary, in ascending order.

        Parameters
        ----------
        documents : iterable of str, optional
            Their words are the vocabulary; needed without a vectorizer.
        vectorizer : CountVectorizer or TfidfVectorizer of scikit-learn, optional
            Fitted vectorizer, whose vocabulary and ``token_pattern`` (or ``tokenizer``) are used. Words are found in
            the original text, and looked up after the vectorizer's preprocessing, such as in lower case. Entries of
            more than one word are never features.
        tokenizer : callable, optional
            Takes a text and returns a list of pieces of it, in their order. By default, words are the matches of
            ``\w+``, case-sensitive, as in lime.
        probability, scheme, kernel, width
            See `Mask`.

        Returns
        -------
        Mask

        Raises
        ------
        TypeError, ValueError
            If `documents` are not texts, or have no words; if `vectorizer` is of another type, not fitted, or its
            analyzer is not "word"; or if `tokenizer` returns pieces that are not in the text.

        References
        ----------
        Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016.

        Examples
        --------
        >>> import normlime_fast as nlf
        >>> neighborhood = nlf.Mask.text(["a fine dress", "a poor fit"])
        >>> explainer = nlf.NormLIME(lambda texts: [len(text) for text in texts], neighborhood, n_features=2, rng=0)
        >>> explainer.explain(["a fine fit"]).feature_names
        ('a', 'dress', 'fine', 'fit', 'poor')
        """
        mask = cls(probability=probability, scheme=scheme, kernel=kernel, width=width)
        if vectorizer is None and documents is None:
            raise TypeError("documents must be a list of str, got None; without them, pass a vectorizer")
        if hasattr(documents, "transform") and not hasattr(documents, "iloc"):  # a Series has `transform`, too
            raise TypeError(f"documents must be a list of str, got a {type(documents).__name__}; pass vectorizer=")
        if vectorizer is not None and tokenizer is not None:
            raise TypeError("tokenizer must be None with a vectorizer, which has its own")
        words = Words.of_documents(documents, tokenizer) if vectorizer is None else Words.of_vectorizer(vectorizer)
        object.__setattr__(mask, "_words", words)
        return mask

    def _rows(self, X: Any, name: str = "X") -> Rows:
        if self._words is not None:
            return as_texts(X, name)
        rows = as_any_rows(X, name)
        check_names(rows.feature_names, self._columns, name)
        if rows.values.dtype == object:
            raise TypeError(f"{name} must hold numbers, got texts; Mask.text takes texts")
        return rows

    def _features(self, rows: Rows) -> Features:
        if self._words is not None:
            return Features(len(self._words.columns), tuple(self._words.columns))
        if not isinstance(rows.values, np.ndarray):
            n_features, names = rows.values.shape[1], None
        elif callable(self.segments):
            n_features, names = math.prod(rows.values.shape[1:3]), rows.feature_names
        else:
            n_features = Segments.of(self.segments, rows.values.shape[1:]).count
            names = rows.feature_names if self.segments is None else None
        return Features(n_features, names if self.feature_names is None else tuple(self.feature_names))

    @ignoring_float_errors
    def _check(self, rows: Rows) -> None:
        values = rows.values
        if self._words is None and not isinstance(values, np.ndarray):
            for name, value in (("segments", self.segments), ("render", self.render)):
                if value is not None:
                    raise ValueError(f"{name} must be None for sparse rows, got {short_repr(value)}")
            if not isinstance(self.baseline, float) or self.baseline != 0.0:
                raise ValueError(f"baseline must be 0 for sparse rows, got {short_repr(self.baseline)}")
        elif self._words is None:
            if values.dtype.itemsize > 8:
                raise TypeError(f"X must hold numbers of at most 8 bytes, got dtype {values.dtype}")
            if not callable(self.segments):
                segments = Segments.of(self.segments, values.shape[1:])
                if not callable(self.baseline) and self.render is None:
                    absent_values(self.baseline, values[:1], segments)
        n_features, names = self._features(rows)
        if names is not None and len(names) != n_features:
            raise ValueError(f"feature_names must have {n_features} names, got {len(names)}")

    @ignoring_float_errors
    def _sampler(self, seed: np.uint64, n_samples: int, rows: Rows) -> ArraySampler | InstanceSampler:
        chance = min(max(round(self.probability * 2.0**32), 1), 2**32 - 1) if self.scheme == "bernoulli" else 0
        draws = Draws(seed, n_samples, np.uint32(chance), self.width if self.kernel == "exponential" else None)
        if self._words is not None:
            return texts(draws, self._words, rows.values)
        if not isinstance(rows.values, np.ndarray):
            return sparse(draws, rows.values)
        values = np.require(rows.values, requirements=["C", "W"])  # always writable: compiles one kernel, not two
        if self.render is not None:
            return rendered(draws, self.render, self.segments, values)
        if callable(self.segments):
            return segmented(draws, self.baseline, self.segments, values)
        return filled(draws, self.baseline, self.segments, values)


def _as_baseline(baseline: Any) -> Any:
    """Return the user's baseline as a float, a read-only array, "blur", "segment_mean" or a callable."""
    if isinstance(baseline, str):
        if baseline not in ("blur", "segment_mean"):
            raise ValueError(
                f'baseline must be a number, an array, "blur", "segment_mean" or callable, got {short_repr(baseline)}'
            )
        return baseline
    if callable(baseline):
        return baseline
    numbers = as_numbers(baseline, "baseline", ndim=tuple(range(33))).astype(np.float64)
    numbers.setflags(write=False)
    return numbers if numbers.ndim else float(numbers)
