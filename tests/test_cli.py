"""The console command as a whole, and the two commands that run a reactor, each as a process of its own."""

import email
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509

from smtpbridge import __version__
from smtpbridge.cli import main
from smtpbridge.commands.certificates import make_certificates
from smtpbridge.settings.pem import pair_fault
from tests.known_secrets import MADE
from tests.overheard import EVERYTHING

# A shell starts what runs in the background with SIGINT ignored, perhaps this test too, and a child inherits that.
COMMAND = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from smtpbridge.cli import main; main()",
]
SECONDS = 60


def done(folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        [*COMMAND, *args], env=surroundings(folder), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    overhear(ended.stdout + ended.stderr)
    return ended


def overhear(output: str) -> None:
    """Keep what a command has said; in the lines that tell whoever started it how to log in, the secret is in place."""
    for line in output.splitlines():
        if "--auth-password" in line or line.startswith("Password"):
            MADE.add(line.split()[-1].encode())
        else:
            EVERYTHING.said(line + "\n")


def surroundings(folder: Path) -> dict[str, str]:
    """Return the environment with `folder` as the place for temporary files."""
    return {**os.environ, "TMPDIR": str(folder), "COLUMNS": "200"}


@contextmanager
def running(folder: Path, *args: str) -> Iterator["tuple[subprocess.Popen[str], dict[str, str], list[str]]"]:
    """Start a command; give it, the second word of its lines by the first, and the lines up to that with Ctrl-C."""
    with subprocess.Popen(
        [*COMMAND, *args], env=surroundings(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                overhear(line)
                if "Ctrl-C" in line:
                    break
            yield process, {line.split()[0]: line.split()[1] for line in lines if len(line.split()) > 1}, lines
        finally:
            process.kill()
        overhear(process.stdout.read())


def verified(authority: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


@pytest.mark.parametrize("command", [[], ["demo"], ["sandbox"], ["check"], ["translate"]])
def test_help_shows_how_to_call(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])

    assert result.exit_code == 0
    assert "\n    smtpbridge " in result.stdout


def test_help_and_the_version_wait_for_nothing_that_is_slow_to_import() -> None:
    script = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from smtpbridge.cli import main\n"
        "for words in (['--help'], ['--version'], *([name, '--help'] for name in main.commands)):\n"
        "    assert CliRunner().invoke(main, words).exit_code == 0, words\n"
        "print(sorted({'twisted', 'OpenSSL', 'cryptography', 'sqlite3', 'asyncio'} & sys.modules.keys()))"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_help_begins_with_an_example_of_every_command() -> None:
    examples = main.help or ""

    assert [name for name in main.commands if f"smtpbridge {name} " not in examples] == []


def test_help_tells_the_exit_codes_and_the_version_is_the_packages() -> None:
    assert "Exit codes" in CliRunner().invoke(main, ["--help"]).stdout
    assert CliRunner().invoke(main, ["--version"]).stdout == f"smtpbridge {__version__}\n"


def test_a_wrong_call_is_exit_2() -> None:
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2
    assert CliRunner().invoke(main, ["demo", "--port", "65536"]).exit_code == 2
    assert CliRunner().invoke(main, ["sandbox", "--certificate", __file__]).exit_code == 2


def test_the_sandbox_shows_which_addresses_make_it_refuse() -> None:
    assert "refuse@" in CliRunner().invoke(main, ["sandbox", "--help"]).stdout


def test_made_certificates_are_a_pair_under_an_authority_that_signs_nothing_else() -> None:
    made = make_certificates(datetime.now(UTC), ("mail.example", "127.0.0.1"))

    authority, leaf = x509.load_pem_x509_certificate(made.authority), x509.load_pem_x509_certificate(made.certificate)
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert pair_fault(made.certificate, made.key.reveal()) is None
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert names.get_values_for_type(x509.DNSName) == ["mail.example"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_demo_once_shows_the_sample_before_and_after_and_keeps_its_mail(tmp_path: Path) -> None:
    result = done(tmp_path, "demo", "--once", "--port", "0")

    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert any(line.startswith("X-MSYS-API:") and "<" in line for line in lines)
    assert any(line.endswith("> X-IB-Bulk-Id: autumn-sale") for line in lines)
    assert any(line.endswith("> RCPT TO <team@customer.example>") for line in lines)
    assert "+ RCPT TO <audit@shop.example>" in lines
    # The folder with the mail is all that stays.
    (folder,) = tmp_path.iterdir()
    assert lines[-1] == f"The mail is kept in {folder}"
    first, second = sorted(folder.glob("*.eml"))
    told = [line.split()[:2] for line in lines if line.startswith(("  injection ", "  delivery "))]
    recipients = ("<ada@customer.example>", "<team@customer.example>", "<audit@shop.example>")
    assert sorted(told) == sorted([kind, one] for kind in ("injection", "delivery") for one in recipients)
    events = [json.loads(line)["msys"]["message_event"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert sorted([one["type"], f"<{one['rcpt_to']}>"] for one in events) == sorted(told)
    assert {one["campaign_id"] for one in events} == {"autumn-sale"}
    assert email.message_from_bytes(first.read_bytes())["X-IB-Track-Opens"] == "true"
    assert json.loads(second.with_suffix(".json").read_text())["rcpt_to"] == ["audit@shop.example"]


def test_demo_takes_more_mail_until_a_signal_and_then_ends_its_daemon(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--port", "0") as (process, said, lines):
        (swaks,) = (line for line in lines if line.startswith("  swaks "))
        port = int(swaks.split("--port ")[1].split()[0])
        (login,) = (line for line in lines if "--auth-password" in line)
        secret = login.rsplit(" ", 1)[1]
        with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost") as client:
            client.starttls(context=verified(str(Path(said["Configuration"]).with_name("authority.pem"))))
            client.login("SMTP_Injection", secret)
            more = b"From: a@shop.example\r\nSubject: One more\r\n\r\nHi\r\n"
            client.sendmail("a@shop.example", "hard.bounce@x.example", more)
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        assert '<a@shop.example> to <hard.bounce@x.example>: "One more"' in process.stdout.readline()
        bounce = next(line for line in iter(process.stdout.readline, "") if "event  bounce" in line)
        assert bounce.endswith("<hard.bounce@x.example>  550 5.1.1 No such user here\n")

        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        overhear(rest)

        assert process.wait(SECONDS) == 0
    assert "The mail is kept in " in rest
    assert [path.name.startswith("smtpbridge-mail-") for path in tmp_path.iterdir()] == [True]
    with socket.socket() as probe:
        # The daemon is gone: nobody has the port.
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_demo_says_when_its_port_is_taken_and_how_to_choose_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = done(tmp_path, "demo", "--once", "--port", str(taken.getsockname()[1]))

    assert (result.returncode, result.stdout) == (1, "")
    assert "in use" in result.stderr
    assert "--port" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_demo_says_what_the_daemon_said_when_it_does_not_start(tmp_path: Path) -> None:
    # A plugin of that name that cannot be loaded hides the command from twistd.
    folder = tmp_path / "shadow"
    (folder / "treq").mkdir(parents=True)
    (folder / "smtpbridge").mkdir()
    (folder / "smtpbridge" / "__init__.py").write_text("raise RuntimeError('this copy is broken')")
    environment = {**surroundings(tmp_path), "PYTHONPATH": str(folder)}
    script = f"import sys; sys.path.remove({str(folder)!r}); from smtpbridge.cli import main; main()"

    result = subprocess.run(
        [sys.executable, "-c", script, "demo", "--once", "--port", "0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    overhear(result.stdout + result.stderr)
    assert result.returncode == 1
    assert "the sample did not come through" in result.stderr
    assert "this copy is broken" in result.stderr


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_tells_all_that_is_needed_and_ends_well(stop: signal.Signals, tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    with running(tmp_path, "sandbox", "--port", "0", "--tls-port", "0", "--folder", str(mail)) as (process, said, _):
        for name, implicit in (("STARTTLS", False), ("TLS", True)):
            host, port = said[name].split(":")
            context = verified(said["Authority"])
            client = smtplib.SMTP_SSL(host, int(port), context=context) if implicit else smtplib.SMTP(host, int(port))
            with client:
                if not implicit:
                    client.starttls(context=context)
                client.login(said["User"], said["Password"])
                client.sendmail("a@shop.example", "b@x.example", b"From: a@shop.example\r\n\r\nHi\r\n")
        process.send_signal(stop)

        assert process.wait(SECONDS) == 0
    assert len(list(mail.glob("*.eml"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mail"]


def test_the_sandbox_uses_the_certificate_and_password_that_it_is_given(tmp_path: Path) -> None:
    made = make_certificates(datetime.now(UTC), ("127.0.0.1",))
    files = {"authority": made.authority, "certificate": made.certificate, "key": made.key.reveal()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    given = ["--certificate", str(tmp_path / "certificate"), "--key", str(tmp_path / "key")]
    given += ["--user", "me", "--password", "secret-7"]

    with running(tmp_path, "sandbox", "--port", "0", *given) as (_, said, _lines):
        host, port = said["STARTTLS"].split(":")
        with smtplib.SMTP(host, int(port)) as client:
            client.starttls(context=verified(str(tmp_path / "authority")))
            code, _text = client.login("me", "secret-7")

    assert code == 235
    assert "Authority" not in said


def test_the_sandbox_refuses_a_key_that_does_not_fit(tmp_path: Path) -> None:
    one, other = make_certificates(datetime.now(UTC)), make_certificates(datetime.now(UTC))
    (tmp_path / "certificate").write_bytes(one.certificate)
    (tmp_path / "key").write_bytes(other.key.reveal())

    result = done(
        tmp_path,
        "sandbox",
        "--certificate",
        str(tmp_path / "certificate"),
        "--key",
        str(tmp_path / "key"),
        "--port",
        "0",
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert "does not belong" in result.stderr


@pytest.mark.parametrize(
    ("environment", "options", "coloured"),
    [
        ({"TERM": "xterm"}, [], True),
        ({"TERM": "dumb"}, [], False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, [], False),
        ({"TERM": "xterm", "NO_COLOR": ""}, [], True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, ["--color"], True),
        ({"TERM": "xterm"}, ["--no-color"], False),
    ],
)
def test_a_terminal_has_colours_unless_somebody_says_no(
    environment: dict[str, str], options: list[str], coloured: bool
) -> None:
    runner = CliRunner(env={"NO_COLOR": None, **environment})

    # The runner stands in for a terminal where `color` is set.
    result = runner.invoke(
        main, ["translate", *options, "-"], input=b"From: a@x.example\nTo: b@x.example\n\n", color=True
    )

    assert result.exit_code == 0
    assert ("\x1b[" in result.stdout) is coloured


def test_a_pipe_has_no_colours_unless_they_are_asked_for() -> None:
    message = b"From: a@x.example\nTo: b@x.example\n\n"

    plain = CliRunner().invoke(main, ["translate", "-"], input=message)
    asked = CliRunner().invoke(main, ["translate", "--color", "-"], input=message)

    assert "\x1b[" not in plain.stdout
    assert "\x1b[" in asked.stdout


def test_the_sandbox_posts_what_became_of_a_message_and_says_so(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        running(tmp_path, "sandbox", "--port", "0", "--speed", "100") as (process, said, _),
    ):
        url = f"http://127.0.0.1:{target.getsockname()[1]}/reports"
        header = f"From: a@shop.example\r\nX-IB-Notify-Url: {url}\r\nX-IB-Callback-Data: token-5\r\n\r\n"
        host, port = said["STARTTLS"].split(":")
        with smtplib.SMTP(host, int(port)) as client:
            client.starttls(context=verified(said["Authority"]))
            client.login(said["User"], said["Password"])
            client.sendmail("a@shop.example", "hard.bounce@x.example", f"{header}Hi\r\n".encode())
        target.settimeout(SECONDS)
        connection, _address = target.accept()
        with connection, connection.makefile("rb") as asked:
            head = b"".join(iter(asked.readline, b"\r\n"))
            body = json.loads(asked.read(int(head.lower().split(b"content-length:")[1].split()[0])))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        told = next(line for line in lines if "told" in line)

    assert head.startswith(b"POST /reports HTTP/1.1\r\n")
    assert [(one["to"], one["callbackData"]) for one in body["results"]] == [("hard.bounce@x.example", "token-5")]
    assert told.split("told  ")[1] == "UNDELIVERABLE <hard.bounce@x.example>: HTTP 200\n"
