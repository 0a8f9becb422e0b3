"""Every figure that a daemon can show, of one process and of several, for the tests that compare."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor

from smtpbridge.assembly import relay_service
from smtpbridge.config import loads
from smtpbridge.event_assembly import events_service
from smtpbridge.events.service import EventsService
from smtpbridge.figures import figures_of
from smtpbridge.ops.health import Health
from smtpbridge.ops.metrics import Figure
from smtpbridge.readings.events import events_figures
from smtpbridge.readings.process import build_figures, process_figures
from smtpbridge.relay.service import RelayService
from smtpbridge.reloading.reloads import Reloads
from smtpbridge.reloading.reloads import figures_of as reload_figures
from smtpbridge.secret import Secret
from smtpbridge.settings.event_values import Events, Target
from smtpbridge.store.ledger import LedgerCounts
from smtpbridge.store.values import Counts
from smtpbridge.vitals import Depth, depth_figures, health_figures
from smtpbridge.workers.ledger import Ledger
from smtpbridge.workers.parent import worker_figures
from tests.reloading.test_reloads import config, nothing_happens, record

reactor: Any = _reactor
ROOT = Path(__file__).parents[2]
CONFIG = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
[upstream.main]
hosts = ["mx.test:587"]
"""
EVENTS = Events(
    public_url="https://events.example.com/infobip",
    endpoint="tcp:0:interface=127.0.0.1",
    secret=Secret(b"a secret of the inbox"),
    targets=(Target("crm", "https://crm.example.com/hook"),),
)


def relay() -> RelayService:
    """Return a relay that was not started."""
    environ = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-29"}
    return relay_service(loads(CONFIG, base=ROOT, environ=environ), reactor)


def events() -> EventsService:
    """Return the events' side of a bridge that was not started, as it looks with a ledger."""
    environ = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-29"}
    made = events_service(loads(CONFIG, base=ROOT, environ=environ), EVENTS, reactor, {})
    made.housekeeping.counts = LedgerCounts(0, None, 0, None, 0, 0, ())
    return made


def every_figure() -> tuple[Figure, ...]:
    """Return all of them."""
    depth = Depth(None, reactor)
    depth.counts = Counts(depth=0, held=0, oldest=None, octets=0)
    return (
        *figures_of(relay()),
        *depth_figures(depth, lambda: 0.0),
        *health_figures(Health(0.0)),
        *reload_figures(Reloads(config(), record(), **nothing_happens())),
        *figures_of_events(),
        *build_figures(0.0),
        *process_figures(),
        *worker_figures(Ledger(2, 30.0), lambda: 0),
    )


def figures_of_events() -> tuple[Figure, ...]:
    """Return those that are there with `[events]` alone."""
    return events_figures(events(), lambda: 0.0)
