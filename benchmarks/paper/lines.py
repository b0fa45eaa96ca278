"""Files of results."""

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Lines:
    """A file of JSON lines: what a step found, and where it goes on after it was stopped.

    Lines are appended as plain text. `pack` moves them into a compressed file beside it; both are read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packed = path.with_name(f"{path.name}.gz")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self._whole())

    def append(self, **record: Any) -> None:
        line = json.dumps(record, ensure_ascii=False, default=_plain) + "\n"
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read() == b"\n" else "\n" + line  # not behind one that was cut off
            file.write(line.encode())

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Replace all lines."""
        self.path.unlink(missing_ok=True)
        self.packed.unlink(missing_ok=True)
        for record in records:
            self.append(**record)

    def pack(self) -> None:
        """Compress all lines, while nobody appends; the same lines give the same bytes.

        Stopped at any point it loses no line, and none is read twice.
        """
        if not self.path.exists():
            return
        text = "".join(f"{line}\n" for line in self._whole())
        unfinished = self.packed.with_suffix(".part")
        with unfinished.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            packed.write(text.encode())
        unfinished.replace(self.packed)
        self.path.unlink()

    def _whole(self) -> list[str]:
        packed = _whole(gzip.decompress(self.packed.read_bytes())) if self.packed.exists() else []
        plain = _whole(self.path.read_bytes()) if self.path.exists() else []
        known = set(packed)
        return packed + [line for line in plain if line not in known]  # where `pack` was stopped before its last step


def _whole(content: bytes) -> list[str]:
    """Return the lines that are JSON: not those cut off where a run was killed."""
    return [line for line in content.decode(errors="replace").split("\n") if _is_json(line)]


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True


def _plain(value: Any) -> Any:
    """Turn arrays and numpy's numbers into lists and Python's."""
    return value.tolist()
