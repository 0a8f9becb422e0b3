"""What became of each recipient, and what the sender hears."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smtpbridge.relay.verdict import Outcome, Refused, Stage, final_refusal, not_sent, outcome_of, verdict, worst
from smtpbridge.smtp.client import Concluded, Phase
from smtpbridge.smtp.replies import Reply, reply

OK = reply(250, "2.1.0", "OK")
GO = reply(354, "", "go on")
QUEUED = reply(250, "2.6.0", "queued as 4711")
NO = reply(550, "5.1.1", "no such user")
LATER = reply(452, "4.2.2", "mailbox full")
BAD = reply(554, "5.7.1", "spam")
BYE = reply(421, "4.3.2", "closing")
LOGIN = reply(535, "5.7.8", "who are you")

ONE = ("a@example.com",)
TWO = ("a@example.com", "b@example.com")


def answered(*recipients: Reply, final: Reply | None = QUEUED, data: Reply = GO, mail: Reply = OK) -> Concluded:
    return Concluded(Phase.ANSWERED, mail, recipients, data, final)


# One message to one or two recipients: how it ended, who was taken, what the sender hears
TABLE: dict[str, tuple[tuple[str, ...], Concluded, tuple[str, ...], Reply | int]] = {
    "taken": (ONE, answered(OK), ONE, QUEUED),
    "both taken": (TWO, answered(OK, OK), TWO, QUEUED),
    "one refused, one taken": (TWO, answered(OK, NO), ONE, 451),
    "one put off, one taken": (TWO, answered(LATER, OK), TWO[1:], 451),
    "all refused for good": (TWO, answered(NO, BAD, data=NO, final=None), (), NO),
    "refused and put off": (TWO, answered(NO, LATER, data=BAD, final=None), (), LATER),
    "sender refused": (ONE, Concluded(Phase.ANSWERED, BAD, (BAD,), BAD, None), (), BAD),
    "sender put off": (ONE, Concluded(Phase.ANSWERED, LATER, (None,), None, None), (), LATER),
    "DATA refused": (ONE, answered(OK, data=BAD, final=None), (), BAD),
    "refused at the end": (ONE, answered(OK, final=BAD), (), BAD),
    "put off at the end": (ONE, answered(OK, final=LATER), (), LATER),
    "refused within the body": (ONE, Concluded(Phase.BODY, OK, (OK,), GO, BAD), (), BAD),
    "lost before anything": (ONE, Concluded(Phase.ENVELOPE, None, (None,), None, None), (), 451),
    "lost after MAIL": (TWO, Concluded(Phase.ENVELOPE, OK, (OK, None), None, None), (), 451),
    "lost before DATA": (ONE, Concluded(Phase.ENVELOPE, OK, (OK,), None, None), (), 451),
    "lost within the body": (ONE, Concluded(Phase.BODY, OK, (OK,), GO, None), (), 451),
    "lost behind the dot": (ONE, Concluded(Phase.FINAL, OK, (OK,), GO, None), (), 451),
    "lost behind the dot, one refused": (TWO, Concluded(Phase.FINAL, OK, (NO, OK), GO, None), (), 451),
    "lost at the lone dot": (ONE, Concluded(Phase.ANSWERED, OK, (NO,), GO, None), (), NO),
    "421 to MAIL": (ONE, Concluded(Phase.ENVELOPE, BYE, (None,), None, None), (), 451),
    "421 to RCPT": (TWO, Concluded(Phase.ENVELOPE, OK, (OK, BYE), None, None), (), 451),
    "421 at the end": (ONE, answered(OK, final=BYE), (), 451),
    "535 to MAIL": (ONE, Concluded(Phase.ANSWERED, LOGIN, (LOGIN,), LOGIN, None), (), 451),
    "530 to RCPT": (ONE, answered(reply(530, "5.7.0", "log in"), data=BAD, final=None), (), 451),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_end_of_a_transaction_has_its_outcome_and_its_reply(name: str) -> None:
    recipients, end, taken, heard = TABLE[name]

    outcome = outcome_of(recipients, end)
    answer = verdict([outcome])

    assert outcome.taken == taken
    if isinstance(heard, Reply):
        assert answer == heard
    else:
        assert answer.code == heard
        assert answer.enhanced.startswith("4.")


def test_behind_the_dot_only_those_who_were_let_in_are_unknown() -> None:
    outcome = outcome_of(TWO, Concluded(Phase.FINAL, OK, (NO, OK), GO, None))

    assert (outcome.taken, outcome.refused, outcome.unknown) == ((), (Refused(TWO[0], NO),), TWO[1:])


def test_a_refusal_of_everybody_at_the_end_keeps_what_was_said_to_each() -> None:
    outcome = outcome_of(TWO, answered(NO, OK, final=BAD))

    assert outcome.refused == (Refused(TWO[0], NO), Refused(TWO[1], BAD))


def test_a_connection_refusal_keeps_its_words_and_loses_its_class() -> None:
    assert verdict([not_sent(ONE, LOGIN)]) == Reply(451, "4.7.8", LOGIN.lines)
    assert verdict([not_sent(ONE, reply(421, "", "closing"))]) == Reply(451, "4.3.0", ("closing",))


def test_a_mixed_verdict_counts_and_quotes_one_who_was_refused() -> None:
    answer = verdict([outcome_of(TWO, answered(OK, NO))])

    assert "1 of 2" in answer.text
    assert "<b@example.com>: 550 5.1.1 no such user" in answer.text


def test_the_copies_do_not_change_a_verdict_when_all_were_taken() -> None:
    copy = outcome_of(("c@example.com",), answered(OK, final=reply(250, "", "another")))

    assert verdict([outcome_of(ONE, answered(OK)), copy]) == QUEUED


def test_a_copy_that_was_refused_makes_the_sender_retry() -> None:
    assert verdict([outcome_of(ONE, answered(OK)), not_sent(("c@example.com",), BAD)]).code == 451


def test_the_worst_is_the_first_to_be_retried_else_the_first() -> None:
    assert worst([NO, LATER, BYE]) == LATER
    assert worst([NO, LOGIN]) == LOGIN
    assert worst([BAD, NO]) == BAD


@pytest.mark.parametrize(("answer", "pointless"), [(NO, True), (LATER, False), (BYE, False), (LOGIN, False)])
def test_retrying_is_pointless_after_a_5yz_about_the_mail_only(answer: Reply, pointless: bool) -> None:
    assert final_refusal(answer) is pointless


# Whatever a server says

REPLIES = st.builds(
    reply,
    st.sampled_from([250, 251, 354, 421, 450, 451, 452, 530, 534, 535, 538, 550, 552, 554]),
    st.sampled_from(["", "2.0.0", "4.0.0", "5.1.1"]),
    st.sampled_from(["one", "two"]),
)
MAYBE = st.none() | REPLIES


@st.composite
def transactions(draw: st.DrawFn) -> tuple[tuple[str, ...], Concluded]:
    """Recipients and any end of their transaction, likely or not."""
    recipients = tuple(f"r{place}@example.com" for place in range(draw(st.integers(1, 4))))
    phase = draw(st.sampled_from(Phase))
    said = tuple(draw(MAYBE) for _ in recipients)
    # Only a transaction that was answered has a positive final reply (smtp.client).
    final = draw(MAYBE) if phase is Phase.ANSWERED else None
    assume(final is None or not final.is_intermediate)
    return recipients, Concluded(phase, draw(MAYBE), said, draw(MAYBE), final)


@given(transactions())
def test_every_recipient_is_in_exactly_one_group(case: tuple[tuple[str, ...], Concluded]) -> None:
    recipients, end = case
    outcome = outcome_of(recipients, end)

    found = [*outcome.taken, *(one.address for one in outcome.refused), *outcome.unknown]
    assert sorted(found) == sorted(recipients)


@given(transactions())
def test_nobody_is_taken_without_a_positive_answer_to_the_final_dot(case: tuple[tuple[str, ...], Concluded]) -> None:
    recipients, end = case
    if end.phase is not Phase.ANSWERED or end.final is None or not end.final.is_positive:
        assert not outcome_of(recipients, end).taken


@given(st.lists(transactions(), min_size=1, max_size=3))
def test_a_verdict_never_promises_too_much_nor_blames_the_sender_for_the_connection(
    cases: list[tuple[tuple[str, ...], Concluded]],
) -> None:
    outcomes = [outcome_of(*case) for case in cases]
    answer = verdict(outcomes)
    taken = [address for outcome in outcomes for address in outcome.taken]
    refused = [one for outcome in outcomes for one in outcome.refused]
    unknown = [address for outcome in outcomes for address in outcome.unknown]

    assert answer.is_positive == (not refused and not unknown)
    assert answer.code not in (421, 530, 534, 535, 538)
    assert answer.is_positive or answer.is_transient or answer.is_permanent
    if unknown or (taken and refused):
        assert answer.code == 451
    if answer.is_permanent:
        assert all(final_refusal(one.answer) for one in refused)


def test_an_outcome_without_a_transaction_refuses_everybody() -> None:
    refused = (Refused("a@example.com", LATER), Refused("b@example.com", LATER))

    assert not_sent(TWO, LATER) == Outcome((), refused, (), LATER, Stage.CONNECTION)
