"""A store that fails: no 250 for what it did not keep, nothing is lost, and work goes on when the cause is gone."""

import sqlite3
from concurrent.futures import Future
from typing import Any, cast

from smtpbridge.relay.service import RelayService
from smtpbridge.store.errors import CommitFailed, StoreBusy, StoreError
from smtpbridge.store.interface import Store, Writer
from tests.relay.scripted import SILENCE, USUAL
from tests.relay.world import RelayCase, message

QUEUE = 'mode = "queue"'
QUICK = "[queue]\nfirst_retry_seconds = 0.1\nlongest_retry_seconds = 1\n"
BOUNCES = '[bounces]\nfrom = "Mail Delivery <mailer-daemon@bridge.test>"\n'
NOT_STORED = "451 4.3.0 The message could not be stored; try again later"
SICK, WELL = "the store is out of order", "the store is in order again"
DISK_FULL = StoreError("the store cannot be written", sqlite3.OperationalError("database or disk is full"))
READ_ONLY = StoreError("the store cannot be written", sqlite3.OperationalError("attempt to write a readonly database"))
NO_SYNC = CommitFailed("the store cannot be written", OSError(5, "Input/output error"))
LOCKED = StoreBusy("the store cannot be written", sqlite3.OperationalError("database is locked"))
# What changes something; on a full disk the rest still succeeds.
WRITES = frozenset({"put", "retry", "done", "remember", "hold", "give_up"})


class SickStore:
    """A real store, of which `fails` says which calls fail with `fault`."""

    def __init__(self, store: Store, fails: frozenset[str] = WRITES) -> None:
        self.fault: StoreError | None = None
        self.fails = fails
        self.failed: list[str] = []
        self.store = store
        self.writer = SickWriter(self)

    def body(self, kept_id: str) -> Any:
        self.ask("body")
        return self.store.body(kept_id)

    def ask(self, name: str) -> None:
        if self.fault is not None and name in self.fails:
            self.failed.append(name)
            raise self.fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class SickWriter:
    """Its writer: what fails, fails in its future."""

    def __init__(self, sick: SickStore) -> None:
        self._sick = sick
        self._writer: Writer = sick.store.writer

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            try:
                self._sick.ask(name)
            except StoreError as error:
                future: Future[Any] = Future()
                future.set_exception(error)
                return future
            return getattr(self._writer, name)(*arguments)

        return call


class SickCase(RelayCase):
    timeout = 60

    def sick(self, service: RelayService, fails: frozenset[str] = WRITES) -> SickStore:
        """Put a store that can be made to fail before the real one."""
        keeper = service._keeping.keeper  # type: ignore[union-attr]
        sick = SickStore(cast(Store, keeper.store), fails)
        keeper.store = cast(Store, sick)
        return sick

    def kept(self, service: RelayService) -> list[Any]:
        store = service._keeping.keeper.store  # type: ignore[union-attr]
        assert store is not None
        return list(store.list())

    def said(self, words: str) -> int:
        return sum(words in line for line in self.log())

    def count_of_faults(self) -> tuple[int, int]:
        """Return how often the log says that the store fell ill, and that it is well."""
        return self.said(SICK), self.said(WELL)


class FaultsTest(SickCase):
    async def test_in_queue_mode_senders_hear_4xx_until_the_cause_is_gone(self) -> None:
        for number, fault in enumerate((DISK_FULL, READ_ONLY, NO_SYNC, LOCKED)):
            with self.subTest(fault=str(fault)):
                self.events.clear()
                seen = await self.upstream()
                service = await self.relay(listener=QUEUE, more=QUICK, store=f"store-{number}")
                sick = self.sick(service)
                caller = await self.caller()
                sick.fault = fault
                for _ in range(3):
                    self.assertEqual(NOT_STORED, await caller.mail("a@rcpt.test"))
                # The runner still asks what is due, which succeeds and proves nothing.
                service._keeping.runner.look()  # type: ignore[union-attr]
                self.assertEqual([], self.kept(service))
                self.assertEqual((1, 0), self.count_of_faults())
                sick.fault = None
                self.assertEqual("250", (await caller.mail("a@rcpt.test"))[:3])
                await self.eventually(lambda seen=seen: seen.recipients() == ["a@rcpt.test"])  # type: ignore[misc]
                self.assertEqual((1, 1), self.count_of_faults())
                self.assertEqual("", service._keeping.keeper.fault)  # type: ignore[union-attr]

    async def test_an_idle_store_is_found_to_be_well_without_a_message(self) -> None:
        await self.upstream()
        service = await self.relay(listener=QUEUE, more=QUICK)
        sick = self.sick(service)
        sick.fault = DISK_FULL
        self.assertEqual(NOT_STORED, await (await self.caller()).mail("a@rcpt.test"))
        await self.eventually(lambda: "remember" in sick.failed)
        self.assertEqual((1, 0), self.count_of_faults())

        sick.fault = None

        await self.eventually(lambda: self.said(WELL) == 1)
        self.assertEqual([], self.kept(service))

    async def test_in_proxy_mode_whole_answers_need_no_store(self) -> None:
        await self.upstream({"RCPT no@rcpt.test": b"550 5.1.1 unknown\r\n"})
        service = await self.relay(more=QUICK)
        self.sick(service).fault = DISK_FULL
        caller = await self.caller()

        self.assertEqual("250", (await caller.mail("a@rcpt.test"))[:3])
        self.assertEqual("550 5.1.1 unknown", await caller.mail("no@rcpt.test"))
        self.assertEqual((0, 0), self.count_of_faults())

    async def test_in_proxy_mode_what_was_taken_in_part_is_451_and_nothing_is_kept(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": [b"450 4.2.1 later\r\n", USUAL]})
        service = await self.relay(more=QUICK)
        sick = self.sick(service)
        sick.fault = DISK_FULL
        caller = await self.caller()

        self.assertEqual("451", (await caller.mail("a@rcpt.test", "b@rcpt.test"))[:3])

        [line] = [line for line in self.log() if "outcome=partial" in line]
        self.assertIn("taken=<a@rcpt.test> not_taken=<b@rcpt.test>", line)
        self.assertEqual([], self.kept(service))
        sick.fault = None
        self.assertEqual("250", (await caller.mail("a@rcpt.test", "b@rcpt.test"))[:3])
        # To double somebody is better than to lose somebody.
        self.assertEqual(["a@rcpt.test", "a@rcpt.test", "b@rcpt.test"], seen.recipients())

    async def test_a_report_that_cannot_be_kept_leaves_the_message_with_its_sender(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": b"550 5.1.1 unknown\r\n"})
        service = await self.relay(more=QUICK + BOUNCES)
        sick = self.sick(service)
        sick.fault = NO_SYNC
        caller = await self.caller()

        self.assertEqual("451", (await caller.mail("a@rcpt.test", "b@rcpt.test"))[:3])
        sick.fault = None
        self.assertEqual("250", (await caller.mail("a@rcpt.test", "b@rcpt.test"))[:3])

        await self.eventually(lambda: "news@sender.test" in seen.recipients())


class DeliveriesTest(SickCase):
    async def test_a_delivery_that_cannot_be_noted_is_noted_later_and_not_made_again(self) -> None:
        seen = await self.upstream({".": [SILENCE, USUAL]})
        service = await self.relay(listener=QUEUE, more=QUICK)
        sick = self.sick(service)
        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test"))[:3])
        await self.eventually(lambda: any(line.data is None and line.recipients for line in seen.connections))
        sick.fault = DISK_FULL
        seen.connections[0].act(b"250 2.6.0 Message queued as 9\r\n")
        await self.eventually(lambda: sick.failed.count("done") >= 2)
        self.assertEqual(1, len(self.kept(service)))

        sick.fault = None

        await self.eventually(lambda: not self.kept(service))
        self.assertEqual(1, sum(command.startswith("MAIL") for command in seen.commands))

    async def test_a_report_that_cannot_be_kept_is_kept_later_and_who_was_served_is_not_served_again(self) -> None:
        seen = await self.upstream({"RCPT b@rcpt.test": b"550 5.1.1 unknown\r\n", ".": [SILENCE, USUAL]})
        service = await self.relay(listener=QUEUE, more=QUICK + BOUNCES)
        sick = self.sick(service)
        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test"))[:3])
        await self.eventually(lambda: any(line.data is None and line.recipients for line in seen.connections))
        sick.fault = NO_SYNC
        seen.connections[0].act(b"250 2.6.0 Message queued as 9\r\n")
        await self.eventually(lambda: sick.failed.count("put") >= 2)

        sick.fault = None

        await self.eventually(lambda: "news@sender.test" in seen.recipients())
        await self.eventually(lambda: not self.kept(service))
        # What was taken when the server was silent is not in its list.
        self.assertEqual(["news@sender.test"], seen.recipients())
        self.assertEqual(1, self.said("given_up=<b@rcpt.test>"))

    async def test_a_body_that_cannot_be_read_is_read_later(self) -> None:
        seen = await self.upstream()
        service = await self.relay(listener=QUEUE, more=QUICK)
        sick = self.sick(service, WRITES - {"put"} | {"body"})
        sick.fault = READ_ONLY
        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test"))[:3])
        await self.eventually(lambda: sick.failed.count("retry") >= 2)
        self.assertEqual(1, self.said("its body cannot be read"))
        self.assertEqual([], seen.commands)

        sick.fault = None

        await self.eventually(lambda: seen.recipients() == ["a@rcpt.test"])
        await self.eventually(lambda: not self.kept(service))
        self.assertFalse(self.said("an earlier attempt may have been taken"))


class RealFaultsTest(SickCase):
    async def test_a_folder_that_vanishes_and_comes_back(self) -> None:
        seen = await self.upstream({"MAIL": b"451 4.3.0 not now\r\n"})
        await self.relay(listener=QUEUE, more=QUICK)
        caller = await self.caller()
        self.assertEqual("250", (await caller.mail("before@rcpt.test"))[:3])
        (self.folder / "store").rename(self.folder / "elsewhere")

        self.assertEqual(NOT_STORED, await caller.mail("during@rcpt.test"))
        self.assertEqual((1, 0), self.count_of_faults())
        (self.folder / "elsewhere").rename(self.folder / "store")
        seen.script.clear()

        self.assertEqual("250", (await caller.mail("after@rcpt.test"))[:3])
        await self.eventually(lambda: sorted(seen.recipients()) == ["after@rcpt.test", "before@rcpt.test"])
        self.assertEqual((1, 1), self.count_of_faults())

    async def test_a_database_that_somebody_else_has_locked(self) -> None:
        seen = await self.upstream()
        await self.relay(listener=QUEUE, more=QUICK)
        caller = await self.caller()
        with sqlite3.connect(self.folder / "store" / "queue.sqlite3", isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            self.assertEqual(NOT_STORED, await caller.mail("a@rcpt.test"))
            self.assertEqual((1, 0), self.count_of_faults())
            other.execute("ROLLBACK")
        other.close()

        self.assertEqual("250", (await caller.mail("a@rcpt.test"))[:3])
        await self.eventually(lambda: seen.recipients() == ["a@rcpt.test"])
        self.assertEqual((1, 1), self.count_of_faults())

    async def test_a_store_that_cannot_be_opened_is_opened_when_it_can_be(self) -> None:
        seen = await self.upstream()
        (self.folder / "store").write_text("a file where the folder should be")
        await self.relay(listener=QUEUE, more=QUICK)
        caller = await self.caller()
        self.assertEqual(NOT_STORED, await caller.mail("a@rcpt.test"))
        self.assertEqual((1, 0), self.count_of_faults())

        (self.folder / "store").unlink()

        await self.eventually(lambda: self.said(WELL) == 1)
        self.assertEqual("250", (await caller.mail("a@rcpt.test", data=message(subject="again")))[:3])
        await self.eventually(lambda: seen.recipients() == ["a@rcpt.test"])
