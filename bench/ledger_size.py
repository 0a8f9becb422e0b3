"""
What a ledger of many messages costs: `python -m bench.ledger_size [MESSAGES] [SECONDS] [FOLDER]`.

Enters MESSAGES (default 1,000,000) of one recipient, with metadata as a shop would send them, and tells how many a
second are durable, how large the file is, and how long a look-up takes in a process that has just opened it.  Then
notifications come in on top of that, 5,000 a second for SECONDS (default 60), and are translated and put into batches
at the same time, as the bridge would.  FOLDER (default: a temporary one) is on the disk that is measured.
"""

import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from statistics import quantiles

from smtpbridge.store.ledger import Copy, Entry, Notice, Outgoing
from smtpbridge.store.ledger_sqlite import SqliteLedger

# As many senders as may wait for their entry at a time.
_WAITING = 256
_LOOK_UPS = 20_000
_A_SECOND = 5_000
_TARGETS = ("mautic", "own")
_MOST = 350


def opened(folder: Path) -> SqliteLedger:
    """Open the ledger that is measured."""
    serials = count()
    run = os.urandom(4).hex()
    return SqliteLedger(folder, lambda: f"{run}-{next(serials)}")


def entry(chance: random.Random, serial: int) -> Entry:
    """Return a message of a shop, in about the length that the bridge writes."""
    common = {
        "transmission_id": str(chance.getrandbits(62)),
        "campaign": f"order-{chance.randrange(20)}",
        "metadata": {
            "order": f"{chance.randrange(10**8)}",
            "customer_id": chance.randrange(10**7),
            "template": "order_confirmation_v2",
            "locale": "en_GB",
        },
        "tags": ["transactional", "order"],
        "subject": f"Your order {chance.randrange(10**8)} is on its way",
        "from": "orders@shop.example.com",
        "msg_from": "bounces@mail.shop.example.com",
        "size": chance.randrange(2_000, 60_000),
        "flags": 6,
    }
    recipient = f"customer.{serial}@example.{serial % 7}.net"
    own = {"message_id": f"{chance.getrandbits(80):020x}", "recipient": recipient}
    return Entry(
        chance.randbytes(16),
        time.time(),
        json.dumps(common, separators=(",", ":")).encode(),
        (Copy(recipient, json.dumps(own, separators=(",", ":")).encode()),),
    )


def fill(ledger: SqliteLedger, messages: int) -> tuple[list[tuple[bytes, str]], int]:
    """Enter that many; return some keys, and how many octets were given."""
    chance, waiting = random.Random(1), deque[Future[None]]()
    keys, given = list[tuple[bytes, str]](), 0
    begun, cpu = time.monotonic(), time.process_time()
    for serial in range(messages):
        made = entry(chance, serial)
        if serial % max(1, messages // _LOOK_UPS) == 0:
            keys.append((made.token, made.copies[0].recipient))
        given += len(made.common) + len(made.copies[0].own) + len(made.copies[0].recipient) + 24
        waiting.append(ledger.writer.enter(made))
        while len(waiting) >= _WAITING:
            waiting.popleft().result()
        if serial % 100_000 == 99_999:
            print(f"  {serial + 1:,} after {time.monotonic() - begun:.0f} s", flush=True)
    for future in waiting:
        future.result()
    took, cpu = time.monotonic() - begun, time.process_time() - cpu
    print(f"entered {messages:,} at {messages / took:,.0f} a second, {cpu / messages * 1e6:.0f} us of CPU time each")
    return keys, given


def look_up(ledger: SqliteLedger, keys: list[tuple[bytes, str]]) -> None:
    """Tell how long it takes to find one."""
    random.Random(2).shuffle(keys)
    times, cpu = list[float](), time.process_time()
    for token, recipient in keys:
        begun = time.perf_counter()
        found = ledger.find(token, recipient)
        times.append(time.perf_counter() - begun)
        assert found is not None
        assert found.own is not None
    cpu = time.process_time() - cpu
    cuts = [cut * 1e6 for cut in quantiles(times, n=1000)]
    print(
        f"{len(times):,} look-ups: median {cuts[499]:.0f} us, 99 % below {cuts[989]:.0f} us, 99.9 % below"
        f" {cuts[998]:.0f} us, longest {max(times) * 1e6:.0f} us, CPU time {cpu / len(times) * 1e6:.0f} us"
    )


def burst(ledger: SqliteLedger, keys: list[tuple[bytes, str]], seconds: int) -> None:
    """Take notifications in at a fixed rate while others are translated and put into batches."""
    waits, futures, done = list[float](), list[Future[int]](), threading.Event()
    others = [threading.Thread(target=work, args=(ledger, done)) for work in (translate, form_batches)]
    for other in others:
        other.start()
    begun = time.monotonic()
    for serial in range(seconds * _A_SECOND):
        due = begun + serial / _A_SECOND
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        token, recipient = keys[serial % len(keys)]
        report = {"token": token.hex(), "to": recipient, "serial": serial, "status": "DELIVERED", "filling": "x" * 500}
        future = ledger.writer.take_in(json.dumps(report).encode(), time.time())
        future.add_done_callback(_noting(waits, due))
        futures.append(future)
    offered = time.monotonic() - begun
    ids = {future.result() for future in futures}
    taken = time.monotonic() - begun
    left = ledger.counts()
    print(f"offered {len(futures):,} notifications in {offered:.1f} s, all durable after {taken:.1f} s")
    cuts = quantiles(waits, n=100)
    median, most, all_ = (wait * 1e3 for wait in (cuts[49], cuts[98], max(waits)))
    print(f"each waited {median:.0f} ms (median), {most:.0f} ms (99 %), {all_:.0f} ms at most")
    print(f"at the end {left.notices:,} were not yet translated, {[(one.target, one.waiting) for one in left.targets]}")
    done.set()
    for other in others:
        other.join()
    after = ledger.counts()
    print(f"all translated and sent {time.monotonic() - begun:.1f} s after the first; {after.events:,} events")
    assert len(ids) == after.events == len(futures), "lost"


def _noting(waits: list[float], since: float) -> Callable[[Future[int]], None]:
    return lambda _future: waits.append(time.monotonic() - since)


def event(ledger: SqliteLedger, notice: Notice) -> Outgoing:
    """Return about what the bridge would make of a notification."""
    report = json.loads(notice.octets)
    found = ledger.find(bytes.fromhex(report["token"]), report["to"])
    assert found is not None
    assert found.own is not None
    octets = json.dumps({"msys": {"message_event": {**json.loads(found.common), **json.loads(found.own)}}})
    return Outgoing(str(report["serial"]), "delivery", octets.encode(), time.time(), report["to"], "", _TARGETS)


def translate(ledger: SqliteLedger, done: threading.Event) -> None:
    """Put events in the place of notices until none comes any more."""
    after = 0
    while True:
        is_last = done.is_set()
        notices = ledger.notices(_WAITING, after)
        for future in [ledger.writer.translated(notice.id, (event(ledger, notice),)) for notice in notices]:
            future.result()
        if notices:
            after = notices[-1].id
        elif is_last:
            return
        else:
            time.sleep(0.01)


def form_batches(ledger: SqliteLedger, done: threading.Event) -> None:
    """Deliver to both targets until nothing waits any more."""
    while True:
        is_last = done.is_set() and ledger.counts().notices == 0
        formed = [ledger.writer.form_batch(target, _MOST, time.time()).result() for target in _TARGETS]
        for batch in formed:
            if batch is not None:
                ledger.delivered(batch.id)
        if is_last and formed == [None, None]:
            return
        if None in formed:
            time.sleep(0.1)


def main() -> None:
    """Measure."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as name:
        folder = Path(name)
        ledger = opened(folder)
        keys, given = fill(ledger, messages)
        ledger.close()
        size = (folder / "ledger.db").stat().st_size
        print(
            f"{size / 1e6:,.0f} MB, {size / messages:.0f} octets a message, of which {given / messages:.0f} were given"
        )
        ledger = opened(folder)
        look_up(ledger, keys)
        burst(ledger, keys, seconds)
        ledger.close()
        print(f"{(folder / 'ledger.db').stat().st_size / 1e6:,.0f} MB at the end")


if __name__ == "__main__":
    main()
