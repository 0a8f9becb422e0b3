"""
The messages of the race, the same in every run, and what must have become of them.

Each comes in two forms with one body: `sent` carries X-MSYS-API and goes through
a bridge; `translated` carries the X-IB fields already and goes straight to the
sink.  The sink makes the same message again and compares.
"""

import base64
import functools
import json
import random
import textwrap
from dataclasses import dataclass
from enum import Enum

_CAMPAIGN = "campaign-2026-11"
_TAGS = ["welcome", "eu", "batch-7"]
_WORDS = ("order", "invoice", "parcel", "voucher", "summer", "kitchen", "letter", "account", "weekend", "delivery")


class Kind(Enum):
    """How big a message is; the value is for people."""

    SMALL = "2 KB"
    TYPICAL = "55 KB"
    LARGE = "10 MB"


@dataclass(frozen=True, slots=True)
class Message:
    """Octets for the wire: two header blocks, each with the empty line, and one body with the final dot."""

    asking: bytes
    translated: bytes
    body: bytes
    callback: dict[str, object]
    # In lower case, each with the line ends around it: what a right translation holds besides the callback data.
    fields: tuple[bytes, ...]

    def sent(self, *, translated: bool) -> bytes:
        """Return what follows 354."""
        return (self.translated if translated else self.asking) + self.body


@functools.cache
def message(kind: Kind) -> Message:
    """Return the message of that size."""
    chance = random.Random(kind.name)
    pairs = 26 if kind is Kind.TYPICAL else 3
    metadata = {f"key_{number:02}": f"{chance.getrandbits(96):024x}" for number in range(pairs)}
    callback: dict[str, object] = {"campaign_id": _CAMPAIGN, "metadata": metadata, "tags": _TAGS}
    options = {"open_tracking": True, "click_tracking": False, "transactional": True}
    asking = _folded("X-MSYS-API", json.dumps({"options": options, **callback}))
    fields = f"X-IB-Bulk-Id: {_CAMPAIGN}\nX-IB-Track-Opens: true\nX-IB-Track-Clicks: false\n"
    translated = _folded("X-IB-Callback-Data", json.dumps(callback)) + fields
    content, body = _content(kind, chance)
    headers = [_wire(_header(kind, own + content)) for own in (asking, translated)]
    found = tuple(_wire(f"\n{field.lower()}\n") for field in fields.splitlines())
    return Message(headers[0], headers[1], _wire(body).replace(b"\r\n.", b"\r\n..") + b".\r\n", callback, found)


def _header(kind: Kind, own: str) -> str:
    return (
        f"From: Shop <news@sender.example>\nTo: user0@rcpt.example\nSubject: {kind.value} of news\n"
        f"Date: Fri, 20 Nov 2026 06:00:00 +0000\nMessage-ID: <{kind.name.lower()}.1@sender.example>\n"
        "Reply-To: reply@sender.example\nList-Unsubscribe: <https://sender.example/u/1>\n"
        f"MIME-Version: 1.0\n{own}\n"
    )


def _content(kind: Kind, chance: random.Random) -> tuple[str, str]:
    """Return the field Content-Type and the body; no octet but ASCII, and one line that begins with a dot."""
    text = "\n".join(" ".join(chance.choices(_WORDS, k=11)) for _ in range(14)) + "\n.a line with a dot\n"
    plain = "Content-Type: text/plain; charset=utf-8\n"
    match kind:
        case Kind.SMALL:
            return plain, text
        case Kind.TYPICAL:
            words = (" ".join(chance.choices(_WORDS, k=9)) for _ in range(390))
            rows = "\n".join(
                f'<p style="margin:0 0 12px">{row} <a href="https://sender.example/l">x</a></p>' for row in words
            )
            second = f"Content-Type: text/html; charset=utf-8\n\n<html><body>\n{rows}\n</body></html>\n"
        case Kind.LARGE:
            octets = base64.encodebytes(chance.randbytes(7_400_000)).decode("ascii")
            second = f"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{octets}"
    field = 'Content-Type: multipart/mixed; boundary="=_part"\n'
    return field, f"--=_part\n{plain}\n{text}--=_part\n{second}--=_part--\n"


def _folded(name: str, value: str) -> str:
    """Return a field in lines as a mail library writes them."""
    return "\n ".join(textwrap.wrap(f"{name}: {value}", 110, break_long_words=False, break_on_hyphens=False)) + "\n"


def _wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("ascii")
