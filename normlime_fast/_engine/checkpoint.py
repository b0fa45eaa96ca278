"""Finished blocks on disk, one file each, and what they are blocks of."""

import dataclasses
import errno
import functools
import hashlib
import json
import math
import os
import re
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.locks import only_run
from normlime_fast._errors import CheckpointMismatchError, IncompleteRunError
from normlime_fast._messages import Message, Numbers, Term
from normlime_fast._results.archive import is_intact, read, write_atomically
from normlime_fast._results.explanations import LocalExplanations
from normlime_fast._version import installed_version

VERSION = 2
MANIFEST = "manifest.json"
LONG = 2000  # characters of a setting in the manifest
DEEP = 3  # functions in closures of functions, whose names must do further down
BLOCK_FILE = re.compile(r"\d{8,}-[0-9a-f]{32}\.npz")
FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
SAME = 1e-4  # of the largest prediction: how far the model that goes on may be from the one that began


class Checkpoint:
    """A folder with a manifest and one file of local explanations per finished block.

    A file's name holds half of the SHA-256 of the manifest's digest, which no other run has, and of its content: a
    block of this run is finished if such a file is there with that content, and nothing else has to be kept in step.
    """

    @classmethod
    @contextmanager
    def opened(
        cls, path: str | os.PathLike[str], settings: dict[str, Any], free: tuple[str, ...]
    ) -> Iterator["Checkpoint"]:
        """Begin; or go on with what was begun with the same settings, of which those named in `free` may differ."""
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise _refused(f" must be a folder, got the file {folder}") from None
        with only_run(folder) as alone:
            yield cls(folder, settings, free, alone)

    def __init__(self, folder: Path, settings: dict[str, Any], free: tuple[str, ...], alone: bool) -> None:
        self.path = folder
        self.settings = json.loads(json.dumps(settings))
        self.synced = True
        files = sorted(folder.iterdir())
        for file in files:
            is_own = file.name == MANIFEST or BLOCK_FILE.fullmatch(file.name)
            if is_own and not file.is_file() and os.path.lexists(file):
                found = f" {folder} has {file.name}, which is not a regular file"
                raise _refused(f"{found}; remove it, or use another folder")
        manifest = folder / MANIFEST
        if manifest.exists():
            begun, self.digest = _read_manifest(manifest)
            self._check(begun, free)
            self.settings = begun
        elif any(not file.name.startswith(".normlime_fast-") for file in files):
            raise _refused(f" must be a folder of its own, got {folder}, which holds other files")
        else:
            run = secrets.token_hex(16)
            self.digest = _digest_of_run(run, self.settings)
            content = {
                "format": "normlime_fast checkpoint",
                "version": VERSION,
                "run": run,
                "settings": self.settings,
                "sha256": self.digest,
            }
            self._write(manifest, json.dumps(content, indent=1).encode())
        if alone:
            for file in folder.glob(".normlime_fast-*.tmp"):  # cut off by whatever ended the run before
                with suppress(OSError):
                    file.unlink()
        self.finished = self._read([file for file in files if BLOCK_FILE.fullmatch(file.name)])

    def _check(self, begun: dict[str, Any], free: tuple[str, ...]) -> None:
        for name, value in self.settings.items():
            if name not in free and begun.get(name) != value:
                found = f" {_short(begun.get(name))}, got {_short(value)}; use the same, or another folder"
                raise _refused(f" {self.path} was begun with ", Term(name), found)

    def write(self, block: int, local: LocalExplanations) -> None:
        """Keep a finished block."""
        content = local._to_bytes()
        self._write(self.path / f"{block:08d}-{_digest(self.digest.encode(), content)}.npz", content)

    def _write(self, file: Path, content: bytes) -> None:
        before = self.synced
        try:
            self.synced = write_atomically(file, content) and before
        except OSError as error:
            advice = "make room, then call again" if error.errno in FULL else "call again once it can be written"
            raise IncompleteRunError(
                f"{file.name} could not be written to the checkpoint {self.path}: {error}; {advice}"
            ) from error
        if before and not self.synced:
            warnings.warn(
                f"the checkpoint {self.path} is on a file system that cannot sync: if power fails, its newest"
                " blocks may be lost, and are computed again",
                stacklevel=6,  # the user's call, if the manifest is the first
            )

    def _read(self, files: list[Path]) -> dict[int, LocalExplanations]:
        """Read the blocks that are finished; tell of others."""
        blocks = {}
        damaged, foreign = [], []
        for file in files:
            number, _, digest = file.stem.partition("-")
            try:
                content = read(file)
            except FileNotFoundError:  # without locks, another run may have found it damaged
                continue
            if _digest(self.digest.encode(), content) == digest:
                blocks[int(number)] = LocalExplanations._from_bytes(content, str(file))
            elif is_intact(content):  # somebody's work
                foreign.append(file.name)
            else:
                damaged.append(file.name)
                with suppress(OSError):
                    file.unlink()
        kinds = (("damaged", damaged), ("from another run, left in place", foreign))
        found = [f"{len(names)} {kind}, the first {names[0]}" for kind, names in kinds if names]
        if found:
            warnings.warn(
                f"the checkpoint {self.path} had blocks that are not used, but computed again: {'; '.join(found)}",
                stacklevel=6,  # the user's call
            )
        return blocks

    def check_predictions(self, local: LocalExplanations, outputs: Array, numbers: Array) -> None:
        """Refuse a model that says something else of instances than the one that the checkpoint was begun with."""
        if self.settings["targets"] == "all" and len(local.target) != outputs.size:
            begun = len(local.target) // len(numbers)
            raise _refused(
                f" {self.path} was begun with a model of {begun} outputs, got {outputs.shape[1]};"
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
                raise _refused(
                    f" {self.path} was begun with another model: output {target} of ",
                    Numbers("instance", np.array([number])),
                    f" was {then:.6g}, got {now:.6g}; use the same, or another folder",
                )


def described(explainer: Any, identity: dict[str, Any], numbers: Array, size: int) -> dict[str, Any]:
    """Everything but the model that explanations depend on, by names that the user knows."""
    neighborhood = explainer.neighborhood
    names = ("n_features", "n_samples", "targets", "selection", "ridge", "tol", "shared_samples")
    return {
        "normlime_fast": installed_version(),
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
    """The class of an object; of ours without its module, which may move from release to release."""
    kind = type(value)
    own = kind.__module__.split(".")[0] == __name__.split(".")[0]
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]


def _digest_of_run(run: str, settings: dict[str, Any]) -> str:
    return _digest(json.dumps([run, settings]).encode())


def _read_manifest(manifest: Path) -> tuple[dict[str, Any], str]:
    """Return settings, and the digest of the run."""
    try:
        content = json.loads(manifest.read_bytes())
        version, settings = content["version"], dict(content["settings"])
        if version == VERSION:
            digest = _digest_of_run(content["run"], settings)
            if digest != content["sha256"]:
                raise ValueError("its checksum is another")
            return settings, digest
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refused(f" {manifest.parent} has a damaged {MANIFEST}: {error}; use another folder") from None
    raise _refused(
        f" {manifest.parent} has version {_short(version)}, but only {VERSION} can be read; finish it with"
        " the normlime_fast that began it, or use another folder"
    )


def _refused(*parts: object) -> CheckpointMismatchError:
    return CheckpointMismatchError(Message(Term("checkpoint"), *parts))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:28]}..."
