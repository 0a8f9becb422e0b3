"""
Read the pages as their readers do: headings with their anchors, links, blocks of code.

What is read is Markdown as this repository writes it, not any Markdown.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# A block of code, fence and all; its language may be empty.
_CODE = re.compile(r"(?ms)^( *)```(\w*)[^\n]*\n(.*?)^\1```$")
_HEADING = re.compile(r"(?m)^#+ (.*)$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: on which page, below which heading, in which language, what."""

    page: str
    heading: str
    language: str
    text: str


def pages() -> list[Path]:
    """Return every page of docs/."""
    return sorted(DOCS.rglob("*.md"))


def blocks(path: Path, language: str | None = None) -> list[Block]:
    """Return the blocks of code of a page, those of one language if wished."""
    return [block for block in _blocks(path) if language in (None, block.language)]


def block_under(heading: str, path: Path, language: str) -> str:
    """Return the text of the one block of that language below that heading."""
    found = [block.text for block in blocks(path, language) if block.heading == heading]
    assert len(found) == 1, f"{path.name}, {heading}: {len(found)} blocks of {language}"
    return found[0]


def links(path: Path) -> list[str]:
    """Return where the links of a page lead."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", _without_code(path)))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs and GitHub make them where the two agree."""
    return {_slug(heading) for heading in _HEADING.findall(_without_code(path))}


def _blocks(path: Path) -> Iterator[Block]:
    text, heading, at = path.read_text("utf-8"), "", 0
    for code in _CODE.finditer(text):
        above = _HEADING.findall(text[at : code.start()])
        heading, at = above[-1] if above else heading, code.end()
        yield Block(path.name, heading, code[2], textwrap.dedent(code[3]))


def _without_code(path: Path) -> str:
    return _CODE.sub("", path.read_text("utf-8"))


def _slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
