"""The small reader of SparkPost's webhooks that the demo has."""

import json
import tempfile
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smtpbridge.commands.webhook import Told, Webhook, line_about

BOUNCE = {"type": "bounce", "rcpt_to": "a@b.example", "raw_reason": "550 5.1.1 Gone", "campaign_id": "c"}


class WebhookTests(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "events.jsonl"
        self.heard: list[tuple[str, str, str]] = []
        self.treq: Any = StubTreq(Webhook(self.file, lambda *event: self.heard.append(event)))

    def post(self, body: bytes) -> int:
        posted: Deferred[Any] = self.treq.post("http://127.0.0.1/", data=body)
        status: int = self.successResultOf(posted).code
        return status

    def test_each_event_of_a_batch_is_told_and_kept_as_it_came(self) -> None:
        batch = [{"msys": {"message_event": BOUNCE}}, {"msys": {"track_event": BOUNCE | {"type": "click"}}}]

        self.assertEqual(self.post(json.dumps(batch).encode()), 200)

        self.assertEqual([event[:2] for event in self.heard], [("bounce", "a@b.example"), ("click", "a@b.example")])
        self.assertEqual([json.loads(line) for line in self.file.read_text().splitlines()], batch)

    def test_the_ping_is_no_event(self) -> None:
        self.assertEqual(self.post(b'[{"msys":{}}]'), 200)

        self.assertEqual(self.heard, [])

    def test_what_is_no_batch_is_refused_and_not_kept(self) -> None:
        for body in (b"", b"{}", b"[1]", b'[{"msys": []}]', b'[{"msys": {"message_event": {"type": "bounce"}}}]'):
            self.assertEqual(self.post(body), 400)

        self.assertEqual(self.heard, [])
        self.assertFalse(self.file.exists() and self.file.read_text())


class ToldTests(TestCase):
    def test_it_waits_until_each_recipient_has_an_injection_and_more(self) -> None:
        told = Told()
        told.hear("delivery", "a@b.example", "one")
        told.hear("injection", "c@d.example", "two")
        waiting = told.about({"a@b.example", "c@d.example"})
        told.hear("bounce", "c@d.example", "three")
        self.assertNoResult(waiting)

        told.hear("injection", "a@b.example", "four")

        self.successResultOf(waiting)
        self.assertEqual((told.lines, told.over), (["one", "two", "three", "four"], True))

    def test_what_came_before_it_was_asked_for_counts(self) -> None:
        told = Told()
        told.hear("delivery", "a@b.example", "one")
        told.hear("injection", "a@b.example", "two")

        self.successResultOf(told.about({"a@b.example"}))

    def test_who_gives_up_waits_no_longer_and_knows_that_it_was_not_all(self) -> None:
        told = Told()
        waiting = told.about({"a@b.example"})

        told.give_up()
        told.hear("delivery", "a@b.example", "late")

        self.successResultOf(waiting)
        self.assertTrue(told.over)


def test_a_line_has_what_says_most_and_moves_no_cursor() -> None:
    assert line_about(BOUNCE) == "bounce            <a@b.example>  550 5.1.1 Gone"
    assert "\x1b" not in line_about(BOUNCE | {"raw_reason": "\x1b[2J", "rcpt_to": "\x1b@b", "type": "\x1b"})
    assert line_about({"type": "open", "rcpt_to": "a@b.example"}) == "open              <a@b.example>"
