"""
Hostile peers of every kind at once, and an ordinary sender among them: the real daemon, in real sockets.

`python -m bench.siege` does the same with ten times as many and takes the times.  Nothing here depends on how fast
the machine is: a sender that is slow only sends less.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.integration.rig import bridge, eventually, make_papers, sandbox, starttls_lines, write_config
from tests.siege import scripts
from tests.siege.camp import HOMES, Camp, Report, camp
from tests.siege.scripts import Kind
from tests.siege.senders import Sent, Way, senders
from tests.siege.watch import Look, Watch

MEBIBYTE = 1024 * 1024
CROWD = (
    (Kind("idle", scripts.idle), 80),
    (Kind("idle, TLS", scripts.idle_under_tls), 20),
    (Kind("slow command", scripts.slow_command), 20),
    (Kind("slow body", scripts.slow_data), 20),
    (Kind("slow header", scripts.slow_header), 10),
    (Kind("endless header", scripts.endless_header), 12),
    (Kind("endless line", scripts.endless_line), 4),
    (Kind("endless command", scripts.endless_command, deaf=True), 2),
    (Kind("command flood", scripts.command_flood, deaf=True), 2),
    (Kind("recipient flood", scripts.recipient_flood), 2),
    (Kind("silent handshake", scripts.silent_handshake), 3),
    (Kind("half handshake", scripts.half_handshake), 3),
    (Kind("stalled handshake", scripts.stalled_handshake), 2),
    (Kind("renegotiation", scripts.renegotiation), 2),
)
WAYS = (Way("kept", 0.05), Way("fresh", 0.2, tls=True), Way("large", 1.0, large=True))
# The ordinary senders have a listener with usual limits: on a busy machine they too are slow now and then.
_BESIEGED = "tcp:0:interface=127.0.0.1:backlog=1024"
LIMITS = f"""
[[listener]]
endpoint = "{_BESIEGED}"
max_message_bytes = {MEBIBYTE}
idle_seconds = 4
handshake_seconds = 3
data_seconds = 3
"""
ROOM = f"""
[process]
max_body_memory_bytes = {8 * MEBIBYTE}
max_temporary_bytes = {64 * MEBIBYTE}

[admin]
endpoint = "tcp:0:interface=127.0.0.1"
"""
# The limits that this crowd comes up against.
HIT = ("idle_seconds", "handshake_seconds", "min_rate_bytes", "max_message_bytes", "max_idle_commands")
# A session that is cut off may have a line for the refusal or the time that is over, one for the message that it had
# begun, and one for a handshake.
LINES_EACH = 3
# Besides the bodies: 170 sessions, the header of a mebibyte that is translated, and what Python and OpenSSL keep.
GROWTH = 8 * MEBIBYTE + 64 * MEBIBYTE


@dataclass(slots=True)
class Course:
    """What was seen before, in and after two sieges."""

    first: Look
    afterwards: list[Look] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    sent: list[dict[str, Sent]] = field(default_factory=list)
    arrived: list[Counter[str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Two sieges: the first crowd leaves by itself, the second one stays until it is cut off."""
    folder = tmp_path_factory.mktemp("siege")
    papers = make_papers(folder)
    with ExitStack() as stack:
        provider = stack.enter_context(sandbox(folder, papers))
        config = write_config(folder, papers, provider.port, listener=starttls_lines(papers))
        config.write_text(config.read_text() + LIMITS + starttls_lines(papers) + ROOM)
        relay = stack.enter_context(bridge(config))
        besieged = int(relay.says(rf"listening at {_BESIEGED} .*port=(\d+)")[1])
        crowd = stack.enter_context(camp())
        watch = Watch(relay)
        found = Course(watch.calm())
        for stays in (False, True):
            before = watch.look()
            with senders(relay.port, papers.authority, WAYS) as ordinary:
                crowd.besiege(besieged, CROWD)
                eventually(partial(_all_greeted, crowd), "all peers were greeted", 60)
                eventually(partial(_all_reached, watch, before), "all limits were reached", 60)
                if stays:
                    crowd.tire()
                else:
                    crowd.leave(abruptly=True)
                found.sent.append(ordinary.stop())
            found.afterwards.append(eventually(partial(_returned, watch, found.first), "all is given back", 60))
            found.reports.append(crowd.report())
            crowd.leave()
            found.arrived.append(Counter(str(message.field("Subject")) for message in provider.new_messages()))
        found.log = watch.log_lines()
        yield found


def _all_greeted(crowd: Camp) -> bool:
    greeted = crowd.report().greeted
    return all(greeted[kind.name] >= number for kind, number in CROWD)


def _all_reached(watch: Watch, before: Look) -> bool:
    now = watch.look().limits
    return all(now[limit] > before.limits[limit] for limit in HIT)


def _returned(watch: Watch, first: Look) -> Look | None:
    now = watch.look()
    return now if not now.held and now.own_descriptors <= first.own_descriptors else None


def test_every_message_of_an_ordinary_sender_is_accepted_and_arrives_once(course: Course) -> None:
    for sent, arrived in zip(course.sent, course.arrived, strict=True):
        assert [fault for found in sent.values() for fault in found.faults] == []
        assert all(found.accepted for found in sent.values())
        assert arrived == Counter(name for found in sent.values() for name in found.accepted)


def test_sessions_room_and_descriptors_are_given_back(course: Course) -> None:
    for look in course.afterwards:
        assert look.held == {}
        assert look.own_descriptors <= course.first.own_descriptors


def test_peers_that_stay_are_cut_off_by_the_limits_alone(course: Course) -> None:
    last = course.reports[-1]

    assert {name: number for name, number in last.standing.items() if number} == {}
    assert all(last.cut[kind.name] >= number for kind, number in CROWD)


def test_memory_stays_within_the_room_that_is_configured(course: Course) -> None:
    assert course.afterwards[-1].most_memory - course.first.memory < GROWTH


def test_every_limit_that_was_hit_is_counted(course: Course) -> None:
    counted = course.afterwards[-1].limits

    assert [limit for limit in HIT if counted[limit] < 2] == []


def test_a_hostile_session_costs_few_lines_of_the_log(course: Course) -> None:
    lines = [line for line in course.log if re.search(rf"client={HOMES}", line)]
    sessions = sum(report.greeted.total() for report in course.reports)

    assert sum(report.cut.total() for report in course.reports) > len(CROWD)
    assert 0 < len(lines) <= LINES_EACH * sessions


def test_no_session_ends_by_an_error_of_ours(course: Course) -> None:
    assert [line for line in course.log if re.search("Traceback|Unhandled|internal error", line)] == []
