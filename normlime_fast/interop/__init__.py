"""Interoperability with lime."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normlime_fast.interop import lime as lime
else:  # type checkers would otherwise accept every name

    def __getattr__(name: str) -> Any:
        if name == "lime":  # imported on first use
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "lime"})
