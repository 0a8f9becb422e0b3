"""Taps on real sessions: open ones too, put on and taken away without a trace, and never in the way of mail."""

from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor

from smtpbridge.relay.sender import Sender
from smtpbridge.relay.service import RelayService
from smtpbridge.relay.tracing import Tracing
from smtpbridge.relay.upstream import UpstreamConnection
from smtpbridge.relay.views import Follower, Told
from smtpbridge.relay.wanted import wanted_of
from smtpbridge.relay.wire import OverheardWire
from tests.relay.world import RelayCase, message


def is_tapped(session: Sender | UpstreamConnection) -> bool:
    if isinstance(session, UpstreamConnection):
        return session.is_tapped
    return not vars(session).keys().isdisjoint({"dataReceived", "connectionLost"})


class TapsTest(RelayCase):
    async def begin(self) -> RelayService:
        self.seen = await self.upstream()
        service = await self.relay()
        self.lines: list[Told] = []
        clock: Any = reactor
        self.tracing = Tracing(
            lambda: {door.description: door.gate for door in service.doors}, lambda: service.pools, clock, lambda: 0.0
        )
        return service

    def follow(self, **said: object) -> Follower:
        def read(lines: Sequence[Told]) -> int:
            self.lines += lines
            return len(lines)

        follower = self.tracing.follow(wanted_of(said), read)
        self.addCleanup(self.tracing.stop, follower)
        return follower

    def sessions(self, service: RelayService) -> list[Sender | UpstreamConnection]:
        """Return all sessions, with senders and upstream."""
        senders = [one for door in service.doors for one in door.gate.sessions if isinstance(one, Sender)]
        return [*senders, *[one for pool in service.pools for one in pool.connections]]

    def said(self, place: str, side: str) -> list[object]:
        return [line["text"] for line in self.lines if line["side"] == side and place in line]

    async def test_open_sessions_are_followed_from_where_they_are_and_later_ones_whole(self) -> None:
        await self.begin()
        early = await self.caller()
        await early.mail("a@rcpt.test")
        self.follow()
        await early.mail("b@rcpt.test")
        late = await self.caller()
        await late.say("NOOP")
        await self.eventually(lambda: "NOOP" in self.said("listener", ">"))

        remarks = self.said("listener", "*")
        self.assertEqual("followed from here on (in commands)", remarks[0])
        self.assertEqual("connected: 127.0.0.1", remarks[1])
        self.assertIn("RCPT TO:<b@rcpt.test>", self.said("upstream", ">"))
        self.assertEqual(["followed from here on (in commands)"], self.said("upstream", "*"))
        # The greeting of the second one was seen, that of the first one not.
        self.assertEqual(1, len([text for text in self.said("listener", "<") if str(text).startswith("220 ")]))

    async def test_nothing_is_left_on_a_session_when_the_last_follower_has_gone(self) -> None:
        service = await self.begin()
        caller = await self.caller()
        await caller.mail("a@rcpt.test")
        first, second = self.follow(), self.follow(session="none")
        tapped = self.sessions(service)
        self.assertEqual(2, len(tapped))
        self.tracing.stop(first)
        self.assertTrue(all(is_tapped(one) for one in tapped))
        self.tracing.stop(second)

        for one in tapped:
            self.assertFalse(is_tapped(one))
            self.assertNotIsInstance(one._wire, OverheardWire)
        self.assertTrue(all(door.gate.tracing is None for door in service.doors))
        self.assertTrue(all(pool.tracing is None for pool in service.pools))
        self.assertEqual("250", (await caller.mail("b@rcpt.test"))[:3])

    async def test_a_session_that_ends_while_it_is_followed_is_forgotten(self) -> None:
        service = await self.begin()
        self.follow()
        caller = await self.caller()
        await caller.say("QUIT")
        await self.eventually(lambda: not any(door.gate.sessions for door in service.doors))
        await self.eventually(lambda: any(str(text).startswith("closed") for text in self.said("listener", "*")))

        self.assertEqual({}, self.tracing._taps)

    async def test_a_pool_that_takes_the_place_of_another_is_followed_within_a_second(self) -> None:
        service = await self.begin()
        self.follow()
        [pool] = service.pools
        # As a reload leaves it: nobody has told the new one that somebody follows.
        pool.tracing = None
        await (await self.caller()).mail("a@rcpt.test")
        await self.eventually(lambda: bool(self.said("upstream", "*")))

        self.assertIs(pool.tracing, self.tracing)

    async def test_a_tap_that_fails_is_said_and_mail_goes_on(self) -> None:
        await self.begin()
        caller = await self.caller()
        self.follow()

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("a defect")

        for tap in self.tracing._taps.values():
            for view in tap.views.values():
                vars(view)["heard"] = fail
        answer = await caller.mail("a@rcpt.test", data=message())

        self.assertEqual("250", answer[:3])
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertTrue([line for line in self.log() if "a session cannot be followed any more session=1" in line])
