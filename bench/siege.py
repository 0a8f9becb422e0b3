"""
What hostile peers in great number do to an ordinary sender: `python -m bench.siege [SIEGES] [SECONDS]`.

The daemon is the real one, with STARTTLS, and relays to a provider that takes
everything.  First nobody but the ordinary senders is there.  Then, at once: 2,000
connections that say nothing (a tenth of them under TLS), 500 that send an octet or a
header field a second, 200 that send headers, lines and commands without end as fast as
they are taken, 50 that stall in a handshake or ask for another one within the
connection.  Whoever is cut off comes back.  Meanwhile one sender sends 2 KB every 50 ms
on a connection that it keeps, one makes a connection with TLS and a login for each
message, and one sends an X-MSYS-API of a mebibyte every second.  Then the peers go: by
closing, with RST, or when the daemon cuts them off.

It ends with status 1 when an ordinary message in a hundred takes more than a second, when one is
not accepted, lost or doubled, when memory outgrows what `docs/limits.md` promises, or when
something is not given back.  How long a message takes depends on who else uses the
machine: compare with the times before the siege.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.traffic import Sink, sink
from tests.integration.rig import (
    PROVIDER_USER,
    SENDER_USER,
    BridgeProgram,
    Papers,
    bridge,
    make_papers,
    starttls_lines,
)
from tests.siege import scripts
from tests.siege.camp import Camp, Report, camp
from tests.siege.scripts import Kind
from tests.siege.senders import Senders, Sent, Way, senders
from tests.siege.watch import Look, Watch

MEBIBYTE = 1024 * 1024
CROWD = (
    (Kind("idle", scripts.idle), 1_800),
    (Kind("idle, TLS", scripts.idle_under_tls), 200),
    (Kind("slow command", scripts.slow_command), 200),
    (Kind("slow body", scripts.slow_data), 200),
    (Kind("slow header", scripts.slow_header), 100),
    (Kind("endless header", scripts.endless_header), 100),
    (Kind("endless line", scripts.endless_line), 40),
    (Kind("endless command", scripts.endless_command, deaf=True), 20),
    (Kind("command flood", scripts.command_flood, deaf=True), 20),
    (Kind("recipient flood", scripts.recipient_flood), 20),
    (Kind("silent handshake", scripts.silent_handshake), 15),
    (Kind("half handshake", scripts.half_handshake), 10),
    (Kind("stalled handshake", scripts.stalled_handshake), 10),
    (Kind("renegotiation", scripts.renegotiation, again=0.5), 15),
)
_KEPT, _FRESH, _LARGE = "kept session", "fresh TLS", "1 MiB X-MSYS-API"
WAYS = (Way(_KEPT, 0.05), Way(_FRESH, 0.2, tls=True), Way(_LARGE, 1.0, large=True))
_BODY_MEMORY = 64 * MEBIBYTE
# What may come on top of the room for bodies: sessions by docs/limits.md, and what translating the large ones takes.
_FOR_SESSIONS = 2_750 * 16 * 1024 + 200 * 64 * 1024
_FOR_THE_REST = 48 * MEBIBYTE
# The limits of the listener are low, so that whoever stays is cut off before long; the deadlines in seconds.
_DEADLINE = 15
# How many idle sessions are put on the scales.
_FEW, _MANY = 500, 2_000
_UNTIL_THERE = 30.0
_AFTERWARDS = 90.0


@dataclass(frozen=True, slots=True)
class Siege:
    """What was seen of one siege."""

    before: Look
    worst: Look
    after: Look
    lags: Sequence[float]
    sent: dict[str, Sent]
    report: Report
    share: float
    waited: float
    seconds_until_quiet: float
    log_lines: int


def write_config(folder: Path, papers: Papers, upstream_port: int) -> Path:
    """Write a configuration with room for all the peers and with short deadlines."""
    path = folder / "smtpbridge.toml"
    path.write_text(f"""
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1:backlog=4096"
{starttls_lines(papers)}
idle_seconds = {_DEADLINE}
handshake_seconds = {_DEADLINE}
data_seconds = {_DEADLINE}
max_message_bytes = {4 * MEBIBYTE}

[[credential]]
username = "{SENDER_USER}"
secret_file = "{papers.sender_secret}"

[upstream.main]
hosts = ["127.0.0.1:{upstream_port}"]
security = "tls"
trust_roots = "{papers.authority}"
username = "{PROVIDER_USER}"
password_file = "{papers.provider_secret}"

[store]
path = "{folder / "store"}"

[process]
max_body_memory_bytes = {_BODY_MEMORY}
max_temporary_bytes = {1024 * MEBIBYTE}

[admin]
endpoint = "tcp:0:interface=127.0.0.1"
""")
    return path


def besiege(relay: BridgeProgram, watch: Watch, senders: Senders, camp: Camp, seconds: float, leave: str) -> Siege:
    """Look, let the crowd come, look for so many seconds, let it `leave`, and wait until all is quiet again."""
    lines = len(watch.log_lines())
    before = watch.look()
    looks = [before]
    started = time.monotonic()
    camp.besiege(relay.port, CROWD)
    while time.monotonic() < started + _UNTIL_THERE and not _all_came(camp.report()):
        time.sleep(0.25)
    began = watch.look()
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        time.sleep(0.25)
        looks.append(watch.look())
    busy = looks[-1].processor - began.processor
    queued = looks[-1].queued - began.queued
    report = camp.report()
    lasted = time.monotonic() - started
    sent = senders.sent()
    if leave == "cut":
        camp.tire()
    else:
        camp.leave(abruptly=leave == "rst")
    gone = time.monotonic()
    while time.monotonic() < gone + _AFTERWARDS and watch.look().figures["smtpbridge_sessions"] > len(WAYS):
        time.sleep(0.25)
    quiet = time.monotonic() - gone
    camp.leave()
    worst = max(looks, key=lambda look: look.figures["smtpbridge_sessions"])
    lags = sorted(look.lag for look in looks[1:])
    log_lines = len(watch.log_lines()) - lines
    return Siege(before, worst, watch.look(), lags, sent, report, busy / lasted, queued / lasted, quiet, log_lines)


def _all_came(report: Report) -> bool:
    return all(report.greeted[kind.name] >= number for kind, number in CROWD)


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return what so large a share of them does not exceed."""
    return sorted(seconds)[int(share * (len(seconds) - 1))] if seconds else float("inf")


def show_times(name: str, sent: dict[str, Sent]) -> None:
    """Print how long messages took."""
    for way, found in sent.items():
        if found.seconds:
            median, late, worst = (
                1000 * part
                for part in (statistics.median(found.seconds), percentile(found.seconds, 0.99), max(found.seconds))
            )
            print(
                f"  {name:8} {way:17} {len(found.seconds):5} accepted, median {median:6.0f} ms, 99 % {late:6.0f} ms, "
                f"worst {worst:6.0f} ms, {len(found.faults)} faults {found.faults[:2] or ''}"
            )


def show(siege: Siege) -> None:
    """Print what was seen."""
    show_times("during", siege.sent)
    before, after = siege.before, siege.after
    print(
        f"  sessions at most {siege.worst.figures['smtpbridge_sessions']:.0f}; a scrape takes "
        f"{statistics.median(siege.lags) * 1e3:.0f} ms, at most {siege.lags[-1] * 1e3:.0f} ms"
    )
    print(
        f"  the daemon had a processor {siege.share:.0%} of the time and waited for one {siege.waited:.0%}; "
        f"quiet after {siege.seconds_until_quiet:.1f} s; {siege.log_lines} log lines"
    )
    for name, look in (("before", before), ("worst", siege.worst), ("after", after)):
        bodies, files = (look.figures[f"smtpbridge_{kind}_bytes"] for kind in ("body_memory", "temporary"))
        print(
            f"  {name:8} RSS {look.memory / MEBIBYTE:5.0f} MiB, most {look.most_memory / MEBIBYTE:5.0f} MiB, "
            f"{look.descriptors.total():5} descriptors, bodies {bodies / MEBIBYTE:4.0f} MiB in memory, "
            f"{files / MEBIBYTE:4.0f} MiB in files"
        )
    for kind, number in CROWD:
        report = siege.report
        print(
            f"  {kind.name:18} {number:5}, {report.standing[kind.name]:5} standing, {report.greeted[kind.name]:6} "
            f"greeted, {report.cut[kind.name]:6} cut off, {report.octets[kind.name] / 1e6:8.1f} MB sent"
        )
    reached = {key: number - before.limits[key] for key, number in after.limits.items() if number > before.limits[key]}
    print("  limits reached:", ", ".join(f"{key} {number}" for key, number in reached.items()))


def faults_of(siege: Siege, first: Look) -> list[str]:
    """Return what is not as promised."""
    found = []
    for way in (_KEPT, _FRESH):
        slowest = percentile(siege.sent[way].seconds, 0.99)
        if slowest > 1.0:
            found.append(f"{way}: the 99th percentile is {slowest:.2f} s")
        found += [f"not accepted: {fault}" for fault in siege.sent[way].faults]
    if siege.seconds_until_quiet > _AFTERWARDS:
        found.append(f"some peers were still there after {_AFTERWARDS:g} s")
    allowed = first.memory + _BODY_MEMORY + _FOR_SESSIONS + _FOR_THE_REST
    if siege.after.most_memory > allowed:
        found.append(f"{siege.after.most_memory / MEBIBYTE:.0f} MiB of memory, {allowed / MEBIBYTE:.0f} were promised")
    return found


def left_over(watch: Watch, descriptors: Counter[str]) -> list[str]:
    """Return what is held although nobody is there, after a while; connections to the provider are kept."""
    end = time.monotonic() + 10
    while True:
        look = watch.look()
        more = look.own_descriptors - descriptors
        if not (look.held or more) or time.monotonic() > end:
            break
        time.sleep(0.1)
    found = [f"{name} is {value:.0f}" for name, value in look.held.items()]
    return found + [f"{number} descriptors more: {name}" for name, number in more.items()]


def weigh(relay: BridgeProgram, watch: Watch, crowd: Camp) -> None:
    """Print what a session costs that does nothing: the first ones also pay for what all share."""
    for name, script in (("plain", scripts.idle), ("TLS", scripts.idle_under_tls)):
        heavy: list[int] = []
        for number in (_FEW, _MANY - _FEW):
            crowd.besiege(relay.port, ((Kind(name, script), number),))
            while crowd.report().greeted[name] < number:
                time.sleep(0.1)
            time.sleep(2.0)
            heavy.append(watch.look().memory)
        print(f"an idle session, {name}: {(heavy[1] - heavy[0]) / (_MANY - _FEW) / 1024:.1f} KiB")
        crowd.leave()
        while watch.look().held:
            time.sleep(0.1)


def run(folder: Path, sieges: int, seconds: float) -> list[str]:
    """Do all of it; return what was wrong."""
    papers = make_papers(folder)
    found: list[str] = []
    with ExitStack() as stack:
        provider: Sink = stack.enter_context(sink(papers))
        relay = stack.enter_context(bridge(write_config(folder, papers, provider.port)))
        watch = Watch(relay)
        descriptors = watch.calm().own_descriptors
        accepted = unknown = 0
        crowd = stack.enter_context(camp())
        weigh(relay, watch, crowd)
        first: Look | None = None
        for number in range(sieges):
            with senders(relay.port, papers.authority, WAYS) as ordinary:
                time.sleep(5.0 if not number else 1.0)
                calm = ordinary.sent()
                first = first or watch.look()
                leave = ("fin", "rst", "cut")[number % 3]
                print(f"siege {number + 1}, {seconds:g} s, peers leave by: {leave}")
                show_times("before", calm)
                siege = besiege(relay, watch, ordinary, crowd, seconds, leave)
                show(siege)
                later = ordinary.stop()
                show_times("after", later)
            for part in (calm, siege.sent, later):
                accepted += sum(len(sent.accepted) for sent in part.values())
                unknown += sum(len(sent.faults) for sent in part.values())
            found += faults_of(siege, first) + left_over(watch, descriptors)
        taken = provider.count.value
        print(f"{accepted} messages were accepted, {taken} reached the provider")
    # Whoever gave up waiting does not know; its message may have arrived.
    if not accepted <= taken <= accepted + unknown:
        found.append(f"{accepted} messages were accepted, {taken} reached the provider")
    return found


def main() -> None:
    """Measure; the status tells whether the promises were kept."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sieges = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    with tempfile.TemporaryDirectory() as name:
        wrong = run(Path(name), sieges, seconds)
    for fault in wrong:
        print("WRONG:", fault)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
