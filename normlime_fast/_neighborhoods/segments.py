"""Segments: the positions of a row that form one feature, and their values when it is off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from normlime_fast._checks import Array, as_array, as_numbers, short_repr

BLUR = 0.1  # the standard deviation of a blur, as a share of the height


def as_segments(segments: Any) -> Any:
    """Return the user's segments as None, a callable or an array of integers."""
    if segments is None or callable(segments):
        return segments
    array = np.array(as_array(segments, "segments"))
    if array.dtype.kind not in "iu" or array.size == 0:
        raise TypeError(
            f"segments must be an integer or two, an array of labels or callable, got {short_repr(segments)}"
        )
    if array.min() < 0:
        raise ValueError(f"segments must be numbers of at least 0, got {array.min()}")
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Segments:
    """The segments of one row, or of all rows of a shape."""

    labels: Array  # 0..count - 1, of a row's shape, or of its first two dimensions
    count: int
    of_values: Array  # uint32: the segment of each value of a row
    channels: int  # values per position

    @classmethod
    def of(cls, segments: Array | None, shape: tuple[int, ...]) -> "Segments":
        """Find the segments of all rows of a shape."""
        plane = shape[:2]
        if segments is None:
            return cls._spread(np.arange(int(np.prod(plane))).reshape(plane), shape)
        if segments.ndim == 0 or (segments.shape == (2,) and len(plane) == 2):
            return cls._spread(_grid(np.broadcast_to(segments, len(plane)), plane), shape)
        if segments.shape not in (plane, shape):
            raise ValueError(f"segments must have a row's shape, {plane}, got shape {segments.shape}")
        labels = np.unique(segments)
        missing = labels != np.arange(len(labels))
        if missing.any():
            got = f"got up to {labels[-1]}, but no {missing.argmax()}"
            advice = "renumber them by np.unique(segments, return_inverse=True)[1]"
            raise ValueError(f"segments must have labels 0 to d - 1, {got}; {advice}")
        return cls._spread(segments, shape)

    @classmethod
    def of_row(cls, find: Callable[[Array], Any], row: Array) -> "Segments":
        """Find the segments of one row by the user's function."""
        labels = as_array(find(row.copy()), "the output of segments")
        if labels.shape != row.shape[:2] or labels.dtype.kind not in "iub":
            raise ValueError(
                f"segments must return integer labels of an image's shape, {row.shape[:2]},"
                f" got shape {labels.shape} and dtype {short_repr(labels.dtype, str)}"
            )
        return cls._spread(np.unique(labels, return_inverse=True)[1].reshape(labels.shape), row.shape)

    @classmethod
    def _spread(cls, labels: Array, shape: tuple[int, ...]) -> "Segments":
        channels = int(np.prod(shape[labels.ndim :]))
        return cls(labels, int(labels.max()) + 1, np.repeat(labels.ravel(), channels).astype(np.uint32), channels)

    def places(self) -> Any:
        """Return the positions of the features, a csr_array (d, positions) of ones."""
        from scipy.sparse import csr_array

        ends = np.cumsum(np.bincount(self.labels.ravel()))
        order = np.argsort(self.labels, axis=None, kind="stable")
        shape = (self.count, self.labels.size)
        return csr_array((np.ones(self.labels.size), order, np.concatenate([[0], ends])), shape=shape)


def _grid(counts: Array, plane: tuple[int, ...]) -> Array:
    """Return the labels of a grid of pieces of about equal size."""
    labels = np.zeros(plane, np.int64)
    for axis, (count, length) in enumerate(zip(counts.tolist(), plane, strict=True)):
        if not 1 <= count <= length:
            raise ValueError(f"segments must be a grid of 1 to {length} pieces along axis {axis} of a row, got {count}")
        along = np.arange(length) * count // length
        labels = labels * count + along.reshape([-1 if a == axis else 1 for a in range(len(plane))])
    return labels


def absent_values(baseline: Any, values: Array, segments: Segments) -> Array:
    """Return the values of rows (rows, *shape) with all features off."""
    if isinstance(baseline, str):
        absent = _blurred(values) if baseline == "blur" else _means(values, segments)
    elif callable(baseline):
        absent = np.stack([_returned(baseline, row) for row in values])
    else:
        if np.ndim(baseline) and baseline.shape != values.shape[1:]:
            raise ValueError(
                f"baseline must be a number or have a row's shape, {values.shape[1:]}, got shape {baseline.shape}"
            )
        absent = np.broadcast_to(baseline, values.shape)
    if values.dtype.kind in "iub":
        absent = np.rint(absent)
    cast = np.array(absent, values.dtype, order="C")
    fits = np.isfinite(cast) if values.dtype.kind == "f" else cast.astype(np.float64) == absent
    if not fits.all():
        raise ValueError(f"baseline must fit into X's dtype {values.dtype}, got {absent[~fits][0]}")
    return cast


def _returned(baseline: Callable[[Array], Any], row: Array) -> Array:
    absent = as_numbers(baseline(row.copy()), "the output of baseline", ndim=tuple(range(33)))
    if absent.shape != row.shape:
        raise ValueError(f"baseline must return an array of a row's shape, {row.shape}, got shape {absent.shape}")
    return absent


def _blurred(values: Array) -> Array:
    if values.ndim < 3:
        raise ValueError(f'baseline "blur" must be used with images, got rows of shape {values.shape[1:]}')
    from scipy.ndimage import gaussian_filter

    sigma = BLUR * values.shape[1]
    blurred: Array = gaussian_filter(values, (0, sigma, sigma, *[0] * (values.ndim - 3)), output=np.float64)
    return blurred


def _means(values: Array, segments: Segments) -> Array:
    """Return the mean of each segment and channel."""
    from scipy.sparse import csr_array

    if segments.count == segments.labels.size:
        raise ValueError('baseline "segment_mean" must have segments of several positions, got one position in each')
    size, channels = segments.of_values.size, segments.channels
    group = segments.of_values.astype(np.int64) * channels + np.arange(size) % channels
    member = csr_array((np.ones(size), (group, np.arange(size))), shape=(segments.count * channels, size))
    counts = np.bincount(group)
    means = (member @ values.reshape(len(values), -1).T.astype(np.float64)) / counts[:, None]
    return np.asarray(means.T[:, group]).reshape(values.shape)
