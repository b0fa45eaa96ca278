"""Bridges to the tools that people already use: lime and shap."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normlime_fast.interop import lime as lime
else:  # else every name would be one for type checkers

    def __getattr__(name: str) -> Any:
        if name == "lime":  # imported when it is first used
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "lime"})
