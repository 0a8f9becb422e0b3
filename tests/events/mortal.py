"""
The inbox, the translation and the outbox in a process of their own, which kills itself where a test says.

`python -m tests.events.mortal CONFIG NUMBER` writes its port to standard output, and is gone at that step of the
ledger (before or behind a commit), counted from 1; 0 is never.
"""

import os
import signal
import sys
from typing import Any

from twisted.internet import reactor as _reactor

from smtpbridge.config import load
from smtpbridge.event_assembly import events_service


def main(path: str, number: int) -> None:
    """Run until the end."""
    reactor: Any = _reactor
    config, steps = load(path, {}), 0

    def step(_: str) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), signal.SIGKILL)

    assert config.events is not None
    service = events_service(config, config.events, reactor, {}, steps=step)
    service.privilegedStartService()
    service.startService()
    where: Any = service.port and service.port.getHost()
    sys.stdout.write(f"{where.port}\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
