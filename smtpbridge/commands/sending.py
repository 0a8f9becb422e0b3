"""
`smtpbridge send`: hand messages to a server, as a sender does, over several connections where that is wanted.

The client blocks, so each connection is a thread.  A connection is kept for as long as it holds; after a refusal
of the connection the next message gets a new one.

What must not be known here: options, files, the terminal.
"""

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from queue import SimpleQueue
from threading import Event

from smtpbridge.commands.client import Line, Login, NotTalked, Overheard, OverheardTls, Parcel, Refused, Sent, Tell
from smtpbridge.commands.doorway import Door, Tls
from smtpbridge.commands.printing import harmless


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends to one place; `hello` is what it calls itself, `seconds` the longest wait for anything."""

    door: Door
    login: Login | None
    hello: str
    seconds: float
    overhear: bool = False

    def send_all(self, parcels: Sequence[Parcel], connections: int) -> Iterator[Sent | Line]:
        """Send all messages over so many connections at a time; yield what became of each, and what was said."""
        numbers, stop = count(), Event()
        heard: SimpleQueue[Sent | Line | Future[None]] = SimpleQueue()

        def work() -> None:
            for sent in self._stream(parcels, numbers, stop, heard.put if self.overhear else None):
                heard.put(sent)

        with ThreadPoolExecutor(connections) as pool:
            for _ in range(connections):
                pool.submit(work).add_done_callback(heard.put)
            try:
                running = connections
                while running:
                    one = heard.get()
                    if isinstance(one, Future):
                        one.result()
                        running -= 1
                    else:
                        yield one
            finally:
                # Whoever does not want more waits for the messages that are under way, and for no others.
                stop.set()

    def _stream(
        self, parcels: Sequence[Parcel], numbers: Iterator[int], stop: Event, tell: Tell | None
    ) -> Iterator[Sent]:
        """Take messages until there are none, on one connection for as long as it holds."""
        client: Overheard | None = None
        # A counter's next number is taken by one thread alone.
        while not stop.is_set() and (number := next(numbers)) < len(parcels):
            parcel = parcels[number]
            try:
                client = client or self._connected(tell)
                yield client.one(parcel)
            except Refused as refused:
                _close(client)
                client = None
                yield Sent(parcel.message_id, refused.answer, refused.command)
            except NotTalked as error:
                _close(client)
                client = None
                yield Sent(parcel.message_id, None, failure=str(error))
            except (OSError, smtplib.SMTPException) as error:
                _close(client)
                client = None
                yield Sent(parcel.message_id, None, failure=f"the connection to {self.door} broke: {_said(error)}")
        if client is not None:
            client.leave()

    def _connected(self, tell: Tell | None) -> Overheard:
        door = self.door
        try:
            client = (OverheardTls if door.tls is Tls.TLS else Overheard)(door, self.hello, self.seconds, tell)
        except (OSError, smtplib.SMTPException) as error:
            raise NotTalked(f"cannot connect to {door}: {_said(error)}") from error
        try:
            if door.tls in (Tls.AUTO, Tls.STARTTLS):
                self._secure(client)
            if self.login is not None:
                client.log_in(self.login)
        except BaseException:
            client.close()
            raise
        return client

    def _secure(self, client: Overheard) -> None:
        if client.has_extn("starttls"):
            client.secured(self.door.context)
        elif self.door.tls is Tls.STARTTLS or self.login is not None:
            raise NotTalked(
                f"{self.door} does not offer STARTTLS; --tls none goes without it"
                + (", and the password then crosses the network in the clear" if self.login else "")
            )


def _close(client: Overheard | None) -> None:
    if client is not None:
        client.close()


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate does not hold: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return harmless(getattr(error, "strerror", None) or str(error) or type(error).__name__)
