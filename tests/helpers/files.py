"""Results with all that a file can hold, the files of tests/data, and files that somebody made up."""

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from normlime_fast import ImportanceStatistics, LocalExplanations, aggregate
from normlime_fast._results.explanations import COLUMNS, with_data

DATA = Path(__file__).parents[1] / "data"


def local_explanations(dtype=np.int32, **changes):
    """Explanations with all there is: every status, a row without weights, names that files find hard."""
    weights = csr_array((8, 3))
    weights.data = np.array([1.0, -0.0, 5e-324, -1.7e308, 0.1])
    weights.indices = np.array([0, 2, 1, 0, 1], dtype)
    weights.indptr = np.array([0, 2, 3, 3, 5, 5, 5, 5, 5], dtype)
    fields = {
        "weights": weights,
        "intercept": np.array([0.5, -0.0, 1e300, 2.0, 0.0, np.nan, 0.0, 0.1]),
        "r2": np.array([1.0, 0.25, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0]),
        "prediction": np.array([3.0, -1.0, 0.0, 1e-310, 2.0, np.nan, 4.0, 0.1]),
        "status": np.array([0, 1, 2, 4, 5, 6, 7, 8]),
        "instance": np.array([7, 7, 0, 2**63, 3, 1, 4, 5], np.uint64),
        "target": np.array([0, 1, 0, 1, 1, -1, 1, 0], np.int16),
        "effective_samples": np.array([1000.0, 12.5, np.nan, 1e308, 5e-324, 0.0, 1.0, 0.0]),
        "feature_names": ("a\0", "\ud83d\ude00 \ud800", ""),
        "target_names": ("\N{GRINNING FACE}", "x\ny"),
    }
    fields["contributions"] = with_data(weights, -0.5 * weights.data)
    fields["stderr"] = with_data(weights, np.array([0.1, 0.0, 5e-324, np.nan, 1e300]))
    fields["sample_set"] = np.array([0, 0, 2, 1, 2, 2**62, 1, 0])
    fields["index"] = np.array(["a\0b", "", "a", 7, 0.5, True, "\N{SNOWMAN}", "a"], object)
    return LocalExplanations(**fields | changes)


def statistics(labels=(False, 2, 3.5), names=("x", "y")):
    """Sums of three groups; object labels that no array of another dtype holds."""
    groups = None if labels is None else np.array(labels, object) if isinstance(labels, tuple) else np.asarray(labels)
    sums = np.zeros((1 if groups is None else len(groups), 2, 2, 7))
    sums[..., 0] = 3.0
    sums[..., 1:] = 0.1
    return ImportanceStatistics(sums, np.full(len(sums), 7), groups, names)


def all_statistics():
    """Statistics with all there is: weights of rows, sets of samples, noise subtracted."""
    one = statistics()
    sets = np.full((3, 2, 2, 2, 3), 0.75)
    row_weights, group_weights = np.full((3, 2, 2, 2), 1.5), np.full((3, 2), 2.5)
    further = {"set_sums": sets, "set_explanations": np.full((3, 2), 1.25), "debiased": np.full((3, 2, 2), -0.1)}
    return replace(one, row_weights=row_weights, group_weights=group_weights, unit=4.0, of="contributions", **further)


def examples():
    """One result of each class."""
    return {
        "local": local_explanations(),
        "importance": of_animals().importance(min_count=2),  # which hides half of the values
        "statistics": all_statistics(),
    }


def of_animals():
    labels = np.array(["cat", "dog", "\N{SNOWMAN}"])
    weights = csr_array(np.array([[0.5, 0.0], [0.25, -3.0], [0.0, 1e-3], [4.0, 0.1]]))
    return aggregate(weights, labels[[0, 1, 2, 1]], feature_names="xy")


def older_local_explanations():
    """Those of the examples that version 1 knew, and all that it knew of them."""
    local = local_explanations(contributions=None, stderr=None, sample_set=None, index=None)
    fields = {name: getattr(local, name)[:6] for name in ("weights", *COLUMNS)}
    return replace(local, **fields | {"effective_samples": np.full(6, np.nan)})


def older_statistics():
    """Those of the examples, without the sums of cubes."""
    sums = statistics().sums.copy()
    sums[..., 5:] = np.nan
    return replace(statistics(), sums=sums)


NAMES = tuple(examples())
STORED = {  # what the files in tests/data hold
    "local-version-1": older_local_explanations,
    "local-version-2": lambda: local_explanations(contributions=None, stderr=None, sample_set=None, index=None),
    "local-version-3": local_explanations,
    "importance-version-1": lambda: replace(of_animals().importance("mean", "negative"), skewness=None),
    "importance-version-2": lambda: replace(of_animals().importance(min_count=2), skewness=None),
    "importance-version-3": lambda: of_animals().importance(min_count=2),
    "importance-version-4": lambda: of_animals().importance(min_count=2),
    "statistics-version-1": older_statistics,
    "statistics-version-2": lambda: statistics(),
    "statistics-version-3": all_statistics,
}


def assert_same(one, other):
    """Equal to the bit, dtypes included."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray) and one.dtype == object:
        assert [(type(label), label) for label in one] == [(type(label), label) for label in other]
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
        assert other.flags.writeable
    elif isinstance(one, csr_array):
        assert one.shape == other.shape
        for name in ("data", "indices", "indptr"):
            assert_same(getattr(one, name), getattr(other, name))
    elif hasattr(one, "__dict__"):
        assert vars(one).keys() == vars(other).keys()
        for name, value in vars(one).items():
            assert_same(value, getattr(other, name))
    else:
        assert one == other


def assert_round_trip(one):
    assert_same(one, type(one)._from_bytes(one._to_bytes(), "the file"))


def sealed(content):
    """Content with the checksum that belongs to it, as somebody who makes up a file writes it."""
    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def archive_of(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.comment = b"normlime_fast sha256 " + b"0" * 64
        for name, content in members:
            archive.writestr(name, content)
    return sealed(buffer.getvalue())
