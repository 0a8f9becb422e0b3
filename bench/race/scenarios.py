"""
The scenarios of the race: who sends how much, and how.

They keep their names over time, so that figures of two versions can be compared.
"""

from dataclasses import dataclass

from bench.race.messages import Kind


@dataclass(frozen=True, slots=True)
class Scenario:
    """`delay` is how long the sink thinks about its final 250, in seconds; `kept` means one connection a session."""

    name: str
    title: str
    kind: Kind = Kind.SMALL
    sessions: int = 20
    kept: bool = True
    delay: float = 0.0
    starttls: bool = False
    recipients: int = 1


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("S1", "2 KB, 20 sessions, connections kept"),
        Scenario("S2", "55 KB, 20 sessions, connections kept", kind=Kind.TYPICAL),
        Scenario("S3", "10 MB, 4 sessions, connections kept", kind=Kind.LARGE, sessions=4),
        Scenario("S4", "2 KB, 20 sessions, a new connection for each message", kept=False),
        Scenario("S5", "2 KB, 200 sessions, the provider answers after 50 ms", sessions=200, delay=0.05),
        Scenario("S6", "2 KB, 20 sessions, STARTTLS towards the bridge, connections kept", starttls=True),
        Scenario("S7", "2 KB, 20 sessions, 50 recipients a message", recipients=50),
    )
}
