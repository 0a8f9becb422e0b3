"""
One connection of a balancer, until it has said whom it speaks for.

Theory of operation
-------------------

The header of the PROXY protocol comes before everything else, also before our
greeting.  Until it is there nobody is trusted, counted or greeted.  Then a `Sender`
takes the connection over, with the client's address as its own: all that depends on
an address comes after that.

A connection of the balancer's own (a health probe, LOCAL) is served under the
balancer's address and not held against it.  One that closes without a word is a
probe as well.  Whoever is listed and sends no header, or a wrong one, is cut off
without a word, as 2.1 of the specification asks; the log says why.
"""

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from smtpbridge.relay.deadlines import NEVER
from smtpbridge.relay.sender import Sender
from smtpbridge.relay.site import Site
from smtpbridge.relay.tally import Limit
from smtpbridge.relay.wire import Wire, wire_of
from smtpbridge.smtp.proxy_protocol import BadHeader, Header, HeaderReader, Whole


class Balancer(Protocol):
    """A connection that begins with a header."""

    _wire: Wire

    def __init__(self, gate: Site, address: str) -> None:
        """Listen to the balancer at `address`."""
        self.deadline = NEVER
        self._gate = gate
        self.address = address
        self._header = HeaderReader()
        self._spurned = False

    def connectionMade(self) -> None:
        """The header has its time from now."""
        self._wire = wire_of(self.transport)
        self.deadline = self._gate.deadlines.now() + self._gate.habits.proxy
        self._gate.deadlines.watch(self)

    def dataReceived(self, data: bytes) -> None:
        """Octets of the header, and perhaps of what follows it."""
        if self._spurned:
            return
        match self._header.feed(data):
            case Whole(header, rest):
                self._gate.deadlines.forget(self)
                self._hand_over(self._sender_for(header), rest)
            case BadHeader(why):
                self._spurn(why)
            case None:
                pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The balancer has closed."""
        self._gate.deadlines.forget(self)
        if self._header.begun and not self._spurned:
            self._note("it closed within the header")

    def deadline_passed(self) -> None:
        """The balancer was silent for too long."""
        self._gate.tally.reached(Limit.PROXY_SECONDS)
        self._spurn(f"no whole header within {self._gate.habits.proxy:g} s (proxy_seconds)")

    def _sender_for(self, header: Header) -> Sender:
        if header.source is None:
            return Sender(self._gate, self.address, balancer=self.address, counted_as="")
        client = header.source.address
        self._gate.log.debug(
            "client={client} by balancer={balancer} {header}", client=client, balancer=self.address, header=header
        )
        secure = header.tls is not None or self._gate.habits.proxy_tls_always
        return Sender(self._gate, client, balancer=self.address, secure=secure)

    def _hand_over(self, sender: Sender, rest: bytes) -> None:
        """Let `sender` have the connection, as if it had had it from the start."""
        transport = self.transport
        assert transport is not None
        # Twisted has no call for this; its own wrappers set the attribute too.
        transport.protocol = sender  # type: ignore[attr-defined]
        sender.makeConnection(transport)
        if rest:
            sender.dataReceived(rest)

    def _spurn(self, why: str) -> None:
        self._spurned = True
        self.deadline = NEVER
        self._note(why)
        self._wire.abortConnection()

    def _note(self, why: str) -> None:
        self._gate.log.warn(
            "PROXY header refused balancer={balancer}: {why}; a balancer in proxy_from has to send one on each "
            "connection",
            balancer=self.address,
            why=why,
        )
