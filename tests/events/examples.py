"""A message as the tests of events know it."""

from smtpbridge.dialect.injections import injection_id
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.sent import Sent
from smtpbridge.dialect.sparkpost_event import Account, Event, EventType, event

RECEIVED_AT = 1795154410.75  # 2026-11-20T06:00:10.750Z
SENT = Sent(
    transmission_id=7245139087123456789,
    message_id="0001f2a46b5e93c7d810",
    recipient="Anna.Berg@Customer.example",
    injected_at=1795154400.125,
    campaign="spring",
    metadata={"order": Number("12345678901234567890"), "vip": True, "who": {"name": "Åsa"}, "none": None},
    tags=("invoice", "räkning"),
    subject="Din räkning",
    friendly_from="billing@shop.example",
    msg_from="bounces@mail.shop.example",
    size=2911,
    open_tracking=True,
)


def injection(sent: Sent, account: Account) -> Event:
    """Return an injection as any other event is made; `injections` writes the same."""
    key = f"injection\0{sent.transmission_id}\0{sent.message_id}"
    found = event(EventType.INJECTION, key, sent.injected_at, sent, "", account, {})
    # Its id begins with the time.
    found.fields["event_id"] = injection_id(sent.transmission_id, sent.message_id)
    return found
