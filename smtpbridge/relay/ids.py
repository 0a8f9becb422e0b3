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
    place = f"{process & 0xFFFF:04X}"

    def new() -> str:
        return f"{int(epoch() * 1_000_000):013X}{place}{next(serial) & 0xFFFF:04X}"

    return new
