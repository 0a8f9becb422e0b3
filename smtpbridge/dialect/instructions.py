"""
What a sender asks for beside the mail itself, in no provider's words.

`sparkpost` reads these values out of `X-MSYS-API`; `infobip` writes them as
`X-IB-*` fields.  Another source or target is one more module: this one names
neither.  `None` means that the sender said nothing, so a default applies.

JSON keeps its types: text, `bool`, `None`, `list`, `dict` in the order of
writing, and `Number`, which is the number exactly as it was written (big
integers and exponents survive).
"""

from dataclasses import field
from typing import TypeAlias

from smtpbridge.dialect.number import Number
from smtpbridge.values import value

Json: TypeAlias = "str | Number | bool | list[Json] | dict[str, Json] | None"


@value
class Mailbox:
    """An address that passed the gate of `mail.addresses`, and the decoded display name (empty: none)."""

    address: str
    name: str = ""


@value
class Remark:
    """Something to tell: `kind` is a fixed word to count by, `text` says it to a person, printable and bounded."""

    kind: str
    text: str


@value
class Instructions:
    """
    One message's wishes.  An empty tuple of tags or an empty metadata object was given as empty.

    `plain` tells that no name and no text in here holds anything but printable ASCII, quote or backslash: whoever
    writes it as JSON need not look.
    """

    campaign: str | None = None
    metadata: dict[str, Json] | None = None
    tags: tuple[str, ...] | None = None
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    archive: tuple[Mailbox, ...] = ()
    open_tracking: bool | None = None
    click_tracking: bool | None = None
    transactional: bool | None = None
    skip_suppression: bool | None = None
    inline_css: bool | None = None
    ip_pool: str | None = None
    dkim_key: str | None = None
    plain: bool = field(default=False, compare=False)


# Of a message that asks for nothing, as most do; one for all of them.
NOTHING = Instructions()


@value
class Refusal:
    """
    Nobody gets the message, and the sender is told why.

    `code` and `enhanced` are those of the SMTP reply (RFC 5321, 4.2; RFC 3463); `text` is printable ASCII.  `limit` is
    the key in the configuration whose bound the message is over, to count by; empty where there is none.  `kind` is a
    fixed word to count by (`kinds`).
    """

    text: str
    code: int = 550
    enhanced: str = "5.6.0"
    limit: str = ""
    kind: str = field(default="", compare=False)


@value
class Reading:
    """Instructions as read: `warnings` are for the sender's operator to mend, `notes` are for the log only."""

    instructions: Instructions
    warnings: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = field(default=())
