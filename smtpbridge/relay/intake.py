"""
From the data of a message, whole and spooled, to its content, or to the reply that refuses it.

The listener takes messages in by it; `smtpbridge translate` and `audit` foretell by it.

`taken` is the short way for data that came in one piece, which is most mail; `sealed` is
for what was spooled.

A header is bounded twice: in octets, for the memory, and in fields, because reading
and writing it costs by the field.  Both are told at the end of the data, which are read
to their end whatever they are.
"""

from twisted.logger import Logger

from smtpbridge.mail.headers import count_fields, end_of_header
from smtpbridge.relay.budget import Budget
from smtpbridge.relay.content import Content
from smtpbridge.relay.spool import HeaderTooLong, NoSpace, Spool
from smtpbridge.smtp.data import Block, Defects, End, EndFinder, stuff, unstuff
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.smtp.texts import TOO_BIG

# Real mail has fewer than a hundred; fifty hops more, and what filters add, leave it far below.
MAX_FIELDS = 1000
# The shortest field is a name of one letter with its colon, or a line of one letter that is no field.
_SHORTEST_FIELD = 3
NO_SPACE = reply(452, "4.3.1", "Insufficient system storage")
_BARE = reply(550, "5.6.0", "The message holds a bare CR or LF; lines end with CR LF (RFC 5321, 2.3.8)")
_NUL = reply(550, "5.6.0", "The message holds a NUL octet (RFC 5322, 2.2)")
_log = Logger(__name__)


def long_header(max_header: int) -> Reply:
    """Return the refusal of a header of more octets."""
    return reply(
        552, "5.3.4", f"The header of the message is longer than the {max_header} octets that this server takes"
    )


def many_fields(max_fields: int) -> Reply:
    """Return the refusal of a header of more fields."""
    return reply(
        552, "5.3.4", f"The header of the message has more than the {max_fields} fields that this server takes"
    )


def taken(
    data: bytes, budget: Budget, *, threshold: int, max_header: int, max_fields: int = MAX_FIELDS
) -> Content | Reply | None:
    """
    Return the content of data in wire form without defect, or the refusal.

    `None` says that memory has no room for them: then a spool is to keep them.  Sizes are in octets.
    """
    size = len(data)
    if size > threshold or budget.memory + size > budget.max_memory:
        return None
    length, start = end_of_header(data)
    if length > max_header:
        return long_header(max_header)
    header = unstuff(data[:length])
    if length > max_fields * _SHORTEST_FIELD and count_fields(header) > max_fields:
        return many_fields(max_fields)
    budget.memory += size
    return Content(header, size, size - start, data[start:], None, 0, budget, size)


def sealed(
    spool: Spool, defects: Defects, *, reject_bare: bool, max_header: int, max_fields: int = MAX_FIELDS
) -> Content | Reply:
    """Return the content of what was spooled, or the refusal; then nothing is kept.  `max_header` is in octets."""
    refusal = _NUL if defects.nul else _BARE if defects.bare_line_ends and reject_bare else None
    if refusal is not None:
        spool.discard()
        return refusal
    try:
        content = spool.seal(defects, max_header)
    except HeaderTooLong:
        return long_header(max_header)
    except NoSpace as error:
        _log.error("{error}", error=str(error))
        return NO_SPACE
    header = content.header
    if len(header) > max_fields * _SHORTEST_FIELD and count_fields(header) > max_fields:
        content.close()
        return many_fields(max_fields)
    return content


def content_of(
    octets: bytes, *, max_message: int, reject_bare: bool, max_header: int, max_fields: int = MAX_FIELDS
) -> Content | Reply:
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
    return sealed(spool, defects, reject_bare=reject_bare, max_header=max_header, max_fields=max_fields)
