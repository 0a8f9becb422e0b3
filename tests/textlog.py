"""The log as people read it, over an open file."""

from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel

from smtpbridge.ops.log_forms import TextForm
from smtpbridge.ops.log_sinks import Stream
from smtpbridge.ops.logs import EventLog


def text_log(descriptor: int, clock: IReactorTime | None = None, *, debug: bool = False) -> EventLog:
    """Return a log that writes lines of text to `descriptor`."""
    return EventLog(TextForm(), Stream(descriptor), clock, least=LogLevel.debug if debug else LogLevel.info)
