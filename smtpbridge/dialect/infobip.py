"""
Write a sender's wishes as Infobip's `X-IB-*` fields.

How it works: one function goes through the wishes in the order of the mapping
table and appends a field for each.  Whatever the sender wrote itself under an
`X-IB-` name wins: the derived field of that name is left out.  Fields that come
from the configuration alone are written once and kept.

Tracking is always said, true or false, because Infobip tracks unless it is
told not to.

Every text goes through `words.encode` or the JSON writer: what is not plain
printable ASCII becomes encoded words or escapes, so no text can end its line.

What must not be known here: recipients, and how the wishes came.
"""

from dataclasses import dataclass
from functools import lru_cache

from smtpbridge.dialect.callback_data import CallbackText, callback_text
from smtpbridge.dialect.instructions import Instructions, Remark
from smtpbridge.dialect.policy import CallbackData, CampaignHome, Policy, Priority
from smtpbridge.mail.words import encode
from smtpbridge.values import value

_OPENS = {True: b"X-IB-Track-Opens: true\r\n", False: b"X-IB-Track-Opens: false\r\n"}
_CLICKS = {True: b"X-IB-Track-Clicks: true\r\n", False: b"X-IB-Track-Clicks: false\r\n"}
_HIGH = b"X-IB-Client-Priority: HIGH\r\n"
_CALLBACK = b"X-IB-Callback-Data: "
_NOT_OURS = {
    b"x-ib-callback-data": Remark(
        "own-callback-data",
        "X-IB-Callback-Data of the sender stays: what Infobip reports of this message makes no events",
    ),
    b"x-ib-notify-url": Remark(
        "own-notify-url", "X-IB-Notify-Url of the sender stays: delivery reports of this message do not come here"
    ),
    b"x-ib-tracking-url": Remark(
        "own-tracking-url", "X-IB-Tracking-Url of the sender stays: opens and clicks of this message are not told here"
    ),
}


@dataclass(frozen=True, slots=True)
class Account:
    """Which upstream a message goes to, and the entity and application it is booked on (empty: the configured ones)."""

    upstream: str
    entity_id: str = ""
    application_id: str = ""


@value
class Fields:
    """Header fields with their line ends, in order, and what the operator ought to know about them."""

    octets: bytes
    warnings: tuple[Remark, ...] = ()


def write(wishes: Instructions, policy: Policy, account: Account, own: frozenset[bytes], token: str = "") -> Fields:
    """
    Return the `X-IB-*` fields; `own` holds the lower-case names of those that the sender wrote itself.

    `token` is the callback data where the policy wants one there.
    """
    fields: list[bytes] = []
    if b"x-ib-track" not in own:
        if b"x-ib-track-opens" not in own:
            fields.append(_OPENS[policy.open_tracking if wishes.open_tracking is None else wishes.open_tracking])
        if b"x-ib-track-clicks" not in own:
            fields.append(_CLICKS[policy.click_tracking if wishes.click_tracking is None else wishes.click_tracking])
    transactional = policy.transactional if wishes.transactional is None else wishes.transactional
    if transactional and policy.transactional_priority is Priority.HIGH and b"x-ib-client-priority" not in own:
        fields.append(_HIGH)
    fields += _ids(wishes.campaign or "", policy, account, own)
    if (settings := _settings(policy)) != _UNSET:
        fields += [field for name, field in _configured(*settings) if name not in own]
    if token:
        return _with_token(fields, token, own)
    if policy.callback_data is not CallbackData.JSON or b"x-ib-callback-data" in own:
        return Fields(b"".join(fields))
    text = callback_text(wishes, policy.callback_data_limit, len(_CALLBACK))
    if text is None:
        return Fields(b"".join(fields))
    lines = text.lines[0] if len(text.lines) == 1 else "\r\n ".join(text.lines)
    fields += (_CALLBACK, lines.encode("ascii"), b"\r\n")
    return Fields(b"".join(fields), (_left_out(text, policy.callback_data_limit),) if text.truncated else ())


def _with_token(fields: list[bytes], token: str, own: frozenset[bytes]) -> Fields:
    """Return the fields with the token, and a warning where one of the sender's own leads reports past us."""
    if b"x-ib-callback-data" not in own:
        fields.append(_CALLBACK + token.encode("ascii") + b"\r\n")
    lost = tuple([remark for name, remark in _NOT_OURS.items() if name in own]) if own else ()
    return Fields(b"".join(fields), lost)


def tracks_clicks(wishes: Instructions, policy: Policy, own: frozenset[bytes]) -> bool:
    """Tell whether `write` asks for clicks to be tracked; what the sender wrote itself is its own affair."""
    tracked = policy.click_tracking if wishes.click_tracking is None else wishes.click_tracking
    return tracked and b"x-ib-track" not in own and b"x-ib-track-clicks" not in own


def _ids(campaign: str, policy: Policy, account: Account, own: frozenset[bytes]) -> list[bytes]:
    """Return the fields that name bulk, entity and application: the campaign's word first, then the account's."""
    home = policy.campaign
    fields: list[bytes] = []
    entity = account.entity_id or policy.entity_id
    application = account.application_id or policy.application_id
    if campaign and home is CampaignHome.BULK_ID:
        if b"x-ib-bulk-id" not in own:
            fields.append(_field("X-IB-Bulk-Id", campaign))
    elif campaign and home is CampaignHome.ENTITY_ID:
        entity = campaign
    elif campaign and home is CampaignHome.APPLICATION_ID:
        application = campaign
    if entity and b"x-ib-entity-id" not in own:
        fields.append(_field("X-IB-Entity-Id", entity))
    if application and b"x-ib-application-id" not in own:
        fields.append(_field("X-IB-Application-Id", application))
    return fields


def _settings(policy: Policy) -> tuple[str | bool | None, ...]:
    return (
        policy.notify_url,
        policy.notify_content_type,
        policy.intermediate_report,
        policy.tracking_url,
        policy.skip_passive_storage,
        policy.skip_active_storage,
    )


_SETTING_NAMES = (
    "X-IB-Notify-Url",
    "X-IB-Notify-Content-Type",
    "X-IB-Intermediate-Report",
    "X-IB-Tracking-Url",
    "X-IB-Skip-Passive-Storage",
    "X-IB-Skip-Active-Storage",
)


_UNSET = _settings(Policy())


@lru_cache(maxsize=64)
def _configured(*settings: str | bool | None) -> tuple[tuple[bytes, bytes], ...]:
    """Return (lower-case name, field) for each setting that is set."""
    texts = [str(value).lower() if isinstance(value, bool) else value for value in settings]
    return tuple(
        (name.lower().encode("ascii"), _field(name, text))
        for name, text in zip(_SETTING_NAMES, texts, strict=True)
        if text
    )


# The names of campaigns, which are short, and words of the configuration: one for thousands of messages.
@lru_cache(maxsize=256)
def _field(name: str, text: str) -> bytes:
    return f"{name}: ".encode("ascii") + encode(text, column=len(name) + 2) + b"\r\n"


def _left_out(text: CallbackText, limit: int) -> Remark:
    left_out: list[str] = []
    if members := text.members_left_out:
        left_out.append(f"{members} {'member' if members == 1 else 'members'} of metadata")
    if tags := text.tags_left_out:
        left_out.append("1 tag" if tags == 1 else f"{tags} tags")
    return Remark(
        "callback-data-truncated",
        f"X-IB-Callback-Data has no room for {' and '.join(left_out)}: it takes {limit} octets in all, "
        "and no string of more than 995 octets",
    )
