"""Who wants to hear of sessions that begin: what a listener and a pool know of `tracing`, which knows them."""

from typing import Any
from typing import Protocol as Contract


class Onlooker(Contract):
    """Somebody who follows sessions."""

    def begun(self, session: Any) -> None:
        """A session has begun, and nothing was said yet."""
