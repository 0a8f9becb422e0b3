"""
From `[events]` to the part of the daemon that takes notifications in and posts events, with what operators see of it.

Without that table nothing of it is loaded.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.events import EventsSeen
from smtpbridge.ops.metrics import Figure
from smtpbridge.settings.values import Config


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The service, unstarted, its figures, and what the status page shows; without `[events]` there is nothing."""

    service: Service | None = None
    figures: tuple[Figure, ...] = ()
    seen: Callable[[], EventsSeen] | None = None


def webhooks(config: Config, reactor: Any, environ: Mapping[str, str]) -> Webhooks:
    """Return it, or end with what is wrong with it."""
    if config.events is None:
        return Webhooks()
    from smtpbridge.event_assembly import events_service
    from smtpbridge.readings.events import events_figures
    from smtpbridge.readings.events_seen import events_seen

    try:
        events = events_service(config, config.events, reactor, environ)
    except SmtpbridgeError as error:
        raise SystemExit(f"smtpbridge: {error}") from error
    return Webhooks(events, events_figures(events, time.time), lambda: events_seen(events))
