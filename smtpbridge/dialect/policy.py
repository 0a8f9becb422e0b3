"""
How the operator wants messages translated: the keys of `[translation]`, `[ip_pools]` and `[subaccounts]`.

Values only; `config` fills them in, `translate` obeys them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


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
    """What `X-IB-Callback-Data` carries."""

    JSON = "json"
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
class Subaccount:
    """Where a SparkPost subaccount's mail goes; empty text leaves the default."""

    upstream: str = ""
    entity_id: str = ""
    application_id: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The switches of the translation, as `etc/smtpbridge.toml` explains them.

    `envelope_from` is "auto", "keep" or an address.  `callback_data_limit` is in octets.  Empty text and `None`
    mean that the header is absent.  `ip_pools` leads from a pool to the name of an upstream, `subaccounts` from the
    digits behind `X-MSYS-SUBACCOUNT=` to where that mail goes.
    """

    default_upstream: str = "main"
    bcc: BccStyle = BccStyle.INDIVIDUAL
    envelope_from: str = "auto"
    open_tracking: bool = False
    click_tracking: bool = False
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
    ip_pools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    subaccounts: Mapping[str, Subaccount] = field(default_factory=lambda: MappingProxyType({}))
