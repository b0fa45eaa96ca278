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
IDENTITY = ".normlime_fast-command.json"  # in a checkpoint, which takes a name that begins so for one of its own
WHAT = "an ONNX file (*.onnx) or module:function"


class Model(NamedTuple):
    """A prediction function, and what it says of itself."""

    predict: Callable[[Any], Any]
    identity: dict[str, str]  # what makes it this model, by option
    takes_text: Callable[[str], bool] = lambda column: False  # whether a column is text, whatever it looks like
    check: Callable[[Data], None] = lambda data: None  # refuses tables that it does not take
    names: Callable[[], tuple[str, ...] | None] = lambda: None  # of its outputs, known once it was asked


class TimedModel:
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
        content = hashlib.sha256(Path(name).read_bytes()).hexdigest()
        identity = {"--model": f"an ONNX file with the SHA-256 {content}", "--output-name": graph.output}
        return Model(graph.predict, identity, graph.takes_text, graph.check, lambda: graph.names)
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
    return Model(_imported(module, attribute, name), {"--model": name})


def check_checkpoint(folder: str, identity: dict[str, str]) -> None:
    """Refuse a checkpoint of another model, which may agree where the library compares it; note down that of a new one.

    Other folders than checkpoints, and all else that it must have in common, are left to the library.
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
        for option, now in identity.items():
            if (then := begun.get(option)) != now:
                raise UsageError(
                    f"--checkpoint {folder} was begun with {option} {then}, got {now}; use the same, or another folder"
                )
    except (NotADirectoryError, FileExistsError):
        return
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"--checkpoint {folder} cannot be used: {one_line(error)}") from None


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
