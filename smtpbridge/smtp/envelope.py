"""
Read MAIL, RCPT and DATA in one step, where they came together and hold nothing unusual.  No I/O, no replies.

Theory of operation
-------------------

With PIPELINING (RFC 2920) a program sends the commands of a transaction in one
piece, and nearly all write them alike.  `ENVELOPE` finds just that: capitals, one
blank, addresses without quotes, at most SIZE and BODY behind MAIL, each once.  What it
does not find, and what `read_envelope` does not take, the session reads command by
command (`commands.read_command`), with the same result: this is a short way, and no
second grammar.
"""

import re

from smtpbridge.smtp.events import MessageBegins
from smtpbridge.smtp.paths import MAX_ADDRESS, USUAL_ADDRESS

ENVELOPE = re.compile(
    (
        rf"MAIL FROM:<({USUAL_ADDRESS})>(?: SIZE=([0-9]{{1,20}}))?(?: BODY=(8BITMIME|7BIT))?\r\n"
        rf"((?:RCPT TO:<{USUAL_ADDRESS}>\r\n)+)DATA\r\n"
    ).encode()
)
# No line that is read here is longer, CRLF included: what stands around an address is far less than the rest.
LONGEST_LINE = MAX_ADDRESS + 100


def read_envelope(found: re.Match[bytes], max_message: int, max_recipients: int) -> MessageBegins | None:
    """Return what the commands that `ENVELOPE` found begin; `None` where one of them would be refused."""
    sender, size, body, commands = found.groups()
    recipients = commands.decode("ascii")[9:-3].split(">\r\nRCPT TO:<")
    if (
        len(recipients) > max_recipients
        or (size is not None and int(size) > max_message)
        or len(sender) > MAX_ADDRESS
        # Where all of them together are short, none is long.
        or (len(commands) > MAX_ADDRESS and max(map(len, recipients)) > MAX_ADDRESS)
    ):
        return None
    return MessageBegins(sender.decode("ascii"), tuple(recipients), body == b"8BITMIME")
