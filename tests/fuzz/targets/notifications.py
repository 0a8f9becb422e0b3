"""
A request from Infobip, read and made into SparkPost's events.

Whatever comes, each item is an event, a word why there is none, or a refusal that a log can take; the same octets give
the same; and what is written is one line of ASCII JSON with the types that consumers rely on.
"""

import json
import re

from smtpbridge.dialect.bounce_class import HARD
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.events import translate
from smtpbridge.dialect.infobip_reports import read
from smtpbridge.dialect.notifications import DeliveryReport, PlatformEvent, Unreadable
from smtpbridge.dialect.sparkpost_event import Event, batch
from tests.events.examples import RECEIVED_AT, SENT

_OPTIONS = EventOptions(initial_open=True)
_BOOLEANS = {"open_tracking", "click_tracking", "initial_pixel"}
_CONTAINERS = {"rcpt_meta": dict, "rcpt_tags": list, "geo_ip": dict, "user_agent_parsed": dict}
_HARD = {one.value for one in HARD}


def run(octets: bytes) -> None:
    """Read a request twice, and write the events of messages that are known and of such as are not."""
    found = read(octets, RECEIVED_AT)
    assert read(octets, RECEIVED_AT) == found
    for told in found:
        if isinstance(told, Unreadable):
            assert re.fullmatch(r"[a-z0-9-]{1,20}", told.kind)
            assert re.fullmatch(r"[ -~]{1,300}", told.text), "a text that no log takes"
            continue
        assert re.fullmatch(r"[0-9a-f]{32}", told.key)
        known, unknown = translate(told, SENT, _OPTIONS), translate(told, None, _OPTIONS)
        assert (known.silence is None) == bool(known.events)
        assert known.silence == unknown.silence
        assert [event.id for event in known.events] == [event.id for event in unknown.events]
        for event in (*known.events, *unknown.events):
            _check(event)
            if isinstance(told, DeliveryReport) and event.fields.get("bounce_class") in _HARD:
                assert told.problem is None or told.problem.permanent is not False, "hard, and yet temporary"
        assert not isinstance(told, PlatformEvent) or not known.events


def _check(event: Event) -> None:
    octets = batch([event.write()])
    assert octets.isascii()
    assert b"\n" not in octets
    ((category, fields),) = json.loads(octets)[0]["msys"].items()
    assert category == event.category
    assert {"rcpt_meta", "rcpt_tags"} <= fields.keys()
    assert 0 < int(fields["timestamp"]) < 2**63
    assert 0 <= int(fields["event_id"]) < 2**63
    for name, value in fields.items():
        wanted = bool if name in _BOOLEANS else _CONTAINERS.get(name, str)
        assert type(value) is wanted, f"{name} is {type(value).__name__}"
    assert "error_code" not in fields or re.fullmatch(r"[45][0-9]{2}", fields["error_code"])
