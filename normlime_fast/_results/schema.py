"""Schemas of the files of results, by kind and version; `archive` writes and reads the files."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

from normlime_fast._inputs.labels import LABEL
from normlime_fast._types import Of


class Field(NamedTuple):
    """Dtypes and shapes allowed for an array."""

    dtypes: str  # pattern of the dtype in a .npy header
    shapes: tuple[tuple[str | int, ...], ...]  # one per number of dimensions; a name stands for one size in all fields
    optional: bool = False


class FileSchema(NamedTuple):
    """Content of a file of one kind and version."""

    arrays: Mapping[str, Field]
    header: Mapping[str, Callable[[Any], bool]]


_FLOAT, _INDEX, _INTEGER = "<f8", "<i[48]", r"\|[iu]1|<[iu][248]"


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_positive(value: Any) -> bool:
    return _is_count(value) and bool(value)


def _is_positive_or_none(value: Any) -> bool:
    return value is None or _is_positive(value)


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_of(value: Any) -> bool:
    return value in get_args(Of)


def _is_text(value: Any) -> bool:
    return type(value) is str


def _are_names(value: Any) -> bool:
    return value is None or (type(value) is tuple and all(type(name) is str for name in value))


def _is_list_of_names(value: Any) -> bool:
    return value is not None and _are_names(value)


def _are_labels(value: Any) -> bool:
    return value is None or (type(value) is list and all(type(label) in (str, int, float, bool) for label in value))


_ROWS = Field(_FLOAT, (("explanations",),))
_TERMS = Field(_FLOAT, (("weights",),), optional=True)
_NUMBERS = Field(_INTEGER, (("explanations",),))
_SCORES = (("features",), ("groups", "features"))
_GROUPS = Field(LABEL, (("groups",),), optional=True)  # labels that are objects are stored in the header

_SINCE_3 = {
    "debiased": Field(_FLOAT, (("groups", 2, "features"),), optional=True),
    "set_sums": Field(_FLOAT, (("groups", "sets", 2, "features", 3),), optional=True),
    "set_explanations": Field(_FLOAT, (("groups", "sets"),), optional=True),
    "row_weights": Field(_FLOAT, (("groups", 2, "features", 2),), optional=True),
    "group_weights": Field(_FLOAT, (("groups", 2),), optional=True),
    "unit": Field(_FLOAT, ((),), optional=True),
}

_LOCAL_1 = FileSchema(
    {
        "data": Field(_FLOAT, (("weights",),)),
        "indices": Field(_INDEX, (("weights",),)),
        "indptr": Field(_INDEX, (("rows and one",),)),
        "intercept": _ROWS,
        "r2": _ROWS,
        "prediction": _ROWS,
        "status": _NUMBERS,
        "instance": _NUMBERS,
        "target": _NUMBERS,
    },
    {"columns": _is_count, "feature_names": _are_names, "target_names": _are_names},
)
_IMPORTANCE_1 = FileSchema(
    {
        "values": Field(_FLOAT, _SCORES),
        "counts": Field(_INTEGER, _SCORES),
        "stderr": Field(_FLOAT, _SCORES, optional=True),
        "explanations": Field(_INTEGER, ((), ("groups",))),
        "groups": _GROUPS,
    },
    {"groups": _are_labels, "feature_names": _are_names, "kind": _is_text, "sign": _is_text},
)


def _extended(
    schema: FileSchema, arrays: Mapping[str, Field], header: Mapping[str, Callable[[Any], bool]]
) -> FileSchema:
    """Return what a version holds that has more than the one before."""
    return FileSchema({**schema.arrays, **arrays}, {**schema.header, **header})


_LOCAL_2 = _extended(_LOCAL_1, {"effective_samples": _ROWS}, {})
_IMPORTANCE_2 = _extended(_IMPORTANCE_1, {}, {"min_count": _is_positive})
_IMPORTANCE_3 = _extended(_IMPORTANCE_2, {"skewness": Field(_FLOAT, _SCORES, optional=True)}, {"shrink": _is_flag})
_OF = {"of": _is_of, "unexplained_names": _is_list_of_names}

# Keep old versions here, and the code that reads them in the classes. The newest version is written.
SCHEMAS: Mapping[str, Mapping[int, FileSchema]] = {
    "LocalExplanations": {
        1: _LOCAL_1,
        2: _LOCAL_2,
        3: _extended(
            _LOCAL_2,
            {
                "contributions": _TERMS,
                "stderr": _TERMS,
                "sample_set": Field(_INTEGER, (("explanations",),), optional=True),
                "index": Field(LABEL, (("explanations",),), optional=True),
            },
            {"index": _are_labels},
        ),
    },
    "Importance": {
        1: _IMPORTANCE_1,
        2: _IMPORTANCE_2,
        3: _IMPORTANCE_3,
        4: _extended(
            _IMPORTANCE_3,
            {
                "effective": Field(_FLOAT, _SCORES, optional=True),
                "sets": Field(_INTEGER, ((), ("groups",)), optional=True),
            },
            {"min_count": _is_positive_or_none, **_OF, "debias": _is_flag},
        ),
    },
    "ImportanceStatistics": {
        version: FileSchema(
            {
                "sums": Field(_FLOAT, (("groups", 2, "features", sums),)),
                "explanations": Field(_INTEGER, (("groups",),)),
                "groups": _GROUPS,
                **arrays,
            },
            {"groups": _are_labels, "feature_names": _are_names, **since},
        )
        for version, sums, arrays, since in ((1, 5, {}, {}), (2, 7, {}, {}), (3, 7, _SINCE_3, _OF))
    },
}
