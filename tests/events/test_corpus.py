"""
Events as a corpus: a folder for each case, named after the behaviour that it shows.

`in.json` is the body of one request from Infobip, `out.json` what becomes of each notification in it: the events in
SparkPost's wrapping, why there are none, or why it could not be read.  `call.json`, where there is one, says what
differs from the example message and the default options; `"sent": null` is a message that is no longer known.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtpbridge.dialect.bounce_class import BounceClass
from smtpbridge.dialect.event_options import EventOptions, Unsubscription
from smtpbridge.dialect.events import translate
from smtpbridge.dialect.infobip_reports import read
from smtpbridge.dialect.notifications import Notification, Unreadable
from smtpbridge.dialect.sent import Copy, Sent
from tests.events.examples import RECEIVED_AT, SENT

CASES = sorted((Path(__file__).parent / "corpus").iterdir())
KINDS: dict[str, Any] = {
    "copy": Copy,
    "tags": tuple,
    "unsubscription": Unsubscription,
    "policy_rejection_class": BounceClass,
}


def differing(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: KINDS[name](value) if name in KINDS else value for name, value in settings.items()}


def told(notification: Notification | Unreadable, sent: Sent | None, options: EventOptions) -> dict[str, Any]:
    if isinstance(notification, Unreadable):
        return {"unreadable": notification.kind}
    translation = translate(notification, sent, options)
    if translation.silence is not None:
        assert translation.events == ()
        return {"silence": translation.silence.value}
    return {"events": [json.loads(event.write()) for event in translation.events]}


def result(case: Path) -> list[dict[str, Any]]:
    path = case / "call.json"
    call = json.loads(path.read_text("utf-8")) if path.exists() else {}
    sent = None if call.get("sent", {}) is None else replace(SENT, **differing(call.get("sent", {})))
    options = EventOptions(**differing(call.get("options", {})))
    return [told(one, sent, options) for one in read((case / "in.json").read_bytes(), RECEIVED_AT)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_request_becomes_what_the_corpus_says(case: Path) -> None:
    assert result(case) == json.loads((case / "out.json").read_text("utf-8"))


def test_the_corpus_is_there() -> None:
    assert len(CASES) >= 30
