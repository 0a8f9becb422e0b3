"""The figures of a daemon with two workers against what the sandbox counted, under a mixed load."""

import re
import smtplib
import ssl
import threading
import urllib.request
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.integration.rig import BridgeProgram, Papers, bridge, eventually, sandbox, starttls_lines, write_config
from tests.ops.every_figure import every_figure, figures_of_events

SENDER = "shop@mail.example.com"
ADMIN = '\n[admin]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
TWO = "\n[process]\nworkers = 2\n"
OF_WORKERS = {"smtpbridge_workers", "smtpbridge_worker_ends"}
SENDERS, ROUNDS = 6, 5


def message(api: str = "") -> bytes:
    field = f"X-MSYS-API: {api}\r\n" if api else ""
    return f"From: {SENDER}\r\nTo: r@example.org\r\n{field}Subject: one\r\n\r\nhello\r\n".encode()


# Recipients, content and the class of the verdict: the sandbox's words for what is to happen are in the addresses.
MIX = (
    (["r@example.org"], message(), "2"),
    (["r@example.org", "s@example.org"], message('{"campaign_id": "spring", "tags": ["a"]}'), "2"),
    (["r@example.org"], message('{"bcc": ["b@example.org"]}'), "2"),
    (["refuse@example.org"], message(), "5"),
    (["later@example.org"], message(), "4"),
    (["r@example.org"], message('{"tags": 1}'), "5"),
)


class Sender(threading.Thread):
    """One session that sends the mix, over and over."""

    def __init__(self, port: int, papers: Papers) -> None:
        super().__init__()
        self.heard: list[str] = []
        self._port = port
        self._context = ssl.create_default_context(cafile=str(papers.authority))

    def run(self) -> None:
        with smtplib.SMTP("127.0.0.1", self._port, timeout=30) as session:
            session.starttls(context=self._context)
            session.ehlo()
            for _ in range(ROUNDS):
                for recipients, content, _ in MIX:
                    self.heard.append(self._one(session, recipients, content))

    @staticmethod
    def _one(session: smtplib.SMTP, recipients: list[str], content: bytes) -> str:
        session.mail(SENDER)
        for recipient in recipients:
            session.rcpt(recipient)
        code, _ = session.data(content)
        return str(code)[0]


class Scraped:
    """The sums of a scrape by name and one label."""

    def __init__(self, relay: BridgeProgram) -> None:
        port = relay.says(r"figures at .* port=(\d+)")[1]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        with urllib.request.urlopen(request, timeout=15) as answer:
            text = answer.read().decode()
        families = list(text_string_to_metric_families(text))
        self.names = {one.name for one in families if one.samples}
        self._samples = [one for family in families for one in family.samples]

    def by(self, name: str, label: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for one in self._samples:
            if one.name == name and one.value:
                found[one.labels[label]] = found.get(one.labels[label], 0) + one.value
        return found

    def of(self, name: str, **labels: str) -> float:
        found = [one.value for one in self._samples if one.name == name and labels.items() <= one.labels.items()]
        assert found, name
        return float(sum(found))


def names_without_events() -> set[str]:
    return {one.name for one in every_figure()} - {one.name for one in figures_of_events()}


def verdicts_in(relay: BridgeProgram, least: int) -> list[str]:
    """Return the first digits of the verdicts in the log; none while there are fewer than `least`."""
    found = re.findall(r"(?m) id=\S+ verdict=(\d)", relay.output())
    return found if len(found) >= least else []


def test_of_two_workers_under_a_mixed_load_they_say_what_the_provider_and_the_senders_counted(
    papers: Papers, tmp_path: Path
) -> None:
    with sandbox(tmp_path, papers) as upstream:
        config = write_config(tmp_path, papers, upstream.port, listener=starttls_lines(papers))
        config.write_text(config.read_text() + TWO + ADMIN)
        with bridge(config) as relay:
            relay.says("worker 1 is ready")
            relay.says("worker 2 is ready")
            senders = [Sender(relay.port, papers) for _ in range(SENDERS)]
            for one in senders:
                one.start()
            for one in senders:
                one.join()
            eventually(lambda: Scraped(relay).of("smtpbridge_sessions") == 0, "the end of every session")
            found = Scraped(relay)
            # The log is written in batches, so its last lines come behind the replies.
            every = len(MIX) * ROUNDS * SENDERS
            verdicts = eventually(lambda: verdicts_in(relay, every), "a verdict for each in the log")
        counted = upstream.statistics()

    assert found.names == names_without_events()
    rounds = SENDERS * ROUNDS
    heard = [code for one in senders for code in one.heard]
    assert heard == [code for _, _, code in MIX] * rounds
    by_class = {f"{code}xx": float(heard.count(code)) for code in "245"}
    assert found.by("smtpbridge_messages_total", "class") == by_class
    assert {f"{code}xx": float(verdicts.count(code)) for code in "245"} == by_class, "the log says the same"
    assert found.of("smtpbridge_verdict_seconds_count") == len(heard)
    assert found.of("smtpbridge_verdict_seconds_bucket", le="+Inf") == len(heard)
    # What the provider took, and on how many connections.
    transactions = found.by("smtpbridge_upstream_transactions_total", "outcome")
    assert transactions["taken"] == counted["messages"] == 4 * rounds
    assert transactions == {"taken": 4 * rounds, "refused": rounds, "deferred": rounds}
    assert found.of("smtpbridge_upstream_recipients_total", outcome="taken") == counted["recipients"] == 5 * rounds
    assert found.of("smtpbridge_upstream_dials_total") == counted["connections"]
    assert found.of("smtpbridge_upstream_connect_seconds_count") == counted["connections"]
    # Both workers had a share, and each process is shown by itself.
    assert found.by("smtpbridge_features_total", "feature") == {
        "campaign": rounds,
        "tags": rounds,
        "bcc": rounds,
    }
    assert found.by("smtpbridge_translation_refusals_total", "kind") == {"type": rounds}
    assert found.by("smtpbridge_tls_handshakes_total", "version") == {"TLSv1.3": SENDERS}
    assert found.by("process_cpu_seconds_total", "worker").keys() == {"0", "1", "2"}
    assert found.of("smtpbridge_build_info") == 1
    assert found.of("smtpbridge_queue_depth") == 0


def test_a_daemon_of_one_process_shows_every_figure_but_those_of_workers(papers: Papers, tmp_path: Path) -> None:
    config = write_config(tmp_path, papers, 1, listener=starttls_lines(papers))
    config.write_text(config.read_text() + ADMIN)
    every = names_without_events()
    with bridge(config) as relay:
        # The queue is looked at soon after the start.
        eventually(lambda: Scraped(relay).names == every - OF_WORKERS, "every figure")
        found = Scraped(relay)

    assert found.of("process_resident_memory_bytes") > 1_000_000
    assert found.of("smtpbridge_certificate_expiry_timestamp_seconds") > found.of("smtpbridge_start_time_seconds")
