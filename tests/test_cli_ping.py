"""`smtpbridge events test`: the ping is posted as events are, and what is wrong is said in plain words."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from smtpbridge.commands.pinging import Answered, NoSuchTarget, advice_about, chosen
from smtpbridge.events.faults import Came, Outcome
from smtpbridge.secret import Secret
from smtpbridge.settings.event_values import Basic, Events, HeaderToken, OAuth2, Proof, Target
from tests.anymail import PASSWORD, USER, served
from tests.overheard import EVERYTHING

KEY = Secret(b"ping key 1")
TARGET = Target("crm", "https://crm.example/hook/secret-path?key=9")
EVENTS = Events("https://events.example", "tcp:1", KEY, (TARGET, Target("audit", "https://audit.example/")))
PROOFS: tuple[Proof | None, ...] = (
    None,
    Basic("u", KEY),
    HeaderToken("X-Token", KEY),
    OAuth2("https://login.example/", "id", KEY),
)


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """Answer each POST with a status; give the port, and a list that grows by the User-Agent and body of each."""
    got: list[tuple[str, bytes]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.headers["User-Agent"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port, got
        finally:
            server.shutdown()
            thread.join()


def call(folder: Path, *args: str, targets: str) -> "subprocess.CompletedProcess[str]":
    (folder / "inbox.key").write_text("a long secret of the inbox")
    (folder / "target.key").write_text(PASSWORD)
    (folder / "smtpbridge.toml").write_text(f"""
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
[upstream.main]
hosts = ["127.0.0.1:1"]
username = "App"
password_file = "target.key"
[store]
path = "store"
[events]
public_url = "https://events.example.com/infobip"
endpoint = "tcp:0:interface=127.0.0.1"
secret_file = "inbox.key"
{targets}
""")
    command = [sys.executable, "-c", "from smtpbridge.cli import main; main()", "events", "test"]
    command += ["--config", str(folder / "smtpbridge.toml"), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    EVERYTHING.said(done.stdout + done.stderr)
    return done


def target(name: str, port: int, more: str = "") -> str:
    return f'[events.target.{name}]\nurl = "http://127.0.0.1:{port}/private-path/"\n{more}\n'


def test_django_anymail_takes_the_ping_with_the_login_of_the_target(tmp_path: Path) -> None:
    login = f'auth = "basic"\nusername = "{USER}"\npassword_file = "target.key"'
    with served() as (port, posts):
        done = call(tmp_path, targets=target("anymail", port, login))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"anymail (127.0.0.1:{port}): takes events, HTTP 200 OK\n"
    assert [status for _, status in posts] == [200]


def test_each_target_that_is_asked_for_is_told_of_and_one_that_fails_is_exit_1(tmp_path: Path) -> None:
    with answering(200) as (good, got), answering(401) as (bad, _), answering(302) as (moved, _):
        tables = target("good", good) + target("bad", bad) + target("moved", moved)
        everything, one = call(tmp_path, targets=tables), call(tmp_path, "--json", "bad", targets=tables)

    assert (everything.returncode, one.returncode) == (1, 1)
    assert everything.stdout == f"good (127.0.0.1:{good}): takes events, HTTP 200 OK\n"
    assert everything.stderr.splitlines()[:2] == [
        f"bad (127.0.0.1:{bad}): HTTP 401 Unauthorized",
        '  it does not let us in: there is no auth; write auth = "basic", "token" or "oauth2" as it wants it',
    ]
    assert "redirections are not followed" in everything.stderr.splitlines()[2]
    told = json.loads(one.stdout)
    assert (told["target"], told["usable"], told["what"], told["status"]) == ("bad", False, "refused", 401)
    assert got == [("SparkPost", b'[{"msys":{}}]')]
    assert "private-path" not in everything.stdout + everything.stderr + one.stdout


def test_a_name_that_is_no_target_is_told_with_those_that_are(tmp_path: Path) -> None:
    done = call(tmp_path, "cmr", targets=target("crm", 9))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: there is no target cmr; there are: crm ([events.target.NAME])\n"


def test_targets_are_chosen_by_name_each_once_and_all_without_a_name() -> None:
    assert [one.name for one in chosen(EVENTS, ())] == ["crm", "audit"]
    assert [one.name for one in chosen(EVENTS, ("audit", "audit"))] == ["audit"]
    for events, names in ((None, ()), (Events("", "", KEY), ()), (EVENTS, ("nobody",))):
        with pytest.raises(NoSuchTarget):
            chosen(events, names)


@pytest.mark.parametrize("came", Came)
def test_whatever_comes_of_a_ping_is_a_line_that_shows_neither_path_nor_key(came: Came) -> None:
    status = 500 if came is Came.REFUSED else None
    answered = Answered(TARGET, Outcome(came, "said \x1b[2J so", status))

    lines = list(answered.lines())

    assert answered.usable is (came is Came.TAKEN)
    assert lines[0].startswith("crm (crm.example): ")
    assert all("secret-path" not in line and "\x1b[2J" not in line for line in lines)
    assert json.loads(answered.as_json())["what"] == came.value


def test_each_kind_of_refusal_has_advice_of_its_own() -> None:
    statuses = (400, 404, 405, 413, 418, 429, 500)
    said = {advice_about(TARGET, Outcome(Came.REFUSED, "", status)) for status in statuses}
    said |= {
        advice_about(Target("t", "https://t.example/", proof=proof), Outcome(Came.REFUSED, "", status))
        for proof, status in itertools.product(PROOFS, (401, 403))
    }

    assert "" not in said
    assert len(said) == len(statuses) + len(PROOFS)
