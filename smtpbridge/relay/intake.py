"""
From the data of a message, whole and spooled, to its content, or to the reply that refuses it.

The listener takes messages in by it; `smtpbridge translate` and `audit` foretell by it.
"""

from twisted.logger import Logger

from smtpbridge.relay.spool import Content, HeaderTooLong, NoSpace, Spool
from smtpbridge.smtp.data import Block, Defects, End, EndFinder, stuff
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.smtp.texts import TOO_BIG

_LONG_HEADER = reply(552, "5.3.4", "The header of the message is longer than this server takes")
_NO_SPACE = reply(452, "4.3.1", "Insufficient system storage")
_BARE = reply(550, "5.6.0", "The message holds a bare CR or LF; lines end with CR LF (RFC 5321, 2.3.8)")
_NUL = reply(550, "5.6.0", "The message holds a NUL octet (RFC 5322, 2.2)")
_log = Logger()


def sealed(spool: Spool, defects: Defects, *, reject_bare: bool, max_header: int) -> Content | Reply:
    """Return the content of what was spooled, or the refusal; then nothing is kept.  `max_header` is in octets."""
    refusal = _NUL if defects.nul else _BARE if defects.bare_line_ends and reject_bare else None
    if refusal is not None:
        spool.discard()
        return refusal
    try:
        return spool.seal(defects, max_header)
    except HeaderTooLong:
        return _LONG_HEADER
    except NoSpace as error:
        _log.error("{error}", error=str(error))
        return _NO_SPACE


def content_of(octets: bytes, *, max_message: int, reject_bare: bool, max_header: int) -> Content | Reply:
    """Return what a listener would make of a message given whole (CRLF lines, dots not doubled), kept in memory."""
    wire = stuff(octets)
    if len(wire) > max_message:
        return TOO_BIG
    # Line ends that are written anew may double the size.
    spool, defects = Spool(threshold=2 * len(wire) + 2), Defects()
    for found in EndFinder().feed(wire + b".\r\n"):
        match found:
            case Block():
                spool.write(found.octets)
            case End():
                defects = found.defects
    return sealed(spool, defects, reject_bare=reject_bare, max_header=max_header)
