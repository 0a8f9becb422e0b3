"""
The mapping table: what Infobip's errors and statuses are in SparkPost's terms.

How it works: `ERRORS` is Infobip's registry for e-mail with what each entry becomes, `STATUSES` the same for reports
that name no error; `docs/events.md` shows both, and a test compares them.  `find` looks an error up by name, then by
number.  Numbers have been given to other errors over the years, so a number counts only where the group agrees, and
beside a name that is not known here it gives no hard class.

The rule of the classes: a consumer stops writing to a recipient after a hard class, so 10 and 30 stand only where
Infobip says without doubt that the mailbox is not there.  What lies with the sender, the account or the platform hits
every recipient alike and is soft, although SparkPost used 25 for its own such rejections.

What must not be known here: what an event looks like.
"""

from dataclasses import dataclass, replace
from enum import Enum

from smtpbridge.dialect.bounce_class import HARD
from smtpbridge.dialect.bounce_class import BounceClass as C
from smtpbridge.dialect.notifications import Group, Problem, Status


class Kind(Enum):
    """What a failure is."""

    BOUNCE = "bounce"
    """The receiving side did not take the message."""
    SUPPRESSED = "suppressed"
    """Infobip did not try, because of what this recipient did or said before."""
    REFUSED = "policy_rejection"
    """Infobip did not try, because of the sender, the account or the message."""


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A row.  `group` is Infobip's for the error: 1 dropped, 2 bounced, 3 its own systems.

    `by_reply`: what the receiving server said decides the class where it is understood, this one where not.  `former`
    are names of the past, `rule` what SparkPost says in parentheses about a suppression.
    """

    id: int | None
    name: str
    group: int
    permanent: bool | None
    kind: Kind
    bounce_class: C
    meaning: str
    by_reply: bool = False
    former: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A status; `failure` is None for one that says nothing of the kind, or that is no news to anybody (23)."""

    id: int
    group: Group
    name: str
    failure: Failure | None = None


_B, _S, _R = Kind.BOUNCE, Kind.SUPPRESSED, Kind.REFUSED

# fmt: off
ERRORS = (
    Failure(6001, "EC_EMAIL_BLACKLISTED", 1, True, _S, C.ADMIN_FAILURE, "the recipient is suppressed"),
    Failure(6002, "EC_SPAM_DETECTED", 1, True, _R, C.GENERIC_BOUNCE, "Infobip's filter took the message for spam",
            former=("EC_EMAILS_SPAM_CONTENT",)),
    Failure(6003, "EC_UNSUBSCRIBED_EMAIL_ADDRESS", 1, True, _S, C.ADMIN_FAILURE, "the recipient unsubscribed before",
            former=("EC_EMAIL_UNSUBSCRIBED_EMAIL_ADDRESS",), rule="Unsubscribe Rule"),
    Failure(6004, "EC_BOUNCED_EMAIL_ADDRESS", 1, True, _S, C.ADMIN_FAILURE, "the recipient bounced before",
            rule="Bounce Rule"),
    Failure(6005, "EC_EMAIL_DROPPED", 1, True, _R, C.GENERIC_BOUNCE, "Infobip dropped the message"),
    Failure(6006, "EC_INVALID_EMAIL_ADDRESS", 2, True, _B, C.INVALID_RECIPIENT, "the address is invalid",
            by_reply=True),
    Failure(6007, "EC_MAILBOX_TEMPORARY_UNAVAILABLE", 2, False, _B, C.SOFT_BOUNCE, "the mailbox is unavailable for now",
            by_reply=True),
    Failure(6008, "EC_DEFERRED_DUE_TO_INSUFFICIENT_STORAGE", 2, False, _B, C.MAILBOX_FULL, "the mailbox is full"),
    Failure(6009, "EC_MAILBOX_PERMANENTLY_UNAVAILABLE", 2, True, _B, C.NO_RCPT, "the mailbox is gone",
            by_reply=True, former=("EC_MAILBOX_UNAVAILABLE",)),
    Failure(6010, "EC_RECIPIENT_INBOX_FULL", 2, False, _B, C.MAILBOX_FULL, "the mailbox is full",
            former=("EC_STORAGE_LIMIT_EXCEEDED",)),
    Failure(6011, "EC_SOFT_BOUNCE", 2, False, _B, C.SOFT_BOUNCE, "a soft bounce", by_reply=True),
    Failure(6012, "EC_HARD_BOUNCE", 2, True, _B, C.NO_RCPT, "a hard bounce", by_reply=True),
    Failure(6013, "EC_INTERNAL_SYSTEM_ERROR", 3, False, _B, C.TRANSIENT_FAILURE, "a fault inside Infobip",
            former=("EC_TEMPORARY_SENDING_ERROR",)),
    Failure(6014, "EC_PERMANENT_SENDING_ERROR", 3, True, _B, C.TRANSIENT_FAILURE, "a fault inside Infobip"),
    Failure(6015, "EC_EMAIL_GATEWAY_ERROR", 3, False, _B, C.TRANSIENT_FAILURE, "a fault inside Infobip"),
    Failure(6016, "EC_SENDER_DOMAIN_BOUNCE_BLOCKED", 1, True, _R, C.TRANSIENT_FAILURE,
            "the sending domain is blocked for a day: too many bounces", former=("EC_EMAIL_SENDER_DOMAIN_BLOCKED",)),
    Failure(6017, "EC_SENDER_IP_BLACKLISTED", 2, False, _B, C.SPAM_BLOCK, "the sending address is on a blocklist",
            former=("EC_EMAIL_IP_BLACKLISTED",)),
    Failure(6018, "EC_REQUEST_INVALID", 1, True, _R, C.GENERIC_BOUNCE, "Infobip found the request invalid",
            former=("EC_INVALID_GATEWAY_REQUEST",)),
    Failure(6020, "EC_EMAIL_TEMPLATE_NOT_FOUND", 1, True, _R, C.GENERIC_BOUNCE, "a template is missing"),
    Failure(6021, "EC_EMAIL_PLACEHOLDERS_ERROR", 1, True, _R, C.GENERIC_BOUNCE, "placeholders could not be filled",
            former=("EC_EMAIL_HANDLE_BARS_ERROR",)),
    Failure(6023, "EC_BLOCKED_SUSPICIOUS_ACTIVITY", 1, True, _R, C.GENERIC_BOUNCE,
            "Infobip blocked the account for suspicious activity"),
    Failure(6024, "EC_EMAIL_TOO_MANY_URLS", 1, True, _R, C.GENERIC_BOUNCE, "more than 150 links to track"),
    Failure(6025, "EC_EMAIL_INVALID_TRACKING_PARAMS", 1, True, _R, C.GENERIC_BOUNCE, "tracking was asked for wrongly"),
    Failure(6026, "EC_EMAIL_LANDING_PAGE_PLACEHOLDERS_SIZE_EXCEEDED", 1, True, _R, C.GENERIC_BOUNCE,
            "placeholders of the landing page are too large"),
    Failure(6027, "EC_EMAIL_INVALID_HEADERS", 1, True, _R, C.GENERIC_BOUNCE, "Infobip found a header invalid"),
    Failure(6029, "EC_SENDER_ADDRESS_INVALID", 1, True, _R, C.GENERIC_BOUNCE, "the sender's address is invalid"),
    Failure(6030, "EC_EMAIL_INVALID_LANDING_PAGE", 1, True, _R, C.GENERIC_BOUNCE, "the landing page is invalid"),
    Failure(6031, "EC_INVALID_PRESERVED_CC_OR_BCC_RECIPIENT", 1, True, _R, C.GENERIC_BOUNCE,
            "a further recipient of the message is invalid"),
    Failure(6033, "EC_INVALID_CC_BCC_EMAIL_ADDRESS", 1, True, _R, C.GENERIC_BOUNCE,
            "a further recipient of the message is invalid"),
    Failure(6034, "EC_SUPPRESSED_BOUNCE", 1, True, _S, C.ADMIN_FAILURE, "the recipient bounced or complained before"),
    Failure(6035, "EC_SUPPRESSED_SPAM_COMPLAINT", 1, True, _S, C.ADMIN_FAILURE, "the recipient complained before",
            rule="Spam Complaint"),
    Failure(6036, "EC_SENDER_DOMAIN_UNVERIFIED", 1, True, _R, C.GENERIC_BOUNCE, "the sending domain is not verified"),
    Failure(6037, "EC_RECIPIENT_DOMAIN_MX_NOT_FOUND", 2, True, _B, C.DNS_FAILURE, "no MX or A for the domain"),
    Failure(6038, "EC_EMAIL_CONTENT_EXPIRED", 1, True, _R, C.GENERIC_BOUNCE, "the content expired before it was sent"),
    Failure(6039, "EC_EMAIL_TEMPLATE_LANGUAGE_ERROR", 1, True, _R, C.GENERIC_BOUNCE, "a template is faulty"),
    Failure(6040, "EC_EMAIL_TEMPLATE_EXPIRED", 1, True, _R, C.GENERIC_BOUNCE, "a template expired"),
    Failure(6041, "EC_EMAIL_TEMPLATE_NOT_SAVED", 1, True, _R, C.GENERIC_BOUNCE, "a template was not saved"),
    Failure(6042, "EC_SPAM_REVERTED", 2, True, _B, C.SPAM_CONTENT, "the receiver took the message for spam"),
    Failure(6043, "EC_SUSPICIOUS_CONTENT", 2, True, _B, C.SPAM_CONTENT, "the receiver found the content suspicious"),
    Failure(6044, "EC_SUSPICIOUS_SENDER", 2, True, _B, C.SPAM_BLOCK, "the receiver found the sender suspicious"),
    Failure(6045, "EC_RECIPIENT_DOMAIN_POLICY_ERROR", 2, True, _B, C.MAIL_BLOCK, "a policy of the receiver"),
    Failure(6046, "EC_UNSOLICITED_RECIPIENT", 2, False, _B, C.SPAM_BLOCK, "the receiver found the mail unsolicited"),
    Failure(6047, "EC_DOMAIN_CONFIGURATION_ERROR", 2, True, _B, C.GENERIC_BOUNCE, "the domain is not set up rightly"),
    Failure(6048, "EC_DMARC_POLICY_ISSUE", 2, True, _B, C.GENERIC_BOUNCE, "the message fails the DMARC policy"),
    Failure(6049, "EC_SENDER_DOMAIN_BLACKLISTED", 2, True, _B, C.SPAM_BLOCK, "the sending domain is on a blocklist"),
    Failure(6050, "EC_SENDER_WARMUP", 1, False, _R, C.TRANSIENT_FAILURE, "the sender is being warmed up"),
    Failure(6051, "EC_WARMUP", 1, False, _R, C.TRANSIENT_FAILURE, "the sending address is being warmed up"),
    Failure(6052, "EC_RECIPIENT_DOMAIN_TYPO", 1, True, _B, C.DNS_FAILURE, "the domain looks like a slip of the pen"),
    Failure(6053, "EC_ACCESS_DENIED_BY_MAILBOX_PROVIDER", 1, False, _B, C.TRANSIENT_FAILURE,
            "the receiver denies access for now"),
    Failure(6054, "EC_SINGLE_SENDER_NOT_VERIFIED", 1, True, _R, C.GENERIC_BOUNCE, "the sender is not verified"),
    Failure(6055, "EC_SINGLE_SENDER_TRAFFIC_EXCEEDED", 1, True, _R, C.GENERIC_BOUNCE, "the trial's quota is used up"),
    Failure(6056, "EC_NO_IP_POOL_ASSIGNED", 1, False, _R, C.TRANSIENT_FAILURE, "the domain has no pool of addresses"),
    Failure(6057, "EC_SAFETY_RATE_LIMIT", 1, False, _R, C.TRANSIENT_FAILURE, "Infobip limits the rate for safety"),
    Failure(6058, "EC_MAILBOX_PROVIDER_RATE_LIMIT", 1, False, _B, C.TRANSIENT_FAILURE, "the receiver limits the rate"),
)
# fmt: on

# What an error that stands in no row becomes, by its group.
UNKNOWN = {
    1: Failure(None, "", 1, None, _R, C.GENERIC_BOUNCE, "Infobip dropped the message"),
    2: Failure(None, "", 2, None, _B, C.GENERIC_BOUNCE, "the message was not delivered", by_reply=True),
    3: Failure(None, "", 3, None, _B, C.TRANSIENT_FAILURE, "a fault inside Infobip"),
}
TIMED_OUT = Failure(None, "", 2, None, _B, C.TIMEOUT, "exceeded max time without delivery")


def _refused(meaning: str, bounce_class: C = C.GENERIC_BOUNCE) -> Failure:
    return Failure(None, "", 1, None, _R, bounce_class, meaning)


_UNSENT = _refused("Infobip rejected the message")
_ACCOUNT = _refused("the account may not send: credit, package or trial", C.TRANSIENT_FAILURE)
_FAULT = _refused("a fault inside Infobip", C.TRANSIENT_FAILURE)
_BLOCKED = Failure(None, "", 1, True, _S, C.ADMIN_FAILURE, "the recipient is on the account's blocklist")
_TOO_LARGE = _refused("the message is too large", C.TOO_LARGE)

STATUSES = (
    StatusRow(3, Group.PENDING, "PENDING_WAITING_DELIVERY"),
    StatusRow(7, Group.PENDING, "PENDING_ENROUTE"),
    StatusRow(26, Group.PENDING, "PENDING_ACCEPTED"),
    StatusRow(2, Group.DELIVERED, "DELIVERED_TO_OPERATOR"),
    StatusRow(5, Group.DELIVERED, "DELIVERED_TO_HANDSET"),
    StatusRow(4, Group.UNDELIVERABLE, "UNDELIVERABLE_REJECTED_OPERATOR", UNKNOWN[2]),
    StatusRow(9, Group.UNDELIVERABLE, "UNDELIVERABLE_NOT_DELIVERED", UNKNOWN[2]),
    StatusRow(31, Group.UNDELIVERABLE, "UNDELIVERABLE_NOT_SENT", UNKNOWN[2]),
    StatusRow(15, Group.EXPIRED, "EXPIRED_EXPIRED", TIMED_OUT),
    StatusRow(29, Group.EXPIRED, "EXPIRED_DLR_UNKNOWN", UNKNOWN[2]),
    StatusRow(87, Group.EXPIRED, "SIGNALS_BLOCKED", _UNSENT),
    StatusRow(6, Group.REJECTED, "REJECTED_NETWORK", _UNSENT),
    StatusRow(8, Group.REJECTED, "REJECTED_PREFIX_MISSING", _UNSENT),
    StatusRow(10, Group.REJECTED, "REJECTED_DND", _UNSENT),
    StatusRow(11, Group.REJECTED, "REJECTED_SOURCE", _UNSENT),
    StatusRow(12, Group.REJECTED, "REJECTED_NOT_ENOUGH_CREDITS", _ACCOUNT),
    StatusRow(13, Group.REJECTED, "REJECTED_SENDER", _UNSENT),
    StatusRow(14, Group.REJECTED, "REJECTED_DESTINATION_BLOCKLISTED", _BLOCKED),
    StatusRow(17, Group.REJECTED, "REJECTED_PREPAID_PACKAGE_EXPIRED", _ACCOUNT),
    StatusRow(18, Group.REJECTED, "REJECTED_DESTINATION_NOT_REGISTERED", _ACCOUNT),
    StatusRow(19, Group.REJECTED, "REJECTED_ROUTE_NOT_AVAILABLE", _UNSENT),
    StatusRow(20, Group.REJECTED, "REJECTED_FLOODING_FILTER", _FAULT),
    StatusRow(21, Group.REJECTED, "REJECTED_SYSTEM_ERROR", _FAULT),
    StatusRow(23, Group.REJECTED, "REJECTED_DUPLICATE_MESSAGE_ID"),
    StatusRow(24, Group.REJECTED, "REJECTED_INVALID_UDH", _UNSENT),
    StatusRow(25, Group.REJECTED, "REJECTED_MESSAGE_TOO_LONG", _TOO_LARGE),
    StatusRow(51, Group.REJECTED, "MISSING_TO", _UNSENT),
    StatusRow(52, Group.REJECTED, "REJECTED_DESTINATION", _UNSENT),
    StatusRow(75, Group.REJECTED, "REJECTED_FREE_TRIAL_EXCEEDED", _ACCOUNT),
    StatusRow(88, Group.REJECTED, "REJECTED_DATA_TRANSFORMATION_FAILED", _UNSENT),
    StatusRow(89, Group.REJECTED, "REJECTED_INTERNAL_ERROR", _FAULT),
    StatusRow(90, Group.REJECTED, "REJECTED_VALIDATION_FAILED", _UNSENT),
    StatusRow(100, Group.REJECTED, "UNDELIVERABLE_REJECTED_PLATFORM", _UNSENT),
)

_BY_NAME = {name: row for row in ERRORS for name in (row.name, *row.former)}
_BY_ID = {row.id: row for row in ERRORS}
_STATUS_BY_NAME = {row.name: row for row in STATUSES}
_STATUS_BY_ID = {row.id: row for row in STATUSES}


def status_row(status: Status) -> StatusRow | None:
    """Return the row of a status by its name, then by its number."""
    return _STATUS_BY_NAME.get(status.name.upper()) or _STATUS_BY_ID.get(status.id or 0)


def find(problem: Problem | None, status: Status, group: Group) -> Failure:
    """Return what a report of a failure is about; `group` is what its status amounts to."""
    if problem is not None:
        return _by_error(problem, group)
    row = status_row(status)
    if row is not None and row.failure is not None:
        return row.failure
    if group is Group.EXPIRED:
        return TIMED_OUT
    return UNKNOWN[1] if group is Group.REJECTED else UNKNOWN[2]


def _by_error(problem: Problem, group: Group) -> Failure:
    row = _BY_NAME.get(problem.name.upper())
    if row is not None:
        return row
    row = _BY_ID.get(problem.id)
    if row is not None and problem.group in (None, row.group):
        # A new name for this number, or a number that was given to another error.
        doubtful = bool(problem.name) and row.bounce_class in HARD
        return replace(row, bounce_class=C.GENERIC_BOUNCE, by_reply=True) if doubtful else row
    usual = 1 if group is Group.REJECTED else 2
    return UNKNOWN.get(usual if problem.group is None else problem.group, UNKNOWN[2])
