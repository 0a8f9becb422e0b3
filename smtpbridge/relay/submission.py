"""A whole message with all that the relay must know of it."""

from dataclasses import dataclass

from smtpbridge.dialect.policy import UNSAID, Defaults
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from smtpbridge.relay.spool import Content


@dataclass(frozen=True, slots=True)
class Submission:
    """
    A message as it came in.

    `id` joins log lines and stands in `Received`; `until` is when its sender must have an answer, in the clock's
    seconds; `subaccount` are the digits of the user name's suffix, empty without one; `defaults`
    are what the sender's listener and login say where the message does not.
    """

    id: str
    envelope: Envelope
    content: Content
    eight_bit: bool
    trace: Trace
    subaccount: str
    until: float
    defaults: Defaults = UNSAID
