"""
Make SparkPost's events of what the bridge itself knows of a recipient: that it gave it up.  (`injections` tell that it
took a message.)

Infobip is not the receiving server, so what it refuses says nothing sure about a mailbox, and no class here is hard.

What must not be known here: the clock, why the bridge gives up, and to whom events are posted.
"""

from smtpbridge.dialect import server_reply
from smtpbridge.dialect.bounce_class import BounceClass
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.sent import Sent
from smtpbridge.dialect.sparkpost_event import TIMED_OUT, Event, EventType, event

_UNKNOWN = "550 5.0.0 [internal] the message could not be handed on"


def expired(sent: Sent, at: float, options: EventOptions) -> Event:
    """Return the event of a recipient to whom the message could not be handed on in time; `at` is in seconds."""
    return _given_up(EventType.BOUNCE, sent, at, BounceClass.TIMEOUT, TIMED_OUT, options)


def refused(sent: Sent, at: float, reply: str, options: EventOptions) -> Event:
    """Return the event of a recipient whom Infobip refused at the door, with its reply (`550 5.7.1 ...`)."""
    read = server_reply.read(reply)
    found = BounceClass.TRANSIENT_FAILURE if read.is_temporary else BounceClass.GENERIC_BOUNCE
    reason = reply if read.is_temporary or read.is_permanent else _UNKNOWN
    chosen = options.policy_rejection_class or found
    return _given_up(EventType.POLICY_REJECTION, sent, at, chosen, reason, options)


def _given_up(type_: EventType, sent: Sent, at: float, found: BounceClass, reason: str, options: EventOptions) -> Event:
    own: dict[str, Json] = {
        "bounce_class": found.value,
        "error_code": server_reply.read(reason).code,
        "reason": reason,
        "raw_reason": reason,
    }
    # A recipient is given up once.
    key = f"given-up\0{sent.transmission_id}\0{sent.message_id}"
    return event(type_, key, at, sent, "", options.account, own)
