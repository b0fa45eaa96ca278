"""The pages are right: their examples run and print what they say, their commands, links and names are there."""

import re
import shlex
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from normlime_fast import Status, plotting
from normlime_fast._cli.main import _parser

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")))
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = r"(?:python -m normlime_fast|normlime-fast) "
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
EXAMPLES = [name for name in PAGES if "\n```python\n" in TEXTS[name]]


def prose(text):
    return BLOCK.sub("", text)


def found(pattern):
    return [(name, *match.groups()) for name, text in TEXTS.items() for match in re.finditer(pattern, prose(text))]


def readme(names):
    assert len(names["table"]) == 2 * names["X"].shape[1]
    assert np.isin(names["local"].status, [0, 10]).all()


def equations(names):
    # The outputs are linear or odd in features 0, 1 and 4 alone: the products of 2 and 3 have no linear part.
    assert names["fitted"].coef[0].nonzero()[0].tolist() == [0, 1]
    assert 4 in names["fitted"].coef[1].nonzero()[0]
    assert names["merged"].explanations.tolist() == [1, 2]


def neighborhoods(names):
    assert names["own"].importance("mean_abs").values.argsort()[:-3:-1].tolist() in ([4, 5], [5, 4])


def plots(names):
    shown = re.findall(r"!\[.+?\]\(images/(.+?)\)", TEXTS["docs/plots.md"])
    assert shown == [f"{name}.png" for name in re.findall(r"^## (\w+)$", TEXTS["docs/plots.md"], re.MULTILINE)[:-1]]
    assert sorted(shown) == sorted(path.name for path in Path.cwd().iterdir())  # what the examples have drawn
    assert sorted(shown) == sorted(f"{name}.png" for name in plotting.__all__)


FACTS = {
    "README.md": readme,
    "docs/equations.md": equations,
    "docs/neighborhoods.md": neighborhoods,
    "docs/plots.md": plots,
}


@pytest.mark.filterwarnings("ignore:(some rows have categories|of .* fewer than 10 points)")  # the README's two
@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_print_what_the_page_says(page, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path if page != "README.md" else ROOT)  # whose example reads data of the tests
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names, printed = {"__name__": "__main__"}, None
    for block in BLOCK.finditer(TEXTS[page]):
        language, content = block.groups()
        if language == "python":
            before = "\n" * TEXTS[page].count("\n", 0, block.start(2))  # so that tracebacks have the page's lines
            exec(compile(before + content, PAGES[page], "exec"), names)
            printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        elif language == "text" and printed is not None:
            assert printed == [line.rstrip() for line in content.splitlines()]
            printed = None
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    FACTS.get(page, lambda names: None)(names)


def test_pages_have_examples():
    assert set(FACTS) <= set(EXAMPLES)
    without = {"README.md", "command-line.md", "architecture.md"}
    assert {name for name in PAGES if name.startswith("docs/")} - set(EXAMPLES) <= {f"docs/{name}" for name in without}
    assert len(TEXTS["README.md"].splitlines()) <= 110


COMMANDS = [
    (name, command.strip())
    for name, text in TEXTS.items()
    for language, content in BLOCK.findall(text)
    if language == "sh"
    for command in re.findall(rf"(?:^|&& |\| )({PROGRAM}[^|<>&\n]*)", content.replace("\\\n", " "), re.MULTILINE)
]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_command_has_these_options(page, command):
    code = 0
    try:
        _parser().parse_args(shlex.split(re.sub(f"^{PROGRAM}", "", command)))
    except SystemExit as end:
        code = end.code  # 0 of --help
    assert code == 0


@pytest.mark.parametrize(("page", "file", "name"), found(r"`([\w/]+\.py): (\w+)`"))
def test_code_is_where_the_page_says(page, file, name):
    source = (ROOT / "normlime_fast" / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(?:def|class) {name}\b", source, re.MULTILINE)


LINKS = found(r"\]\((?!http)(.+?)\)")


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_link_leads_somewhere(page, link):
    path, _, heading = link.partition("#")
    target = PAGES[page].parent / path if path else PAGES[page]
    assert target.is_file()
    assert target.stat().st_size < 150_000
    headings = re.findall(r"^#+ (.*)$", prose(target.read_text(encoding="utf-8")), re.MULTILINE) if heading else []
    assert heading in ["", *(re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in headings)]


@pytest.mark.parametrize(("page", "path"), found(r"`((?:benchmarks|docs|tests)/[^\s`]+)`"))
def test_named_file_is_there(page, path):
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


def test_guide_has_all_statuses():
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", TEXTS["docs/guide.md"], re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(Status)
    for status, (_, cells) in zip(Status, rows, strict=True):
        name, meaning, explanation, counted, warned = cells.split(" | ")
        assert (name, explanation) == (f"`{status.name}`", status.explanation)
        assert meaning.replace("`", "").startswith(status.reason)
        assert (counted, warned) == tuple("yes" if one else "no" for one in (status.counted, status.warned))


REFERENCE = re.split(r"^## (normlime_fast[\w.]*)$", TEXTS["docs/reference.md"], flags=re.MULTILINE)[1:]


@pytest.mark.parametrize(("module", "table"), list(zip(REFERENCE[::2], REFERENCE[1::2], strict=True)))
def test_reference_has_all_public_names(module, table):
    listed = re.findall(r"^\| `(\w+)` \| \S", table, re.MULTILINE)
    assert sorted(listed) == sorted(import_module(module).__all__)


def test_index_has_all_pages():
    links = {link for page, link in LINKS if page == "docs/README.md"}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= links


def test_architecture_names_every_file():
    (tree,) = re.findall(
        r"^```text\n(normlime_fast/ .*?)^```$", TEXTS["docs/architecture.md"], re.MULTILINE | re.DOTALL
    )
    named, folders = [], []
    for line in tree.splitlines():
        indent, name, about = re.fullmatch(r"((?:  )*)(\S+)(.*)", line).groups()
        folders[len(indent) // 2 :] = [name]
        path = "".join(folders)
        named.append(f"{path}__init__.py" if name.endswith("/") else path)
        assert about, f"{path} is not described"
    package = ROOT / "normlime_fast"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sorted(named) == sorted(path.relative_to(ROOT).as_posix() for path in files)


def test_architecture_has_the_layers_that_are_checked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert "```text\n" + "\n".join(layers) + "\n```" in TEXTS["docs/architecture.md"]
