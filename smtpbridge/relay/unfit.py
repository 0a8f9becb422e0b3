"""
What keeps a whole message from being translated at all, as the reply to its final dot.

The listener refuses by it; `smtpbridge translate` foretells by it.  No sockets, no files.
"""

from smtpbridge.smtp.data import Defects
from smtpbridge.smtp.replies import Reply, reply

LONG_HEADER = reply(552, "5.3.4", "The header of the message is longer than this server takes")
_BARE = reply(550, "5.6.0", "The message holds a bare CR or LF; lines end with CR LF (RFC 5321, 2.3.8)")
_NUL = reply(550, "5.6.0", "The message holds a NUL octet (RFC 5322, 2.2)")


def unfit(defects: Defects, *, reject_bare: bool) -> Reply | None:
    """Return the reply that refuses data with these defects; without `reject_bare` line ends are written anew."""
    if defects.nul:
        return _NUL
    if defects.bare_line_ends and reject_bare:
        return _BARE
    return None
