"""
Tell what a message uses of `X-MSYS-API`, and what becomes of each field and option.

How it works: what was read says what is used; the remarks of the translation
say what did not come through whole.  What the policy switches off is lost
without a remark, because the operator wanted it so; in an audit it is told.
"""

import json
import re
from collections.abc import Iterator, Sequence
from enum import Enum

from smtpbridge.dialect.instructions import Instructions, Remark
from smtpbridge.dialect.policy import CallbackData, CampaignHome, Policy, Priority

_OPTIONS = (
    "open_tracking",
    "click_tracking",
    "transactional",
    "skip_suppression",
    "inline_css",
    "ip_pool",
    "dkim_key",
)
_LOST = {
    "ip-pool": "options.ip_pool",
    "skip-suppression": "options.skip_suppression",
    "dkim-key": "options.dkim_key",
    "inline-css": "options.inline_css",
}
_PARTLY = {"callback-data-truncated": ("metadata", "tags"), "too-many-links": ("options.click_tracking",)}
_IGNORED = {"ignored-field": "", "unknown-field": "", "ignored-option": "options.", "unknown-option": "options."}
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


class Outcome(Enum):
    """What becomes of a field."""

    MAPS = "maps"
    PARTLY = "partly"
    LOST = "lost"
    IGNORED = "ignored"
    REFUSED = "refused"


def used(wishes: Instructions) -> Iterator[str]:
    """Yield the names of the fields and options that are there."""
    if wishes.campaign is not None:
        yield "campaign_id"
    if wishes.metadata is not None:
        yield "metadata"
    if wishes.tags is not None:
        yield "tags"
    for name in ("cc", "bcc", "archive"):
        if getattr(wishes, name):
            yield name
    for name in _OPTIONS:
        if getattr(wishes, name) is not None:
            yield f"options.{name}"


def outcomes(
    wishes: Instructions, remarks: Sequence[Remark], policy: Policy, *, refused: bool = False
) -> dict[str, Outcome]:
    """Return what becomes of each field that is used; `remarks` are all of the translation, or of the reading."""
    found = dict.fromkeys(used(wishes), Outcome.REFUSED if refused else Outcome.MAPS)
    if not refused:
        _switched_off(found, wishes, policy)
    for remark in remarks:
        if remark.kind in _IGNORED:
            for name in _names_in(remark.text):
                found[_IGNORED[remark.kind] + name] = Outcome.IGNORED
        elif remark.kind in _LOST:
            # That a single part of the body was left alone is another matter than the whole option.
            whole = remark.text.startswith("X-MSYS-API")
            found[_LOST[remark.kind]] = Outcome.LOST if whole else Outcome.PARTLY
        for name in _PARTLY.get(remark.kind, ()):
            if name in found:
                found[name] = Outcome.PARTLY
    return found


def _switched_off(found: dict[str, Outcome], wishes: Instructions, policy: Policy) -> None:
    if policy.callback_data is CallbackData.NONE:
        for name in ("metadata", "tags"):
            if name in found:
                found[name] = Outcome.LOST
        if "campaign_id" in found and policy.campaign is CampaignHome.NONE:
            found["campaign_id"] = Outcome.LOST
    if wishes.transactional and policy.transactional_priority is Priority.NONE:
        # It still decides about List-Unsubscribe.
        found["options.transactional"] = Outcome.PARTLY


def _names_in(text: str) -> Iterator[str]:
    """Yield the names that a remark holds in quotes; one that was cut is no JSON any more."""
    for quoted in _QUOTED.findall(text):
        try:
            yield json.loads(quoted)
        except ValueError:
            yield quoted
