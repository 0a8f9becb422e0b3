"""Senders at work while something else happens to the daemon."""

import smtplib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from tests.integration.rig import PATIENCE


class Load(AbstractContextManager["Load"]):
    """
    Senders that send one message after the other until they are told to stop; a lost connection is made anew.

    What was answered with 250 is in `taken`, by subject; in `failed` is whatever else happened.
    """

    def __init__(
        self,
        port: int,
        senders: int,
        send: Callable[[smtplib.SMTP, str], object],
        *,
        prepare: Callable[[smtplib.SMTP], object] = lambda _: None,
        stays: Callable[[int], int] = lambda _: 1_000_000,
    ) -> None:
        """`prepare` begins a session, `send` sends the message of a subject; sender n `stays` for so many of them."""
        self.taken: list[str] = []
        self.failed: list[str] = []
        self._port = port
        self._send, self._prepare, self._stays = send, prepare, stays
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(senders)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        serial = 0
        while not self._stop.is_set():
            try:
                with smtplib.SMTP("localhost", self._port, timeout=PATIENCE) as session:
                    self._prepare(session)
                    for _ in range(self._stays(number)):
                        serial += 1
                        subject = f"load-{number}-{serial}"
                        self._send(session, subject)
                        self.taken.append(subject)
                        if self._stop.is_set():
                            break
            except (OSError, smtplib.SMTPException) as error:
                self.failed.append(repr(error))
