import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_examples_run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(examples) == README.count("```python") == 4
    names = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
        assert capsys.readouterr().out
    assert len(names["table"]) == 2 * names["X"].shape[1]
    assert (names["local"].status == 0).all()
    # The outputs are linear or odd in features 0, 1 and 4 alone: the products of 2 and 3 have no linear part.
    assert names["fitted"].coef[0].nonzero()[0].tolist() == [0, 1]
    assert 4 in names["fitted"].coef[1].nonzero()[0]
    assert names["own"].importance("mean_abs").values.argsort()[:-3:-1].tolist() in ([4, 5], [5, 4])
    assert names["merged"].explanations.tolist() == [1, 2]


@pytest.mark.parametrize(("file", "name"), re.findall(r"`([\w/]+\.py): (\w+)`", README))
def test_code_is_where_the_readme_says(file, name):
    source = (ROOT / "normlime_fast" / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(?:def|class) {name}\b", source, re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)(.+?)\)", README) + re.findall(r"`(benchmarks/\S+)`", README))
def test_linked_file_is_there(path):
    assert (ROOT / path).is_file()
    assert (ROOT / path).stat().st_size < 150_000
