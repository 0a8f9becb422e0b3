"""
What somebody wants to see of all sessions: a filter, and its answer about one session.

A session is judged by what is known of it so far.  Whom it logs in as and whom it sends to shows only later, so there
are three answers; what `MAYBE` was said of is kept by the caller, for a while.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from smtpbridge.errors import SmtpbridgeError


class NoFilter(SmtpbridgeError):
    """What was asked for is no filter."""


class Verdict(Enum):
    """Whether a session is to be shown."""

    YES = auto()
    NO = auto()
    MAYBE = auto()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a session; exactly one of `listener` and `upstream` has a text."""

    session: str
    listener: str = ""
    upstream: str = ""
    client: str = ""
    user: str | None = None
    sender: str | None = None
    recipients: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter: what is `None` does not matter; addresses and user names are compared without case."""

    client: IPv4Network | IPv6Network | None = None
    user: str | None = None
    sender: str | None = None
    recipient: str | None = None
    upstream: str | None = None
    listener: str | None = None
    session: str | None = None
    headers: bool = False

    def judge(self, facts: Facts) -> Verdict:
        """Say whether a session is to be shown."""
        if not self._is_of_the_kind(facts):
            return Verdict.NO
        # What follows the colon is SparkPost's: a subaccount and the like.
        if self.user is not None and facts.user is not None:
            whole = facts.user.lower()
            if self.user not in (whole, whole.partition(":")[0]):
                return Verdict.NO
        known = (
            (self.user is None or facts.user is not None)
            and (self.sender is None or (facts.sender is not None and facts.sender.lower() == self.sender))
            and (self.recipient is None or any(one.lower() == self.recipient for one in facts.recipients))
        )
        return Verdict.YES if known else Verdict.MAYBE

    @property
    def by_message(self) -> bool:
        """Tell whether each transaction is judged by itself."""
        return self.sender is not None or self.recipient is not None

    def _is_of_the_kind(self, facts: Facts) -> bool:
        """Judge by what never changes."""
        if self.session is not None and self.session != facts.session:
            return False
        if self.upstream is not None and self.upstream != facts.upstream:
            return False
        if self.listener is not None and (not facts.listener or self.listener not in facts.listener):
            return False
        if (self.client is not None or self.user is not None) and not facts.listener:
            return False  # of an upstream's connection nobody knows for whom it was dialled
        return self.client is None or _within(facts.client, self.client)


def wanted_of(said: Mapping[str, object]) -> Wanted:
    """Read a filter from JSON; raise `NoFilter`."""
    known = {field.name for field in fields(Wanted)}
    if unknown := sorted(said.keys() - known):
        raise NoFilter(f"unknown: {', '.join(unknown)}")
    texts: dict[str, str] = {}
    for name in known - {"headers"}:
        value = said.get(name)
        if value is not None and not isinstance(value, str):
            raise NoFilter(f"{name} is no text")
        if value is not None:
            texts[name] = value.lower() if name in ("user", "sender", "recipient") else value
    network = texts.pop("client", None)
    return Wanted(client=None if network is None else _network(network), headers=said.get("headers") is True, **texts)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise NoFilter(f"{text} is neither an address nor a network such as 192.0.2.0/24") from error


def _within(address: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(address.partition("%")[0]) in network
    except ValueError:
        return False  # a local socket has none
