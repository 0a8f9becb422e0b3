"""A process to look at, every text of it the same; and a page around it."""

from smtpbridge.ops.events import Aim, EventsSeen, Kept, Posted
from smtpbridge.ops.health import Health, Trouble, What
from smtpbridge.ops.history import Point
from smtpbridge.ops.page import Certificate, Facts, Known
from smtpbridge.ops.sight import (
    Crewman,
    Door,
    Found,
    KeptRow,
    Place,
    Pool,
    Queue,
    Row,
    Sight,
    Totals,
    Whole,
)

NOW = 1_790_000_000.0


def a_row(text: str, at: float = NOW, *, code: int = 250, queued: bool = False) -> Row:
    return Row(at, text, text, text, (text, text), 7, code, text, text, 0.0123, queued)


def a_sight(text: str, *, accepted: int = 3) -> Sight:
    """Return a sight that has one of everything."""
    return Sight(
        totals=Totals(accepted, 2, 1, 4),
        doors=(Door(text, 5),),
        pools=(Pool(text, 20, 6, text, text, (Place(text, 1, 2, 3, 4.0), Place(text))),),
        queue=Queue(8, 1, NOW - 3700, 2048),
        under_way=9,
        memory=1024,
        temporary=10,
        held_up=1,
        verdicts=(a_row(text), a_row(text, code=451), a_row(text, code=550, queued=True)),
        faults=(a_row(text, code=550),),
    )


def a_found(text: str) -> Found:
    kept = KeptRow(text, text, NOW - 60, text, (text,), 1, text, 2, NOW + 60, text)
    return Found((a_row(text),), (kept,), (text,))


def facts(text: str) -> Facts:
    certificate = Certificate(text, text, NOW + 40 * 86_400)
    return Facts(text, text, NOW - 90_061, lambda: [text], lambda: [certificate], lambda: an_events_seen(text))


def an_events_seen(text: str) -> EventsSeen:
    """Return one with a target that fails and one that is configured no more."""
    kept = Kept(1007, NOW - 120, 8, 9)
    aims = (Aim(text, Posted(4, 6, 5, text, 10.0), kept), Aim(text, None, kept))
    return EventsSeen(1001, 2, 3, NOW - 60, text, aims)


def known(text: str, *, ready: bool = False, now: float = NOW, sight: Sight | None = None) -> Known:
    health = Health(now)
    health.look([] if ready else [Trouble(What.LOGIN, text)], now)
    whole = Whole(sight or a_sight(text), (Crewman(1, text, a_sight(text)), Crewman(2, text, None)))
    points = [Point(60.0, 1.0, 0.5, 0.01, 0.2), Point(30.0, 2.0, 0.0, None, None)]
    return Known(now, whole, health, points, points[0])
