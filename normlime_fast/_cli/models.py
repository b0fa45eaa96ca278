"""Models as the command line names them: an ONNX file, or a function of a module."""

import hashlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from normlime_fast._cli.data import Data
from normlime_fast._cli.errors import UsageError, check_readable, one_line
from normlime_fast._cli.onnx import Graph
from normlime_fast._engine.checkpoint import MANIFEST
from normlime_fast._engine.locks import only_run
from normlime_fast._results.archive import check_regular, write_atomically

PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".dill", ".cloudpickle", ".pt", ".pth")
IDENTITY = ".normlime_fast-command.json"  # in a checkpoint's folder, where files with this beginning are allowed
WHAT = "an ONNX file (*.onnx) or module:function"


class Model(NamedTuple):
    """A prediction function with its properties."""

    predict: Callable[[Any], Any]
    identity: dict[str, str]  # what identifies the model, by option
    takes_text: Callable[[str], bool] = lambda column: False  # whether a column is text, even if it looks like numbers
    check: Callable[[Data], None] = lambda data: None  # refuses tables that do not fit the model
    names: Callable[[], tuple[str, ...] | None] = lambda: None  # of the outputs, known after the first call


class TimedModel:
    """The model's function, with the number of rows that it predicted and the time that it took."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.rows, self.seconds = 0, 0.0

    def __call__(self, X: Any) -> Any:
        """Call the function."""
        self.rows += len(X)
        start = time.perf_counter()
        outputs = self.function(X)
        self.seconds += time.perf_counter() - start
        return outputs


def load_model(name: str, output: str | None, threads: int, missing_text: str | None = None) -> Model:
    """Return the model of that name; the other arguments are for ONNX files."""
    suffix = Path(name).suffix.lower()
    if suffix == ".onnx":
        check_readable(name)
        graph = Graph.from_file(name, output, threads, missing_text)
        content = hashlib.sha256(Path(name).read_bytes()).hexdigest()
        identity = {"--model": f"an ONNX file with the SHA-256 {content}", "--output-name": graph.output}
        if missing_text is not None:
            identity["--missing-text"] = missing_text
        return Model(graph.predict, identity, graph.takes_text, graph.check, lambda: graph.names)
    if suffix in PICKLES and ":" not in Path(name).name:
        raise UsageError(
            f"{name} looks like a pickle, and loading a pickle runs any code that its author put in: export the model"
            " to ONNX, as skl2onnx does, or write a module with a function that loads a file you trust, and pass"
            " --model module:function"
        )
    module, colon, attribute = name.partition(":")
    if not colon or Path(name).exists():
        raise UsageError(f"--model must be {WHAT}, got {name}")
    if output is not None:
        raise UsageError("--output-name is for ONNX files; a function returns its outputs itself")
    if missing_text is not None:
        raise UsageError("--missing-text is for ONNX files; a function gets missing values as pandas reads them")
    return Model(_imported(module, attribute, name), {"--model": name})


def check_checkpoint(folder: str, identity: dict[str, str]) -> None:
    """Refuse a checkpoint that was begun with another model or seed; record those of a new checkpoint.

    The library compares only predictions of the model, and those of two models may agree. It checks all other settings,
    and whether the folder is a checkpoint.
    """
    path = Path(folder) / IDENTITY
    try:
        if not (path.parent / MANIFEST).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with only_run(path.parent):
                if all(file.name.startswith(IDENTITY[:15]) for file in path.parent.iterdir()):
                    write_atomically(path, json.dumps(identity, indent=1).encode())
            return
        check_regular(path)
        if not path.exists():
            raise UsageError(f"--checkpoint {folder} was not begun by this command; use another folder")
        begun = json.loads(path.read_bytes())
        for option, value in identity.items():
            if (recorded := begun.get(option)) != value:
                raise UsageError(
                    f"--checkpoint {folder} was begun with {option} {recorded}, got {value}; use the same, or another"
                    " folder"
                )
    except (NotADirectoryError, FileExistsError):
        return
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"--checkpoint {folder} cannot be used: {one_line(error)}") from None


def _imported(module: str, attribute: str, name: str) -> Callable[[Any], Any]:
    """Return a function of a module, which may be in the current folder, as with python -m."""
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise UsageError(f"--model must be {WHAT}, such as models:predict, got {name}")
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        value: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and missing and f"{module}.".startswith(f"{missing}."):
            hint = f"; write {name.replace('.py', '', 1)}, without .py" if module.endswith(".py") else ""
            raise UsageError(
                f"--model: module {missing} is neither in the current folder nor installed{hint}"
            ) from None
        raise UsageError(f"--model: importing {module} raised {type(error).__name__}: {one_line(error)}") from error
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise UsageError(f"--model: {name} does not exist: no {part!r} in {one_line(repr(value), 80)}")
        value = getattr(value, part)
    if not callable(value):
        method = next((m for m in ("predict_proba", "decision_function", "predict") if hasattr(value, m)), None)
        hint = f"; choose a method, such as {name}.{method}" if method else ""
        raise UsageError(f"--model: {name} must be a function, got type {type(value).__name__}{hint}")
    return value  # type: ignore[no-any-return]
