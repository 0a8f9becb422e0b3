"""What is written from the code: the reference of the configuration and the manual pages."""

import shutil
import subprocess
from pathlib import Path

import pytest

from docs.generate.__main__ import written
from docs.generate.accepts import Unanswered, accepts
from docs.generate.example import Entry, Key, Section, StrangeLine, read
from docs.generate.page import page, prose

ROOT = Path(__file__).resolve().parents[2]
FILES = ("docs/configuration.md", "etc/man/smtpbridge.1", "etc/man/smtpbridge.toml.5")
PAGES = [path for path in FILES if "man" in path]


@pytest.mark.parametrize("path", FILES)
def test_what_is_written_from_the_code_is_what_would_be_written_today(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == written()[path], "stale; write it anew: make reference"


def test_every_key_of_the_example_file_has_a_row_with_what_it_takes() -> None:
    sections = read((ROOT / "etc/smtpbridge.toml").read_text("utf-8"))
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    keys = [(section.place, key.name) for section in sections for entry in section.entries for key in entry.keys]

    assert len(keys) > 100
    for place, name in keys:
        part = text.split(f"## `{place}`\n")[1].split("\n## ")[0] if place else text
        assert f"| `{name}` | " in part, (place, name)


def test_a_key_takes_what_the_program_says() -> None:
    sections = read(
        "[[listener]]\n# max_line_bytes = 1\n# auth = 1\n# idle_seconds = 1\n# certificate = 1  # no default\n\n"
        "[upstream.main]\n# insecure_skip_verification = 1\n# deadlines = 1\n\n"
        "[translation]\n# callback_data = 1\n# notify_url = 1\n# entity_id = 1\n"
    )

    assert {name: right for (_, name), right in accepts(sections).items()} == {
        "max_line_bytes": "whole number, 512 to 1,048,576",
        "auth": '`"optional"`, `"required"` or `"off"`',
        "idle_seconds": "seconds, above 0",
        "certificate": "path of a file",
        "insecure_skip_verification": "`true` or `false`",
        "deadlines": "table",
        "callback_data": '`"json"`, `"token"` or `"none"`',
        "notify_url": 'text as in `"https://example.com/reports"`',
        "entity_id": "text",
    }


def test_a_key_that_the_program_does_not_know_is_an_error() -> None:
    with pytest.raises(Unanswered, match=r"\[store\] no_such_key"):
        accepts(read("[store]\n# no_such_key = 1\n"))


def test_a_comment_is_about_the_keys_below_it_or_about_the_table() -> None:
    text = (
        "# Of the file.\n\n# About one.\n# one = 1\n\n# ----------------------\n# Of the table.\n\n[part]\n\ntwo = 2\n"
    )

    assert read(text) == [
        Section("", ("Of the file.",), [Entry(("About one.",), (Key("one", "1", has_default=True),))]),
        Section("[part]", ("Of the table.",), [Entry((), (Key("two", "2", has_default=False),))]),
    ]


def test_a_line_that_is_neither_comment_nor_key_is_an_error() -> None:
    with pytest.raises(StrangeLine, match="one: 1"):
        read("one: 1\n")


def test_nothing_in_a_comment_is_taken_for_markdown() -> None:
    assert prose(r"\\: is") == r"\\\\: is"
    assert prose('a <b> *c* in [upstream.x] and max_y, "z"; docs/tls.md') == (
        'a \\<b\\> \\*c\\* in `[upstream.x]` and `max_y`, `"z"`; [tls.md](tls.md)'
    )


def test_a_default_and_an_example_are_told_apart() -> None:
    keys = (Key("one", "1", has_default=True), Key("two", '"b"', has_default=False))
    text = page([Section("[t]", (), [Entry((), keys)])], {("[t]", "one"): "text", ("[t]", "two"): "text"})

    assert "| `one` | text | `1` |" in text
    assert '| `two` | text | none; for example `"b"` |' in text


@pytest.mark.parametrize("path", PAGES)
def test_mandoc_has_nothing_against_a_manual_page(path: str) -> None:
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed (package mandoc)")
    said = subprocess.run([mandoc, "-T", "lint", ROOT / path], capture_output=True, text=True, check=False).stdout

    # A date would change without a change of the page.
    assert [line for line in said.splitlines() if "missing date" not in line] == []


@pytest.mark.parametrize("path", PAGES)
def test_groff_has_nothing_against_a_manual_page(path: str) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed (package groff)")
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-z", ROOT / path], capture_output=True, text=True, check=True
    )

    assert done.stderr == ""


def test_the_manual_page_has_every_command_and_option() -> None:
    text = (ROOT / "etc/man/smtpbridge.1").read_text("utf-8")

    for name in ("demo", "sandbox", "check", "translate", "audit", "hash", "queue list", "queue drop"):
        assert f'.SS "smtpbridge {name}"\n' in text
    assert "\\-\\-connect" in text
    for section in ("NAME", "SYNOPSIS", "COMMANDS", "FILES", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"):
        assert text.count(f"\n.SH {section}\n") == 1
