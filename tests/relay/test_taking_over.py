"""What the bridge takes over: leftovers of a message that was taken in part, queue mode, and messages sent again."""

import sqlite3
from typing import Any

from tests.relay.scripted import CUT, SILENCE, USUAL, Upstream
from tests.relay.world import Caller, RelayCase, message

QUICK = "[queue]\nfirst_retry_seconds = 0.1\nlongest_retry_seconds = 1\n"
BOUNCES = '[bounces]\nfrom = "Mail Delivery <mailer-daemon@bridge.test>"\n'
QUEUE = 'mode = "queue"'


class TakingOverCase(RelayCase):
    def stored(self) -> list[Any]:
        """Return what the store keeps, straight from its file."""
        with sqlite3.connect(self.folder / "store" / "queue.sqlite3") as database:
            return database.execute("SELECT * FROM parcel").fetchall()

    async def nothing_is_left(self) -> None:
        await self.eventually(lambda: not self.stored())


class LeftoversTest(TakingOverCase):
    async def test_a_recipient_refused_for_now_is_served_later_and_the_sender_hears_250(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": [b"450 4.2.1 later\r\n", USUAL]})
        await self.relay(more=QUICK)

        answer = await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test")

        self.assertEqual("250 2.6.0 Message queued as 4711", answer)
        await self.eventually(lambda: len(seen.taken) == 2)
        self.assertEqual(["a@rcpt.test", "b@rcpt.test"], seen.recipients())
        self.assertEqual(seen.taken[0].data, seen.taken[1].data)
        await self.nothing_is_left()

    async def test_a_recipient_refused_for_good_is_reported_to_the_sender(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": b"550 5.1.1 <b@rcpt.test> unknown\r\n"})
        await self.relay(more=QUICK + BOUNCES)

        answer = await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test")

        self.assertEqual("250", answer[:3])
        await self.eventually(lambda: len(seen.taken) == 2)
        report = seen.taken[1]
        self.assertEqual(("mailer-daemon@bridge.test", ["news@sender.test"]), (report.sender, report.recipients))
        self.assertIn(b"Final-Recipient: rfc822; b@rcpt.test\r\nAction: failed\r\nStatus: 5.1.1\r\n", report.data)
        self.assertIn(b"Subject: hello\r\n", report.data)
        self.assertNotIn(b"\r\ntext\r\n", report.data)
        self.assertTrue([line for line in self.log() if "given_up=<b@rcpt.test>" in line])
        await self.nothing_is_left()

    async def test_without_a_route_for_reports_the_log_names_who_is_given_up(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": b"550 5.1.1 unknown\r\n"})
        await self.relay(more=QUICK)

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test"))[:3])
        await self.eventually(lambda: any("given_up=<b@rcpt.test>" in line for line in self.log()))
        self.assertTrue([line for line in self.log() if "bounces" in line])
        self.assertEqual(1, len(seen.taken))

    async def test_nobody_is_told_of_a_message_that_came_from_the_null_path(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": b"550 5.1.1 unknown\r\n"})
        await self.relay(more=QUICK + BOUNCES)

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test", sender=""))[:3])
        await self.nothing_is_left()
        self.assertEqual(1, len(seen.taken))

    async def test_a_report_that_is_refused_makes_no_other_report(self) -> None:
        seen = await self.upstream(
            {"RCPT b@rcpt.test": b"550 5.1.1 no\r\n", "RCPT news@sender.test": b"550 5.1.1 no\r\n"}
        )
        await self.relay(more=QUICK + BOUNCES)

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test"))[:3])
        await self.eventually(lambda: any("given_up=<news@sender.test>" in line for line in self.log()))
        await self.nothing_is_left()
        self.assertEqual(["a@rcpt.test"], seen.recipients())

    async def test_a_refused_copy_does_not_cost_the_sender_its_250(self) -> None:
        seen = await self.upstream({"RCPT x@rcpt.test": [b"451 4.3.0 later\r\n", USUAL]})
        await self.relay(more=QUICK)

        answer = await (await self.caller()).mail("a@rcpt.test", data=message({"bcc": ["x@rcpt.test", "y@rcpt.test"]}))

        self.assertEqual("250", answer[:3])
        await self.eventually(lambda: len(seen.taken) == 3)
        self.assertEqual(["a@rcpt.test", "x@rcpt.test", "y@rcpt.test"], sorted(seen.recipients()))
        [late] = [one for one in seen.taken if one.recipients == ["x@rcpt.test"]]
        self.assertIn(b"Bcc: x@rcpt.test\r\n", late.data)

    async def test_a_copy_of_which_nobody_knows_is_held_and_not_sent_again_by_itself(self) -> None:
        seen = await self.upstream({".": [USUAL, CUT, USUAL]})
        await self.relay(more=QUICK)

        answer = await (await self.caller()).mail("a@rcpt.test", data=message({"bcc": ["x@rcpt.test"]}))

        self.assertEqual("250", answer[:3])
        self.assertEqual(1, len(self.stored()))
        self.assertTrue([line for line in self.log() if "outcome=unknown recipients=<x@rcpt.test>" in line])
        self.assertEqual(["a@rcpt.test"], seen.recipients())

    async def test_a_thousand_copies_refused_for_good_do_not_cost_the_sender_its_250(self) -> None:
        seen = await self.upstream({"RCPT": [USUAL, b"550 5.1.1 no\r\n"]})
        await self.relay(more="[queue]\nfirst_retry_seconds = 60\n")
        api = {"bcc": [f"x{number}@rcpt.test" for number in range(1000)]}

        answer = await (await self.caller()).mail("a@rcpt.test", data=message(api))

        self.assertEqual("250", answer[:3])
        self.assertEqual(["a@rcpt.test"], seen.recipients())
        await self.eventually(lambda: self.service.bridge.under_way == 0)

    async def test_who_is_refused_for_good_is_tried_once_more_and_then_given_up(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": b"550 5.1.1 no\r\n"})
        await self.relay(more=QUICK)

        await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test")

        await self.nothing_is_left()
        self.assertEqual(2, seen.commands.count("RCPT TO:<b@rcpt.test>"))
        self.assertEqual(1, sum("given_up=<b@rcpt.test>" in line for line in self.log()))

    async def test_nothing_is_kept_where_the_sender_is_told_to_retry(self) -> None:
        await self.upstream({"RCPT b@rcpt.test": b"450 4.2.1 later\r\n", "RCPT c@rcpt.test": b"550 5.1.1 no\r\n"})
        await self.relay(more="[queue]\nfirst_retry_seconds = 60\n" + BOUNCES)
        caller = await self.caller()
        await self.eventually(lambda: (self.folder / "store" / "queue.sqlite3").exists())

        def full(name: str) -> None:
            if name == "commit":
                raise OSError(28, "No space left on device")

        self.step = full
        answer = await caller.mail("a@rcpt.test", "b@rcpt.test", "c@rcpt.test")
        self.step = lambda _: None

        self.assertEqual(("451", []), (answer[:3], self.stored()))


class QueueTest(TakingOverCase):
    async def test_the_answer_comes_when_the_message_is_stored_and_it_is_delivered_later(self) -> None:
        seen = await self.upstream({"GREETING": [SILENCE, USUAL]})
        await self.relay(listener=QUEUE, more=QUICK, upstream="deadlines = { greeting = 1 }")
        api = {"cc": ["c@rcpt.test"], "bcc": ["x@rcpt.test"]}

        answer = await (await self.caller()).mail("a@rcpt.test", data=message(api))

        self.assertRegex(answer, "^250 2.6.0 Message queued as [0-9A-F]+$")
        self.assertEqual([], seen.taken)
        await self.eventually(lambda: len(seen.taken) == 2)
        self.assertEqual(["a@rcpt.test", "c@rcpt.test", "x@rcpt.test"], sorted(seen.recipients()))
        await self.nothing_is_left()

    async def test_a_refused_header_is_refused_at_once(self) -> None:
        await self.upstream()
        await self.relay(listener=QUEUE)

        answer = await (await self.caller()).mail("a@rcpt.test", data=message({"tags": "no"}))

        self.assertEqual("550 5.6.0 X-MSYS-API 'tags' must be of type 'json array'", answer)
        self.assertEqual([], self.stored())

    async def test_without_a_store_nothing_is_accepted(self) -> None:
        seen = await self.upstream()
        await self.relay(listener=QUEUE, store="ca.pem/store")

        answer = await (await self.caller()).mail("a@rcpt.test")

        self.assertEqual("451 4.3.0 The message could not be stored; try again later", answer)
        self.assertEqual([], seen.connections)

    async def test_a_large_body_goes_through_the_store_octet_for_octet(self) -> None:
        body = b"".join(b"%07d .dots and lines\r\n" % number for number in range(40_000))
        seen = await self.upstream()
        await self.relay(listener=QUEUE, more=QUICK)

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test", data=message(body=body)))[:3])
        await self.eventually(lambda: len(seen.taken) == 1)
        self.assertTrue(seen.taken[0].data.endswith(b"\r\n\r\n" + body))
        await self.nothing_is_left()
        self.assertEqual([], list((self.folder / "store" / "bodies").iterdir()))

    async def test_every_fault_before_the_dot_is_tried_again_and_nobody_gets_it_twice(self) -> None:
        for place, fault in (
            ("MAIL", b"451 4.3.0 no\r\n"),
            ("DATA", CUT),
            ("RCPT", b"452 4.2.2 full\r\n"),
            ("AUTH", CUT),
        ):
            seen = await self.upstream({place: [fault, fault, USUAL]})
            await self.relay(listener=QUEUE, more=QUICK, store=f"store-{place}")
            caller = await self.caller()
            self.assertEqual("250", (await caller.mail("a@rcpt.test"))[:3])
            await self.eventually(lambda seen=seen: len(seen.taken) == 1)  # type: ignore[misc]
            self.assertEqual(["a@rcpt.test"], seen.recipients())

    async def test_an_unknown_outcome_is_tried_again_and_logged_as_a_possible_duplicate(self) -> None:
        seen = await self.upstream({".": [CUT, USUAL]})
        await self.relay(listener=QUEUE, more=QUICK)

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test"))[:3])
        await self.eventually(lambda: len(seen.taken) == 1)
        self.assertTrue([line for line in self.log() if "an earlier attempt may have been taken" in line])

    async def test_what_cannot_be_delivered_in_its_lifetime_is_reported(self) -> None:
        seen = await self.upstream({"RCPT a@rcpt.test": b"450 4.2.1 later\r\n"})
        await self.relay(listener=QUEUE, more=QUICK + "lifetime_seconds = 1\n" + BOUNCES)

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test"))[:3])
        await self.eventually(lambda: len(seen.taken) == 1)
        self.assertEqual(["news@sender.test"], seen.recipients())
        self.assertIn(b"Final-Recipient: rfc822; a@rcpt.test", seen.taken[0].data)

    async def test_a_parcel_under_way_is_not_sent_again_when_its_lease_ran_out(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay(listener=QUEUE, more=QUICK)
        caller = await self.caller()
        await caller.mail("a@rcpt.test")
        await self.eventually(lambda: any(line.data is None and line.recipients for line in seen.connections))
        self.ahead = 1000.0
        await caller.mail("z@rcpt.test")
        await self.eventually(lambda: "z@rcpt.test" in seen.recipients())
        seen.connections[0].act(b"250 2.6.0 Message queued as 9\r\n")
        await self.nothing_is_left()

        self.assertEqual(1, seen.commands.count("RCPT TO:<a@rcpt.test>"))

    async def test_stopping_is_no_reason_to_give_a_parcel_up(self) -> None:
        seen = await self.upstream({"GREETING": SILENCE})
        service = await self.relay(listener=QUEUE, more=QUICK + "lifetime_seconds = 1\n")
        await (await self.caller()).mail("a@rcpt.test")
        await self.eventually(lambda: len(seen.connections) == 1)
        self.ahead = 1000.0
        stopping = service.stopService()
        keeping = service._keeping
        assert keeping is not None
        await self.eventually(lambda: keeping.runner._stopping)
        service.pools[0].close()  # as the service does when draining took too long
        await stopping

        self.assertEqual(1, len(self.stored()))

    async def test_a_restart_goes_on_where_the_last_process_stopped(self) -> None:
        seen = await self.upstream({"MAIL": [b"451 4.3.0 no\r\n"] * 2 + [USUAL]})
        service = await self.relay(listener=QUEUE, more=QUICK)
        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test"))[:3])
        await service.stopService()
        await self.relay(listener=QUEUE, more=QUICK)

        await self.eventually(lambda: len(seen.taken) == 1)
        self.assertEqual(["a@rcpt.test"], seen.recipients())

    async def test_a_transactional_message_passes_a_campaign(self) -> None:
        seen = await self.upstream({"GREETING": [SILENCE, USUAL]})
        await self.relay(listener=QUEUE, more=QUICK, upstream="deadlines = { greeting = 1 }", connections=1)
        caller = await self.caller()
        for number in range(8):
            await caller.mail(f"campaign{number}@rcpt.test")
        reset = message({"options": {"transactional": True}}, subject="reset")
        await caller.mail("reset@rcpt.test", data=reset)

        await self.eventually(lambda: len(seen.taken) == 9)
        self.assertLessEqual(seen.recipients().index("reset@rcpt.test"), 1)


class SentAgainTest(TakingOverCase):
    async def hang_up_behind_the_dot(self, caller: Caller, data: bytes, tail: bytes = b"") -> None:
        caller.send(b"MAIL FROM:<news@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n")
        for _ in range(3):
            await caller.reply()
        caller.send(data + b".\r\n" + tail)

    async def gone_at_the_dot(self, seen: Upstream, caller: Caller) -> None:
        """The provider has all of the message and says nothing; its sender hangs up."""
        await self.eventually(lambda: any(line.data is None and line.recipients for line in seen.connections))
        caller.transport.abortConnection()  # type: ignore[union-attr]
        await self.eventually(lambda: not self.service.doors[0].gate.sessions)

    async def taken_at_last(self, seen: Upstream) -> None:
        """The provider says yes to the message that it kept waiting."""
        seen.connections[0].act(b"250 2.6.0 Message queued as 9\r\n")
        await self.eventually(lambda: any("verdict=250" in line for line in self.log()))

    async def test_a_message_whose_sender_hung_up_is_not_sent_twice(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay()
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message())
        await self.eventually(lambda: any(line.data is None and line.recipients for line in seen.connections))
        caller.transport.abortConnection()  # type: ignore[union-attr]
        await caller.until(lambda: caller.closed)
        await self.eventually(lambda: not self.service.doors[0].gate.sessions)
        await self.taken_at_last(seen)

        answer = await (await self.caller()).mail("a@rcpt.test")

        self.assertEqual("250 2.6.0 Message queued as 9", answer)
        self.assertEqual(1, sum(command.startswith("MAIL") for command in seen.commands))
        self.assertTrue([line for line in self.log() if "was sent before" in line])

    async def test_a_retry_that_comes_before_the_verdict_waits_for_it(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay()
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message())
        await self.gone_at_the_dot(seen, caller)
        again = await self.caller()
        await self.hang_up_behind_the_dot(again, message())
        await self.eventually(lambda: sum("received client=" in line for line in self.log()) == 2)
        seen.connections[0].act(b"250 2.6.0 Message queued as 9\r\n")

        self.assertEqual("250 2.6.0 Message queued as 9", await again.reply())
        self.assertEqual(1, sum(command.startswith("MAIL") for command in seen.commands))

    async def test_a_sender_that_said_quit_behind_its_dot_and_hung_up_is_recognised_too(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay()
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message(), tail=b"QUIT\r\n")
        await self.gone_at_the_dot(seen, caller)
        await self.taken_at_last(seen)

        await (await self.caller()).mail("a@rcpt.test")

        self.assertEqual(1, sum(command.startswith("MAIL") for command in seen.commands))

    async def test_a_message_whose_session_was_cut_is_not_sent_twice(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay()
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message())
        await self.eventually(lambda: any(line.data is None and line.recipients for line in seen.connections))
        self.service.doors[0].gate.cut()
        self.assertEqual("421", (await caller.reply())[:3])
        await self.eventually(lambda: not self.service.doors[0].gate.sessions)
        await self.taken_at_last(seen)

        await (await self.caller()).mail("a@rcpt.test")

        self.assertEqual(1, sum(command.startswith("MAIL") for command in seen.commands))

    async def test_the_answer_is_given_once_and_the_same_message_after_that_is_a_new_one(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay()
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message())
        await self.gone_at_the_dot(seen, caller)
        await self.taken_at_last(seen)
        again = await self.caller()

        self.assertEqual("250 2.6.0 Message queued as 9", await again.mail("a@rcpt.test"))
        self.assertEqual("250 2.6.0 Message queued as 4711", await again.mail("a@rcpt.test"))

    async def test_a_retry_that_waits_for_its_twin_is_answered_in_time(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay(listener="verdict_seconds = 2")
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message())
        await self.gone_at_the_dot(seen, caller)
        again = await self.caller()
        await self.hang_up_behind_the_dot(again, message())

        self.assertEqual("451 4.4.2 No answer from the provider in time", await again.reply())
        seen.connections[0].act(b"250 2.6.0 Message queued as 9\r\n")
        await self.eventually(lambda: self.service.bridge.under_way == 0)
        self.assertEqual("250 2.6.0 Message queued as 9", await (await self.caller()).mail("a@rcpt.test"))

    async def test_a_session_does_not_keep_a_message_that_was_refused_at_once(self) -> None:
        await self.upstream()
        await self.relay()
        await (await self.caller()).mail("a@rcpt.test", data=message({"tags": "no"}))

        [session] = self.service.doors[0].gate.sessions
        self.assertIsNone(session._delivery)  # type: ignore[attr-defined]

    async def test_another_message_of_the_same_size_is_another_message(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        await self.relay()
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message(subject="one"))
        await self.gone_at_the_dot(seen, caller)
        await self.taken_at_last(seen)

        answer = await (await self.caller()).mail("a@rcpt.test", data=message(subject="two"))

        self.assertEqual("250 2.6.0 Message queued as 4711", answer)

    async def test_a_restart_does_not_forget_what_was_taken(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        service = await self.relay()
        caller = await self.caller()
        await self.hang_up_behind_the_dot(caller, message())
        await self.gone_at_the_dot(seen, caller)
        await self.taken_at_last(seen)
        await service.stopService()
        await self.relay()

        answer = await (await self.caller()).mail("a@rcpt.test")

        self.assertEqual("250 2.6.0 Message queued as 9", answer)
        self.assertEqual(1, sum(command.startswith("MAIL") for command in seen.commands))
