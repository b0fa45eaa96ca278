"""Local explanations: a sparse matrix of weights and what belongs to its rows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from normlime_fast import storage
from normlime_fast.checks import Array, as_labels, quiet, shown
from normlime_fast.importance import Importance, ImportanceStatistics, Kind, Sign, aggregate
from normlime_fast.kernels.surrogate import CONSTANT_OUTPUT, NO_FEATURES, NO_WEIGHT, OVERFLOW, TOO_FEW

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MODEL_FAILED = 6  # a status beside those of the fits: there was nothing to fit
UNKNOWN = (MODEL_FAILED, TOO_FEW, NO_FEATURES)  # statuses of what is no explanation at all
COLUMNS = ("intercept", "r2", "prediction", "status", "instance", "target", "effective_samples")  # one of each per row
_PARTS = ("data", "indices", "indptr")
_EMPTY = (CONSTANT_OUTPUT, NO_WEIGHT, OVERFLOW, *UNKNOWN)  # statuses of explanations without weights
_LAST_STATUS = max(UNKNOWN)


@dataclass(frozen=True, eq=False)
class LocalExplanations:
    """One sparse linear explanation per instance and target, as `NormLIME.explain` returns them.

    Attributes
    ----------
    weights : csr_array of shape (n_explanations, d), float64
        Change of the output per unit of z: for `Gaussian` and `Pool` per standard deviation of the noise or the data;
        for categories, bins and masks, what being the instance's, or being there, adds to the output. A feature that
        was not selected is not stored.
    intercept : ndarray of shape (n_explanations,)
        Value of the surrogate at the instance itself.
    r2 : ndarray of shape (n_explanations,)
        In-sample R^2 of the surrogate; 0 for an empty one.
    prediction : ndarray of shape (n_explanations,)
        The model's output for the instance and target.
    status : ndarray of int of shape (n_explanations,)
        0 as asked; 1 the path ended with fewer features; 2 the output did not vary (empty); 3 all weights 0 (empty);
        4 not converged (approximate); 5 the output's range overflows (empty). The others are no explanation at all:
        empty, and counted in no importance: 6 the model failed (`intercept`, `r2` and `prediction` may be NaN, and
        `target` -1); 7 `effective_samples` is below n_features + 2; 8 nothing of the instance can be perturbed.
    instance : ndarray of int of shape (n_explanations,)
        Number of the row explained: its position in X, or its entry of `index`.
    target : ndarray of int of shape (n_explanations,)
        Number of the output explained.
    effective_samples : ndarray of shape (n_explanations,)
        Effective sample size of the fit, (sum p)^2 / sum p^2 of its proximity weights p: n_samples where all weigh the
        same, 1 where one sample has all the weight; 0 for status 6 and 8; NaN where it is not known, as in the files of
        releases that did not store it.
    feature_names, target_names : tuple of str, or None
        Names, where the data or the model had them.
    """

    weights: "csr_array"
    intercept: Array
    r2: Array
    prediction: Array
    status: Array
    instance: Array
    target: Array
    effective_samples: Array
    feature_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None

    def importance(
        self,
        kind: Kind = "normlime",
        by: str | ArrayLike | None = None,
        sign: Sign = "absolute",
        min_count: int = 1,
    ) -> Importance:
        """Aggregate the explanations into the importance of every feature.

        Parameters
        ----------
        kind, sign : str
            What to compute; see `ImportanceStatistics.importance`. The default is S(c_i), Eq. 3.
        by : None, "target", or array_like of shape (n_instances,)
            One importance over all explanations; or one per target explained (S_y(c_i), Eq. 9, where each instance was
            explained for its predicted class); or one per label, given for every instance in the order of X.
        min_count : int, default 1
            Hides features that fewer explanations use (of the group, with the sign asked for): a mean over few makes
            much of what is rare. See `ImportanceStatistics.importance`.

        Returns
        -------
        Importance
            Of the explanations that there are: without status 6, 7 and 8.

        Raises
        ------
        TypeError, ValueError
            If `kind`, `sign`, `by` or `min_count` is none of these, or all explanations have status 6, 7 or 8.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0, 0.0], nlf.Gaussian(1.0), n_features=2, rng=0)
        >>> local = explainer.explain(np.zeros((4, 3)))
        >>> local.importance().values.round(3)
        array([0.333, 1.333, 0.   ])
        >>> local.importance(by=["a", "a", "b", "b"]).groups
        array(['a', 'b'], dtype='<U1')
        """
        if isinstance(by, str):
            if by != "target":
                raise ValueError(f'by must be None, "target" or one label per instance, got {shown(by)}')
            groups: Array | None = self.target
        elif by is None:
            groups = None
        else:
            numbers, first, position = np.unique(self.instance, return_index=True, return_inverse=True)
            order = np.argsort(np.argsort(first))  # of the numbers, as X had them
            groups = as_labels(by, "by", len(numbers), "instance")[order[position]]
        statistics = self._statistics(groups)
        if statistics is None:
            raise ValueError(f"importance needs explanations, {_why_unknown(self.status)}")
        if isinstance(by, str):
            statistics = named(statistics, self.target_names)
        return statistics.importance(kind, sign, min_count)

    def _statistics(self, groups: Array | None) -> ImportanceStatistics | None:
        """Sums over the explanations that there are, by their groups; None if there are none."""
        weights, known = self.weights, ~np.isin(self.status, UNKNOWN)
        if not known.any():
            return None
        if not known.all():
            weights, groups = weights[known], None if groups is None else groups[known]
        return aggregate(weights, groups, feature_names=self.feature_names)

    @classmethod
    def concatenate(cls, parts: "Iterable[LocalExplanations]") -> "LocalExplanations":
        """Put the explanations of several runs together: of other rows, by other processes or machines.

        Parameters
        ----------
        parts : iterable of LocalExplanations
            In the order that their explanations are to have. Runs of one explainer over parts of X, each with its rows'
            numbers as `index`, give what one run over X gives.

        Returns
        -------
        LocalExplanations

        Raises
        ------
        TypeError, ValueError
            If `parts` are none, or differ in columns, `feature_names` or `target_names`.

        Examples
        --------
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> explainer = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=1, rng=0)
        >>> X = np.eye(2)
        >>> halves = [explainer.explain(X[:1], index=[0]), explainer.explain(X[1:], index=[1])]
        >>> nlf.LocalExplanations.concatenate(halves).instance
        array([0, 1])
        """
        parts = list(parts)
        _check_alike(parts)
        joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        for name in ("instance", "target"):
            if joined[name].dtype.kind == "f":  # which some large numbers are not
                raise ValueError(f"concatenate needs {name} numbers of one dtype, got signed and unsigned 64-bit ones")
        return replace(parts[0], weights=_stacked([part.weights for part in parts]), **joined)

    def save(self, path: storage.PathLike) -> None:
        """Write the explanations to a file, from which `load` gets them back to the bit.

        The file is an npz archive of plain arrays, without pickle. What stood under the path stays until the new file
        is complete.

        Parameters
        ----------
        path : str or os.PathLike
            Taken as it is: no suffix is added.

        Raises
        ------
        OSError
            If it can't be written.
        TypeError, ValueError
            If the fields are not of the types or do not fit together as they are described above.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> import normlime_fast as nlf
        >>> local = nlf.NormLIME(lambda X: X @ [1.0, -2.0], nlf.Gaussian(1.0), n_features=2).explain(np.eye(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     local.save(folder + "/local.npz")
        ...     again = nlf.LocalExplanations.load(folder + "/local.npz")
        >>> (again.weights != local.weights).nnz
        0
        """
        storage.write_atomically(path, self._to_bytes())

    @classmethod
    def load(cls, path: storage.PathLike) -> "LocalExplanations":
        """Read a file that `save` has written, with this release or an older one.

        Parameters
        ----------
        path : str or os.PathLike

        Returns
        -------
        LocalExplanations

        Raises
        ------
        OSError
            If it can't be read, such as FileNotFoundError.
        ValueError
            With one line that says what is wrong, if it is anything else than an intact file of LocalExplanations. It
            is safe to load files of people you do not trust: nothing of them is run, and the memory it takes is in
            proportion to their size.
        """
        return storage.load(path, "LocalExplanations", cls._made_of)

    def _to_bytes(self) -> bytes:
        """Content of a file."""
        from scipy.sparse import csr_array

        if not isinstance(self.weights, csr_array):
            raise TypeError(f"weights must be a csr_array, got {type(self.weights).__name__}")
        arrays = {name: getattr(self.weights, name) for name in _PARTS} | {
            name: getattr(self, name) for name in COLUMNS
        }
        names = {"feature_names": self.feature_names, "target_names": self.target_names}
        header = {"columns": int(self.weights.shape[1]), **names}
        content = storage.pack("LocalExplanations", arrays, header)
        _check(self)
        return content

    @classmethod
    def _from_bytes(cls, content: bytes, name: str) -> "LocalExplanations":
        """Explanations from the content of a file, which errors call `name`."""
        return storage.unpack(content, "LocalExplanations", name, cls._made_of)

    @classmethod
    def _made_of(cls, version: int, arrays: dict[str, Any], header: dict[str, Any]) -> "LocalExplanations":
        from scipy.sparse import csr_array

        weights = csr_array((len(arrays["status"]), header.pop("columns")))
        for name in _PARTS:  # not given to csr_array itself, which would choose another dtype for the indices
            setattr(weights, name, arrays.pop(name))
        if version == 1:
            arrays["effective_samples"] = np.full(len(arrays["status"]), np.nan)
        result = cls(weights, **arrays, **header)
        _check(result)
        return result


def _check_alike(parts: list[LocalExplanations]) -> None:
    if not parts:
        raise ValueError("concatenate needs at least one part, got none")
    for part in parts:
        if not isinstance(part, LocalExplanations):
            raise TypeError(f"concatenate needs LocalExplanations, got a {type(part).__name__}")
        if part.weights.shape[1] != parts[0].weights.shape[1]:
            columns = f"{parts[0].weights.shape[1]} and {part.weights.shape[1]}"
            raise ValueError(f"concatenate needs explanations of the same features, got {columns} columns")
        if part.feature_names != parts[0].feature_names:
            raise ValueError("concatenate needs explanations of the same features, got different feature_names")
        if part.target_names != parts[0].target_names:
            raise ValueError("concatenate needs explanations of the same outputs, got different target_names")


def _stacked(matrices: "list[csr_array]") -> "csr_array":
    """One matrix. Its index dtype depends on its size alone, not on those of the matrices or where they were cut."""
    from scipy.sparse import csr_array

    lengths = np.concatenate([np.diff(matrix.indptr) for matrix in matrices])
    data = np.concatenate([matrix.data[: matrix.indptr[-1]] for matrix in matrices])
    shape = len(lengths), matrices[0].shape[1]
    index = np.int32 if max(*shape, len(data)) <= np.iinfo(np.int32).max else np.int64
    indices = np.concatenate([matrix.indices[: matrix.indptr[-1]] for matrix in matrices], dtype=index)
    indptr = np.zeros(len(lengths) + 1, index)
    np.cumsum(lengths, out=indptr[1:])
    return csr_array((data, indices, indptr), shape=shape)


def _check(local: LocalExplanations) -> None:
    """Raise ValueError if the fields, which are of the right types, do not fit together."""
    weights = local.weights
    indptr, indices = weights.indptr, weights.indices
    if not len(indptr) - 1 == len(local.status) == weights.shape[0]:
        raise ValueError(f"weights must have one row per status, {len(local.status)}, got {len(indptr) - 1}")
    if indptr[0] != 0 or indptr[-1] != len(indices) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("weights must have an indptr that goes from 0 to the number of weights and never decreases")
    if indices.size and not (indices.min() >= 0 and indices.max() < weights.shape[1]):
        raise ValueError(f"weights must have column indices from 0 to {weights.shape[1] - 1}")
    rises = np.append(indices[1:] > indices[:-1], True)
    rises[indptr[1:] - 1] = True
    if not rises.all():
        raise ValueError("weights must have the columns of each row in order and once, as sum_duplicates() makes them")
    if not np.isfinite(weights.data).all():
        raise ValueError("weights must be finite")
    if not np.isin(local.status, range(_LAST_STATUS + 1)).all():
        raise ValueError(f"status must be from 0 to {_LAST_STATUS}")
    if np.diff(indptr)[np.isin(local.status, _EMPTY)].any():
        raise ValueError(f"weights must be none where status is one of {_EMPTY}")
    _check_rows(local)


@quiet  # some releases of numpy take NaN >= 0 for invalid
def _check_rows(local: LocalExplanations) -> None:
    failed = local.status == MODEL_FAILED
    for name in ("intercept", "r2", "prediction"):
        values = getattr(local, name)
        if not (np.isfinite(values) | (failed & np.isnan(values))).all():
            raise ValueError(f"{name} must be finite")
    effective = local.effective_samples
    most = np.where(np.isin(local.status, (MODEL_FAILED, NO_FEATURES)), 0.0, np.finfo(np.float64).max)
    if not (((effective >= 0) & (effective <= most)) | np.isnan(effective)).all():
        raise ValueError(
            f"effective_samples must be finite, at least 0, and 0 where status is {MODEL_FAILED} or {NO_FEATURES}"
        )
    if not (local.instance >= 0).all() or not (local.target >= np.where(failed, -1, 0)).all():
        raise ValueError("instance and target must be at least 0")
    d = local.weights.shape[1]
    if local.feature_names is not None and len(local.feature_names) != d:
        raise ValueError(f"feature_names must have {d} names, got {len(local.feature_names)}")
    if local.target_names is not None and (local.target >= len(local.target_names)).any():
        raise ValueError(f"target must be below the number of target_names, {len(local.target_names)}")


def _why_unknown(statuses: Array) -> str:
    if not statuses.size:
        return "got none"
    reasons = {
        MODEL_FAILED: "the model failed",
        TOO_FEW: "too few effective samples",
        NO_FEATURES: "nothing to perturb",
    }
    counts = {status: np.count_nonzero(statuses == status) for status in UNKNOWN}
    found = [f"{count} with status {status} ({reasons[status]})" for status, count in counts.items() if count]
    return f"but all {statuses.size} are empty: {', '.join(found)}"


def named(statistics: ImportanceStatistics, target_names: tuple[str, ...] | None) -> ImportanceStatistics:
    """Statistics by target under the targets' names, if they have any."""
    if target_names is None or statistics.groups is None:
        return statistics
    return replace(statistics, groups=np.array(target_names)[statistics.groups])
