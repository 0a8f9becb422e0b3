"""What is promised of recipients: each gets the message once, in the right transaction, and none is invented."""

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.copies import MOST_RECIPIENTS, Lot, is_sink, one_each, share_out
from smtpbridge.dialect.instructions import Instructions, Mailbox
from smtpbridge.dialect.policy import BccStyle

_ADDRESSES = st.sampled_from(
    [f"{local}@{domain}" for local in ("a", "A", "b", "c", "D") for domain in ("x.example", "X.example", "y.example")]
    + ["a@sink.sparkpostmail.com", "b@x.SINK.sparkpostmail.com"]
)
_MAILBOXES = st.lists(st.builds(Mailbox, _ADDRESSES, st.sampled_from(["", "One", "Two"])), max_size=8).map(tuple)
_WISHES = st.builds(Instructions, cc=_MAILBOXES, bcc=_MAILBOXES, archive=_MAILBOXES)


def _boxes(*addresses: str) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(address) for address in addresses)


@given(st.lists(_ADDRESSES, max_size=8).map(tuple), _WISHES, st.sampled_from(BccStyle))
def test_no_recipient_is_lost_doubled_or_invented(
    recipients: tuple[str, ...], wishes: Instructions, style: BccStyle
) -> None:
    copies = [mailbox.address for mailbox in (*wishes.cc, *wishes.bcc, *wishes.archive)]

    sharing = share_out(recipients, wishes, style)

    out = [address for lot in sharing.lots for address in lot.recipients] + list(sharing.sinks)
    assert set(out) <= {*recipients, *copies}
    if len(recipients) != 1 or copies:
        assert sorted(address.lower() for address in out) == sorted({a.lower() for a in (*recipients, *copies)})
    assert all(lot.recipients for lot in sharing.lots)
    assert all(is_sink(address) for address in sharing.sinks)
    assert not any(is_sink(address) for lot in sharing.lots for address in lot.recipients)


@given(st.lists(_ADDRESSES, max_size=8).map(tuple), _WISHES)
def test_individual_bcc_copies_go_alone_and_last(recipients: tuple[str, ...], wishes: Instructions) -> None:
    lots = share_out(recipients, wishes, BccStyle.INDIVIDUAL).lots

    named = [lot.bcc is not None for lot in lots]
    assert named == sorted(named)
    assert all(lot.recipients == (lot.bcc.address,) for lot in lots if lot.bcc)


def test_rcpt_comes_first_then_cc_then_archive_and_each_bcc_follows() -> None:
    wishes = Instructions(cc=_boxes("c@x"), bcc=_boxes("b1@x", "b2@x"), archive=_boxes("a@x"))

    sharing = share_out(("r@x",), wishes, BccStyle.INDIVIDUAL)

    assert sharing.lots == (
        Lot(("r@x", "c@x", "a@x")),
        Lot(("b1@x",), Mailbox("b1@x")),
        Lot(("b2@x",), Mailbox("b2@x")),
    )


def test_shared_bcc_recipients_are_in_the_first_transaction() -> None:
    wishes = Instructions(cc=_boxes("c@x"), bcc=_boxes("b@x"), archive=_boxes("a@x"))

    assert share_out(("r@x",), wishes, BccStyle.SHARED).lots == (Lot(("r@x", "c@x", "b@x", "a@x")),)


def test_the_first_list_that_has_an_address_keeps_it_in_the_first_spelling() -> None:
    wishes = Instructions(cc=_boxes("R@X", "c@x"), bcc=_boxes("C@x", "b@x"), archive=_boxes("B@x", "r@x", "a@x"))

    sharing = share_out(("r@x", "R@x"), wishes, BccStyle.INDIVIDUAL)

    assert sharing.lots == (Lot(("r@x", "c@x", "a@x")), Lot(("b@x",), Mailbox("b@x")))


def test_the_first_name_met_stays() -> None:
    boxes = [Mailbox("a@x"), Mailbox("A@x", "One"), Mailbox("a@X", "Two"), Mailbox("b@x", "Three")]

    assert one_each(boxes) == [Mailbox("a@x", "One"), Mailbox("b@x", "Three")]


def test_a_bcc_copy_has_the_name_that_was_met_first() -> None:
    wishes = Instructions(bcc=(Mailbox("b@x", "One"), Mailbox("B@x", "Two")))

    assert share_out(("r@x",), wishes, BccStyle.INDIVIDUAL).lots[1].bcc == Mailbox("b@x", "One")


def test_more_than_a_thousand_recipients_are_split_and_the_bcc_copies_come_after() -> None:
    recipients = tuple(f"r{number}@x" for number in range(2 * MOST_RECIPIENTS + 1))

    sharing = share_out(recipients, Instructions(bcc=_boxes("b@x")), BccStyle.INDIVIDUAL)

    assert [len(lot.recipients) for lot in sharing.lots] == [1000, 1000, 1, 1]
    assert [address for lot in sharing.lots for address in lot.recipients] == [*recipients, "b@x"]


def test_when_every_recipient_is_a_sink_the_first_bcc_copy_comes_first() -> None:
    sharing = share_out(("r@sink.sparkpostmail.com",), Instructions(bcc=_boxes("b@x")), BccStyle.INDIVIDUAL)

    assert sharing.lots == (Lot(("b@x",), Mailbox("b@x")),)
    assert sharing.sinks == ("r@sink.sparkpostmail.com",)


def test_a_message_for_sinks_only_goes_nowhere() -> None:
    assert share_out(("r@a.sink.sparkpostmail.com",), Instructions(), BccStyle.INDIVIDUAL).lots == ()


def test_only_the_sink_domain_and_what_is_below_it_is_a_sink() -> None:
    assert is_sink("a@sink.sparkpostmail.com")
    assert is_sink("a@Deep.Down.Sink.SparkPostMail.com")
    assert not is_sink("a@notsink.sparkpostmail.com")
    assert not is_sink("a@sink.sparkpostmail.com.example")
    assert not is_sink("sink.sparkpostmail.com@x.example")
