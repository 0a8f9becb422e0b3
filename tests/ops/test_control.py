"""The control socket: who may talk there, what is said, and what happens when it cannot be opened."""

import json
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import TestCase

from smtpbridge.commands.asking import NobodyThere, NotDone, ask
from smtpbridge.ops.control import Control
from smtpbridge.ops.conversation import Conversation


def echo(arguments: Mapping[str, object], asked: Conversation) -> None:
    asked.say({"said": arguments})
    asked.done(count=len(arguments))


def fail(_: Mapping[str, object], __: Conversation) -> None:
    raise RuntimeError("the secret of the daemon")


class SocketTest(TestCase):
    """Over a real socket; the client blocks, so it has a thread."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "state" / "control"
        self.waits: Deferred[Conversation] = Deferred()
        verbs = {"echo": echo, "fail": fail, "wait": lambda _, asked: self.waits.callback(asked)}
        self.control = Control(str(self.path), verbs, reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.stop()))

    async def stop(self) -> None:
        if self.control.running:
            await self.control.stopService()

    async def ask(self, verb: str, **arguments: object) -> list[Mapping[str, object]]:
        return await deferToThread(lambda: list(ask(self.path, verb, arguments, seconds=30)))

    async def refused(self, verb: str, **arguments: object) -> tuple[str, ...]:
        try:
            await self.ask(verb, **arguments)
        except NotDone as error:
            return error.why
        raise AssertionError("it was done")

    def test_a_verb_gets_its_arguments_and_the_client_its_answers(self) -> "Deferred[None]":
        async def run() -> None:
            self.control.startService()

            answers = await self.ask("echo", name="Ünïcode\n", number=1)

            self.assertEqual(answers, [{"said": {"name": "Ünïcode\n", "number": 1}}, {"count": 2, "done": True}])

        return Deferred.fromCoroutine(run())

    def test_only_the_daemon_s_user_may_use_the_file(self) -> None:
        self.control.startService()

        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    def test_an_unknown_verb_is_refused_with_those_that_are_known(self) -> "Deferred[None]":
        async def run() -> None:
            self.control.startService()

            [why] = await self.refused("dance")

            self.assertEqual(why, "this daemon knows no 'dance'; it knows: echo, fail, wait")

        return Deferred.fromCoroutine(run())

    def test_a_verb_that_fails_is_logged_and_its_client_hears_no_exception(self) -> "Deferred[None]":
        async def run() -> None:
            self.control.startService()

            [why] = await self.refused("fail")

            self.assertEqual(why, "internal error in the daemon; its log has more")
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

        return Deferred.fromCoroutine(run())

    def test_a_stop_tells_those_who_wait_and_removes_the_file(self) -> "Deferred[None]":
        async def run() -> None:
            self.control.startService()
            waiting = Deferred.fromCoroutine(self.refused("wait"))
            await self.waits
            await self.control.stopService()

            self.assertEqual(await waiting, ("the daemon stops",))
            self.assertFalse(self.path.exists())

        return Deferred.fromCoroutine(run())

    def test_a_file_that_a_killed_daemon_left_behind_is_replaced(self) -> "Deferred[None]":
        async def run() -> None:
            self.path.parent.mkdir()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
                killed.bind(str(self.path))
            self.control.startService()

            self.assertEqual(await self.ask("echo"), [{"said": {}}, {"count": 0, "done": True}])

        return Deferred.fromCoroutine(run())

    def test_the_socket_of_another_daemon_is_left_alone(self) -> "Deferred[None]":
        async def run() -> None:
            self.control.startService()
            second = Control(str(self.path), {}, reactor)
            with capturedLogs() as events:
                second.startService()
            await second.stopService()

            self.assertEqual([event["why"] for event in events], ["another daemon answers there"])
            self.assertEqual((await self.ask("echo"))[-1], {"count": 0, "done": True})

        return Deferred.fromCoroutine(run())

    def test_what_is_no_socket_is_left_alone_and_the_daemon_runs_without(self) -> None:
        self.path.parent.mkdir()
        self.path.write_text("mine")

        with capturedLogs() as events:
            self.control.startService()
        self.control.stopService()

        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn])
        self.assertIn("smtpbridge trace", str(events[0]["log_format"]))
        self.assertEqual(self.path.read_text(), "mine")

    def test_a_path_that_is_too_long_does_not_keep_the_daemon_from_running(self) -> None:
        long = Control(str(self.path.parent / ("x" * 120)), {}, reactor)

        with capturedLogs() as events:
            long.startService()
        long.stopService()

        self.assertEqual([event["why"] for event in events], ["AF_UNIX path too long"])

    def test_without_a_daemon_the_client_says_where_it_looked(self) -> None:
        with self.assertRaises(NobodyThere) as caught:
            list(ask(self.path, "echo", {}))

        self.assertIn(str(self.path), str(caught.exception))

    def test_a_daemon_that_goes_away_is_said(self) -> "Deferred[None]":
        async def run() -> None:
            self.control.startService()
            waiting = Deferred.fromCoroutine(self.ask("wait"))
            asked = await self.waits
            asked.transport.abortConnection()

            try:
                await waiting
            except NobodyThere as error:
                self.assertEqual(str(error), "the daemon is gone")
            else:
                self.fail("it was answered")

        return Deferred.fromCoroutine(run())


class ConversationTest(TestCase):
    """In memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.control = Control(os.devnull, {"echo": echo, "wait": lambda _, __: None}, self.clock)

    def come(self) -> tuple[Conversation, StringTransport]:
        one = Conversation(self.control, self.clock)
        transport = StringTransport()
        one.makeConnection(transport)
        return one, transport

    def answers(self, transport: StringTransport) -> list[Any]:
        return [json.loads(line) for line in transport.value().splitlines()]

    def test_whatever_is_no_request_is_refused(self) -> None:
        for octets in (b"echo [1]\n", b"echo {\n", b"echo " + b"[" * 60_000 + b"\n", b"\xff\x00\n", b"x" * 70_000):
            one, transport = self.come()
            one.dataReceived(octets)

            self.assertEqual([answer["done"] for answer in self.answers(transport)], [False], octets[:20])
            self.assertTrue(transport.disconnecting)

    def test_where_a_request_is_cut_makes_no_difference(self) -> None:
        one, transport = self.come()
        for octet in b'echo {"a": 1}\n':
            one.dataReceived(bytes((octet,)))

        self.assertEqual(self.answers(transport), [{"said": {"a": 1}}, {"count": 1, "done": True}])

    def test_a_second_request_on_the_same_connection_is_not_obeyed(self) -> None:
        one, transport = self.come()
        one.dataReceived(b"wait\necho\n")

        self.assertEqual(transport.value(), b"")
        one.refuse("enough")

    def test_a_client_that_asks_nothing_is_sent_away(self) -> None:
        _, transport = self.come()
        self.clock.advance(10)

        self.assertEqual(self.answers(transport), [{"done": False, "why": ["no request came"]}])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_waits_for_its_answer_is_not(self) -> None:
        one, transport = self.come()
        one.dataReceived(b"wait\n")

        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(transport.value(), b"")

    def test_clients_are_bounded_and_one_that_leaves_makes_room(self) -> None:
        crowd = [self.come() for _ in range(32)]
        _, turned_away = self.come()
        crowd[0][0].connectionLost()
        _, welcome = self.come()

        self.assertEqual(self.answers(turned_away)[0]["why"], ["too many clients at the control socket"])
        self.assertEqual(welcome.value(), b"")
        for one, _ in crowd[1:]:
            one.dataReceived(b"wait\n")

    def test_who_hangs_up_is_noticed_once(self) -> None:
        one, _ = self.come()
        gone: list[str] = []
        one.when_gone(lambda: gone.append("gone"))
        one.dataReceived(b"wait\n")
        one.connectionLost()
        one.say({"to": "nobody"})

        self.assertEqual(gone, ["gone"])

    def test_a_verb_can_tell_that_its_client_does_not_read(self) -> None:
        one, transport = self.come()
        one.dataReceived(b"wait\n")
        producer: Any = transport.producer
        producer.pauseProducing()
        self.assertFalse(one.has_room)
        producer.resumeProducing()

        self.assertTrue(one.has_room)
