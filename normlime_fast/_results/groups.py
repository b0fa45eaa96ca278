"""Which explanations belong together: those of an instance, and those of a group."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_labels, short_repr
from normlime_fast._status import Status


def grouped(instance: Array, target: Array, by: str | ArrayLike | None) -> Array | None:
    """Return a label for every explanation, as `by` asks for it; None if all are in one group."""
    if by is None:
        return None
    if isinstance(by, str):
        if by != "target":
            raise ValueError(f'by must be None, "target" or one label per instance, got {short_repr(by)}')
        return target
    instance_ids, position = by_instance(instance)
    return as_labels(by, "by", len(instance_ids), "instance")[position]


def by_instance(instance: Array) -> tuple[Array, Array]:
    """Return the instances, each once, in the order of X, and which of them every explanation is of."""
    instance_ids, first, position = np.unique(instance, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return instance_ids[order], place[position]


def is_counted(status: Array) -> Array:
    """Return which are explanations at all."""
    return ~np.isin(status, [one for one in Status if not one.counted])


def target_labels(targets: Array, names: tuple[str, ...] | None) -> Array:
    """Return targets by their names, if each has one of its own, else as they are; -1 is that of none, None."""
    if names is None or len(set(names)) < len(names):
        return targets
    words = np.array(names) if (targets >= 0).all() else np.array([*names, None], object)
    return np.asarray(words[targets])


def to_python(labels: Array) -> list[Any]:
    """Return labels as Python's own, but for dates and times, of some of which that would make numbers."""
    return list(labels) if labels.dtype.kind in "mM" else labels.tolist()
