"""Finished blocks on disk, one file each, and what they are blocks of."""

import dataclasses
import functools
import hashlib
import json
import math
import os
import re
import warnings
from contextlib import suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from normlime_fast.checks import Array
from normlime_fast.errors import IncompleteRunError
from normlime_fast.explanations import LocalExplanations
from normlime_fast.storage import write_atomically

VERSION = 1
MANIFEST = "manifest.json"
LONG = 2000  # characters of a setting in the manifest
DEEP = 3  # functions in closures of functions, whose names must do further down
BLOCK_FILE = re.compile(r"\d{8,}-[0-9a-f]{32}\.npz")
SAME = 1e-4  # of the largest prediction: how far the model that goes on may be from the one that began


class Checkpoint:
    """A folder with a manifest and one file of local explanations per finished block.

    A file's name holds half of the SHA-256 of its content: a block is finished if such a file is there with that
    content, and nothing else has to be kept in step.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any], free: tuple[str, ...]) -> None:
        """Begin; or go on with what was begun with the same settings, of which those named in `free` may differ."""
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))
        manifest = self.path / MANIFEST
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"checkpoint must be a folder, got the file {self.path}") from None
        if manifest.exists():
            begun = _read_manifest(manifest)
            self._check(begun, free)
            self.settings = begun
        elif any(not file.name.startswith(".normlime_fast-") for file in self.path.iterdir()):
            raise ValueError(f"checkpoint must be a folder of its own, got {self.path}, which holds other files")
        else:
            digest = _digest(json.dumps(self.settings).encode())
            content = {
                "format": "normlime_fast checkpoint",
                "version": VERSION,
                "settings": self.settings,
                "sha256": digest,
            }
            self._write(manifest, json.dumps(content, indent=1).encode())
        self.finished = self._read()

    def _check(self, begun: dict[str, Any], free: tuple[str, ...]) -> None:
        for name, value in self.settings.items():
            if name not in free and begun.get(name) != value:
                raise ValueError(
                    f"checkpoint {self.path} was begun with {name} {_short(begun.get(name))}, got {_short(value)};"
                    " use the same, or another folder"
                )

    def write(self, block: int, local: LocalExplanations) -> None:
        """Keep a finished block."""
        content = local._to_bytes()
        self._write(self.path / f"{block:08d}-{_digest(content)}.npz", content)

    def _write(self, file: Path, content: bytes) -> None:
        try:
            write_atomically(file, content)
        except OSError as error:
            raise IncompleteRunError(
                f"{file.name} could not be written to the checkpoint {self.path}: {error}; make room, then call again"
            ) from error

    def _read(self) -> dict[int, LocalExplanations]:
        """Read the blocks that are finished; tell of damaged ones."""
        blocks = {}
        damaged = []
        for file in self.path.glob(".normlime_fast-*.tmp"):  # cut off by whatever ended the run before
            file.unlink()
        for file in sorted(file for file in self.path.iterdir() if BLOCK_FILE.fullmatch(file.name)):
            number, _, digest = file.stem.partition("-")
            content = file.read_bytes()
            if _digest(content) == digest:
                blocks[int(number)] = LocalExplanations._from_bytes(content, str(file))
            else:
                damaged.append(file)
                file.unlink()
        if damaged:
            warnings.warn(
                f"the checkpoint {self.path} had {len(damaged)} damaged blocks, the first {damaged[0].name}: they are"
                " computed again",
                stacklevel=4,
            )
        return blocks

    def check_predictions(self, local: LocalExplanations, outputs: Array, numbers: Array) -> None:
        """Refuse a model that says something else of instances than the one that the checkpoint was begun with."""
        if self.settings["targets"] == "all" and len(local.target) != outputs.size:
            begun = len(local.target) // len(numbers)
            raise ValueError(
                f"checkpoint {self.path} was begun with a model of {begun} outputs, got {outputs.shape[1]};"
                " use the same, or another folder"
            )
        far = SAME * np.nanmax(np.abs(local.prediction), initial=0.0)
        rows = {number: row for row, number in enumerate(numbers.tolist())}
        for number, target, then in zip(
            local.instance.tolist(), local.target.tolist(), local.prediction.tolist(), strict=True
        ):
            if np.isnan(then):
                continue
            now = outputs[rows[number], target] if target < outputs.shape[1] else np.nan
            if not abs(now - then) <= far:
                raise ValueError(
                    f"checkpoint {self.path} was begun with another model: output {target} of instance {number} was"
                    f" {then:.6g}, got {now:.6g}; use the same, or another folder"
                )


def described(explainer: Any, identity: dict[str, Any], numbers: Array, size: int) -> dict[str, Any]:
    """Everything but the model that explanations depend on, by names that the user knows."""
    neighborhood = explainer.neighborhood
    names = ("n_features", "n_samples", "targets", "selection", "ridge", "tol", "shared_samples")
    return {
        "normlime_fast": _version(),
        **{name: _plain(getattr(explainer, name)) for name in names},
        "rng": int(explainer.seed),
        "neighborhood": type(neighborhood).__name__ if dataclasses.is_dataclass(neighborhood) else _name(neighborhood),
        **{f"neighborhood {name.lstrip('_')}": _plain(value) for name, value in _fields(neighborhood).items()},
        **{name: _plain(value) for name, value in identity.items()},
        "index": _plain(numbers.astype(np.uint64)),
        "block_size": size,
    }


def _fields(value: Any) -> dict[str, Any]:
    """What makes an object what it is, by name."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dict(getattr(value, "__dict__", {}))


def _plain(value: Any, depth: int = 0) -> Any:
    """What JSON takes, and what another process would make of the same; of what is long, a digest."""
    plain = _as_json(value, depth)
    text = json.dumps(plain, sort_keys=True)
    return plain if len(text) <= LONG else _digest(text.encode())


def _as_json(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))  # a NaN would not equal itself
    if isinstance(value, np.ndarray) and value.size > 20 and not value.dtype.hasobject:
        return _digest(np.ascontiguousarray(value).tobytes())
    if isinstance(value, list | tuple):
        return [_plain(entry, depth) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(entry, depth) for key, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_plain(entry, depth)) for entry in value)
    if hasattr(value, "__qualname__"):  # a function or a class
        name = f"{getattr(value, '__module__', None)}.{value.__qualname__}"
        code = getattr(value, "__code__", None)
        return name if code is None or depth > DEEP else {"function": name, **_function(value, code, depth + 1)}
    if isinstance(value, functools.partial):
        return [_plain(part, depth) for part in (value.func, value.args, value.keywords)]
    if dataclasses.is_dataclass(value):
        return {"class": _name(value), **{name: _plain(entry, depth) for name, entry in _fields(value).items()}}
    if hasattr(value, "tocsr"):
        matrix = value.tocsr()
        parts = (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))
        return {"shape": list(matrix.shape), "csr": [_plain(part) for part in parts]}
    if hasattr(value, "iloc"):  # of pandas
        dtype = getattr(value, "dtype", None)
        if dtype is None:
            return {str(name): _plain(column) for name, column in value.items()}
        return [str(dtype), _plain(getattr(dtype, "categories", None)), _plain(value.to_numpy())]
    if callable(getattr(value, "tolist", None)):  # an array or a scalar of NumPy, an Index of pandas
        listed = value.tolist()
        return repr(value) if type(listed) is type(value) else _plain(listed, depth)
    return _as_json_object(value, depth)


def _function(function: Any, code: CodeType, depth: int) -> dict[str, Any]:
    """What a function does, as far as it tells: functions of one name may differ, such as those made in a loop."""
    known = {"code": _digest(_code(code)), "defaults": _plain(function.__defaults__, depth)}
    known["keywords"] = _plain(function.__kwdefaults__, depth)
    owner = getattr(function, "__self__", None)  # of a method
    if owner is not None and not isinstance(owner, ModuleType):
        fields = _fields(owner) if depth == 1 else {}  # of those of a method in its fields, the class alone
        known["of"] = {"class": _name(owner), **{name: _plain(entry, depth) for name, entry in fields.items()}}
    with suppress(ValueError):  # of a cell that is still empty
        known["closure"] = [_plain(cell.cell_contents, depth) for cell in function.__closure__ or ()]
    return known


def _code(code: CodeType) -> bytes:
    return b"\0".join([code.co_code, repr(code.co_names).encode(), *map(_constant, code.co_consts)])


def _constant(value: Any) -> bytes:
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, tuple | frozenset):
        parts = [_constant(entry) for entry in value]
        return b"(" + b",".join(parts if isinstance(value, tuple) else sorted(parts)) + b")"
    return repr(value).encode()


def _as_json_object(value: object, depth: int) -> Any:
    """The class of an object, what it says of itself, and its fields; of objects in its fields no fields."""
    known = {"class": _name(value)}
    silent = type(value).__repr__ is object.__repr__
    if not silent:
        with suppress(Exception):  # its own
            known["repr"] = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    fields = {name: entry for name, entry in _fields(value).items() if silent or not name.startswith("_")}
    return known | ({name: _plain(entry, depth + 1) for name, entry in fields.items()} if depth == 0 else {})


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # half of what `import normlime_fast` would take

    try:
        return version("normlime-fast")
    except PackageNotFoundError:  # run from its sources
        return "unknown"


def _read_manifest(manifest: Path) -> dict[str, Any]:
    try:
        content = json.loads(manifest.read_bytes())
        format_version, settings = content["version"], dict(content["settings"])
        if format_version == VERSION and content["sha256"] != _digest(json.dumps(settings).encode()):
            raise ValueError("its checksum is another")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"checkpoint {manifest.parent} has a damaged {MANIFEST}: {error}; use another folder"
        ) from None
    if format_version != VERSION:
        raise ValueError(f"checkpoint {manifest.parent} has version {format_version}, but only {VERSION} can be read")
    return settings


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:28]}..."
