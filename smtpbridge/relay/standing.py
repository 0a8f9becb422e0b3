"""
Whether an upstream can be used, as its dials have shown.

Theory of operation
-------------------

Nothing is dialled before somebody asks, so an upstream counts as usable until every one of its
hosts was dialled in vain, with no connection alive meanwhile.  It counts as usable again when
a connection is ready for mail; not when a pause is over, which would only make it come and go.
A host that fails while others work, and a connection too many that is turned away, change nothing.

A login that was refused speaks of all hosts and of every connection to come, whatever is alive.

What must not be known here: sockets, the ledger.
"""

from smtpbridge.smtp.replies import Reply

# RFC 4954, 4 and 6: a login is required, its mechanism is too weak or needs encryption, its credentials are wrong.
OF_LOGINS = {530, 534, 535, 538}


class Standing:
    """What the dials of one upstream have shown; `fault` is the last fault, without words of exceptions."""

    def __init__(self, hosts: int) -> None:
        """Know of nothing bad about so many hosts."""
        self.fault = ""
        self.unreachable = self.login_refused = False
        self._hosts = hosts
        self._failed: set[str] = set()

    @property
    def bad(self) -> bool:
        """Tell whether a dial is worth while only to see whether it works again."""
        return self.unreachable or self.login_refused

    def ready(self) -> None:
        """A connection takes mail."""
        self.unreachable = self.login_refused = False
        self._failed.clear()

    def failed(self, host: str, fault: str, answer: Reply | None, *, alive: bool) -> None:
        """A dial failed; `answer` is what the server said, `alive` that other connections work."""
        self.fault = fault
        if answer is not None and answer.code in OF_LOGINS:
            self.login_refused = True
        if not alive:
            self._failed.add(host)
            self.unreachable = self.unreachable or len(self._failed) >= self._hosts
