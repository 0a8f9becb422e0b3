"""
A test message from what `smtpbridge send` was told, with the X-MSYS-API header that a SparkPost sender would write.

Pure: dates and ids come in.  `BadWish` names what cannot be a message, for the operator.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail.addresses import BadAddress, NamedAddress, parse_mailbox
from smtpbridge.mail.headers import HeaderBlock, end_of_header

# RFC 5322, 3.6.8.
_NAME = re.compile(r"[!-9;-~]+")
_API = "X-MSYS-API"
# Everything in ASCII: it arrives whatever the servers on the way offer.
_POLICY = SMTP.clone(cte_type="7bit")
# The body decides about these.
_OF_THE_BODY = ("content-", "mime-version")


class BadWish(SmtpbridgeError):
    """An option does not make sense."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What becomes X-MSYS-API; what is `None` or empty is left out of it."""

    cc: tuple[NamedAddress, ...] = ()
    bcc: tuple[NamedAddress, ...] = ()
    archive: tuple[NamedAddress, ...] = ()
    campaign: str | None = None
    metadata: Mapping[str, object] | None = None
    tags: tuple[str, ...] = ()
    track_opens: bool | None = None
    track_clicks: bool | None = None
    transactional: bool | None = None
    ip_pool: str | None = None

    def as_api(self) -> dict[str, object]:
        """Return the JSON object."""
        options = {
            "open_tracking": self.track_opens,
            "click_tracking": self.track_clicks,
            "transactional": self.transactional,
            "ip_pool": self.ip_pool,
        }
        api: dict[str, object] = {
            "campaign_id": self.campaign,
            "metadata": dict(self.metadata) if self.metadata else None,
            "tags": list(self.tags) or None,
            "cc": _entries(self.cc),
            "bcc": _entries(self.bcc),
            "archive": _entries(self.archive),
            "options": {key: value for key, value in options.items() if value is not None} or None,
        }
        return {key: value for key, value in api.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Draft:
    """What people see of the message; `headers` are further fields, name and value."""

    sender: NamedAddress
    to: tuple[NamedAddress, ...]
    subject: str
    text: str | None
    html: str | None
    headers: tuple[tuple[str, str], ...] = ()


def compose(draft: Draft, wish: Wish, date: str, message_id: str) -> bytes:
    """Return the message, its lines ended by CRLF; raise `BadWish`."""
    message = EmailMessage(policy=_POLICY)
    try:
        message["From"] = _shown(draft.sender)
        message["To"] = [_shown(one) for one in draft.to]
        message["Subject"] = draft.subject
        message["Date"] = date
        message["Message-ID"] = message_id
        for name, value in draft.headers:
            # What is given by name counts for more than what would be there anyway.
            del message[name]
            message[name] = value
    except ValueError as error:
        raise BadWish(f"a header field cannot be written: {error}") from error
    if draft.text is not None or draft.html is None:
        message.set_content(draft.text or "")
    if draft.html is not None:
        add = message.set_content if draft.text is None else message.add_alternative
        add(draft.html, subtype="html")
    return _api_field(wish) + message.as_bytes()


def with_wish(octets: bytes, wish: Wish) -> bytes:
    """Return a message that is there already (CRLF lines) with X-MSYS-API on top; raise `BadWish` where it has one."""
    field = _api_field(wish)
    length, _ = end_of_header(octets)
    if field and HeaderBlock.parse(octets[:length]).values(_API.lower().encode("ascii")):
        raise BadWish(f"the message in the file has an {_API} field already; leave out the options that would make one")
    return field + octets


def mailbox(text: str) -> NamedAddress:
    """Read `a@b` or `Name <a@b>`; raise `BadWish`."""
    try:
        return parse_mailbox(text)
    except BadAddress as error:
        raise BadWish(f"{text}: {error}") from error


def metadata_of(given: Sequence[str]) -> dict[str, object]:
    """Read metadata, each `key=value` (a text) or a JSON object; raise `BadWish`."""
    found: dict[str, object] = {}
    for text in given:
        if text.lstrip().startswith("{"):
            try:
                read = json.loads(text)
            except ValueError as error:
                raise BadWish(f"metadata {text}: not JSON ({error})") from error
            found |= read
            continue
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise BadWish(f'metadata {text}: write key=value, or a JSON object such as {{"order": 4711}}')
        found[key] = value
    return found


def field_of(text: str) -> tuple[str, str]:
    """Read `Name: value`; raise `BadWish`."""
    name, colon, value = text.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise BadWish(f"header {text!r}: write it as in 'X-Shop: 12'")
    if name.lower().startswith(_OF_THE_BODY):
        raise BadWish(f"header {name}: it is for the body to say; give a whole message with --file")
    return name, value.strip()


def _api_field(wish: Wish) -> bytes:
    api = wish.as_api()
    if not api:
        return b""
    # One member a line: folded between tokens, where a reader may join as it likes.
    lines = json.dumps(api, indent=1).replace("\n", "\r\n").replace("\r\n}", "\r\n }")
    return f"{_API}: {lines}\r\n".encode("ascii")


def _entries(addresses: Sequence[NamedAddress]) -> list[dict[str, str]] | None:
    return [{"email": one.address} | ({"name": one.name} if one.name else {}) for one in addresses] or None


def _shown(one: NamedAddress) -> Address:
    return Address(one.name, addr_spec=one.address)
