"""Models as the command line names them: an ONNX file, or a function of a module."""

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from normlime_fast.commands.failures import UsageError, check_readable, one_line
from normlime_fast.commands.graphs import Graph
from normlime_fast.commands.tables import Data

PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".dill", ".cloudpickle", ".pt", ".pth")
WHAT = "an ONNX file (*.onnx) or module:function"


class Model(NamedTuple):
    """A prediction function, and what it says of itself."""

    predict: Callable[[Any], Any]
    takes_text: Callable[[str], bool] = lambda column: False  # whether a column is text, whatever it looks like
    check: Callable[[Data], None] = lambda data: None  # refuses tables that it does not take
    names: Callable[[], tuple[str, ...] | None] = lambda: None  # of its outputs, known once it was asked


class Asked:
    """The model's function, with the rows that it was asked about and the time that it took."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.rows, self.seconds = 0, 0.0

    def __call__(self, X: Any) -> Any:
        """Ask the model."""
        self.rows += len(X)
        start = time.perf_counter()
        outputs = self.function(X)
        self.seconds += time.perf_counter() - start
        return outputs


def load_model(name: str, output: str | None, threads: int) -> Model:
    """Return the model that the user named; of an ONNX file the given output, asked with so many threads."""
    suffix = Path(name).suffix.lower()
    if suffix == ".onnx":
        check_readable(name)
        graph = Graph.from_file(name, output, threads)
        return Model(graph.predict, graph.takes_text, graph.check, lambda: graph.names)
    if suffix in PICKLES and ":" not in Path(name).name:
        raise UsageError(
            f"{name} looks like a pickle, and to load one runs whatever code its author put in: export the model to"
            " ONNX, as skl2onnx does, or write a module with a function that loads a file you trust, and give"
            " --model module:function"
        )
    module, colon, attribute = name.partition(":")
    if not colon or Path(name).exists():
        raise UsageError(f"--model must be {WHAT}, got {name}")
    if output is not None:
        raise UsageError("--output-name is for ONNX files; a function returns its outputs itself")
    return Model(_imported(module, attribute, name))


def _imported(module: str, attribute: str, name: str) -> Callable[[Any], Any]:
    """Return a function of a module, which may be in the current directory, as with python -m."""
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise UsageError(f"--model must be {WHAT}, such as models:predict, got {name}")
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and missing and f"{module}.".startswith(f"{missing}."):
            hint = f"; without .py, that is {name.replace('.py', '', 1)}" if module.endswith(".py") else ""
            raise UsageError(f"--model: there is no module {missing}, neither here nor installed{hint}") from None
        raise UsageError(f"--model: importing {module} raised {type(error).__name__}: {one_line(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"--model: {name} is not there: no {part!r} in {one_line(repr(found), 80)}")
        found = getattr(found, part)
    if not callable(found):
        method = next((m for m in ("predict_proba", "decision_function", "predict") if hasattr(found, m)), None)
        hint = f"; name a method of it, as in {name}.{method}" if method else ""
        raise UsageError(f"--model: {name} is not a function, but of type {type(found).__name__}{hint}")
    return found  # type: ignore[no-any-return]
