"""
How the operator wants messages translated: the keys of `[translation]`, `[ip_pools]` and `[subaccounts]`.

Values only; `config` fills them in, `translate` obeys them.

What SparkPost kept as a setting of the account can be said for fewer senders
than all: `Defaults` is what one place (a listener, a credential, a subaccount)
says, and the place nearest to the message wins.  `Defaults.over` joins two
places, `Policy.under` joins them with what counts for everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any

from smtpbridge.dialect.bounds import USUAL, Bounds


class BccStyle(Enum):
    """How a bcc copy travels: alone with a `Bcc` field of its own, or in the first transaction without one."""

    INDIVIDUAL = "individual"
    SHARED = "shared"


class CampaignHome(Enum):
    """Which Infobip header carries the campaign id (beside the callback data)."""

    BULK_ID = "bulk-id"
    ENTITY_ID = "entity-id"
    APPLICATION_ID = "application-id"
    NONE = "none"


class CallbackData(Enum):
    """What `X-IB-Callback-Data` carries; the token leads back to what is kept of the message."""

    JSON = "json"
    TOKEN = "token"
    NONE = "none"


class Priority(Enum):
    """What `transactional` becomes in `X-IB-Client-Priority`."""

    HIGH = "HIGH"
    NONE = "none"


class Unsupported(Enum):
    """What to do with an option that has no counterpart: do it here, warn, or refuse the message."""

    MAP = "map"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Defaults:
    """
    What counts for some senders where a message does not say; each field as the one of that name in `Policy`.

    `None` means that this place says nothing.  Empty text is a word of its own: no pool, no template.
    """

    open_tracking: bool | None = None
    click_tracking: bool | None = None
    transactional: bool | None = None
    ip_pool: str | None = None
    list_unsubscribe: str | None = None
    envelope_from: str | None = None

    def over(self, farther: "Defaults") -> "Defaults":
        """Return these, and where they say nothing what a place farther from the message says."""
        if farther is UNSAID or self is farther:
            return self
        return farther if self is UNSAID else replace(farther, **self.said())

    def said(self) -> dict[str, Any]:
        """Return by name what is said here, to be put into a value that has fields of these names."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


# Nothing at all.  It is recognised by identity, so whoever carries it along pays for a pointer.
UNSAID = Defaults()


@dataclass(frozen=True, slots=True)
class Subaccount:
    """Where a SparkPost subaccount's mail goes, and what counts for it; empty text leaves the default."""

    upstream: str = ""
    entity_id: str = ""
    application_id: str = ""
    defaults: Defaults = UNSAID


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The switches of the translation, as `etc/smtpbridge.toml` explains them.

    `envelope_from` is "auto", "keep" or an address; `ip_pool` is the pool of a message that names none.
    `callback_data_limit` is in octets; `bounds` say how much of an `X-MSYS-API` is read.  Empty text and `None` mean
    that the header is absent.  `ip_pools` leads from a pool to the name of an upstream, `subaccounts` from the digits
    behind `X-MSYS-SUBACCOUNT=` to where that mail goes.
    """

    default_upstream: str = "main"
    bcc: BccStyle = BccStyle.INDIVIDUAL
    envelope_from: str = "auto"
    open_tracking: bool = False
    click_tracking: bool = False
    transactional: bool = False
    ip_pool: str = ""
    campaign: CampaignHome = CampaignHome.BULK_ID
    callback_data: CallbackData = CallbackData.JSON
    callback_data_limit: int = 4000
    transactional_priority: Priority = Priority.HIGH
    on_ip_pool: Unsupported = Unsupported.WARN
    on_inline_css: Unsupported = Unsupported.MAP
    on_skip_suppression: Unsupported = Unsupported.WARN
    on_dkim_key: Unsupported = Unsupported.WARN
    list_unsubscribe: str = ""
    notify_url: str = ""
    tracking_url: str = ""
    notify_content_type: str = ""
    intermediate_report: bool | None = None
    application_id: str = ""
    entity_id: str = ""
    skip_passive_storage: bool | None = None
    skip_active_storage: bool | None = None
    bounds: Bounds = USUAL
    ip_pools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    subaccounts: Mapping[str, Subaccount] = field(default_factory=lambda: MappingProxyType({}))
    # What `for_sender` has answered; no part of the value.  The configuration names every key, so it stays small.
    _settled: dict[tuple[Defaults, str], "Policy"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def under(self, defaults: Defaults) -> "Policy":
        """Return this policy with what is said for the sender in place of what counts for everybody."""
        said = defaults.said() if defaults is not UNSAID else {}
        return replace(self, **said) if said else self

    def for_sender(self, defaults: Defaults, subaccount: str) -> "Policy":
        """Return the policy for a sender: what its subaccount says, then `defaults`, then this."""
        booked = self.subaccounts.get(subaccount) if subaccount else None
        if defaults is UNSAID and (booked is None or booked.defaults is UNSAID):
            return self
        asked = defaults, subaccount if booked else ""
        settled = self._settled.get(asked)
        if settled is None:
            settled = self._settled[asked] = self.under(booked.defaults.over(defaults) if booked else defaults)
        return settled
