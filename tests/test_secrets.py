"""
No line that anything wrote while the tests ran holds a secret of the tests.

The test of that name runs behind all others, over what they left in `EVERYTHING`.
Where only some tests run it searches what there is.
"""

import ast
import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from twisted.logger import Logger
from twisted.python.failure import Failure

from tests import known_secrets
from tests.known_secrets import MADE, ROOT, Literal, forms
from tests.overheard import EVERYTHING, Hit, Overheard

# Nobody has a private key in a log, whichever it is.
ALWAYS = {b"PRIVATE KEY-----"}
# What is known to come together when all tests run, with room to spare: less means that nobody listens any more.
LEAST_EVENTS, LEAST_PROGRAM_LINES = 10_000, 2_000
# Where a secret may be short or a word, since nothing there writes a log or prints.
SILENT = {
    "tests/smtp/": "sessions without sockets: what they say is compared octet by octet",
    "tests/relay/test_auth.py": "the table of the accounts alone",
    "tests/test_config.py": "a configuration is read; its faults are compared whole",
    "tests/test_secret.py": "the hashes alone",
    "tests/test_secrets.py": "the leaks here are made on purpose",
}
# What starts a process without giving its output to `EVERYTHING`.
NOT_OVERHEARD = {
    "tests/corpus/generate/record.py": "mail libraries, and no part of the tests",
    "tests/fuzz/__main__.py": "a command beside the tests",
    "tests/integration/postfix.py": "Postfix",
    "tests/integration/world.py": "senders of other makers, and sendmail -v shows its login",
    "tests/integration/talk.py": "carries a dialogue, the password being a part of it",
    "tests/docs/test_generated.py": "reads manual pages with mandoc and groff",
    "tests/docs/test_pages.py": "builds the site, and asks Postfix for its words",
    "tests/integration/test_balancers.py": "HAProxy",
    "tests/ops/test_health.py": "probes of containers, and HAProxy; they have no secret",
    "tests/integration/test_smuggling.py": "Postfix",
    "tests/ops/test_alerts.py": "promtool",
    "tests/ops/test_dashboard.py": "promtool",
    "tests/events/test_kills.py": "the events' side alone, without a log",
    "tests/events/test_service.py": "asks what was imported",
    "tests/store/test_crash.py": "the store alone",
    "tests/store/test_database.py": "the store alone",
    "tests/store/test_ledger_crash.py": "the ledger alone",
    "tests/store/test_faults.py": "the store alone",
    "tests/test_architecture.py": "imports modules",
    "tests/test_image.py": "runs the build steps of the image",
    "tests/test_no_code_from_data.py": "imports modules",
    "tests/test_packaging.py": "builds and installs the package",
    "tests/test_unit_file.py": "tries what the sandbox of the unit refuses; its daemon is one of the rig",
}
PROCESS = re.compile(r"\b(?:subprocess\.(?:run|Popen|call|check_\w+)|multiprocessing\.\w|(?:pty|os)\.fork)\b")
# Ways to make a traceback show the values of the variables, a password among them.
WITH_VALUES = re.compile(r"printDetailedTraceback|captureVars|capture_locals|cgitb|setDebugging|detail=")

SECRET = b"hunter2 & his dog"


@pytest.fixture(scope="module")
def literals() -> list[Literal]:
    return known_secrets.of_the_tests()


def leaks(overheard: Overheard, secrets: set[bytes]) -> Iterator[Hit]:
    return overheard.find({form for secret in secrets for form in forms(secret)})


@pytest.fixture
def overheard() -> Iterator[Overheard]:
    made = Overheard()
    made.now_in("a test")
    yield made
    made.close()


class TestTheSearch:
    """That it would find something."""

    @pytest.mark.parametrize(
        "said",
        [
            SECRET,
            b"AUTH PLAIN " + base64.b64encode(b"\0user\0" + SECRET),
            b"AUTH PLAIN " + base64.b64encode(b"\0a user\0" + SECRET),
            b"AUTH PLAIN " + base64.b64encode(b"\0another\0" + SECRET),
            base64.b64encode(SECRET),
            base64.urlsafe_b64encode(SECRET),
            quote_plus(SECRET).encode(),
            SECRET.hex().encode(),
        ],
    )
    def test_a_secret_is_found_in_every_form(self, said: bytes, overheard: Overheard) -> None:
        overheard.said(b"first\nbefore " + said + b" behind\nlast\n")

        found = list(leaks(overheard, {SECRET}))

        assert found
        assert {one.test for one in found} == {"a test"}
        assert not any(SECRET.decode() in one.line for one in found)
        assert all("first" not in one.line and "last" not in one.line for one in found)

    def test_a_secret_is_found_in_a_field_that_no_format_shows(self, overheard: Overheard) -> None:
        Logger("here", observer=overheard).debug("nothing to see", login={"password": SECRET})

        assert [one.line for one in leaks(overheard, {SECRET})] == ["login={'password': b'***'}"]

    def test_a_secret_is_found_in_the_cause_of_a_failure(self, overheard: Overheard) -> None:
        try:
            try:
                raise ValueError(SECRET.decode())
            except ValueError:
                raise KeyError("x") from None
        except KeyError:
            Logger("here", observer=overheard).failure("lost", Failure())

        assert [one.line for one in leaks(overheard, {SECRET})] == ["ValueError('***')"]

    def test_a_secret_is_found_in_the_log_of_a_program_that_runs_and_of_one_that_has_ended(
        self, overheard: Overheard, tmp_path: Path
    ) -> None:
        ended, running = tmp_path / "ended", tmp_path / "running"
        for log in (ended, running):
            overheard.begins(log)
            overheard.now_in("another test")
            log.write_bytes(b"%s: %s\n" % (log.name.encode(), SECRET if log is ended else SECRET[::-1]))
        overheard.ends(ended)
        ended.unlink()

        assert list(leaks(overheard, {SECRET})) == [Hit("a test", "ended: ***")]
        assert list(leaks(overheard, {SECRET[::-1]})) == [Hit("another test", "running: ***")]

    def test_what_was_not_said_is_not_found(self, overheard: Overheard) -> None:
        overheard.said(SECRET[:-1] + b"\n" + base64.b64encode(SECRET[1:]) + b"\n")

        assert list(leaks(overheard, {SECRET})) == []

    @pytest.mark.parametrize(
        "text",
        [
            'PASSWORD = "abc"',
            'USER, SECRET = "user", b"abc"',
            'call(password="abc")',
            'def connect(user, password="abc"): pass',
            'def connect(user, *, password="abc"): pass',
            'environ = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "abc"}',
            'assert event.secret == "abc"',
            'for user, secret in [("user", "abc")]: pass',
            '@pytest.mark.parametrize(("user", "secret"), [("user", "abc")])\ndef f(user, secret): pass',
            'def talk(user, secret): pass\ntalk("user", "abc".encode())',
            'KEY = "abc"\nAccount("user", Secret(KEY.encode()))',
            'smtp.login("user", "abc")',
            'run(["sandbox", "--password", "abc"])',
            'run("sandbox", "--password", "abc")',
            '(folder / "password").write_text("abc\\n")',
            'PLAIN = b"\\0user\\0abc"',
            'plain = f"\\0{user}\\0abc"',
        ],
    )
    def test_a_literal_that_is_a_secret_is_known_as_one(self, text: str) -> None:
        found = known_secrets.found_in(ast.parse(text), "file", {})

        assert {one.octets for one in found} == {b"abc"}

    def test_the_secrets_of_the_tests_are_among_those_that_are_known(self, literals: list[Literal]) -> None:
        known = {one.octets for one in literals}

        assert {b"sender key 1", b"provider key 1", b"right key", b"correct horse battery staple"} <= known


def test_every_secret_of_the_tests_can_be_told_from_other_words(literals: list[Literal]) -> None:
    """Take something of 8 octets or more that is not a word."""
    bad = [one for one in literals if not one.is_recognisable() and not one.file.startswith(tuple(SILENT))]

    assert [f"{one.file}:{one.line}" for one in bad] == []


def test_whoever_starts_a_program_lets_it_be_overheard() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")}
    starting = {name for name, text in texts.items() if PROCESS.search(text)} - {"tests/test_secrets.py"}

    assert {name for name in starting if "EVERYTHING" not in texts[name]} == NOT_OVERHEARD.keys()


def test_no_traceback_shows_the_values_of_variables() -> None:
    texts = {path.relative_to(ROOT): path.read_text("utf-8") for path in (ROOT / "smtpbridge").rglob("*.py")}

    assert [str(name) for name, text in texts.items() if WITH_VALUES.search(text)] == []


def test_no_line_of_any_log_holds_a_secret(literals: list[Literal], pytestconfig: pytest.Config) -> None:
    secrets = {one.octets for one in literals if one.is_recognisable() and one.file != "tests/test_secrets.py"}
    found = [*leaks(EVERYTHING, secrets | MADE), *EVERYTHING.find(ALWAYS)]

    assert [f"{one.test}: {one.line[:500]}" for one in found] == []
    if is_whole(pytestconfig):
        assert EVERYTHING.events > LEAST_EVENTS
        assert EVERYTHING.program_lines > LEAST_PROGRAM_LINES


def is_whole(config: pytest.Config) -> bool:
    """Tell whether every test was asked for."""
    some = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
    return config.getoption("file_or_dir") in ([], ["tests"]) and not any(config.getoption(one, False) for one in some)
