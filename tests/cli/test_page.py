"""docs/command-line.md: its commands run one after the other, and its tables have all options."""

import re
import shlex
import warnings
from pathlib import Path

import pandas as pd
import pytest
from helpers.cli import ADULT, run

from normlime_fast._cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pd.read_csv(ADULT)[:600].to_csv("people.csv", index=False)
    commands = 0
    for language, content in re.findall(r"^```(py|sh)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if language == "py":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of skl2onnx and what it imports
                exec(compile(content, "train.py", "exec"), {})
            continue
        content = content.replace("\\\n", " ")
        for command in re.findall(r"^normlime-fast ([^|>\n]*)", content, re.MULTILINE):
            smaller = ["--samples", "200"] if "slow.npz" in command else []
            code, _, err = run(capsys, *shlex.split(command), *smaller)
            assert code == 0, err
            commands += 1
    assert commands == 6
    assert {"local.npz", "importance.png", "slow.npz", "run"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("command", ["explain", "importance"])
def test_tables_have_all_options(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    table = PAGE.partition(f"## Options of `{command}`")[2].partition("\n## ")[0]
    written = set(re.findall(r"(--[\w-]+)", "".join(re.findall(r"^\| (`--.*?) \|", table, re.MULTILINE))))
    assert len(options) > 5
    assert written | {"--traceback"} == options | {"--traceback"}
