"""The command line, `normlime-fast` or `python -m normlime_fast`: its arguments, and which code runs a command."""

import argparse
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, get_args

from normlime_fast._cli import demo
from normlime_fast._cli.errors import UsageError, WorkError, needs, one_line
from normlime_fast._cli.explain import NEIGHBORHOODS, explain
from normlime_fast._cli.importance import importance
from normlime_fast._cli.process import Terminated, one_line_warnings, open_streams, silence, tell
from normlime_fast._types import Kind, Sign

PROGRAM = "normlime-fast"
EPILOG = """\
from a model and a table to a picture:
  normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz
  normlime-fast importance local.npz --by target
  normlime-fast importance local.npz --by target --plot importance.png

exit codes: 0 done, 1 something failed while working, 2 wrong usage or input, 130 Ctrl-C, 143 SIGTERM
"""
EXPLAIN = """\
Explain rows of a table one by one, by weights for the columns, and write the explanations to a file, which the command
importance reads, as does normlime_fast.LocalExplanations.load in Python."""
EXPLAIN_EPILOG = """\
examples:
  a scikit-learn model exported by skl2onnx, with one input per column; the column income is not for the model
    normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz
  the function predict_proba of the object model in models.py, which gets a DataFrame, or an array of an npy file
    normlime-fast explain --model models:model.predict_proba --data people.parquet --output local.npz
  a large table: one set of its rows serves all explanations, and the model is asked about few rows
    normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz \\
        --neighborhood pool --samples 10000
  a long run, which the same command takes up again after Ctrl-C or a failure
    normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz --checkpoint run

Pickled models are not read: to load a pickle runs whatever code its author put in. Export the model to ONNX, or write
a module with a function that loads a file that you trust, and give --model module:function.
"""
IMPORTANCE = """\
Aggregate local explanations into the importance of each feature, and print the most important ones."""
IMPORTANCE_EPILOG = """\
examples:
  normlime-fast importance local.npz
  normlime-fast importance local.npz --by target --sign positive --min-count 30 --top 5
  normlime-fast importance local.npz --by target --json | jq '.groups[0].features[0]'
  normlime-fast importance local.npz --top all --csv > importance.csv
  normlime-fast importance local.npz --by target --plot importance.png
"""
DEMO = """\
Train a classifier on scikit-learn's handwritten digits, explain every image, write the importance of each pixel for
each class as importance.png and importance.csv."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default those of the process) name, and return the exit code."""
    open_streams()
    options = _parser().parse_args(arguments)
    try:
        with one_line_warnings():
            options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, such as head, has read enough
        silence(sys.stdout)
        return 1
    except KeyboardInterrupt as error:
        by, code = ("SIGTERM", 143) if isinstance(error, Terminated) else ("Ctrl-C", 130)
        return _failed(error, "; ".join([f"stopped by {by}", *map(str, error.args)]), code)
    except UsageError as error:
        return _failed(error, f"error: {error}", 2, options.traceback)
    except WorkError as error:
        return _failed(error, f"error: {error}", 1, options.traceback)
    except Exception as error:
        return _failed(error, f"error: {type(error).__name__}: {error}", 1, options.traceback)
    return 0


def _failed(error: BaseException, message: str, code: int, with_traceback: bool = False) -> int:
    if with_traceback:
        tell("".join(traceback.format_exception(error)), end="")
    if code != 2 and sys.stderr.isatty():
        tell("")  # below the progress
    tell(f"{PROGRAM}: {one_line(message, 2000)}")
    return code


def _demo(options: argparse.Namespace) -> None:
    out: Path = options.out
    needs("scikit-learn", "the demo", "demo", "sklearn")
    needs("matplotlib", "the demo", "demo")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the demo cannot create the folder {out}: {error.strerror}") from None
    demo.run(out)


# --- arguments


class Parser(argparse.ArgumentParser):
    """A parser whose errors are like all others."""

    def error(self, message: str) -> NoReturn:
        """Exit with the code of wrong usage."""
        sys.exit(_failed(UsageError(), f"error: {message.removeprefix('argument ')}; see {self.prog} --help", 2))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM,
        description="NormLIME: which features a model uses, over a whole table and for each class, from many local"
        " explanations of single rows.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _add_explain(_add(commands, "explain", explain, "explain the rows of a table", EXPLAIN, EXPLAIN_EPILOG))
    command = _add(
        commands, "importance", importance, "make importances of explanations", IMPORTANCE, IMPORTANCE_EPILOG
    )
    _add_importance(command)
    command = _add(commands, "demo", _demo, "explain a classifier of handwritten digits", DEMO, "")
    command.add_argument(
        "--out",
        type=Path,
        default=Path("demo-out"),
        metavar="DIR",
        help="folder for the two files, created if it is not there (default: %(default)s)",
    )
    return parser


def _add(
    commands: "argparse._SubParsersAction[Parser]",
    name: str,
    run: Callable[[argparse.Namespace], None],
    brief: str,
    description: str,
    epilog: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=brief,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run)
    command.add_argument("--traceback", action="store_true", help="show where in the code an error came from, too")
    return command


def _add_explain(command: argparse.ArgumentParser) -> None:
    files = command.add_argument_group("files")
    option = files.add_argument
    option("--model", required=True, metavar="M", help="an ONNX file, or module:function, also module:object.method")
    option("--data", required=True, metavar="D", help="the table: *.csv, *.csv.gz, *.parquet or *.npy")
    option("--output", required=True, metavar="O", help="where the explanations go, *.npz")
    option("--force", action="store_true", help="overwrite the output if it exists")
    option("--checkpoint", metavar="DIR", help="folder for finished parts; the same command goes on from there")
    option("--background", metavar="FILE", help="table that the neighborhood is made of (default: all rows of D)")
    columns = command.add_argument_group("columns and rows; names of a list are separated by commas")
    option = columns.add_argument
    option("--label", metavar="COLUMN", help="the column to predict, which is not for the model")
    option("--drop", metavar="A,B", action="append", default=[], help="other columns that are not for the model")
    option(
        "--categorical",
        metavar="A,B",
        action="append",
        default=[],
        help="columns of numbers that stand for categories; columns of text are categories by themselves",
    )
    option("--limit", type=_whole(1), metavar="N", help="explain only the first N rows")
    _add_method(command.add_argument_group("method"))
    outputs = command.add_argument_group("the model's outputs, and how it is run")
    option = outputs.add_argument
    option(
        "--targets",
        type=_targets,
        default="predicted",
        metavar="T",
        help="outputs to explain: predicted (the largest of a row), all, or numbers such as 0,2 (default: predicted)",
    )
    option("--target-names", metavar="A,B", help="names of all outputs (default: those that the model has)")
    option("--output-name", metavar="NAME", help="which output of an ONNX file (default: its probabilities)")
    option(
        "--jobs", type=_whole(1, "-1"), default=1, metavar="N", help="threads; -1 for all cores (default: %(default)s)"
    )
    option("--progress", action="store_true", help="tell the progress also where stderr is not a terminal")


def _add_method(method: "argparse._ArgumentGroup") -> None:
    option = method.add_argument
    option(
        "--neighborhood",
        choices=tuple(NEIGHBORHOODS),
        default="gaussian",
        help="where the rows to ask the model about come from. gaussian: noise around each row, anew for each, as in"
        " the paper; pool: rows of the table, weighed by their distance, the same for all, for large tables; binned:"
        " drawn column by column, the same for all, as lime does by default (default: %(default)s)",
    )
    option(
        "--width",
        type=_width,
        metavar="W",
        help="width of the neighborhood in standard deviations of the data, or auto for a pool (default: 1 for"
        " gaussian, auto for pool, lime's for binned)",
    )
    option(
        "--samples",
        type=_whole(1),
        default=5000,
        metavar="N",
        help="rows to ask the model about: for each row explained, or for all together with pool and binned"
        " (default: %(default)s)",
    )
    option("--features", type=_whole(1, "all"), metavar="K", help="columns in an explanation, or all (default: 10)")
    option(
        "--seed",
        type=_whole(0),
        default=0,
        metavar="S",
        help="random seed: the same gives the same result (default: 0)",
    )


def _add_importance(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    option("file", metavar="O", help="a file that the command explain has written")
    option("--by", choices=("target",), help="one importance per output explained, such as per predicted class")
    option("--kind", choices=get_args(Kind), default="normlime", help="what is computed (default: %(default)s)")
    option("--sign", choices=get_args(Sign), default="absolute", help="which weights to count (default: %(default)s)")
    option("--min-count", type=_whole(1), default=1, metavar="N", help="hide features that fewer explanations use")
    option(
        "--shrink",
        action="store_true",
        help="shrink importances of few explanations toward those of comparable features",
    )
    option(
        "--top",
        type=_whole(1, "all"),
        default=20,
        metavar="K",
        help="the K most important, or all (default: %(default)s)",
    )
    option("--force", action="store_true", help="overwrite the picture if it exists")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON")
    how.add_argument("--csv", action="store_const", const="exact", help="print CSV")
    how.add_argument(
        "--csv-safe",
        action="store_const",
        const="safe",
        dest="csv",
        help="print CSV for a spreadsheet: an apostrophe goes before names that it would take for formulas, which then"
        " differ from the originals",
    )
    how.add_argument("--plot", metavar="OUT.png", help="draw bars instead; also *.jpg, *.svg and *.pdf")


def _targets(text: str) -> str | list[int]:
    try:
        return text if text in ("predicted", "all") else [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be predicted, all, or numbers such as 0,2, got {text!r}") from None


def _width(text: str) -> str | float:
    try:
        if text == "auto" or 0 < float(text) < math.inf:
            return text if text == "auto" else float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be a number larger than 0, or auto, got {text!r}")


def _whole(least: int, *words: str) -> Callable[[str], int | str]:
    """Return what reads a whole number of at least `least`, or one of these words, which may be a number, too."""

    def read(text: str) -> int | str:
        number = int(text) if text.removeprefix("-").isdecimal() else None
        if text not in words and (number is None or number < least):
            others = "".join(f", or {word}" for word in words)
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}{others}, got {text!r}")
        return text if number is None else number

    return read


if __name__ == "__main__":
    sys.exit(main())
