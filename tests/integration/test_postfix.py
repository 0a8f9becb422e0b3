"""Postfix as the legacy mail server whose relayhost the bridge has become."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.integration.postfix import needs_sasl_plain, postfix
from tests.integration.rig import (
    SENDER_SECRET,
    SENDER_USER,
    Papers,
    Stored,
    bridge,
    eventually,
    sandbox,
    starttls_lines,
    write_config,
)

MESSAGES = 500
MAX_CONNECTIONS = 5
SENDER = "shop@mail.example.com"

_LOGIN = '\nauth = "required"'
_WITH_LOGIN = """
relayhost = [127.0.0.1]:{port}
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = localhost
smtp_tls_CAfile = {papers.authority}
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = inline:{{ {{ [127.0.0.1]:{port} = {login} }} }}
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """One of the messages: who is to get it, and how it is told."""

    number: int
    recipients: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]

    @property
    def everybody(self) -> tuple[str, ...]:
        """All addresses that must get it, each once."""
        return tuple(dict.fromkeys(self.recipients + self.cc + self.bcc))

    def octets(self) -> bytes:
        """Return header and body; the JSON is folded, as legacy programs do with long headers."""
        instructions = {"campaign_id": "race", "metadata": {"n": self.number}, "cc": self.cc, "bcc": self.bcc}
        lines = [
            f"From: Shop <{SENDER}>",
            f"To: {self.recipients[0]}",
            f"Subject: letter {self.number}",
            f"Message-ID: <{self.number}@mail.example.com>",
            "X-MSYS-API: " + json.dumps(instructions, indent=1).replace("\n", "\r\n "),
            "",
            f"This is letter {self.number}.",
            "",
        ]
        return "\r\n".join(lines).encode()

    def dialogue(self) -> bytes:
        """Return the SMTP commands that inject it."""
        rcpt = "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in self.recipients)
        return f"MAIL FROM:<{SENDER}>\r\n{rcpt}DATA\r\n".encode() + self.octets() + b".\r\n"


def letters() -> Iterator[Letter]:
    """Every tenth message has 50 recipients, every seventh blind copies, every fifth a copy, some all of that."""
    for number in range(MESSAGES):
        many = 50 if number % 10 == 0 else 1
        recipients = tuple(f"r{number}.{n}@example.org" for n in range(many))
        cc = (f"cc{number}@example.net",) if number % 5 == 0 else ()
        # One of the blind copies goes to somebody who has the message already.
        bcc = (*(f"bcc{number}.{n}@example.net" for n in range(4)), recipients[0]) if number % 7 == 0 else ()
        yield Letter(number, recipients, cc, bcc)


def deliveries(messages: list[Stored]) -> Counter[tuple[str, str]]:
    """Count how often each recipient got each message."""
    return Counter(
        (message.field("Message-ID") or "", recipient) for message in messages for recipient in message.rcpt_to
    )


def test_five_hundred_messages_from_postfix_reach_every_recipient_exactly_once(papers: Papers, tmp_path: Path) -> None:
    wanted = list(letters())
    with sandbox(tmp_path, papers) as upstream:
        config = write_config(tmp_path, papers, upstream.port, upstream=f"max_connections = {MAX_CONNECTIONS}")
        with bridge(config) as relay, postfix(f"relayhost = [127.0.0.1]:{relay.port}\n") as legacy:
            session = b"".join(letter.dialogue() for letter in wanted)
            assert legacy.inject(b"EHLO app.example.com\r\n" + session + b"QUIT\r\n") == MESSAGES
            eventually(lambda: legacy.queue() == "", "an empty queue of Postfix", 60)
            assert "status=deferred" not in legacy.log
            assert "status=bounced" not in legacy.log
            got = upstream.new_messages()
        statistics = upstream.statistics()

    expected = {(f"<{letter.number}@mail.example.com>", address) for letter in wanted for address in letter.everybody}
    assert deliveries(got) == Counter(expected)
    assert all(message.field("X-IB-Bulk-Id") == "race" and message.warnings == () for message in got)
    assert not any(b"X-MSYS" in message.header for message in got)
    carried = statistics["messages_per_connection"]
    assert isinstance(carried, list)
    assert len(carried) <= MAX_CONNECTIONS
    # The connection that was used last is taken first, so one that only a moment's crowd wanted may carry few.
    assert sum(carried) / len(carried) >= 100
    assert sorted(carried)[len(carried) // 2] >= 20


def test_postfix_with_tls_and_a_login_hands_its_mail_over(papers: Papers, tmp_path: Path) -> None:
    needs_sasl_plain()
    with (
        sandbox(tmp_path, papers) as upstream,
        bridge(write_config(tmp_path, papers, upstream.port, listener=starttls_lines(papers) + _LOGIN)) as relay,
        postfix(_WITH_LOGIN.format(port=relay.port, papers=papers, login=f"{SENDER_USER}:{SENDER_SECRET}")) as legacy,
    ):
        session = b"".join(letter.dialogue() for letter in islice(letters(), 1, 6))
        assert legacy.inject(b"EHLO app.example.com\r\n" + session + b"QUIT\r\n") == 5
        eventually(lambda: legacy.queue() == "", "an empty queue of Postfix")
        assert legacy.log.count("status=sent") == 5
        got = upstream.new_messages()

    assert len(got) == 5
    assert all("with ESMTPSA" in received_by_bridge(message) for message in got)


def received_by_bridge(message: Stored) -> str:
    """Return the uppermost trace field, which the bridge wrote; Postfix wrote others below."""
    return message.header.partition(b"\r\nReceived:")[0].decode()
