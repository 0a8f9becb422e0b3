"""SIGKILL between inbox and target: whatever was answered 200 arrives, and what arrives twice says so."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from smtpbridge.config import load
from smtpbridge.dialect.token import Tokens
from smtpbridge.settings.event_values import Events

ROOT = Path(__file__).parents[2]
SECRET = b"a secret of the inbox"
# Steps of the ledger at which a life ends; the first ones are those of a start.
DEATHS = (1, 2, 5, 8, 15, 30)
_SECONDS = 30.0


class Seen:
    """What a target got: for each event the batches that it came in."""

    def __init__(self) -> None:
        self.batches: dict[str, list[str]] = {}
        self.changed = threading.Condition()

    def take(self, batch: str, body: bytes) -> None:
        with self.changed:
            for one in json.loads(body):
                (event,) = one["msys"].values()
                self.batches.setdefault(event["event_id"], []).append(batch)
            self.changed.notify_all()


@contextmanager
def target(seen: Seen) -> Iterator[int]:
    """Serve as a target, and yield the port."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.take(self.headers["X-MessageSystems-Batch-ID"], body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def life(config: Path, death: int) -> Iterator[int | None]:
    """Run a process until its death or the end of the block, and yield its port if it lived to tell."""
    said = [sys.executable, "-m", "tests.events.mortal", str(config), str(death)]
    with subprocess.Popen(said, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield int(line) if line else None
        finally:
            process.kill()


def post(port: int, path: str, body: bytes) -> bool:
    """Post a notification until it is answered 200, and tell whether it was; 503 is the answer before it is ready."""
    while (status := _posted(port, path, body)) == 503:
        pass
    return status == 200


def _posted(port: int, path: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("POST", path, body)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def configured(folder: Path, port: int) -> tuple[Path, Events]:
    for name, content in (("secret", SECRET), ("password", b"x")):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    path = folder / "smtpbridge.toml"
    path.write_text(f"""
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
[upstream.main]
hosts = ["mx.test:587"]
password_file = "{folder}/password"
[store]
path = "{folder}"
[events]
public_url = "https://events.example.com/infobip"
endpoint = "tcp:0:interface=127.0.0.1"
secret_file = "{folder}/secret"
[events.target.crm]
url = "http://127.0.0.1:{port}/"
batch_events = 3
batch_seconds = 1
""")
    said = load(path, {}).events
    assert said is not None
    return path, said


def report(tokens: Tokens, number: int) -> bytes:
    said = {
        "messageId": f"m-{number}",
        "to": f"{number}@rcpt.test",
        "callbackData": tokens.write(os.urandom(16)),
        "status": {"groupName": "DELIVERED"},
    }
    return json.dumps({"results": [said]}).encode()


def test_whatever_was_answered_200_reaches_the_target_and_doubles_have_the_same_ids(tmp_path: Path) -> None:
    seen, tokens, answered, number = Seen(), Tokens(SECRET), 0, 0
    with target(seen) as port:
        path, said = configured(tmp_path, port)
        inbox = f"/infobip/{said.path}"
        left: list[bytes] = []
        for death in DEATHS:
            with life(path, death) as door:
                alive = door is not None
                while alive and door is not None:
                    if not left:
                        number += 1
                        left.append(report(tokens, number))
                    alive = post(door, inbox, left[0])
                    if alive:
                        answered += 1
                        left.pop()
        with life(path, 0) as door:
            assert door is not None
            # Until here somebody may have been killed between the commit and the answer: then it is told again.
            answered += sum(post(door, inbox, one) for one in left)
            with seen.changed:
                assert seen.changed.wait_for(lambda: len(seen.batches) >= answered, _SECONDS), len(seen.batches)

    assert answered == number > len(DEATHS)
    assert len(seen.batches) == number
    assert [batches for batches in seen.batches.values() if len(set(batches)) > 1] == []
