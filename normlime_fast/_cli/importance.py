"""The command `importance`: a file of local explanations in, a table, JSON, CSV or a picture out."""

import argparse
import csv
import io
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from normlime_fast import Importance, LocalExplanations
from normlime_fast._checks import printable
from normlime_fast._cli.errors import (
    UsageError,
    WorkError,
    check_readable,
    check_writable,
    in_options,
    needs,
    one_line,
)
from normlime_fast._cli.process import tell
from normlime_fast._results.archive import write_atomically
from normlime_fast._results.display import remarks
from normlime_fast._results.export import NOTE, ranked_features

PICTURES = (".png", ".jpg", ".svg", ".pdf")
WIDEST = 60  # most characters of a feature's name in a table
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # first characters of a spreadsheet's formulas, also in fullwidth


def importance(arguments: argparse.Namespace) -> None:
    """Aggregate the explanations of a file, and print or draw the most important features."""
    if arguments.plot:
        needs("matplotlib", "--plot", "plot")
        check_writable(arguments.plot, arguments.force)
        if Path(arguments.plot).suffix.lower() not in PICTURES:
            raise UsageError(f"--plot must be a picture, *{', *'.join(PICTURES)}, got {arguments.plot}")
    top = None if arguments.top == "all" else arguments.top
    check_readable(arguments.file)
    try:
        local = LocalExplanations.load(arguments.file)
        groups: dict[str, list[str]] = {}
        for name, columns in arguments.group:
            groups.setdefault(name, []).extend(columns)
        local = local.grouped(groups) if groups else local
        options = arguments.kind, arguments.by, arguments.sign, arguments.min_count, arguments.shrink, arguments.of
        with_unused = arguments.plot or (arguments.json and top is None)  # which also show unused features
        debias = arguments.debias
        if with_unused:
            result = local.importance(*options, debias=debias)
        else:
            result = local._used_importance(*options, debias=debias)[0]
    except KeyError as error:  # whose text is a repr
        raise UsageError(one_line(error.args[0])) from error
    except (TypeError, ValueError, OSError) as error:
        raise UsageError(one_line(in_options(error))) from error
    if hasattr(sys.stdout, "reconfigure"):  # escape what it cannot encode; UTF-8 of CSV encodes everything
        exact = {"encoding": "utf-8", "newline": ""} if arguments.csv else {}  # line ends in names stay as they are
        sys.stdout.reconfigure(errors="backslashreplace", **exact)
    if arguments.json:
        print(json.dumps(result.to_dict(top), indent=1, allow_nan=False))
    elif arguments.csv:
        _print_csv(result, top, safe=arguments.csv == "safe")
    elif arguments.plot:
        _draw(result, top, arguments.plot)
    else:
        _print_table(result, top)


def _best(result: Importance, top: int | None) -> list[list[list[Any]]]:
    """Return rows of every group: group, feature, value, count, standard error or None, and if it rests on few."""
    groups = ranked_features(result, top or result.values.shape[-1])
    return [
        [
            [*row[:4], None if row.stderr is None or np.isnan(row.stderr) else row.stderr, few]
            for row, few in zip(*group, strict=True)
        ]
        for group in groups
    ]


def _print_csv(result: Importance, top: int | None, safe: bool) -> None:
    """Print CSV, with a column for groups if there are any; `safe`: no name is a formula in a spreadsheet."""
    first = 0 if result.groups is not None else 1
    header: list[object] = ["group", "feature", "value", "count", "stderr"]
    for row in [header, *(row[:5] for rows in _best(result, top) for row in rows)]:
        cells = [f"'{cell}" if safe and isinstance(cell, str) and cell.startswith(FORMULA) else cell for cell in row]
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\r\n").writerow(cells[first:])  # with "\n", Python 3.11 leaves "\r" unquoted
        print(line.getvalue().removesuffix("\r\n"))


def _print_table(result: Importance, top: int | None) -> None:
    """Print a readable table for each group."""
    labels = [None] if result.groups is None else result.groups.tolist()
    explanations = [int(n) for n in result.explanations.reshape(-1)]
    sign = "" if result.sign == "absolute" else f", {result.sign}"
    sign = " of contributions" * (result.of != "weights") + sign + ", debiased" * result.debias
    best = _best(result, top)
    for label, number, of_group in zip(labels, explanations, best, strict=True):
        group = "" if label is None else f"target {printable(str(label))}: "
        print(f"{group}{result.kind}{sign}, of {number:,} explanations")
        rows = [["feature", result.kind, "stderr", "count"]]
        some = any(few for *_, few in of_group)
        rows[0][3] += " " * some
        for _, feature, value, n, error, few in of_group:
            rows.append([_name(feature), _number(value), _number(error), f"{n:,}{'*' if few else ' ' * some}"])
        widths = [max(_width(row[k]) for row in rows) for k in range(4)]
        for name, *cells in rows:
            padding = " " * (widths[0] - _width(name))
            line = "".join(f"  {cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True))
            print(f"  {name}{padding}{line.rstrip()}")
        if label != labels[-1]:
            print()
    if any(few for of_group in best for *_, few in of_group):
        print(NOTE)
    for text in remarks(result):
        print(f"\n{text}")


def _name(feature: object) -> str:
    text = printable(str(feature))
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _number(value: object) -> str:
    return "" if value is None else f"{value:.4g}"


def _width(text: str) -> int:
    """Return the number of columns that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _draw(result: Importance, top: int | None, path: str) -> None:
    """Draw the importance to a file, without a display."""
    import matplotlib

    matplotlib.use("agg")
    from normlime_fast import plotting

    k = top or result.values.shape[-1]
    try:
        axes = plotting.bars(result, k) if result.groups is None else plotting.group_bars(result, k)
    except ValueError as error:  # such as of a result without features
        raise UsageError(f"--plot: {one_line(in_options(error))}") from error
    figure: Any = np.atleast_1d(np.asarray(axes)).flat[0].figure
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix[1:].lower(), bbox_inches="tight")
    try:
        write_atomically(path, picture.getvalue())
    except OSError as error:
        raise WorkError(f"{path} could not be written: {error.strerror}") from error
    tell(f"wrote {path}")
