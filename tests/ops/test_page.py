"""What stands on the status page, and that it is nothing but text."""

import base64
import hashlib
import re

import pytest

from smtpbridge.ops.health import Health
from smtpbridge.ops.looks import POLICY
from smtpbridge.ops.markup import visible
from smtpbridge.ops.page import Known, page, search_page, sections
from smtpbridge.ops.sight import Found, Sight, Whole
from tests.ops.sights import NOW, a_found, facts, known
from tests.ops.test_markup import Reader

NASTY = "'\"><script>alert(1)</script><img src=x onerror=y>&amp;\u202e\x00\x1b]0;x\u2028{0}%s"


def pages(text: str) -> list[str]:
    """Return every page with `text` wherever a text can be."""
    return [
        page(facts(text), known(text)),
        page(facts(text), known(text, sight=Sight(queue_fault=text))),
        search_page(facts(text), text, a_found(text), NOW),
        search_page(facts(text), text, None, NOW),
    ]


@pytest.mark.parametrize("number", range(4))
def test_no_text_of_a_peer_becomes_an_element_an_attribute_or_invisible(number: int) -> None:
    nasty, harmless = Reader(pages(NASTY)[number]), Reader(pages("harmless")[number])

    # The same elements with the same names of attributes, whatever the texts are.
    assert [(tag, list(found)) for tag, found in nasty.tags] == [(tag, list(found)) for tag, found in harmless.tags]
    assert "<script>alert" not in pages(NASTY)[number]
    assert visible(NASTY) in nasty.text
    assert re.sub(r"[\n]", "", nasty.text).isprintable()


def test_every_field_that_is_shown_is_on_the_page() -> None:
    shown = {
        name: Reader(inner).text.lower().count("spur") for name, inner in sections(facts("spur"), known("spur")).items()
    }

    assert shown == {
        "state": 2,  # a reason, the version
        "figures": 0,
        "plots": 0,
        "upstreams": 5,  # its name, two hosts, how it is, its fault
        "queue": 0,
        "events": 4,  # the ledger's fault, two targets, an answer
        "verdicts": 18,  # of three: id, sender, two recipients, reply, via
        "refused": 6,  # the same, with the client for via
        "listeners": 1,
        "certificates": 2,
        "workers": 2,  # their states
        "configuration": 1,
    }


def test_nothing_needs_a_policy_that_is_weaker_than_two_hashes() -> None:
    whole = page(facts("x"), known("x"))
    read = Reader(whole)

    names = {name for _, found in read.tags for name in found}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    for kind in ("style", "script"):
        (inner,) = re.findall(rf"<{kind}>(.*?)</{kind}>", whole, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode() in POLICY
    assert "unsafe" not in POLICY
    loaded = {found[name] for tag, found in read.tags for name in ("src", "href", "action") if name in found}
    assert not [one for one in loaded if one and (":" in one or one.startswith("/"))], "all relative: fit for a proxy"


def test_the_page_says_whether_mail_flows_and_why_not() -> None:
    assert "Mail flows" in Reader(page(facts("x"), known("x", ready=True))).text
    sick = Reader(page(facts("x"), known("the login is wrong"))).text
    assert "NOT READY" in sick
    assert "the login is wrong (since 2026-09-21T" in sick


def test_what_is_known_is_said_in_numbers_and_words() -> None:
    read = Reader(page(facts("x"), known("x"))).text

    for words in ("up for 1 d 1 h", "Accepted (2yz)3", "Told to retry (4yz)2", "Refused (5yz)1", "from the queue4"):
        assert words in read
    for words in ("Kept8", "Held1", "Oldest1 h 1 min", "Bodies2.0 KiB", "Senders held up1", "Median to verdict10 ms"):
        assert words in read
    assert "Left alone for 4 s after a failure" in read
    assert "40" in read, "days of the certificate"
    assert "x, no answer" in read, "a worker"


def test_nothing_yet_is_said_too() -> None:
    health = Health(NOW)
    read = Reader(page(facts("x"), Known(NOW, Whole(Sight()), health, [], None))).text

    assert "None yet." in read
    assert "Not known yet." in read, "the queue"
    assert "Workers" not in read


def test_the_stream_sends_the_sections_of_the_page() -> None:
    whole = page(facts("x"), known("x"))

    for name, inner in sections(facts("x"), known("x")).items():
        assert f'<section id="{name}">{inner}</section>' in whole


def test_the_page_is_fit_for_a_reader_of_the_screen() -> None:
    read = Reader(page(facts("x"), known("x")))
    tags = [tag for tag, _ in read.tags]

    assert ("html", {"lang": "en"}) in read.tags
    assert {"header", "nav", "main", "h1", "label", "caption", "title"} <= set(tags)
    assert tags.count("h1") == tags.count("main") == 1
    assert all("aria-label" in found for tag, found in read.tags if tag == "svg")
    assert all(found.get("scope") == "col" for tag, found in read.tags if tag == "th")
    assert ("meta", {"http-equiv": "refresh", "content": "5"}) in read.tags


def test_a_search_says_what_it_looked_for_and_where_it_could_not_look() -> None:
    read = Reader(search_page(facts("x"), "ada", Found(faults=("Worker 2 did not answer.",)), NOW)).text

    assert "Looked for 'ada'." in read
    assert "Worker 2 did not answer." in read
    assert "Nothing like that is kept." in read
