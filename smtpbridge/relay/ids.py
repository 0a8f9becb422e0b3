"""Names for messages: in `Received`, in every log line about the message, and later in the store."""

from collections.abc import Callable
from itertools import count


def message_ids(epoch: Callable[[], float], process: int) -> Callable[[], str]:
    """
    Return a source of names that do not come twice on one machine.

    A name is the microsecond of its making, 16 bits of the process id and 16 of a serial number, as capital hexadecimal
    digits: names sort by time, and a clock that is set back makes no duplicate within the next 65,536 messages.
    """
    serial = count()
    place = (process & 0xFFFF) << 16

    def new() -> str:
        # As one number: to write several costs as much for each.
        return "%021X" % (int(epoch() * 1_000_000) << 32 | place | next(serial) & 0xFFFF)

    return new
