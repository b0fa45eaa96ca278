import ast
import contextlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST_COMMAND = 'pip install -e ".[test]" && pytest'
MAIN_COMMAND = 'pip install ".[demo]" && python -m normlime_fast demo'


def test_readme_shows_the_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert TEST_COMMAND in readme
    assert MAIN_COMMAND in readme
    assert f"({TEST_COMMAND})" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    patterns = {"CITATION.cff": r"^version: (\S+)$", "CHANGELOG.md": r"^## (\S+) - \d{4}-\d\d-\d\d$"}
    for name, pattern in patterns.items():
        assert re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)[0] == version


def test_import_needs_no_optional_package():
    script = "import sys, normlime_fast; print({'lime', 'matplotlib', 'pandas', 'sklearn', 'tqdm'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("set()\n", "")


def test_no_test_imports_another():
    """What several of them need is in tests/helpers. Scripts in strings, which tests run, are looked at as well."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in imported(path.read_text(encoding="utf-8"))
        if any(part == "tests" or part.startswith("test_") for part in name.split("."))
    ]
    assert not wrong


def imported(source):
    """All modules, and names from modules, that code imports, or code in its strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            with contextlib.suppress(SyntaxError):  # of prose
                yield from imported(node.value)
