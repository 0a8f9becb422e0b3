"""What a sender hears when the provider refuses, fails or goes away, in every phase."""

import trustme

from tests.relay.scripted import CUT, SILENCE, USUAL, Script, Step
from tests.relay.world import PASSWORD, RelayCase, message

# No folder can be made below a file.
NO_STORE = "ca.pem/store"


class WhatTheSenderHears(RelayCase):
    async def sent(self, script: Script, *recipients: str, data: bytes = b"") -> str:
        self.seen = await self.upstream(script)
        await self.relay()
        caller = await self.caller()
        return await caller.mail(*(recipients or ("a@rcpt.test",)), data=data)

    async def test_a_taken_message_gives_the_providers_own_250(self) -> None:
        answer = await self.sent({})

        self.assertEqual("250 2.6.0 Message queued as 4711", answer)
        self.assertEqual(["a@rcpt.test"], self.seen.recipients())

    async def test_a_refused_sender_is_refused_in_the_providers_words(self) -> None:
        answer = await self.sent({"MAIL": b"550 5.7.1 Sender domain is not yours\r\n"})

        self.assertEqual("550 5.7.1 Sender domain is not yours", answer)
        self.assertEqual([], self.seen.taken)

    async def test_the_only_recipient_refused_gives_the_providers_words(self) -> None:
        answer = await self.sent({"RCPT": b"550 5.7.1 Recipient <a@rcpt.test> not allowed\r\n"})

        self.assertEqual("550 5.7.1 Recipient <a@rcpt.test> not allowed", answer)
        self.assertEqual([], self.seen.taken)

    async def test_one_refused_recipient_of_three_without_a_store_gives_451_and_names_both_groups(self) -> None:
        self.seen = await self.upstream({"RCPT b@rcpt.test": b"550 5.7.1 Recipient <b@rcpt.test> not allowed\r\n"})
        await self.relay(store=NO_STORE)

        answer = await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test", "c@rcpt.test")

        self.assertEqual("451", answer[:3])
        self.assertIn("<b@rcpt.test>: 550 5.7.1 Recipient <b@rcpt.test> not allowed", answer)
        self.assertEqual(["a@rcpt.test", "c@rcpt.test"], self.seen.recipients())
        [line] = [line for line in self.log() if "outcome=partial" in line]
        self.assertIn("taken=<a@rcpt.test> <c@rcpt.test>", line)
        self.assertIn("not_taken=<b@rcpt.test>", line)

    async def test_all_refused_with_one_to_be_retried_gives_that_ones_4xx(self) -> None:
        answer = await self.sent(
            {"RCPT a@rcpt.test": b"550 5.1.1 no\r\n", "RCPT b@rcpt.test": b"450 4.2.1 later\r\n"},
            "a@rcpt.test",
            "b@rcpt.test",
        )

        self.assertEqual("450 4.2.1 later", answer)
        self.assertEqual([], self.seen.taken)

    async def test_a_server_that_takes_data_for_nobody_gets_an_empty_message_and_stays_usable(self) -> None:
        seen = await self.upstream({"RCPT": [b"550 5.1.1 no\r\n", USUAL]})
        await self.relay()
        caller = await self.caller()

        self.assertEqual("550 5.1.1 no", await caller.mail("a@rcpt.test"))
        self.assertEqual("250", (await caller.mail("b@rcpt.test"))[:3])
        self.assertEqual(1, len(seen.connections))

    async def test_too_large_at_mail_is_passed_on(self) -> None:
        self.assertEqual("552 5.3.4 too large", await self.sent({"MAIL": b"552 5.3.4 too large\r\n"}))

    async def test_too_large_at_the_dot_is_passed_on(self) -> None:
        self.assertEqual("552 5.3.4 too large", await self.sent({".": b"552 5.3.4 too large\r\n"}))

    async def test_a_refusal_in_the_middle_of_a_large_body_is_passed_on(self) -> None:
        body = b"x" * 76 + b"\r\n"
        answer = await self.sent({"BODY": b"552 5.3.4 too large\r\n"}, data=message(body=body * 40_000))

        self.assertEqual("552 5.3.4 too large", answer)
        self.assertEqual([], self.seen.taken)

    async def test_a_4xx_at_the_dot_is_passed_on(self) -> None:
        self.assertEqual("452 4.3.1 try later", await self.sent({".": b"452 4.3.1 try later\r\n"}))

    async def test_a_refusal_of_several_lines_is_passed_on_with_all_its_lines(self) -> None:
        answer = await self.sent({".": b"554-5.6.0 one\r\n554 5.6.0 two\r\n"})

        self.assertEqual("554-5.6.0 one 554 5.6.0 two", answer)

    async def test_data_refused_is_passed_on(self) -> None:
        self.assertEqual("451 4.3.0 not now", await self.sent({"DATA": b"451 4.3.0 not now\r\n"}))

    async def test_a_refused_recipient_without_pipelining_is_told_the_same(self) -> None:
        answer = await self.sent(
            {"EHLO": b"250-upstream.test\r\n250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n", "RCPT": b"550 5.1.1 no\r\n"}
        )

        self.assertEqual("550 5.1.1 no", answer)
        self.assertNotIn("DATA", self.seen.commands)


class WhenTheConnectionIsRefused(RelayCase):
    """That says nothing about the message: the sender hears 4xx, whatever the provider said."""

    async def sent(self, script: Script, *, name: str = "localhost") -> str:
        self.seen = await self.upstream(script, name=name)
        await self.relay()
        answer = await (await self.caller()).mail("a@rcpt.test")
        self.assertEqual([], self.seen.taken)
        return answer

    async def test_nobody_listens(self) -> None:
        await self.upstream()
        await self.upstream_port.stopListening()
        await self.relay()

        answer = await (await self.caller()).mail("a@rcpt.test")

        self.assertRegex(answer, "^451 4.4.1 The provider cannot be reached: 127.0.0.1:.*refused")

    async def test_the_greeting_refuses(self) -> None:
        answer = await self.sent({"GREETING": b"554 5.3.2 closed\r\n"})

        self.assertRegex(answer, "^451 4.4.1 .*554 5.3.2 closed")

    async def test_ehlo_is_refused(self) -> None:
        self.assertRegex(await self.sent({"EHLO": b"502 5.5.1 no\r\n"}), "^451 4.4.1 .*EHLO was refused")

    async def test_starttls_is_not_offered(self) -> None:
        answer = await self.sent({"EHLO": b"250-upstream.test\r\n250 AUTH LOGIN PLAIN\r\n"})

        self.assertRegex(answer, "^451 4.4.1 .*does not offer STARTTLS")
        self.assertFalse([line for line in self.seen.commands if line.startswith("AUTH")])

    async def test_starttls_is_refused(self) -> None:
        self.assertRegex(await self.sent({"STARTTLS": b"454 4.7.0 no\r\n"}), "^451 4.4.1 .*STARTTLS was refused")

    async def test_the_certificate_is_for_another_name(self) -> None:
        answer = await self.sent({}, name="elsewhere.test")

        self.assertRegex(answer, "^451 4.4.1 ")
        self.assertFalse([line for line in self.seen.commands if line.startswith("AUTH")])
        self.assertTrue([line for line in self.log() if "cannot be used" in line])

    async def test_the_certificate_is_from_nobody_we_trust(self) -> None:
        mine, self.ca = self.ca, trustme.CA()
        self.seen = await self.upstream()
        self.ca = mine
        await self.relay()

        answer = await (await self.caller()).mail("a@rcpt.test")

        self.assertRegex(answer, "^451 4.4.1 .*its certificate is not from an authority that is trusted here")
        self.assertFalse([line for line in self.seen.commands if line.startswith("AUTH")])

    async def test_the_password_is_wrong(self) -> None:
        answer = await self.sent({"AUTH": b"535 5.7.8 Authentication failed\r\n"})

        self.assertRegex(answer, "^451 4.4.1 .*the login was refused: 535 5.7.8 Authentication failed")
        self.assertTrue([event for event in self.events if event["log_level"].name == "error"])
        self.assertNotIn(PASSWORD, " ".join(self.log()))

    async def test_authentication_demanded_at_mail_is_not_the_senders_fault(self) -> None:
        answer = await self.sent({"MAIL": b"530 5.7.0 Authentication required\r\n"})

        self.assertEqual("451 4.7.0 Authentication required", answer)


class WhenTheServerGoesAway(RelayCase):
    """Before the final dot another connection is tried, once, unseen; behind it nothing is sent again."""

    async def sent(self, script: Script) -> str:
        self.seen = await self.upstream(script)
        await self.relay()
        return await (await self.caller()).mail("a@rcpt.test")

    async def check_it_costs_nothing(self, place: str, fault: Step) -> None:
        answer = await self.sent({place: [fault, USUAL]})

        self.assertEqual("250 2.6.0 Message queued as 4711", answer)
        self.assertEqual(["a@rcpt.test"], self.seen.recipients())
        self.assertEqual(2, len(self.seen.connections))

    async def test_421_at_mail_once(self) -> None:
        await self.check_it_costs_nothing("MAIL", b"421 4.3.2 going down\r\n")

    async def test_421_at_rcpt_once(self) -> None:
        await self.check_it_costs_nothing("RCPT", b"421 4.3.2 going down\r\n")

    async def test_421_at_data_once(self) -> None:
        await self.check_it_costs_nothing("DATA", b"421 4.3.2 going down\r\n")

    async def test_421_in_the_data_once(self) -> None:
        body = b"x" * 76 + b"\r\n"
        self.seen = await self.upstream({"BODY": [b"421 4.3.2 going down\r\n", b"421 4.3.2 going down\r\n", USUAL]})
        await self.relay()
        answer = await (await self.caller()).mail("a@rcpt.test", data=message(body=body * 40_000))

        self.assertEqual("250", answer[:3])
        self.assertEqual(["a@rcpt.test"], self.seen.recipients())

    async def test_cut_at_mail_once(self) -> None:
        await self.check_it_costs_nothing("MAIL", CUT)

    async def test_cut_at_rcpt_once(self) -> None:
        await self.check_it_costs_nothing("RCPT", CUT)

    async def test_cut_at_data_once(self) -> None:
        await self.check_it_costs_nothing("DATA", CUT)

    async def test_421_every_time_is_451_for_the_sender(self) -> None:
        answer = await self.sent({"MAIL": b"421 4.3.2 going down\r\n"})

        self.assertEqual("451 4.3.2 going down", answer)
        self.assertEqual(2, len(self.seen.connections))

    async def test_cut_every_time_before_the_dot_is_451(self) -> None:
        answer = await self.sent({"DATA": CUT})

        self.assertEqual("451", answer[:3])
        self.assertEqual(2, len(self.seen.connections))

    async def test_cut_behind_the_dot_is_451_and_is_not_sent_again(self) -> None:
        answer = await self.sent({".": CUT})

        self.assertEqual("451 4.4.2 The connection was lost behind the final dot; the outcome is unknown", answer)
        self.assertEqual(1, len(self.seen.connections))
        self.assertTrue([line for line in self.log() if "outcome=unknown" in line and "<a@rcpt.test>" in line])

    async def test_421_behind_the_dot_is_a_refusal_to_be_retried(self) -> None:
        answer = await self.sent({".": b"421 4.3.2 going down\r\n"})

        self.assertEqual("451 4.3.2 going down", answer)
        self.assertEqual(1, len(self.seen.connections))

    async def test_421_in_the_greeting_is_451(self) -> None:
        self.assertEqual("451", (await self.sent({"GREETING": b"421 4.3.2 too many\r\n"}))[:3])

    async def test_garbage_instead_of_a_reply_once_costs_nothing(self) -> None:
        await self.check_it_costs_nothing("MAIL", b"\x80\x81 what is this\r\n")

    async def test_an_endless_reply_once_costs_nothing(self) -> None:
        await self.check_it_costs_nothing("MAIL", b"250-more\r\n" * 1000)

    async def test_a_stale_idle_connection_costs_nothing(self) -> None:
        seen = await self.upstream()
        await self.relay()
        caller = await self.caller()
        await caller.mail("a@rcpt.test")
        seen.connections[0].transport.loseConnection()  # type: ignore[union-attr]
        await self.eventually(lambda: seen.open == 0)

        self.assertEqual("250", (await caller.mail("b@rcpt.test"))[:3])
        self.assertEqual(["a@rcpt.test", "b@rcpt.test"], seen.recipients())

    async def test_a_connection_that_is_cut_at_its_second_message_costs_nothing(self) -> None:
        seen = await self.upstream({"RSET": [CUT, USUAL]})
        await self.relay()
        caller = await self.caller()
        await caller.mail("a@rcpt.test")

        self.assertEqual("250", (await caller.mail("b@rcpt.test"))[:3])
        self.assertEqual(["a@rcpt.test", "b@rcpt.test"], seen.recipients())

    async def test_421_said_while_idle_costs_nothing(self) -> None:
        seen = await self.upstream()
        await self.relay()
        caller = await self.caller()
        await caller.mail("a@rcpt.test")
        seen.connections[0].act(b"421 4.4.2 idle for too long\r\n")

        self.assertEqual("250", (await caller.mail("b@rcpt.test"))[:3])
        self.assertEqual(["a@rcpt.test", "b@rcpt.test"], seen.recipients())


class CopiesAndHosts(RelayCase):
    async def test_bcc_copies_follow_the_first_transaction_each_with_its_own_bcc(self) -> None:
        seen = await self.upstream()
        await self.relay()
        api = {"cc": ["c@rcpt.test"], "bcc": ["x@rcpt.test", "y@rcpt.test"], "archive": ["z@rcpt.test"]}

        answer = await (await self.caller()).mail("a@rcpt.test", data=message(api))

        self.assertEqual("250 2.6.0 Message queued as 4711", answer)
        self.assertEqual(["a@rcpt.test", "c@rcpt.test", "z@rcpt.test"], seen.taken[0].recipients)
        copies = {one.recipients[0]: one.data for one in seen.taken[1:]}
        self.assertEqual({"x@rcpt.test", "y@rcpt.test"}, set(copies))
        self.assertIn(b"Bcc: x@rcpt.test\r\n", copies["x@rcpt.test"])
        self.assertNotIn(b"y@rcpt.test", copies["x@rcpt.test"])
        self.assertNotIn(b"bcc", seen.taken[0].data.lower())

    async def test_a_refused_message_sends_no_copy(self) -> None:
        seen = await self.upstream({"MAIL": b"550 5.7.1 no\r\n"})
        await self.relay()

        answer = await (await self.caller()).mail("a@rcpt.test", data=message({"bcc": ["x@rcpt.test"]}))

        self.assertEqual("550 5.7.1 no", answer)
        self.assertFalse([line for line in seen.commands if "x@rcpt.test" in line])

    async def test_a_refused_copy_without_a_store_gives_451_and_names_both_groups(self) -> None:
        seen = await self.upstream({"RCPT x@rcpt.test": b"550 5.1.1 no\r\n"})
        await self.relay(store=NO_STORE)

        answer = await (await self.caller()).mail("a@rcpt.test", data=message({"bcc": ["x@rcpt.test", "y@rcpt.test"]}))

        self.assertEqual("451", answer[:3])
        self.assertEqual({"a@rcpt.test", "y@rcpt.test"}, set(seen.recipients()))
        [line] = [line for line in self.log() if "outcome=partial" in line]
        self.assertIn("not_taken=<x@rcpt.test>", line)

    async def test_forty_copies_go_through_four_connections(self) -> None:
        seen = await self.upstream()
        await self.relay()
        everybody = [f"b{number}@rcpt.test" for number in range(40)]

        answer = await (await self.caller()).mail("a@rcpt.test", data=message({"bcc": everybody}))

        self.assertEqual("250", answer[:3])
        self.assertEqual(sorted(["a@rcpt.test", *everybody]), sorted(seen.recipients()))
        self.assertLessEqual(len(seen.connections), 4)

    async def test_the_next_host_is_used_when_the_first_is_dead(self) -> None:
        await self.upstream()
        dead = self.port
        await self.upstream_port.stopListening()
        seen = await self.upstream()
        await self.relay(f'"127.0.0.1:{dead}", "127.0.0.1:{self.port}"')

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test"))[:3])
        self.assertEqual(["a@rcpt.test"], seen.recipients())

    async def test_sinks_are_accepted_and_go_nowhere(self) -> None:
        seen = await self.upstream()
        await self.relay()

        answer = await (await self.caller()).mail("x@sink.sparkpostmail.com")

        self.assertEqual("250", answer[:3])
        self.assertEqual([], seen.connections)

    async def test_a_refused_header_reaches_nobody(self) -> None:
        seen = await self.upstream()
        await self.relay()

        answer = await (await self.caller()).mail("a@rcpt.test", data=message({"metadata": []}))

        self.assertEqual("550 5.6.0 X-MSYS-API 'metadata' must be of type 'json object'", answer)
        self.assertEqual([], seen.connections)

    async def test_a_sender_that_hangs_up_behind_its_dot_does_not_stop_the_message(self) -> None:
        seen = await self.upstream({".": [SILENCE]})
        await self.relay()
        caller = await self.caller()
        caller.send(b"MAIL FROM:<news@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n")
        for _ in range(3):
            await caller.reply()
        caller.send(message() + b".\r\n")
        await self.eventually(lambda: any(line.data is None and line.recipients for line in seen.connections))
        caller.transport.abortConnection()  # type: ignore[union-attr]
        await caller.until(lambda: caller.closed)
        seen.connections[0].act(b"250 2.6.0 Message queued as 9\r\n")

        await self.eventually(lambda: any("verdict=250 2.6.0 Message queued as 9" in line for line in self.log()))
