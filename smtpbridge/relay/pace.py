"""
How often a sender may connect and send: the listener's bounds by address, and a credential's own.

A bound that is not set costs nothing: then a session has no judge.
"""

from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.rates import Rates, network_of
from smtpbridge.smtp.commands import Mail
from smtpbridge.smtp.replies import Reply, reply

TOO_MANY_CONNECTIONS = reply(421, "4.7.0", "Too many connections from your address in a minute")
TOO_MANY_MESSAGES = reply(451, "4.7.1", "Too many messages in a minute; try again later")


class Pace:
    """What counts for one key: a judge (`smtp.events.Judge`) of the messages of a session."""

    def __init__(self, messages: Rates, address: str, deadlines: Deadlines) -> None:
        """Count against `address`, or against whatever else `messages` has as keys."""
        self._messages = messages
        self._key = network_of(address)
        self._deadlines = deadlines

    def sender(self, mail: Mail) -> Reply | None:
        """Answer MAIL where it comes too soon."""
        return None if self._messages.take(self._key, self._deadlines.now()) else TOO_MANY_MESSAGES

    def recipient(self, address: str, accepted: int) -> Reply | None:
        """Let every recipient in."""
        return None
