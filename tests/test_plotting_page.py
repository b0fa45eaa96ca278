"""The page of pictures: its examples run and draw the pictures that it shows."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

from normlime_fast import plotting

mpl.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "plots.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[.+?\]\(images/(.+?)\)", PAGE)


def test_examples_draw_what_the_page_shows(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(example, "plots.md", "exec"), names)
    plt.close("all")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(PICTURES)


def test_every_function_has_its_picture():
    assert sorted(PICTURES) == sorted(f"{name}.png" for name in plotting.__all__)
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)[:-1] == [name[:-4] for name in PICTURES]


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_small(name):
    content = (DOCS / "images" / name).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 100_000
