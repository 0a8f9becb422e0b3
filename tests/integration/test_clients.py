"""Programs that senders use in earnest: what each of them sends arrives translated."""

import json
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.integration.conftest import Pair
from tests.integration.rig import NODE_MODULES, SENDER_SECRET, SENDER_USER, Papers, program, run

SENDER, RECIPIENT = "shop@mail.example.com", "reader@example.org"
INSTRUCTIONS = {
    "campaign_id": "welcome-2",
    "metadata": {"customer": "42", "city": "Zürich"},
    "tags": ["first", "second"],
    "cc": [{"email": "copy@example.org", "name": "Copy Reader"}],
    "bcc": ["blind@example.org"],
    "archive": ["archive@example.net"],
    "options": {"open_tracking": True, "click_tracking": False, "transactional": True},
}
# Some programs send what they are given, so theirs is ASCII.
ASCII_JSON = json.dumps(INSTRUCTIONS)
FIELDS = f"From: Shop <{SENDER}>\r\nTo: {RECIPIENT}\r\nSubject: Sample\r\nX-MSYS-API: {ASCII_JSON}\r\n"
RAW = FIELDS.encode() + b"\r\nHello.\r\n"


def assert_translated(pair: Pair) -> None:
    """The message is there, with a copy for everybody named, and says to Infobip what it said to SparkPost."""
    first, blind = pair.sandbox.new_messages()
    assert first.rcpt_to == (RECIPIENT, "copy@example.org", "archive@example.net")
    assert blind.rcpt_to == ("blind@example.org",)
    assert first.field("Bcc") is None
    assert blind.field("Bcc") == "blind@example.org"
    for message in (first, blind):
        assert message.mail_from == SENDER
        assert message.warnings == ()
        assert b"x-msys" not in message.octets.lower()
        assert message.body.rstrip() == b"Hello."
        assert message.field("Subject") == "Sample"
        assert RECIPIENT in (message.field("To") or "")
        assert message.field("Cc") in ("Copy Reader <copy@example.org>", '"Copy Reader" <copy@example.org>')
        assert message.header.startswith(b"Received: from ")
        assert "by bridge.example.com" in (message.field("Received") or "")
        assert message.field("X-IB-Track-Opens") == "true"
        assert message.field("X-IB-Track-Clicks") == "false"
        assert message.field("X-IB-Bulk-Id") == "welcome-2"
        assert message.field("X-IB-Client-Priority") == "HIGH"
        assert json.loads(message.field("X-IB-Callback-Data") or "") == {
            name: INSTRUCTIONS[name] for name in ("campaign_id", "tags", "metadata")
        }
    assert first.field("Message-ID") == blind.field("Message-ID") is not None


def test_what_swaks_sends_arrives_translated(pair: Pair) -> None:
    swaks = program("swaks", "swaks")

    # --header replaces a field of swaks' own message, or adds one.
    command = [swaks, "--server", "127.0.0.1", "--port", str(pair.bridge.port), "--from", SENDER, "--to", RECIPIENT]
    command += ["--header", "Subject: Sample", "--header", f"X-MSYS-API: {ASCII_JSON}", "--body", "Hello."]
    run(command)

    assert_translated(pair)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_what_swaks_sends_over_tls_with_a_login_arrives_translated(pair: Pair, papers: Papers, mechanism: str) -> None:
    swaks = program("swaks", "swaks, libnet-ssleay-perl")
    if b"=== TLS supported" not in run([swaks, "--support"]):
        pytest.skip("swaks cannot speak TLS (package libnet-ssleay-perl)")

    command = [swaks, "--server", "127.0.0.1", "--port", str(pair.bridge.port), "--from", SENDER, "--to", RECIPIENT]
    command += ["--tls", "--tls-verify", "--tls-ca-path", str(papers.authority)]
    command += ["--auth", mechanism, "--auth-user", SENDER_USER, "--auth-password", SENDER_SECRET]
    command += ["--header", "Subject: Sample", "--header", f"X-MSYS-API: {ASCII_JSON}", "--body", "Hello."]
    run(command)

    assert_translated(pair)


def test_what_curl_sends_arrives_translated(pair: Pair, papers: Papers, tmp_path: Path) -> None:
    curl = program("curl", "curl")
    (tmp_path / "message.eml").write_bytes(RAW)

    command = [curl, "--silent", "--show-error", "--url", f"smtp://localhost:{pair.bridge.port}/client.example.com"]
    command += ["--resolve", f"localhost:{pair.bridge.port}:127.0.0.1", "--ssl-reqd", "--cacert", str(papers.authority)]
    command += ["--user", f"{SENDER_USER}:{SENDER_SECRET}", "--mail-from", SENDER, "--mail-rcpt", RECIPIENT]
    command += ["--upload-file", str(tmp_path / "message.eml")]
    run(command)

    assert_translated(pair)


def test_what_smtplib_sends_arrives_translated(pair: Pair, papers: Papers) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"Shop <{SENDER}>", RECIPIENT, "Sample"
    # Python encodes what is not ASCII word by word, and folds.
    message["X-MSYS-API"] = json.dumps(INSTRUCTIONS, ensure_ascii=False)
    message.set_content("Hello.\n")

    with smtplib.SMTP("localhost", pair.bridge.port, timeout=30) as client:
        client.starttls(context=ssl.create_default_context(cafile=str(papers.authority)))
        client.login(SENDER_USER, SENDER_SECRET)
        client.send_message(message)

    assert b"=?utf-8?" in bytes(message).partition(b"X-MSYS-API:")[2]
    assert_translated(pair)


def test_what_nodemailer_sends_arrives_translated(pair: Pair, papers: Papers) -> None:
    node = program("node", "nodejs")
    if not (NODE_MODULES / "nodemailer").is_dir():
        pytest.skip("nodemailer is not installed (tests/integration/setup-system installs it, with npm)")
    script = str(Path(__file__).with_name("node") / "send.js")
    who = [str(papers.authority), SENDER_USER, SENDER_SECRET, SENDER, RECIPIENT]

    composed = run(
        [node, script, str(pair.bridge.port), *who, json.dumps(INSTRUCTIONS, ensure_ascii=False)],
        env={"NODE_PATH": str(NODE_MODULES)},
    )

    # nodemailer changes the case of the name and encodes the whole value, braces and all.
    assert b"X-Msys-Api: =?UTF-8?Q?=7B=22campaign" in composed
    assert_translated(pair)


def test_what_msmtp_sends_arrives_translated(pair: Pair, papers: Papers) -> None:
    msmtp = program("msmtp", "msmtp")

    command = [msmtp, "--host=localhost", f"--port={pair.bridge.port}", f"--from={SENDER}", "--domain=c.example.com"]
    command += ["--tls=on", "--tls-starttls=on", f"--tls-trust-file={papers.authority}"]
    command += ["--auth=plain", f"--user={SENDER_USER}", f"--passwordeval=echo '{SENDER_SECRET}'", "--", RECIPIENT]
    run(command, stdin=RAW.replace(b"\r\n", b"\n"))

    assert_translated(pair)
