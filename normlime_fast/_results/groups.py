"""Grouping of explanations by instance, target or label."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast._checks import Array, as_labels, short_repr
from normlime_fast._status import Status


def grouped(instance: Array, target: Array, by: str | ArrayLike | None) -> Array | None:
    """Return a label for every explanation according to `by`; None for a single group."""
    if by is None:
        return None
    if isinstance(by, str):
        if by != "target":
            raise ValueError(f'by must be None, "target" or one label per instance, got {short_repr(by)}')
        return target
    instance_ids, position = by_instance(instance)
    return as_labels(by, "by", len(instance_ids), "instance")[position]


def by_instance(instance: Array) -> tuple[Array, Array]:
    """Return the unique instances in the order of X, and the position among them for every explanation."""
    instance_ids, first, position = np.unique(instance, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return instance_ids[order], place[position]


def is_counted(status: Array) -> Array:
    """Return a mask of the explanations that importances count."""
    return ~np.isin(status, [member for member in Status if not member.counted])


def target_labels(targets: Array, names: tuple[str, ...] | None) -> Array:
    """Return the names of targets if they are distinct, else the numbers; the name of target -1 is None."""
    if names is None or len(set(names)) < len(names):
        return targets
    words = np.array(names) if (targets >= 0).all() else np.array([*names, None], object)
    return np.asarray(words[targets])


def to_python(labels: Array) -> list[Any]:
    """Return labels as Python objects, except dates and times, some of which would become numbers."""
    return list(labels) if labels.dtype.kind in "mM" else labels.tolist()
