"""The factory of one listener: a `Sender` for each connection."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from smtpbridge.relay.sender import Sender
from smtpbridge.relay.site import Site


class Gate(Site, Factory):
    """Twisted's factory over a site."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Sender:
        """Return the protocol of a new connection."""
        return Sender(self, getattr(addr, "host", "") or "")
