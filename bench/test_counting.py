"""What a message pays for figures, and what a scrape takes."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.internet import reactor as _reactor

from smtpbridge.assembly import relay_service
from smtpbridge.config import loads
from smtpbridge.dialect.instructions import Instructions
from smtpbridge.figures import figures_of
from smtpbridge.ops.metrics import Metrics
from smtpbridge.relay.tallies import ListenerTally, UpstreamTally
from smtpbridge.relay.translation_tally import TranslationTally
from smtpbridge.relay.verdict import Outcome
from smtpbridge.smtp.replies import reply
from tests.ops.every_figure import CONFIG, ROOT

reactor: Any = _reactor
Benchmark = Callable[..., Any]
TAKEN = Outcome(("a@example.org",), (), (), reply(250, "2.6.0", "yes"))
WISHES = Instructions(campaign="spring", tags=("a",), metadata={"a": "b"}, open_tracking=True)


def test_counting_a_message_with_wishes_from_its_translation_to_its_verdict(benchmark: Benchmark) -> None:
    listener, upstream, translation = ListenerTally(), UpstreamTally(monotonic), TranslationTally()

    def count() -> None:
        translation.uses(WISHES, "")
        begun = upstream.now()
        upstream.seconds.add(upstream.now() - begun)
        upstream.ended(TAKEN, 2000)
        listener.verdict(250, "main", 1, 2000, 0.05)

    benchmark(count)

    assert listener.lanes["main"].messages[2] == upstream.octets // 2000 > 0


def test_a_scrape_of_a_relay_with_one_listener(benchmark: Benchmark) -> None:
    config = loads(CONFIG, base=ROOT, environ={"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-29"})
    metrics = Metrics(figures_of(relay_service(config, reactor)))

    text, _ = benchmark(metrics.text, "")

    assert b"smtpbridge_messages_total" in text
