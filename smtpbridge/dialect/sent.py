"""
What the bridge knows of one recipient's copy, and SparkPost's events carry: Infobip reports none of it.

`Sent` is written when a message is accepted and looked up by token and recipient when something is told about it.  It
is kept in two pieces of octets: what is the same for all copies of a message (`write_shared`), as a JSON array, because
metadata are JSON, and what one recipient alone has (`write_own`).  `read` puts both together again.  Fields that come
to be later are put at the end of the array: what was written before has none of them, and reads as if they were empty.

What must not be known here: where it is kept, and for how long.
"""

from dataclasses import dataclass, field
from enum import Enum
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.jsontext import read_strict, write
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.values import value

MOST_TRANSMISSION_ID = 2**63 - 1  # consumers keep it in a signed column of 64 bits


class Damaged(SmtpbridgeError, ValueError):
    """Octets that are not what was kept of a message."""


class Copy(Enum):
    """By which list a recipient got the message.  SparkPost names no list for those of the envelope."""

    ENVELOPE = ""
    CC = "cc"
    BCC = "bcc"
    ARCHIVE = "archive"


_CODES = {Copy.ENVELOPE: b"e", Copy.CC: b"c", Copy.BCC: b"b", Copy.ARCHIVE: b"a"}
_COPIES = {code: copy for copy, code in _CODES.items()}
_MESSAGE_ID_OCTETS = 10
# What was written here was within bounds; these only keep a damaged file from more.
_MOST_VALUES = 1 << 20
_MOST_LEVELS = 400
_OPENS, _CLICKS, _TRANSACTIONAL = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Sent:
    """
    One message as one recipient got it.

    `transmission_id` is the same for all recipients of a message and below 2^63; `message_id` is 20 hexadecimal digits,
    one for each of them.  `recipient` is as written, `injected_at` in seconds, `size` in octets; `friendly_from` is the
    address in From, `msg_from` the reverse-path.  Metadata keep their JSON types.
    """

    transmission_id: int
    message_id: str
    recipient: str
    injected_at: float
    copy: Copy = Copy.ENVELOPE
    campaign: str = ""
    metadata: dict[str, Json] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    subject: str = ""
    friendly_from: str = ""
    msg_from: str = ""
    size: int = 0
    open_tracking: bool = False
    click_tracking: bool = False
    transactional: bool = False
    subaccount: str = ""
    ip_pool: str = ""

    def __post_init__(self) -> None:
        """Refuse a transmission_id that consumers could not keep."""
        if not 0 < self.transmission_id <= MOST_TRANSMISSION_ID:
            raise ValueError("a transmission_id is positive and below 2^63")


@value
class Shared:
    """What the copies of a message have in common, as in `Sent`; ids, time and size are not the message's to say."""

    campaign: str = ""
    metadata: dict[str, Json] | None = None
    tags: tuple[str, ...] = ()
    subject: str = ""
    friendly_from: str = ""
    msg_from: str = ""
    open_tracking: bool = False
    click_tracking: bool = False
    transactional: bool = False
    subaccount: str = ""
    ip_pool: str = ""


def sent_of(
    shared: Shared, transmission_id: int, size: int, at: float, message_id: str, copy: Copy, recipient: str
) -> Sent:
    """Return one copy of a message that was accepted `at`."""
    return Sent(
        transmission_id=transmission_id,
        message_id=message_id,
        recipient=recipient,
        injected_at=at,
        copy=copy,
        campaign=shared.campaign,
        metadata=shared.metadata or {},
        tags=shared.tags,
        subject=shared.subject,
        friendly_from=shared.friendly_from,
        msg_from=shared.msg_from,
        size=size,
        open_tracking=shared.open_tracking,
        click_tracking=shared.click_tracking,
        transactional=shared.transactional,
        subaccount=shared.subaccount,
        ip_pool=shared.ip_pool,
    )


def written_metadata(shared: Shared) -> str:
    """Return the metadata as JSON, an object where there are none too."""
    return write(shared.metadata) if shared.metadata else "{}"


def write_shared(shared: Shared, metadata: str, transmission_id: int, size: int) -> bytes:
    """Return what all copies have in common, as octets; `metadata` as `written_metadata` gives them."""
    flags = shared.open_tracking * _OPENS + shared.click_tracking * _CLICKS + shared.transactional * _TRANSACTIONAL
    texts = (shared.subject, shared.friendly_from, shared.msg_from, shared.subaccount, shared.ip_pool)
    tags = ",".join(map(quote, shared.tags))
    head = f"[{transmission_id},{size},{flags},{quote(shared.campaign)},[{tags}],{metadata},"
    return f"{head}{','.join(map(quote, texts))}]".encode("ascii")


def write_own(message_id: str, copy: Copy, recipient: str) -> bytes:
    """Return what one recipient alone has, as octets; it is kept under the recipient in lower case."""
    spelling = recipient.encode() if recipient != recipient.lower() else b""
    return bytes.fromhex(message_id) + _CODES[copy] + spelling


def read(at: float, shared: bytes, own: bytes | None, recipient: str) -> Sent:
    """
    Return what was written, of the message that was accepted `at`.

    `recipient` is under whom it was looked up.  Where the message had no such one, `own` is None, and there is no
    message_id.  Raises `Damaged` for octets that were not written here.
    """
    try:
        fields: Any = read_strict(shared.decode("ascii"), _MOST_VALUES, _MOST_LEVELS)
        transmission_id, size, flags, campaign, tags, metadata, *texts = fields
        subject, friendly_from, msg_from, subaccount, ip_pool = [*texts, "", "", "", "", ""][:5]
        message_id, copy, spelling = _read_own(own)
        switches = int(flags)
        shared_by_all = Shared(
            campaign,
            metadata,
            tuple(tags),
            subject,
            friendly_from,
            msg_from,
            bool(switches & _OPENS),
            bool(switches & _CLICKS),
            bool(switches & _TRANSACTIONAL),
            subaccount,
            ip_pool,
        )
        return sent_of(shared_by_all, int(transmission_id), int(size), at, message_id, copy, spelling or recipient)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged("what is kept of a message cannot be read") from error


def _read_own(own: bytes | None) -> tuple[str, Copy, str]:
    if own is None:
        return "", Copy.ENVELOPE, ""
    end = _MESSAGE_ID_OCTETS + 1
    return own[:_MESSAGE_ID_OCTETS].hex(), _COPIES[own[_MESSAGE_ID_OCTETS:end]], own[end:].decode()
