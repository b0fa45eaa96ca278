"""The command line, `normlime-fast` or `python -m normlime_fast`: parse the arguments and run the command."""

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
from normlime_fast._types import Kind, Of, Sign

PROGRAM = "normlime-fast"
EPILOG = """\
from a model and a table to a picture:
  normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz
  normlime-fast importance local.npz --by target
  normlime-fast importance local.npz --by target --plot importance.png

exit codes: 0 done, 1 failure during the run, 2 wrong usage or input, 130 Ctrl-C, 143 SIGTERM
"""
EXPLAIN = """\
Explain each row of a table by weights of its columns, and write the explanations to a file. The command importance, and
normlime_fast.LocalExplanations.load in Python, read this file."""
EXPLAIN_EPILOG = """\
examples:
  a scikit-learn model exported by skl2onnx, with one input per column; the column income is not for the model
    normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz
  the method predict_proba of the object model in models.py; it gets a DataFrame, or an array for an npy file
    normlime-fast explain --model models:model.predict_proba --data people.parquet --output local.npz
  the method of the paper, which needs more time, as the model predicts 5000 samples for every row
    normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz \\
        --neighborhood gaussian --limit 100
  a long run, which the same command resumes after Ctrl-C or a failure
    normlime-fast explain --model model.onnx --data people.csv --label income --output local.npz --checkpoint run

Pickled models are refused: loading a pickle runs any code that its author put in. Export the model to ONNX, or write
a module with a function that loads a file that you trust, and pass --model module:function.
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
Train a classifier on scikit-learn's handwritten digits, explain every image, and write the importance of each pixel
for each class as importance.png and importance.csv."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` (by default those of the process), and return the exit code."""
    open_streams()
    options = _parser().parse_args(arguments)
    try:
        with one_line_warnings():
            options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
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
        tell("")  # end the line of the progress
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
    """A parser that reports errors in one line, as the commands do."""

    def error(self, message: str) -> NoReturn:
        """Report the error and exit with the code for wrong usage."""
        sys.exit(_failed(UsageError(), f"error: {message.removeprefix('argument ')}; see {self.prog} --help", 2))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM,
        description="NormLIME: show which features a model uses, over a whole table and for each class, by aggregating"
        " local explanations of its rows.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    _add_explain(_add(commands, "explain", explain, "explain the rows of a table", EXPLAIN, EXPLAIN_EPILOG))
    command = _add(
        commands, "importance", importance, "aggregate explanations into importances", IMPORTANCE, IMPORTANCE_EPILOG
    )
    _add_importance(command)
    command = _add(commands, "demo", _demo, "explain a classifier of handwritten digits", DEMO, "")
    command.add_argument(
        "--out",
        type=Path,
        default=Path("demo-out"),
        metavar="DIR",
        help="folder for the two files, created if it does not exist (default: %(default)s)",
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
    command.add_argument("--traceback", action="store_true", help="also show the traceback of an error")
    return command


def _add_explain(command: argparse.ArgumentParser) -> None:
    files = command.add_argument_group("files")
    option = files.add_argument
    option("--model", required=True, metavar="M", help="an ONNX file, module:function or module:object.method")
    option(
        "--data", required=True, metavar="D", help="the table: *.csv, *.csv.gz, *.parquet, *.feather, *.arrow or *.npy"
    )
    option("--output", required=True, metavar="O", help="file for the explanations, *.npz")
    option("--force", action="store_true", help="overwrite the output if it exists")
    option("--checkpoint", metavar="DIR", help="folder for finished blocks; the same command resumes from it")
    option("--background", metavar="FILE", help="table to make the neighborhood from (default: all rows of D)")
    columns = command.add_argument_group("columns and rows; separate the names of a list by commas")
    option = columns.add_argument
    option("--label", metavar="COLUMN", help="the column to predict; it is not passed to the model")
    option("--drop", metavar="A,B", action="append", default=[], help="other columns that are not passed to the model")
    for name, what in {
        "categorical": "columns of numbers to take as categories; columns of text always are categories",
        "numeric": "columns of whole numbers to take as numbers, even if they look like categories",
    }.items():
        option(f"--{name}", metavar="A,B", action="append", default=[], help=what)
    option("--limit", type=_whole(1), metavar="N", help="explain only the first N rows")
    _add_method(command.add_argument_group("method"))
    outputs = command.add_argument_group("outputs and execution")
    option = outputs.add_argument
    option(
        "--targets",
        type=_targets,
        default="predicted",
        metavar="T",
        help="outputs to explain: predicted (each row's largest), all, or numbers or names such as 0,2 or yes"
        " (default: %(default)s)",
    )
    option(
        "--link",
        choices=("identity", "logit", "log"),
        default="identity",
        help="explain this function of the outputs; logit is for probabilities (default: %(default)s)",
    )
    option("--target-names", metavar="A,B", help="names of all outputs (default: the model's)")
    option("--output-name", metavar="NAME", help="which output of an ONNX file (default: its probabilities)")
    option("--missing-text", metavar="TEXT", help="what an ONNX file gets for a missing text, such as nan")
    option(
        "--jobs", type=_whole(1, "-1"), default=1, metavar="N", help="threads; -1 for all cores (default: %(default)s)"
    )
    option("--progress", action="store_true", help="print the progress even if stderr is not a terminal")


def _add_method(method: "argparse._ArgumentGroup") -> None:
    option = method.add_argument
    option(
        "--neighborhood",
        choices=tuple(NEIGHBORHOODS),
        default="binned",
        help="source of the samples that the model predicts. binned: values of the table, drawn column by column and"
        " shared by all explanations; gaussian: noise around each row, as in the paper, for which the model predicts"
        " N samples for every row; pool: rows of the table, shared by all explanations and weighted by distance"
        " (default: %(default)s)",
    )
    option(
        "--width",
        type=_width,
        metavar="W",
        help="width of the neighborhood in standard deviations of the data, or auto for a pool (default: lime's for"
        " binned, 1 for gaussian, auto for pool)",
    )
    option(
        "--samples",
        type=_whole(1),
        default=5000,
        metavar="N",
        help="number of samples: for each row with gaussian, in each set with pool and binned (default: %(default)s)",
    )
    option(
        "--sets",
        type=_whole(1),
        metavar="N",
        help="number of sets of samples that rows share with pool and binned; with 1, the model predicts fewer, but"
        " standard errors are unknown (default: 8)",
    )
    option("--features", type=_whole(1, "all"), metavar="K", help="most columns per explanation, or all (default: 10)")
    option(
        "--seed",
        type=_whole(0),
        default=0,
        metavar="S",
        help="random seed; the same seed gives the same result (default: 0)",
    )


def _add_importance(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    option("file", metavar="O", help="a file written by the command explain")
    option("--by", choices=("target",), help="one importance per explained output, such as per predicted class")
    option("--kind", choices=get_args(Kind), default="normlime", help="kind of importance (default: %(default)s)")
    option("--sign", choices=get_args(Sign), default="absolute", help="which weights to count (default: %(default)s)")
    option(
        "--of",
        choices=get_args(Of),
        default="weights",
        help="weights: how far the output moves if a feature changes; contributions: how far it is moved by the values"
        " that the rows have; these are not known of gaussian (default: %(default)s)",
    )
    option(
        "--group",
        type=_group,
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="take columns A and B, such as those of a one-hot encoded category, as one feature, by the sum of their"
        " contributions; for several groups, give it several times",
    )
    option(
        "--min-count",
        type=_whole(1),
        metavar="N",
        help="hide features that fewer explanations use (default: hide none, but list those that few use, under 5 or a"
        " hundredth of the explanations, after the others; 1 lists all by their importance)",
    )
    option(
        "--shrink",
        action="store_true",
        help="shrink importances that rest on few explanations toward those of comparable features",
    )
    option("--debias", action="store_true", help="subtract the noise that few samples leave in the weights")
    option(
        "--top",
        type=_whole(1, "all"),
        default=20,
        metavar="K",
        help="the K most important features, or all (default: %(default)s)",
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
        help="print CSV for a spreadsheet: names that it would read as formulas get an apostrophe in front, and so"
        " differ from the originals",
    )
    how.add_argument("--plot", metavar="OUT.png", help="draw a bar chart instead; also *.jpg, *.svg and *.pdf")


def _targets(text: str) -> str | list[int] | list[str]:
    """Return predicted, all, or a list: of numbers, if all are numbers, or of names."""
    if text in ("predicted", "all"):
        return text
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        return text.split(",")


def _group(text: str) -> tuple[str, list[str]]:
    name, _, columns = text.partition("=")
    if not name or not columns:
        raise argparse.ArgumentTypeError(f"must be a name and columns, such as city=city_A,city_B, got {text!r}")
    return name, columns.split(",")


def _width(text: str) -> str | float:
    try:
        if text == "auto" or 0 < float(text) < math.inf:
            return text if text == "auto" else float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be a number larger than 0, or auto, got {text!r}")


def _whole(minimum: int, *words: str) -> Callable[[str], int | str]:
    """Return a function that reads a whole number of at least `minimum`, or one of `words`, such as -1."""

    def read(text: str) -> int | str:
        number = int(text) if text.removeprefix("-").isdecimal() else None
        if text not in words and (number is None or number < minimum):
            others = "".join(f", or {word}" for word in words)
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}{others}, got {text!r}")
        return text if number is None else number

    return read


if __name__ == "__main__":
    sys.exit(main())
