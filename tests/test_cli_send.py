"""`smtpbridge send`: what it writes, where it goes, and what it says of the answers."""

import json
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from tempfile import mkdtemp

import pytest
from click.testing import CliRunner, Result
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpbridge.assembly import relay_service
from smtpbridge.cli import main
from smtpbridge.commands.certificates import make_certificates
from smtpbridge.commands.composing import (
    BadWish,
    Draft,
    Wish,
    compose,
    field_of,
    mailbox,
    metadata_of,
    with_wish,
)
from smtpbridge.commands.doorway import NoDoor, Tls, listener_door, server_door
from smtpbridge.commands.showing import free_port
from smtpbridge.commands.standin import Premises, listen, number_of, open_sandbox
from smtpbridge.config import load, loads
from smtpbridge.sandbox.folder import StoredMessage
from tests.overheard import EVERYTHING

SENDER_PASSWORD = "sender-secret-8412-of-the-test"
PASSWORD = "upstream-secret-93"
LISTENER = '[[listener]]\nendpoint = "tcp:2525:interface=127.0.0.1"\n'
UPSTREAM = '[upstream.main]\nhosts = ["127.0.0.1:587"]\npassword_file = "password"\n'


class ThroughTheBridge(TestCase):
    """The real command, the real relay, and the stand-in behind it."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.got: list[StoredMessage] = []

    async def start(self, auth: str = "optional") -> None:
        made = make_certificates(datetime.now(UTC), ("bridge.example", "localhost", "127.0.0.1"))
        sandbox = open_sandbox(
            reactor, Premises(made.certificate, made.key, {"App": PASSWORD}, self.folder / "mail"), self.got.append
        )
        upstream = await listen(reactor, sandbox, 0)
        self.addCleanup(upstream.stopListening)
        files = {"authority": made.authority, "certificate": made.certificate, "key": made.key.reveal()}
        files |= {"password": PASSWORD.encode(), "sender.secret": SENDER_PASSWORD.encode()}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
            (self.folder / name).chmod(0o600)
        self.port = free_port(0)
        self.config = self.folder / "smtpbridge.toml"
        self.config.write_text(
            f'hostname = "bridge.example"\n[[listener]]\nendpoint = "tcp:{self.port}:interface=127.0.0.1"\n'
            f'certificate = "certificate"\nkey = "key"\nauth = "{auth}"\n'
            '[[credential]]\nusername = "SMTP_Injection"\nsecret_file = "sender.secret"\n'
            f'[upstream.main]\nhosts = ["127.0.0.1:{number_of(upstream)}"]\ntrust_roots = "authority"\n'
            'password_file = "password"\n[store]\npath = "store"\n'
            '[bounces]\nfrom = "Mail Delivery <mailer-daemon@bridge.example>"\n'
        )
        service = relay_service(load(self.config, {}), reactor)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)

    async def send(self, *args: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return await deferToThread(self.command, ["--config", str(self.config), *args], stdin)

    def command(self, args: list[str], stdin: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-c", "from smtpbridge.cli import main; main()", "send", *args]
        ended = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        EVERYTHING.said(ended.stdout + ended.stderr)
        return ended

    async def test_a_message_goes_through_with_all_that_was_said_of_it(self) -> None:
        await self.start()
        words = ["--to", "you@customer.example", "--from", "Shop <news@shop.example>", "--campaign", "autumn"]
        words += ["--metadata", "order=4711", "--tag", "sale", "--track-opens", "--no-track-clicks", "--transactional"]
        words += ["--cc", "team@customer.example", "--bcc", "audit@shop.example", "--header", "X-Shop: 12"]

        ended = await self.send(*words, "--subject", "Grüße", "--html", "<p>Hi</p>", "--text", "Hi")

        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertIn("accepted: 250 2.6.0 ", ended.stdout)
        first, copy = self.got
        self.assertEqual(first.rcpt_to, ("you@customer.example", "team@customer.example"))
        self.assertEqual(copy.rcpt_to, ("audit@shop.example",))
        header = message_from_bytes(first.header, policy=SMTP)
        self.assertEqual(
            [
                header[name]
                for name in ("X-IB-Bulk-Id", "X-IB-Track-Opens", "X-IB-Track-Clicks", "X-IB-Client-Priority")
            ],
            ["autumn", "true", "false", "HIGH"],
        )
        self.assertEqual(json.loads(header["X-IB-Callback-Data"])["metadata"], {"order": "4711"})
        self.assertEqual((header["Subject"], header["X-Shop"]), ("Grüße", "12"))
        self.assertIn(header["Message-ID"], ended.stdout)

    async def test_the_conversation_is_shown_without_the_password_and_over_the_listeners_own_certificate(self) -> None:
        await self.start(auth="required")
        login = ["--password-file", str(self.folder / "sender.secret")]

        ended = await self.send("--to", "you@customer.example", "--from", "a@shop.example", "-v", *login)

        self.assertEqual(ended.returncode, 0, ended.stderr)
        for line in ("-> STARTTLS", "-- TLSv1.", "-> AUTH PLAIN ********", "<- 235 ", "<- 354 ", "octets)", "-> quit"):
            self.assertIn(line.lower(), ended.stderr.lower())
        self.assertNotIn(SENDER_PASSWORD, ended.stdout + ended.stderr)

    async def test_the_exit_code_is_the_class_of_the_reply(self) -> None:
        await self.start()
        sender = ["--from", "a@shop.example"]

        never = await self.send("--to", "refuse@customer.example", *sender)
        later = await self.send("--to", "later@customer.example", *sender)
        login = await self.send("--to", "a@x.example", *sender, "--user", "x", "--password-file", "-", stdin="wrong\n")

        self.assertEqual((never.returncode, later.returncode, login.returncode), (5, 4, 5))
        self.assertIn("refused: 550 5.7.1 ", never.stdout)
        self.assertIn("put off: 450 4.2.1 ", later.stdout)
        self.assertIn("refused (at AUTH): 535 ", login.stdout)

    async def test_several_messages_go_over_several_connections_and_are_told_as_json(self) -> None:
        await self.start()

        ended = await self.send("--to", "you@customer.example", "--count", "7", "--concurrency", "3", "--json")

        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        told = [json.loads(line) for line in ended.stdout.splitlines()]
        self.assertEqual([one["result"] for one in told], ["accepted"] * 7)
        self.assertEqual(len({one["message_id"] for one in told}), 7)
        self.assertEqual(len(self.got), 7)
        # Without --from it is the address of [bounces], from which the provider lets the bridge send.
        self.assertEqual({one.mail_from for one in self.got}, {"mailer-daemon@bridge.example"})

    async def test_a_file_goes_as_it_is_with_its_own_envelope(self) -> None:
        await self.start()
        path = self.folder / "message.eml"
        path.write_bytes(b"From: a@shop.example\nTo: b@customer.example\nSubject: x\n\n.dot\nend\n")

        ended = await self.send("--file", str(path), "--campaign", "from-file")

        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        (message,) = self.got
        self.assertEqual((message.mail_from, message.rcpt_to), ("a@shop.example", ("b@customer.example",)))
        self.assertIn(b"X-IB-Bulk-Id: from-file\r\n", message.header)

    async def test_where_nobody_listens_nothing_is_sent_and_the_exit_code_says_so(self) -> None:
        await self.start()
        port = free_port(0)

        ended = await self.send("--server", f"127.0.0.1:{port}", "--to", "a@x.example", "--from", "b@x.example")

        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertIn(f"not sent: cannot connect to 127.0.0.1:{port}: Connection refused", ended.stderr)

    async def test_a_certificate_that_is_not_trusted_stops_it_unless_it_is_told_otherwise(self) -> None:
        await self.start()
        words = ["--server", f"127.0.0.1:{self.port}", "--to", "a@x.example", "--from", "b@x.example"]

        strange = await self.send(*words)
        rooted = await self.send(*words, "--trust-roots", str(self.folder / "authority"))
        blind = await self.send(*words, "--insecure")

        self.assertEqual((strange.returncode, rooted.returncode, blind.returncode), (1, 0, 0))
        self.assertIn("the certificate does not hold", strange.stderr)


class _Script(socketserver.StreamRequestHandler):
    """Greets, and answers by the verb."""

    def handle(self) -> None:
        answers: dict[str, str] = self.server.answers  # type: ignore[attr-defined]
        self.wfile.write(answers["greeting"].encode() + b"\r\n")
        while line := self.rfile.readline():
            verb = line.decode().split()[0].upper()
            answer = answers.get(verb, "250 OK")
            self.wfile.write(answer.encode() + b"\r\n")
            if answer.startswith("354"):
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                self.wfile.write(answers.get(".", "250 2.6.0 Queued").encode() + b"\r\n")


@contextmanager
def scripted(**answers: str) -> Iterator[int]:
    """A server that answers as told, on a port that is given."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = False

    with Server(("127.0.0.1", 0), _Script) as server:
        server.answers = {"greeting": "220 hello", "DATA": "354 go"} | answers  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def called(*args: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["send", "--timeout", "30", *args], input=stdin)
    EVERYTHING.said(result.output)
    return result


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ({"greeting": "421 4.3.2 Busy"}, 4, "put off (at the greeting): 421 4.3.2 Busy"),
        ({"greeting": "554 5.7.1 No"}, 5, "refused (at the greeting): 554 5.7.1 No"),
        ({"EHLO": "550 Who?"}, 5, "refused (at EHLO): 550 Who?"),
        ({"MAIL": "451 4.3.0 Later"}, 4, "put off (at MAIL): 451 4.3.0 Later"),
        ({"RCPT": "550 5.1.1 No"}, 5, "refused (at RCPT): 550 5.1.1 No"),
        ({"DATA": "451 4.3.0 Full"}, 4, "put off (at DATA): 451 4.3.0 Full"),
        ({".": "554 5.6.0 Spam"}, 5, "refused: 554 5.6.0 Spam"),
        ({"greeting": "SSH-2.0-x"}, 1, "not sent: "),
    ],
)
def test_each_refusal_is_told_with_the_command_that_was_refused(
    answers: dict[str, str], status: int, said: str
) -> None:
    with scripted(**answers) as port:
        result = called("--server", f"127.0.0.1:{port}", "--to", "a@x.example", "--from", "b@x.example")

    assert result.exit_code == status
    assert said in result.output


def test_a_password_is_not_given_to_a_server_without_tls_unless_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SENDER_PASSWORD)
    words = ["--to", "a@x.example", "--from", "b@x.example", "--password-file", str(tmp_path / "secret")]
    with scripted(EHLO="250-hello\r\n250 AUTH LOGIN", AUTH="334 VXNlcm5hbWU6") as port:
        careful = called("--server", f"127.0.0.1:{port}", *words)
    assert careful.exit_code == 1
    assert "does not offer STARTTLS" in careful.stderr
    with scripted(EHLO="250-hello\r\n250 AUTH PLAIN", AUTH="235 yes") as port:
        asked = called("--server", f"127.0.0.1:{port}", "--tls", "none", *words)
    assert asked.exit_code == 0


def test_a_server_that_hangs_up_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        result = called("--server", f"127.0.0.1:{port}", "--to", "a@x.example", "--from", "b@x.example")
        thread.join()

    assert result.exit_code == 1
    assert "not sent: cannot connect to" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--from", "a@x.example"], "--to is missing"),
        (["--to", "a@x.example"], "--from is missing"),
        (["--to", "nobody", "--from", "a@x.example"], "nobody: no @ in it"),
        (["--to", "a@x.example", "--from", "a@x.example", "--metadata", "x"], "write key=value"),
        (["--to", "a@x.example", "--from", "a@x.example", "--metadata", "{x"], "not JSON"),
        (["--to", "a@x.example", "--from", "a@x.example", "--header", "x"], "write it as in"),
        (["--to", "a@x.example", "--from", "a@x.example", "--header", "Content-Type: x"], "for the body to say"),
        (["--to", "a@x.example", "--from", "a@x.example", "--subject", "a\nb"], "cannot be written"),
        (["--to", "a@x.example", "--from", "a@x.example", "-v", "--concurrency", "2"], "--verbose shows one"),
        (["--to", "a@x.example", "--from", "a@x.example", "--user", "me"], "--user needs a password"),
        (["--file", "-", "--text", "x"], "--file is the whole message"),
    ],
)
def test_a_wrong_call_is_exit_2_and_says_what_would_be_right(args: list[str], said: str) -> None:
    result = called("--server", "127.0.0.1:1", *args, stdin="")

    assert result.exit_code == 2
    assert said in result.stderr


def test_an_x_msys_api_field_of_a_file_is_not_doubled() -> None:
    octets = b"X-MSYS-API: {}\r\nFrom: a@x.example\r\n\r\n"

    assert with_wish(octets, Wish()) == octets
    with pytest.raises(BadWish, match="has an X-MSYS-API field already"):
        with_wish(octets, Wish(campaign="x"))


def test_a_message_is_ascii_whatever_is_in_it_and_its_api_header_is_json() -> None:
    draft = Draft(mailbox("Jörg <j@shop.example>"), (mailbox("b@x.example"),), "Grüße", "Hällo\n", "<p>ä</p>")
    wish = Wish(campaign="ü", metadata=metadata_of(["a=1", '{"n": 1.5}']), tags=("t",), track_clicks=False)

    octets = compose(draft, wish, "Mon, 02 Mar 2026 10:00:00 +0000", "<1@shop.example>")

    octets.decode("ascii")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    message = message_from_bytes(octets, policy=SMTP)
    assert json.loads(message["X-MSYS-API"]) == {
        "campaign_id": "ü",
        "metadata": {"a": "1", "n": 1.5},
        "tags": ["t"],
        "options": {"click_tracking": False},
    }
    assert message["From"].addresses[0].display_name == "Jörg"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_a_field_that_is_given_stands_in_for_the_one_that_would_be_written() -> None:
    draft = Draft(mailbox("a@x.example"), (mailbox("b@x.example"),), "x", "y", None, (field_of("Subject: other"),))

    assert message_from_bytes(compose(draft, Wish(), "", "<1@x>"), policy=SMTP).get_all("Subject") == ["other"]


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("tcp:2525", "127.0.0.1"),
        ("tcp:2525:interface=0.0.0.0", "127.0.0.1"),
        ("tcp:2525:interface=192.0.2.7", "192.0.2.7"),
        (r"tcp:2525:interface=\\:\\:1", "::1"),
        ("tcp6:2525", "::1"),
        ("tcp:2525:interface=localhost", "127.0.0.1"),
    ],
)
def test_the_first_listener_that_can_be_reached_is_where_it_goes(endpoint: str, host: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    others = '[[listener]]\nendpoint = "unix:/run/x.sock"\n[[listener]]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
    text = f'{others}[[listener]]\nendpoint = "{endpoint}"\nallow = ["127.0.0.0/8"]\n{UPSTREAM}'

    door = listener_door(loads(text, base=tmp_path, environ={}), None, insecure=False)

    assert (door.host, door.port, door.tls) == (host, 2525, Tls.NONE)


def test_a_listener_that_wants_a_proxy_header_from_here_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    text = f'{LISTENER}proxy_from = ["127.0.0.1"]\n{UPSTREAM}'

    with pytest.raises(NoDoor, match="name one with --server"):
        listener_door(loads(text, base=tmp_path, environ={}), None, insecure=False)


def test_a_server_is_a_host_and_a_port() -> None:
    assert str(server_door("[::1]:465", None, None, insecure=False)) == "[::1]:465"
    assert server_door("x.example:465", None, None, insecure=False).tls is Tls.TLS
    assert server_door("x.example:587", None, None, insecure=False).tls is Tls.AUTO
    for wrong in ("x.example", "x.example:0", "x.example:66000", ":25", "::1:25"):
        with pytest.raises(NoDoor, match="write a host and a port"):
            server_door(wrong, None, None, insecure=False)
