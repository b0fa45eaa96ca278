"""Checkpoint: a folder with one file per finished block, and a manifest of the run's settings."""

import errno
import json
import os
import re
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from normlime_fast._checks import Array
from normlime_fast._engine.fingerprint import digest_of
from normlime_fast._engine.locks import only_run
from normlime_fast._errors import CheckpointMismatchError, IncompleteRunError
from normlime_fast._messages import Message, Numbers, Term
from normlime_fast._results.archive import is_intact, read, write_atomically
from normlime_fast._results.explanations import LocalExplanations

VERSION = 2
MANIFEST = "manifest.json"
BLOCK_FILE = re.compile(r"\d{8,}-[0-9a-f]{32}\.npz")
FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
SHOWN = 60  # characters of a setting in a message
SAME = 1e-4  # tolerance for predictions of the same model, relative to the largest one


class Checkpoint:
    """A folder with a manifest and one file of local explanations per finished block.

    A file's name holds half of the SHA-256 of the manifest's digest, which is unique to the run, and of its content. So
    a block of this run is finished if its file exists and its content matches the name; no other record is needed.
    """

    @classmethod
    @contextmanager
    def opened(
        cls, path: str | os.PathLike[str], settings: dict[str, Any], free: tuple[str, ...]
    ) -> Iterator["Checkpoint"]:
        """Begin a checkpoint, or continue one with the same settings; those named in `free` may differ."""
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise _refused(f" must be a folder, got the file {folder}") from None
        with only_run(folder) as locked:
            yield cls(folder, settings, free, locked)

    def __init__(self, folder: Path, settings: dict[str, Any], free: tuple[str, ...], locked: bool) -> None:
        self.path = folder
        self.settings = json.loads(json.dumps(settings))
        self.synced = True
        files = sorted(folder.iterdir())
        for file in files:
            is_own = file.name == MANIFEST or BLOCK_FILE.fullmatch(file.name)
            if is_own and not file.is_file() and os.path.lexists(file):
                raise _refused(
                    f" {folder} has {file.name}, which is not a regular file; remove it, or use another folder"
                )
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
        if locked:
            for file in folder.glob(".normlime_fast-*.tmp"):  # left by an interrupted run
                with suppress(OSError):
                    file.unlink()
        self.finished = self._read([file for file in files if BLOCK_FILE.fullmatch(file.name)])

    def _check(self, begun: dict[str, Any], free: tuple[str, ...]) -> None:
        for name, value in self.settings.items():
            if name not in free and begun.get(name) != value:
                label = "neighborhood" if name == "neighborhood neighborhood" else name  # an object with perturb
                where, then, now = _first_difference("", begun.get(name), value)
                found = f"{where} {then}, got {now}; use the same, or another folder"
                raise _refused(f" {self.path} was begun with ", Term(label), found)

    def write(self, block: int, local: LocalExplanations) -> None:
        """Write a finished block."""
        content = local._to_bytes()
        self._write(self.path / f"{block:08d}-{digest_of(self.digest.encode(), content)}.npz", content)

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
                stacklevel=6,  # the user's call, if the manifest is the first file written
            )

    def _read(self, files: list[Path]) -> dict[int, LocalExplanations]:
        """Read the finished blocks; warn of others."""
        blocks = {}
        damaged, foreign = [], []
        for file in files:
            number, _, digest = file.stem.partition("-")
            try:
                content = read(file)
            except FileNotFoundError:  # without locks, another run may have removed it as damaged
                continue
            if digest_of(self.digest.encode(), content) == digest:
                blocks[int(number)] = LocalExplanations._from_bytes(content, str(file))
            elif is_intact(content):  # a valid result of another run
                foreign.append(file.name)
            else:
                damaged.append(file.name)
                with suppress(OSError):
                    file.unlink()
        kinds = (("damaged", damaged), ("from another run, left in place", foreign))
        unused = [f"{len(names)} {kind}, the first {names[0]}" for kind, names in kinds if names]
        if unused:
            warnings.warn(
                f"the checkpoint {self.path} had blocks that are unusable and computed again: {'; '.join(unused)}",
                stacklevel=6,  # the user's call
            )
        return blocks

    def check_predictions(self, local: LocalExplanations, outputs: Array, instance_ids: Array) -> None:
        """Refuse a model whose predictions differ from those of the model that the checkpoint was begun with."""
        if self.settings["targets"] == "all" and len(local.target) != outputs.size:
            begun = len(local.target) // len(instance_ids)
            raise _refused(
                f" {self.path} was begun with a model of {begun} outputs, got {outputs.shape[1]};"
                " use the same, or another folder"
            )
        tolerance = SAME * np.nanmax(np.abs(local.prediction), initial=0.0)
        rows = {number: row for row, number in enumerate(instance_ids.tolist())}
        for number, target, before in zip(
            local.instance.tolist(), local.target.tolist(), local.prediction.tolist(), strict=True
        ):
            if np.isnan(before):
                continue
            now = outputs[rows[number], target] if target < outputs.shape[1] else np.nan
            if not abs(now - before) <= tolerance:
                raise _refused(
                    f" {self.path} was begun with another model: output {target} of ",
                    Numbers("instance", np.array([number])),
                    f" was {before:.6g}, got {now:.6g}; use the same, or another folder",
                )


def _digest_of_run(run: str, settings: dict[str, Any]) -> str:
    return digest_of(json.dumps([run, settings]).encode())


def _read_manifest(manifest: Path) -> tuple[dict[str, Any], str]:
    """Return the settings and the digest of the run."""
    try:
        content = json.loads(manifest.read_bytes())
        version, settings = content["version"], dict(content["settings"])
        if version == VERSION:
            digest = _digest_of_run(content["run"], settings)
            if digest != content["sha256"]:
                raise ValueError("its checksum does not match")
            return settings, digest
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refused(f" {manifest.parent} has a damaged {MANIFEST}: {error}; use another folder") from None
    raise _refused(
        f" {manifest.parent} has version {_short(version)}, but only {VERSION} can be read; finish it with"
        " the version of normlime_fast that began it, or use another folder"
    )


def _refused(*parts: object) -> CheckpointMismatchError:
    return CheckpointMismatchError(Message(Term("checkpoint"), *parts))


def _first_difference(where: str, begun: Any, now: Any) -> tuple[str, str, str]:
    """Return where two settings differ first, and how; a list is shown as it is unless it is too long."""
    if isinstance(begun, dict) and isinstance(now, dict):
        for key in {**begun, **now}:
            if begun.get(key) != now.get(key):
                return _first_difference(f"{where} {key}", begun.get(key), now.get(key))
    then, found = str(begun), str(now)
    if max(len(then), len(found)) > SHOWN and isinstance(begun, list) and isinstance(now, list):
        for k, (one, other) in enumerate(zip(begun, now, strict=False)):
            if one != other:
                return _first_difference(f"{where}[{k}]", one, other)
    if _short(then) == _short(found):
        shorter = min(len(then), len(found))
        same = next((k for k in range(shorter) if then[k] != found[k]), shorter)
        then, found = (f"...{text[max(0, same - 10) :]}" for text in (then, found))
    return where, _short(then), _short(found)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:28]}..."
