"""
The message that the demo sends: a SparkPost sender's, with most of what `X-MSYS-API` can hold.

It is sent by Python's own SMTP client, which knows nothing of the bridge.
"""

import json
import shlex
import smtplib
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail.message import Envelope

USER = "SMTP_Injection"
ENVELOPE = Envelope("bounces@mail.shop.example", ("ada@customer.example",))
_API = {
    "campaign_id": "autumn-sale",
    "metadata": {"order": 4711, "shop": "Zürich"},
    "tags": ["sale", "shoes"],
    "cc": [{"email": "team@customer.example", "name": "The Team"}],
    "bcc": ["audit@shop.example"],
    "options": {"open_tracking": True, "click_tracking": False, "transactional": True},
}
# Folded as most libraries fold, and in ASCII, as SparkPost asks for.
_API_LINES = json.dumps(_API, indent=1).replace("\n", "\r\n").replace("\r\n}", "\r\n }")
MESSAGE = (
    "From: Shop Example <news@shop.example>\r\n"
    "To: Ada <ada@customer.example>\r\n"
    "Subject: Your order 4711\r\n"
    f"X-MSYS-API: {_API_LINES}\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n"
    "\r\n"
    "Hello Ada,\r\n"
    "\r\n"
    "your shoes are on their way.\r\n"
).encode("ascii")
_RETRY_SECONDS = 0.05
_REPLY_SECONDS = 30.0


class NotSent(SmtpbridgeError):
    """The sample did not go in."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the bridge is, and what a sender needs there."""

    host: str
    port: int
    authority: Path
    secret: str


def send_sample(entrance: Entrance, given_up: Event, within: float) -> str:
    """
    Send the sample as soon as somebody listens, and return the bridge's reply; raise `NotSent`.

    Blocks: it is for a thread.  It ends within about `within` seconds when nobody listens, and when `given_up` is set.
    """
    until = time.monotonic() + within
    while True:
        try:
            return _send(entrance)
        except ConnectionRefusedError as error:
            if time.monotonic() > until:
                raise NotSent(f"nobody listened within {within:.0f} seconds") from error
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(_said(error)) from error
        if given_up.wait(_RETRY_SECONDS):
            raise NotSent("the bridge did not start")


def swaks_line(entrance: Entrance) -> str:
    """Return a command for the next message."""
    api = {"campaign_id": "my-first", "metadata": {"n": 1}, "options": {"open_tracking": True}}
    words = ["swaks", "--server", entrance.host, "--port", str(entrance.port)]
    words += ["--from", "me@shop.example", "--to", "you@customer.example"]
    words += ["--header", "Subject: Hello", "--header", f"X-MSYS-API: {json.dumps(api)}"]
    return shlex.join(words)


def swaks_login(entrance: Entrance) -> str:
    """Return what is to be added for TLS and a login, as SparkPost asked for."""
    return shlex.join(["--tls", "--auth", "LOGIN", "--auth-user", USER, "--auth-password", entrance.secret])


def _send(entrance: Entrance) -> str:
    context = ssl.create_default_context(cafile=str(entrance.authority))
    with smtplib.SMTP(entrance.host, entrance.port, local_hostname="localhost", timeout=_REPLY_SECONDS) as client:
        client.starttls(context=context)
        client.login(USER, entrance.secret)
        for code, text in (client.mail(ENVELOPE.sender), *(client.rcpt(one) for one in ENVELOPE.recipients)):
            if code != 250:
                raise smtplib.SMTPResponseException(code, text)
        code, text = client.data(MESSAGE)
        if code != 250:
            raise smtplib.SMTPResponseException(code, text)
        return f"{code} {text.decode('utf-8', 'replace')}"


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return f"the bridge answered {error.smtp_code} {text}"
    return f"{type(error).__name__}: {error}"
