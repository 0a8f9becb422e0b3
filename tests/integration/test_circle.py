"""
The whole circle: a Postfix sends, the bridge relays, the stand-in reports, the bridge posts, django-anymail reads.

Between the ends nothing is shared: what anymail tells its application is compared with what was given to Postfix.
"""

import json
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smtpbridge.dialect.sparkpost_event import EventType
from smtpbridge.sandbox.fates import FATES
from tests.anymail import PASSWORD, USER, listening, served
from tests.integration.postfix import Postfix, free_port, postfix
from tests.integration.rig import BridgeProgram, Papers, bridge, eventually, run, sandbox, write_config

SENDER = "shop@mail.example.com"
SECRET = "a long secret of the inbox"
# What anymail is to hear of each recipient behind the injection, in any order.
HEARD = {
    "anybody": ["delivered"],
    "hard.bounce": ["bounced"],
    "soft.bounce": ["bounced"],
    "spam": ["bounced"],
    "expired": ["bounced"],
    "suppressed": ["bounced"],
    "rejected": ["rejected"],
    "delayed": ["deferred", "delivered"],
    # anymail has no word for an initial_open.
    "open": ["delivered", "opened", "unknown"],
    "open.click": ["clicked", "delivered", "opened", "unknown"],
    "complaint": ["complained", "delivered"],
    "unsubscribe": ["delivered", "unsubscribed"],
    "late.bounce": ["bounced", "delivered"],
}
WHY = {
    "hard.bounce": "invalid",
    "soft.bounce": "bounced",
    "spam": "spam",
    "expired": "timed_out",
    "suppressed": "blocked",
    "rejected": "bounced",
    "late.bounce": "bounced",
}


@dataclass(frozen=True, slots=True)
class Circle:
    """Both ends of a running circle."""

    postfix: Postfix
    heard: list[Any]
    posts: list[tuple[dict[str, Any], int]]
    bridge: BridgeProgram
    config: Path

    def send(self, number: int, *recipients: str, **more: Any) -> None:
        """Give a message to Postfix."""
        instructions = {
            "campaign_id": f"campaign {number}",
            "metadata": {"n": number, "order": f"räkning {number}", "vip": True},
            "tags": ["invoice", f"tag-{number}"],
            "options": {"open_tracking": True, "click_tracking": True},
        }
        lines = [
            f"From: Shop <{SENDER}>",
            f"To: {recipients[0]}",
            f"Subject: letter {number}",
            "X-MSYS-API: " + json.dumps(instructions | more, indent=1).replace("\n", "\r\n "),
            "Content-Type: text/html",
            "",
            '<p>Look at <a href="https://shop.example/">this</a></p>',
        ]
        rcpt = [f"RCPT TO:<{one}>" for one in recipients]
        dialogue = ["EHLO app.example.com", f"MAIL FROM:<{SENDER}>", *rcpt, "DATA", *lines, ".", "QUIT", ""]
        assert self.postfix.inject("\r\n".join(dialogue).encode()) == 1

    def heard_of(self, address: str, number: int) -> list[Any]:
        """Return what anymail tells of a recipient as soon as it is so much; more is a failure."""

        def look() -> list[Any]:
            found = [one for one in self.heard if one.recipient == address]
            return found if len(found) >= number else []

        found = eventually(look, f"{number} events about {address}")
        assert len(found) == number
        return found


def fields_of(told: Any) -> dict[str, Any]:
    """Return the event as it was posted, out of its wrapping."""
    [fields] = told.esp_event["msys"].values()
    found: dict[str, Any] = fields
    return found


def console(*args: str) -> bytes:
    """Run `smtpbridge events` and return what it said."""
    return run([sys.executable, "-c", "from smtpbridge.cli import main; main()", "events", *args])


@contextmanager
def circle(papers: Papers, folder: Path, options: str = "", workers: int = 1) -> Iterator[Circle]:
    """Run all of it; `options` are lines of `[events]`."""
    secret, password = folder / "inbox.key", folder / "target.key"
    for path, text in ((secret, SECRET), (password, PASSWORD)):
        path.write_text(text)
        path.chmod(0o600)
    inbox = free_port()
    with listening() as heard, served() as (target, posts), sandbox(folder, papers, posts=True) as upstream:
        tables = f"""
[events]
public_url = "http://127.0.0.1:{inbox}/infobip"
endpoint = "tcp:{inbox}:interface=127.0.0.1"
secret_file = "{secret}"
{options}

[events.target.anymail]
url = "http://127.0.0.1:{target}/anymail/sparkpost/tracking/"
auth = "basic"
username = "{USER}"
password_file = "{password}"
batch_seconds = 0.2

[process]
workers = {workers}
"""
        config = write_config(folder, papers, upstream.port, tables=tables)
        with bridge(config) as relay, postfix(f"relayhost = [127.0.0.1]:{relay.port}\n") as legacy:
            yield Circle(legacy, heard, posts, relay, config)


@pytest.fixture(scope="module")
def whole(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Circle]:
    with circle(papers, tmp_path_factory.mktemp("circle"), "initial_open = true") as running:
        yield running


def test_anymail_hears_of_every_fate_with_recipient_metadata_tags_and_times(whole: Circle) -> None:
    assert HEARD.keys() == {fate.local_part for fate in FATES} | {"anybody"}
    addresses = {name: f"{name.title()}+{place}@Customer.example" for place, name in enumerate(HEARD)}
    for place, address in enumerate(addresses.values()):
        whole.send(place, address)

    told = {name: whole.heard_of(addresses[name], 1 + len(HEARD[name])) for name in HEARD}

    for place, (name, events) in enumerate(told.items()):
        assert sorted(one.event_type for one in events) == sorted(["queued", *HEARD[name]]), name
        assert {one.message_id for one in events} == {events[0].message_id}
        assert len({one.event_id for one in events}) == len(events)
        injected_at = next(one.timestamp for one in events if one.event_type == "queued")
        for one in events:
            assert one.metadata == {"n": place, "order": f"räkning {place}", "vip": True}
            # anymail takes the campaign for the one tag that SparkPost lets a message have.
            assert one.tags == [f"campaign {place}"]
            assert fields_of(one)["rcpt_tags"] == ["invoice", f"tag-{place}"]
            assert injected_at <= one.timestamp
        if name in WHY:
            (failed,) = [one for one in events if one.event_type in ("bounced", "rejected")]
            assert failed.reject_reason == WHY[name], name
    assert len({events[0].message_id for events in told.values()}) == len(told)
    (clicked,) = [one for one in told["open.click"] if one.event_type == "clicked"]
    assert clicked.click_url == "https://link.example/offer?utm_medium=email"
    (bounced,) = [one for one in told["hard.bounce"] if one.event_type == "bounced"]
    assert bounced.mta_response.startswith("550 5.1.1")
    everything = {fields_of(one)["type"] for events in told.values() for one in events}
    assert everything == {one.value for one in EventType} - {"list_unsubscribe"}
    assert {status for _, status in whole.posts} == {200}
    for environ, _ in whole.posts:
        assert environ["HTTP_USER_AGENT"] == "SparkPost"
        assert environ["HTTP_X_MESSAGESYSTEMS_BATCH_ID"]


def test_every_copy_of_one_message_is_told_of_by_itself(whole: Circle) -> None:
    more = {"cc": ["cc@customer.example"], "bcc": ["hard.bounce+bcc@customer.example"], "archive": ["a@shop.example"]}
    whole.send(100, "rcpt@customer.example", "soft.bounce+two@customer.example", **more)
    last = {
        "rcpt@customer.example": "delivered",
        "soft.bounce+two@customer.example": "bounced",
        "cc@customer.example": "delivered",
        "hard.bounce+bcc@customer.example": "bounced",
        "a@shop.example": "delivered",
    }

    told = {address: whole.heard_of(address, 2) for address in last}

    for address, events in told.items():
        assert sorted(one.event_type for one in events) == sorted(["queued", last[address]])
        assert all(one.metadata["n"] == 100 for one in events)
    # One transmission; each recipient's copy has a message_id of its own.
    assert len({one.message_id for events in told.values() for one in events}) == 1
    ids = defaultdict(set)
    for address, events in told.items():
        for one in events:
            ids[address].add(fields_of(one)["message_id"])
    assert [len(found) for found in ids.values()] == [1] * 5
    assert len(set.union(*ids.values())) == 5


def test_the_console_command_shows_what_was_told_and_has_it_posted_again(whole: Circle) -> None:
    whole.send(200, "again@customer.example")
    first = whole.heard_of("again@customer.example", 2)
    selected = ["--config", str(whole.config), "--recipient", "again@customer.example"]

    def listed() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in console("list", "--json", *selected).splitlines()]
        return found if {one["deliveries"][0]["state"] for one in found} == {"delivered"} else []

    kept = eventually(listed, "the events as delivered")
    assert {one["id"] for one in kept} == {one.event_id for one in first}
    assert b"2 deliveries waiting again" in console("replay", "--yes", *selected)

    both = whole.heard_of("again@customer.example", 4)
    assert {one.event_id for one in both} == {one.event_id for one in first}


def test_two_workers_make_one_circle_and_the_options_change_what_is_told(papers: Papers, tmp_path: Path) -> None:
    options = 'unsubscription = "list_unsubscribe"\ninjection = false\ndelay = false'
    with circle(papers, tmp_path, options, workers=2) as running:
        running.send(300, "unsubscribe@customer.example")
        running.send(301, "delayed@customer.example")

        told = running.heard_of("unsubscribe@customer.example", 2)
        delayed = running.heard_of("delayed@customer.example", 1)

    assert sorted(fields_of(one)["type"] for one in told) == ["delivery", "list_unsubscribe"]
    assert [one.event_type for one in delayed] == ["delivered"]


def test_what_was_told_while_the_bridge_was_dead_is_heard_after_it(papers: Papers, tmp_path: Path) -> None:
    addresses = [f"late.bounce+{number}@customer.example" for number in range(20)]
    with circle(papers, tmp_path) as running:
        for number, address in enumerate(addresses):
            running.send(number, address)
        eventually(lambda: running.postfix.queue() == "" and running.heard, "mail that was handed over")
        running.bridge.signal(signal.SIGKILL)
        running.bridge.ended()

        with bridge(running.config):
            eventually(lambda: len(reported(running)) == 2 * len(addresses), "all that was reported")

    for address in addresses:
        assert sorted(kind for of, kind in reported(running).values() if of == address) == ["bounced", "delivered"]
    # What came twice came in a batch that came twice, so that who knows batches need not know events.
    batches = [environ["HTTP_X_MESSAGESYSTEMS_BATCH_ID"] for environ, _ in running.posts]
    repeated = len(running.heard) - len({one.event_id for one in running.heard})
    assert (repeated > 0) is (len(set(batches)) < len(batches))


def reported(running: Circle) -> dict[str, tuple[str, str]]:
    """Return what was heard of what the stand-in reported; the injections of a bridge's last second may be lost."""
    return {one.event_id: (one.recipient, one.event_type) for one in running.heard if one.event_type != "queued"}
