"""Counting: one addition for what happened, in the right place."""

from dataclasses import fields

import pytest

from smtpbridge.dialect.instructions import Instructions, Mailbox
from smtpbridge.relay.dial_faults import DialFault, dial_fault
from smtpbridge.relay.histogram import MAIL_SECONDS, QUEUE_SECONDS, Histogram
from smtpbridge.relay.tallies import Ended, Fared, ListenerTally, QueueTally, UpstreamTally
from smtpbridge.relay.tls_words import TLS_FAILED, VERIFY_FAILED
from smtpbridge.relay.translation_tally import FEATURES, TranslationTally
from smtpbridge.relay.verdict import Outcome, Refused, Stage, not_sent
from smtpbridge.smtp.replies import Reply, reply

YES = reply(250, "2.6.0", "yes")
NO = reply(550, "5.7.1", "no")
LATER = reply(451, "4.7.1", "later")
CUT = reply(451, "4.4.2", "nobody knows")


def test_a_value_is_counted_in_the_span_that_ends_with_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.add(value)

    assert list(histogram.up_to()) == [(1.0, 2), (2.0, 4), (float("inf"), 5)]
    assert histogram.total == 14.0


@pytest.mark.parametrize("bounds", [MAIL_SECONDS, QUEUE_SECONDS])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))


def test_a_verdict_is_counted_by_class_and_upstream() -> None:
    tally = ListenerTally()
    tally.verdict(250, "main", 3, 1000, 0.2)
    tally.verdict(250, "main", 1, 10, 0.2)
    tally.verdict(550, "-", 2, 5, 0.001)

    assert (tally.lanes["main"].messages[2], tally.lanes["main"].recipients[2]) == (2, 4)
    assert tally.lanes["main"].octets[2] == 1010
    assert (tally.lanes["-"].messages[5], tally.lanes["-"].recipients[5]) == (1, 2)
    assert sum(tally.seconds[2].counts) == 2
    assert sum(tally.seconds[5].counts) == 1


def refused(answer: Reply, *addresses: str) -> tuple[Refused, ...]:
    return tuple(Refused(address, answer) for address in addresses)


@pytest.mark.parametrize(
    ("outcome", "ended", "recipients", "octets"),
    [
        (Outcome(("a", "b"), (), (), YES), Ended.TAKEN, {Fared.TAKEN: 2}, 100),
        (
            Outcome(("a",), (*refused(NO, "b"), *refused(LATER, "c")), (), YES),
            Ended.PARTLY,
            {Fared.TAKEN: 1, Fared.REFUSED: 1, Fared.DEFERRED: 1},
            100,
        ),
        (Outcome((), refused(NO, "a", "b"), (), NO), Ended.REFUSED, {Fared.REFUSED: 2}, 0),
        (Outcome((), refused(LATER, "a"), (), LATER, Stage.MAIL), Ended.DEFERRED, {Fared.DEFERRED: 1}, 0),
        (Outcome((), (), ("a", "b"), CUT), Ended.UNKNOWN, {Fared.UNKNOWN: 2}, 0),
        (not_sent(("a",), LATER), Ended.NOT_SENT, {Fared.DEFERRED: 1}, 0),
    ],
)
def test_a_transaction_is_counted_by_its_end_and_its_recipients_by_theirs(
    outcome: Outcome, ended: Ended, recipients: dict[Fared, int], octets: int
) -> None:
    tally = UpstreamTally(lambda: 0.0)
    tally.ended(outcome, 100)

    assert tally.transactions == dict.fromkeys(Ended, 0) | {ended: 1}
    assert tally.recipients == dict.fromkeys(Fared, 0) | recipients
    assert tally.octets == octets


def test_the_time_of_a_dial_runs_until_the_connection_takes_mail_and_not_for_one_that_failed() -> None:
    now = [10.0]
    tally = UpstreamTally(lambda: now[0])
    tally.dials(1)
    tally.dials(2)
    now[0] = 12.0
    tally.dial_failed(1, DialFault.REFUSED)
    tally.connected(2, "TLSv1.3")

    assert tally.dialled == 2
    assert (sum(tally.connect_seconds.counts), tally.connect_seconds.total) == (1, 2.0)
    assert tally.failed[DialFault.REFUSED] == 1
    assert tally.tls == {"TLSv1.3": 1}


@pytest.mark.parametrize(
    ("why", "answer", "fault"),
    [
        ("cannot connect: DNS lookup failed: no results for hostname lookup: mx.test.", None, DialFault.NAME),
        ("cannot connect: Connection was refused by other side: 111: Connection refused.", None, DialFault.REFUSED),
        ("cannot connect: User timeout caused connection failure.", None, DialFault.TIMEOUT),
        ("cannot connect: TCP connection timed out: 110: Connection timed out.", None, DialFault.TIMEOUT),
        ("no answer in time (greeting)", None, DialFault.TIMEOUT),
        (f"{TLS_FAILED}{VERIFY_FAILED}: it expired", None, DialFault.CERTIFICATE),
        (f"{TLS_FAILED}the server refuses the client certificate", None, DialFault.TLS),
        ("the server refuses the login", reply(535, "5.7.8", "bad credentials"), DialFault.LOGIN),
        ("the server hangs up", reply(421, "4.3.2", "too many connections refused"), DialFault.ANSWER),
        ("connection lost: Connection was closed cleanly.", None, DialFault.LOST),
        ("cannot connect: No route to host.", None, DialFault.LOST),
    ],
)
def test_a_dial_that_fails_is_of_the_kind_that_an_operator_looks_for(
    why: str, answer: Reply | None, fault: DialFault
) -> None:
    assert dial_fault(why, answer) is fault


SOMEBODY = (Mailbox("a@b.test"),)
EVERYTHING = Instructions(
    campaign="one",
    metadata={"a": "b"},
    tags=("one",),
    cc=SOMEBODY,
    bcc=SOMEBODY,
    archive=SOMEBODY,
    open_tracking=True,
    click_tracking=True,
    transactional=True,
    skip_suppression=True,
    inline_css=True,
    ip_pool="pool",
    dkim_key="key",
)


def test_every_feature_that_a_message_asks_for_is_counted() -> None:
    tally = TranslationTally()
    tally.uses(EVERYTHING, "7")

    assert {feature: getattr(tally, feature) for feature in FEATURES} == dict.fromkeys(FEATURES, 1)


def test_what_a_message_switches_off_or_leaves_empty_is_not_counted() -> None:
    tally = TranslationTally()
    tally.uses(Instructions(tags=(), metadata={}, open_tracking=False, transactional=False), "")

    assert {feature: getattr(tally, feature) for feature in FEATURES} == dict.fromkeys(FEATURES, 0)


def test_features_are_the_fields_of_instructions_and_the_subaccount() -> None:
    # `plain` is about how they were written.
    assert set(FEATURES) == {*(one.name for one in fields(Instructions)), "subaccount"} - {"plain"}


def test_an_attempt_of_the_queue_counts_every_recipient_once_and_the_age_by_what_came_of_it() -> None:
    tally = QueueTally()
    tally.attempted(Outcome(("a", "b"), refused(LATER, "c"), (), YES), 0, 1, 30.0)
    tally.attempted(Outcome((), refused(NO, "c"), (), NO), 1, 0, 90_000.0)

    assert (tally.delivered, tally.deferred, tally.given_up, tally.unknown) == (2, 1, 1, 0)
    assert (sum(tally.delivered_seconds.counts), tally.delivered_seconds.total) == (1, 30.0)
    assert (sum(tally.given_up_seconds.counts), tally.given_up_seconds.total) == (1, 90_000.0)


def test_only_a_commit_that_was_made_is_counted() -> None:
    tally = QueueTally()
    for step in ("body-write", "commit", "after-commit", "commit"):
        tally.step(step)

    assert tally.commits == 1
