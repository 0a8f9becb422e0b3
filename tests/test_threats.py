"""docs/threats.md: what it names is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/threats.md"
ROOTS = ("smtpbridge/", "tests/", "etc/", "docs/")
ELEMENTS = 9


def rows() -> list[list[str]]:
    """Return the cells of every row that is about a threat."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    about = [line.strip("|").split("|") for line in lines if re.match(r"\| [STRIDE] \|", line)]
    return [[cell.strip() for cell in cells] for cells in about]


def named() -> list[str]:
    """Return every path that the page names, with its test where it has one."""
    text = PAGE.read_text(encoding="utf-8")
    words = re.findall(r"`([^`\s]+)`", text) + re.findall(r"\]\(([^)\s]+)\)", text)
    paths = [word for word in words if word.startswith(ROOTS) or word in ("Dockerfile", "Makefile", "pyproject.toml")]
    links = [f"docs/{word}" for word in words if re.fullmatch(r"[\w-]+\.md", word)]
    return sorted({*paths, *links})


def names_of_tests(path: Path) -> set[str]:
    """Return the names of all tests in a file, in classes too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("name", named())
def test_what_the_page_names_is_there(name: str) -> None:
    file, _, test = name.partition("::")

    assert (ROOT / file).exists()
    assert not test or test in names_of_tests(ROOT / file)


def test_every_threat_has_a_defence_with_a_test_or_says_that_there_is_none() -> None:
    found = rows()

    assert len(found) >= 45
    for kind, threat, defence, where, remains in found:
        assert kind
        assert threat
        assert remains, threat
        assert "tests/" in where or (defence.startswith("none") and not where), threat


def test_every_element_is_there_and_every_kind_of_threat() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert len(re.findall(r"(?m)^\| \| threat \|", text)) == ELEMENTS
    assert {row[0] for row in rows()} == set("STRIDE")
