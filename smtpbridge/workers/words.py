"""
What the parent and a worker say to each other.

A packet is one octet that says what it is, and what belongs to it: for connections the number of
the door that each came in by, one octet each, in the order of the descriptors that come along;
else JSON, which is packed for figures, because they say much and repeat themselves.  Both ends are
this program, of the same version, so nothing is negotiated; what does not fit is `Nonsense`, and
whoever said it is out of order.

From the parent: CONNECTIONS, ASK (for figures, with a number), LOOK (for the status page, with a number and what is
looked for, if anything), PREPARE (another configuration, which comes along as an open file) and ENFORCE (it), each with
the number of the turn, STOP, FOLLOW (sessions, with a number and a filter), UNFOLLOW (that number).
From a worker: READY, COUNTS (its sign of life), LEAVING, FIGURES and SHOWN (with the number of the question), PREPARED
(with the turn and what was wrong), ENFORCED (with the turn), LINES (of sessions, with the number of who follows).
"""

import json
import zlib
from enum import IntEnum

from smtpbridge.errors import SmtpbridgeError

# Twenty times less at this level already.
_QUICKLY = 1


class Nonsense(SmtpbridgeError):
    """A packet that nobody says."""


class Kind(IntEnum):
    """The first octet of a packet."""

    CONNECTIONS = ord("C")
    ASK = ord("A")
    LOOK = ord("K")
    PREPARE = ord("P")
    ENFORCE = ord("E")
    STOP = ord("S")
    READY = ord("R")
    COUNTS = ord("N")
    LEAVING = ord("L")
    FIGURES = ord("F")
    SHOWN = ord("H")
    FOLLOW = ord("W")
    UNFOLLOW = ord("U")
    LINES = ord("I")
    PREPARED = ord("D")
    ENFORCED = ord("O")


def connections(doors: bytes) -> bytes:
    """Announce a connection for each octet of `doors`."""
    return bytes((Kind.CONNECTIONS,)) + doors


def packet(kind: Kind, content: object = None) -> bytes:
    """Write a packet of another kind."""
    octets = json.dumps(content, separators=(",", ":")).encode()
    return bytes((kind,)) + (zlib.compress(octets, _QUICKLY) if kind is Kind.FIGURES else octets)


def read(octets: bytes) -> tuple[Kind, object]:
    """Return what a packet says; of connections the doors as bytes.  Raise `Nonsense`."""
    try:
        kind, rest = Kind(octets[0]), octets[1:]
        if kind is Kind.CONNECTIONS:
            return kind, rest
        return kind, json.loads(zlib.decompress(rest) if kind is Kind.FIGURES else rest)
    except (IndexError, ValueError, RecursionError, zlib.error) as error:
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
