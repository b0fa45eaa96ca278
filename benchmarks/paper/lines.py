"""Files of results."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Lines:
    """A file of JSON lines: what a step found, and where it goes on after it was stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # cut off where a run was killed
                    yield json.loads(line)

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
        for record in records:
            self.append(**record)


def _plain(value: Any) -> Any:
    """Turn arrays and numpy's numbers into lists and Python's."""
    return value.tolist()
