"""The command line: python -m normlime_fast demo [--out DIR]."""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from normlime_fast import demo


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that `arguments` (by default those of the process) name."""
    parser = argparse.ArgumentParser(
        prog="python -m normlime_fast", description="NormLIME: global and class-specific feature importance."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "demo",
        help="explain a classifier of handwritten digits",
        description="Train a classifier on scikit-learn's handwritten digits, explain every image, write the"
        " importance of each pixel for each class as importance.png and importance.csv.",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("demo-out"),
        metavar="DIR",
        help="folder for the two files, created if it is not there (default: %(default)s)",
    )
    out = parser.parse_args(arguments).out

    if not (find_spec("sklearn") and find_spec("matplotlib")):
        raise SystemExit('the demo needs scikit-learn and matplotlib: pip install "normlime-fast[demo]"')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"the demo cannot create the folder {out}: {error.strerror}") from None
    demo.run(out)


if __name__ == "__main__":
    main()
