"""
Run a program that sends mail, and keep the octets that it sent.

    python record.py FOLDER LIBRARY VERSION CALL -- command to run ...

An SMTP sink listens on a free port of the loopback address, which the program finds in $SINK_PORT.  A message to
NAME@case.example becomes FOLDER/NAME.eml: what followed DATA, octet by octet, doubled dots undone, up to and without
the final dot.  FOLDER/origin.json says which library wrote it, and keeps what it says under "expect".
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class LongLines(SMTP):
    """What a library sends is kept, lines over 998 octets too."""

    line_length_limit = 1 << 20


class Keep:
    """Write every message to its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: list[str] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        name = envelope.rcpt_tos[0].partition("@")[0]
        content = envelope.original_content
        assert content is not None
        (self.folder / f"{name}.eml").write_bytes(content)
        self.kept.append(name)
        return "250 2.0.0 OK"


class Sink(Controller):
    """An SMTP server on whatever port is free."""

    def factory(self) -> SMTP:
        return LongLines(self.handler, hostname="sink.example")

    def _trigger_server(self) -> None:
        # The port is known only now; the base class greets itself there to see that all is well.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def main() -> None:
    """Record what one command sends."""
    folder, library, version, call, dashes, *command = sys.argv[1:]
    assert dashes == "--"
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    sink = Sink(Keep(path), hostname="127.0.0.1", port=0)
    sink.start()
    try:
        subprocess.run(command, check=True, env={**os.environ, "SINK_PORT": str(sink.port)})
    finally:
        sink.stop()
    origin = path / "origin.json"
    told = json.loads(origin.read_text("utf-8")) if origin.exists() else {}
    told = {"library": library, "version": version, "call": call, "expect": told.get("expect", {})}
    origin.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    sys.stdout.write(f"{path.name}: {', '.join(sorted(sink.handler.kept))}\n")


if __name__ == "__main__":
    main()
