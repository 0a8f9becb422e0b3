"""A field of the log is bounded, and all the same everybody who was given up stands in it by name."""

from tests.injection.memory import ANSWERS, relay

MESSAGE = b"From: news@sender.test\r\nTo: a@rcpt.test\r\nSubject: hello\r\n\r\nbody\r\n"


def test_everybody_is_named_where_a_thousand_were_taken_in_part() -> None:
    addresses = [f"{'x' * (number % 60)}{number}@rcpt.test" for number in range(1000)]
    refused = set(addresses[::3])
    answers = [b"451 4.2.1 not now\r\n" if one in refused else ANSWERS[b"RCPT"] for one in addresses]
    with relay(answers={b"RCPT": answers}) as world:
        peer = world.peer()
        peer.lines(b"MAIL FROM:<news@sender.test>\r\n")
        for address in addresses:
            peer.lines(f"RCPT TO:<{address}>\r\n".encode())
        peer.lines(b"DATA\r\n")
        [answer] = peer.lines(MESSAGE + b".\r\n")

        assert answer.startswith("451 ")
        world.journal.check()
        told = [entry for entry in world.journal.entries if " outcome=partial " in entry]
        taken = [entry.partition(" taken=")[2].partition(" not_taken=")[0] for entry in told]
        rest = [entry.partition(" not_taken=")[2].partition(": the sender")[0] for entry in told]
        assert all(" error " in entry and len(entry) < 2300 for entry in told)
        assert {one for line in taken for one in line.split()} - {"-"} == {
            f"<{one}>" for one in set(addresses) - refused
        }
        assert {one for line in rest for one in line.split()} - {"-"} == {f"<{one}>" for one in refused}
