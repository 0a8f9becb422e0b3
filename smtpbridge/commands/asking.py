"""
Ask the daemon that runs, by its control socket (see `ops.conversation` for what is said there).

One question, and answers as they come; no reactor, so that a command that follows something prints each line
at once and ends with Ctrl-C.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from smtpbridge.errors import SmtpbridgeError

Answer: TypeAlias = Mapping[str, object]
_READ = 65_536


class NobodyThere(SmtpbridgeError):
    """No daemon can be asked."""


class NotDone(SmtpbridgeError):
    """The daemon says why it did not do it; `why` has a sentence for each reason."""

    def __init__(self, why: tuple[str, ...]) -> None:
        super().__init__("\n".join(why))
        self.why = why


def ask(path: Path, verb: str, arguments: Answer, *, seconds: float | None = None) -> Iterator[Answer]:
    """
    Yield each answer as it comes; the last one has "done".

    Raise `NotDone` for what the daemon refused, and `NobodyThere` where it cannot be reached, goes away, or says
    nothing for so many `seconds`.
    """
    with _connected(path, seconds) as line:
        line.sendall(verb.encode() + b" " + json.dumps(arguments, separators=(",", ":")).encode() + b"\n")
        try:
            for text in _lines(line):
                answer = json.loads(text)
                if answer.get("done") is False:
                    raise NotDone(tuple(answer.get("why", ())))
                yield answer
                if answer.get("done"):
                    return
        except TimeoutError as error:
            raise NobodyThere(f"the daemon at {path} did not answer within {seconds:g} seconds") from error
        except OSError:
            pass  # It is gone.
    raise NobodyThere("the daemon is gone")


def _connected(path: Path, seconds: float | None) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(seconds)
    try:
        line.connect(str(path))
    except OSError as error:
        line.close()
        raise NobodyThere(_why(path, error)) from error
    return line


def _why(path: Path, error: OSError) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return (
                f"no daemon answers at {path}; does it run, and with this configuration? "
                "([process] control, by default below [store] path)"
            )
        case PermissionError():
            return f"the control socket {path} is for the daemon's own user; run this as that user or as root"
        case _:
            return f"the control socket {path} cannot be used ({(error.strerror or str(error)).lower()})"


def _lines(line: socket.socket) -> Iterator[bytes]:
    rest = b""
    while came := line.recv(_READ):
        *lines, rest = (rest + came).split(b"\n")
        yield from lines
