"""
What the parent and a worker say to each other.

A packet is one octet that says what it is, and what belongs to it: for connections the number of
the door that each came in by, one octet each, in the order of the descriptors that come along;
else JSON.  Both ends are this program, of the same version, so nothing is negotiated; what does
not fit is `Nonsense`, and whoever said it is out of order.

From the parent: CONNECTIONS, ASK (for figures, with a number), STOP.
From a worker: READY, COUNTS (its sign of life), LEAVING, FIGURES (with the number of the question).
"""

import json
from enum import IntEnum

from smtpbridge.errors import SmtpbridgeError

# One octet says which door; no configuration has a fraction of it.
MOST_DOORS = 256


class Nonsense(SmtpbridgeError):
    """A packet that nobody says."""


class Kind(IntEnum):
    """The first octet of a packet."""

    CONNECTIONS = ord("C")
    ASK = ord("A")
    STOP = ord("S")
    READY = ord("R")
    COUNTS = ord("N")
    LEAVING = ord("L")
    FIGURES = ord("F")


def connections(doors: bytes) -> bytes:
    """Announce a connection for each octet of `doors`."""
    return bytes((Kind.CONNECTIONS,)) + doors


def packet(kind: Kind, content: object = None) -> bytes:
    """Write a packet of another kind."""
    return bytes((kind,)) + json.dumps(content, separators=(",", ":")).encode()


def read(octets: bytes) -> tuple[Kind, object]:
    """Return what a packet says; of connections the doors as bytes.  Raise `Nonsense`."""
    try:
        kind = Kind(octets[0])
        return kind, octets[1:] if kind is Kind.CONNECTIONS else json.loads(octets[1:])
    except (IndexError, ValueError, RecursionError) as error:
        raise Nonsense("a packet of no known kind") from error


def counts(content: object) -> tuple[int, list[int], list[object]]:
    """
    Return what COUNTS says; raise `Nonsense`.

    That is how many connections were taken so far, the sessions at each door, and what is wrong.
    """
    match content:
        case [int(seen), list(sessions), list(troubles)] if all(isinstance(one, int) for one in sessions):
            return seen, sessions, troubles
    raise Nonsense("counts that are none")
