"""
From `[events]` to what writes messages down while they are relayed.

The relay tells the ledger of each message that it hands over, so that what Infobip reports of it later finds the way
back.  Nothing is opened here, and without `[events]` nothing of the ledger is loaded.
"""

import os
from collections.abc import Callable
from typing import Any

from smtpbridge.dialect.audience import Listening
from smtpbridge.dialect.token import OCTETS, Tokens
from smtpbridge.relay.chance import Chance
from smtpbridge.relay.correlation import Correlation
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.ledger_keeper import LedgerKeeper
from smtpbridge.settings.event_values import Events
from smtpbridge.settings.values import Config
from smtpbridge.store.ledger import Entry


def correlation_for(
    config: Config, deadlines: Deadlines, new_id: Callable[[], str], reactor: Any, epoch: Callable[[], float]
) -> Correlation | None:
    """Build what writes messages down, where there are events; the ledger is opened when the service starts."""
    said = config.events
    if said is None:
        return None
    # Off, nothing of it is loaded.
    from smtpbridge.store.ledger_sqlite import SqliteLedger

    def probe() -> Entry:
        return Entry(os.urandom(OCTETS), epoch(), b"", ())

    keeper = LedgerKeeper(lambda: SqliteLedger(config.store.path, new_id), reactor, deadlines, probe)
    return Correlation(
        keeper,
        Tokens(said.secret.reveal()),
        said.options,
        listening_of(said),
        epoch,
        Chance(os.urandom),
        id_in_reply=said.message_id_in_reply,
    )


def listening_of(events: Events) -> list[Listening]:
    """Return what each target takes."""
    return [Listening(one.name, one.events, one.subaccounts) for one in events.targets]
