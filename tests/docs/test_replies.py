"""docs/replies.md against the code: every reply that the bridge gives is there, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/replies.md").read_text("utf-8")
# The stand-in for Infobip says what Infobip says; what it says is not the bridge's.
NOT_THE_BRIDGE = ("sandbox", "commands")


def text_of(node: ast.expr) -> str | None:
    """Return a text of the code with `…` for what differs, `None` where all of it does."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) or "…" for part in parts)
        case ast.Tuple(elts=[first, *_]):
            return text_of(first) or "…"
    return None


def replies(code: str) -> Iterator[str]:
    """Yield each reply that a module makes of its own words."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(
                func=ast.Name(id="reply" | "Reply"),
                args=[ast.Constant(value=int() as number), ast.Constant(value=str() as enhanced), said],
            ) if (text := text_of(said)) is not None:
                yield f"{number} {enhanced} {text}".replace("  ", " ", 1 if not enhanced else 0)


def in_the_code() -> set[str]:
    modules = (path for path in (ROOT / "smtpbridge").rglob("*.py") if path.parent.name not in NOT_THE_BRIDGE)
    return {found for path in modules for found in replies(path.read_text("utf-8"))}


def on_the_page() -> set[str]:
    first_cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    return {text for cell in first_cells for text in re.findall(r"`([^`]+)`", cell)}


def test_every_reply_of_the_code_is_on_the_page() -> None:
    assert len(in_the_code()) > 60
    assert in_the_code() - on_the_page() == set()


def test_the_page_has_no_reply_that_the_code_does_not_give() -> None:
    assert on_the_page() - in_the_code() == set()


def test_a_reply_in_the_code_is_found_whatever_its_text_is_made_of() -> None:
    code = 'a = reply(550, "5.6.0", f"one {two} three")\nb = Reply(250, "", (name, *words))\nreply(221, "2.0.0", "Bye")'

    assert list(replies(code)) == ["550 5.6.0 one … three", "250 …", "221 2.0.0 Bye"]


def test_every_refusal_has_a_cause_and_something_to_do_about_it() -> None:
    for line in PAGE.splitlines():
        if line.startswith(("| `4", "| `5")):
            _, _, cause, cure, _ = re.split(r"(?<!\\)\|", line)
            assert cause.strip(), line
            assert cure.strip() or "Authentication cancelled" in line, line
