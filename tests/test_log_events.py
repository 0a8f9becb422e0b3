"""docs/log-events.md against the code: every line that the daemon can say is there, and no other."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smtpbridge.ops.log_names import RESERVED, fields_of, name_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "log-events.md"
LEVELS = {**{name: name for name in ("debug", "info", "warn", "error", "critical")}, "failure": "critical"}
ROW = re.compile(r"^\| ([a-z0-9-]+) \| ([a-z, ]+) \| `(.+?)` \| (.+) \| (.+) \|$", re.MULTILINE)
# The stand-in for the provider is no part of the daemon.
ELSEWHERE = {"sandbox"}
# These know the message that they are about.
ABOUT_MESSAGES = ("relay/delivery.py", "relay/attempt.py", "relay/reports.py", "relay/runner.py", "relay/bridge.py")


@dataclass(frozen=True, slots=True)
class Said:
    """One call of a logger."""

    place: str
    level: str
    template: str


def is_logger(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr="log" | "_log" | "_own") | ast.Name(id="log" | "_log"):
            return True
        case ast.Call(func=ast.Name(id="Logger")):
            return True
    return False


def said_in(text: str, place: str) -> Iterator[Said]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=logger, attr=level)) if level in LEVELS and is_logger(logger):
                template = node.args[0] if node.args else None
                assert isinstance(template, ast.Constant), f"{place}:{node.lineno}: a format is a constant text"
                assert isinstance(template.value, str), f"{place}:{node.lineno}: a format is a constant text"
                yield Said(place, LEVELS[level], template.value)


def everything_said() -> list[Said]:
    package = ROOT / "smtpbridge"
    return [
        said
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).parts[0] not in ELSEWHERE
        for said in said_in(path.read_text(), str(path.relative_to(package)))
    ]


def rows() -> list[tuple[str, str, str]]:
    return [(name, levels, template) for name, levels, template, _, _ in ROW.findall(PAGE.read_text())]


def test_every_line_is_documented_with_its_name_and_level_and_no_other_is() -> None:
    levels: dict[str, set[str]] = {}
    for said in everything_said():
        levels.setdefault(said.template, set()).add(said.level)
    expected = [(name_of(template), ", ".join(sorted(each)), template) for template, each in levels.items()]

    documented = rows()
    assert len(documented) > 50
    assert [row for row in expected if row not in documented] == [], "not in docs/log-events.md"
    assert [row for row in documented if row not in expected] == [], "in docs/log-events.md alone"
    assert len(documented) == len(set(documented))


def test_no_field_has_the_name_of_another_member_of_a_line() -> None:
    assert [said for said in everything_said() if RESERVED & set(fields_of(said.template))] == []


def test_every_line_about_a_message_begins_with_its_id() -> None:
    about = [said for said in everything_said() if said.place in ABOUT_MESSAGES]

    assert len(about) > 15
    assert [said for said in about if not said.template.startswith("id={id} ")] == []


def test_a_call_of_a_logger_is_found_however_it_is_kept() -> None:
    text = (
        "self.log.info('a')\n_log.warn('b')\nself._gate.log.error('c')\nLogger('x').failure('d')\nmath.log.x(1)\nlog(2)"
    )

    assert [(said.level, said.template) for said in said_in(text, "")] == [
        ("info", "a"),
        ("warn", "b"),
        ("error", "c"),
        ("critical", "d"),
    ]
