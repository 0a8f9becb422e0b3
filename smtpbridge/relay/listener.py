"""The factory of one listener: a `Sender` for each connection, or a `Balancer` that will say whom it speaks for."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from smtpbridge.relay.auth import allowed
from smtpbridge.relay.balancer import Balancer
from smtpbridge.relay.sender import Sender
from smtpbridge.relay.site import Site


class Gate(Site, Factory):
    """Twisted's factory over a site."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Sender | Balancer:
        """Return the protocol of a new connection."""
        address = getattr(addr, "host", "") or ""
        if self.habits.proxy_from and allowed(address, self.habits.proxy_from):
            return Balancer(self, address)
        return Sender(self, address)
