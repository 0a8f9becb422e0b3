"""
No regular expression repeats a group possessively.

Before 3.11.5 Python goes on behind the half of `(...)*+` that it had found last when the other half was not there
(python/cpython#106052): addresses were let in that are none, on the Python that Debian 12 has.  `(?>(...)*)` says the
same and is right everywhere.
"""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REPEATED = re.compile(r"(?<!\\)\)(?:[*+?]|\{\d*,?\d*\})\+")


def repeated_groups(text: str) -> list[str]:
    """Return the string literals of a module that repeat a group possessively."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found = [one for one in tokens if one.type == tokenize.STRING or "FSTRING" in tokenize.tok_name[one.type]]
    return [one.string for one in found if not one.string.startswith('"""') and REPEATED.search(one.string)]


def test_no_module_repeats_a_group_possessively() -> None:
    modules = sorted((ROOT / "smtpbridge").rglob("*.py"))
    assert len(modules) > 100

    assert {str(path): found for path in modules if (found := repeated_groups(path.read_text()))} == {}


@pytest.mark.parametrize("text", ['a = r"(?:a|b)*+"', "a = rb'(x)?+y'", 'a = rf"{b}(?:\\.{b})++"', 'a = r"(a){2,3}+"'])
def test_such_a_group_is_seen(text: str) -> None:
    assert repeated_groups(text)


@pytest.mark.parametrize("text", ['a = r"(?>(?:a|b)*)"', 'a = r"\\)*+"', "# (a)*+", 'a = "(a)+b"'])
def test_others_are_not(text: str) -> None:
    assert not repeated_groups(text)
