"""`smtpbridge health`: what it asks, what it says, and with which status it ends."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import AF_UNIX, create_server
from typing import ClassVar

import pytest
import trustme
from click.testing import CliRunner, Result

from smtpbridge.cli import main

REASON = {"what": "login", "why": "upstream main refuses our login", "since": "2026-03-01T09:12:44Z"}


class Answer(BaseHTTPRequestHandler):
    """What the daemon would say: alive, and not ready."""

    pages: ClassVar[dict[str, tuple[int, bytes]]] = {
        "/livez": (200, b"alive\n"),
        "/readyz": (503, json.dumps([REASON]).encode()),
    }

    def do_GET(self) -> None:
        code, text = self.pages[self.path]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "somebody"


class LocalServer(HTTPServer):
    address_family = AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)


class Ready(Answer):
    pages: ClassVar[dict[str, tuple[int, bytes]]] = {"/readyz": (200, b"[]\n")}


class Stranger(Answer):
    pages: ClassVar[dict[str, tuple[int, bytes]]] = {"/readyz": (404, b"<p>not here</p>")}


@contextmanager
def serving(server: HTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(folder: Path, endpoint: str, *options: str) -> Result:
    """Ask with a configuration that has no secrets to read: the password is a file that is not there."""
    config = folder / "smtpbridge.toml"
    admin = f"[admin]\nendpoint = '{endpoint}'\n" if endpoint else ""
    config.write_text('[[listener]]\nendpoint = "tcp:2525"\n[upstream.main]\npassword_file = "absent"\n' + admin)
    return CliRunner().invoke(main, ["health", "--config", str(config), *options])


def ask_at(folder: Path, answer: type[Answer], *options: str) -> Result:
    server = HTTPServer(("127.0.0.1", 0), answer)
    with serving(server):
        return ask(folder, f"tcp:{server.server_port}:interface=127.0.0.1", *options)


def test_it_prints_the_reasons_and_fails_where_the_bridge_is_not_ready(tmp_path: Path) -> None:
    done = ask_at(tmp_path, Answer)

    assert done.output == "login: upstream main refuses our login (since 2026-03-01T09:12:44Z)\n"
    assert done.exit_code == 1


def test_it_succeeds_where_the_bridge_is_ready(tmp_path: Path) -> None:
    done = ask_at(tmp_path, Ready)

    assert (done.output, done.exit_code) == ("ready\n", 0)


def test_with_live_a_bridge_that_is_not_ready_is_well(tmp_path: Path) -> None:
    done = ask_at(tmp_path, Answer, "--live")

    assert (done.output, done.exit_code) == ("alive\n", 0)


def test_it_asks_at_a_socket_in_the_file_system_too(tmp_path: Path) -> None:
    path = tmp_path / "admin"
    with serving(LocalServer(str(path), Answer)):  # type: ignore[arg-type]  # of that family the address is a path
        done = ask(tmp_path, f"unix:{path}", "--live")

    assert (done.output, done.exit_code) == ("alive\n", 0)


def test_over_tls_the_certificate_of_the_endpoint_counts_under_whatever_name_and_no_token_is_read(
    tmp_path: Path,
) -> None:
    pem = tmp_path / "admin.pem"
    trustme.CA().issue_cert("bridge.example.com").private_key_and_cert_chain_pem.write_to_path(str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    server = HTTPServer(("127.0.0.1", 0), Ready)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        endpoint = f"ssl:{server.server_port}:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
        done = ask(tmp_path, f"{endpoint}'\ntoken_file = 'absent")

    assert (done.output, done.exit_code) == ("ready\n", 0)


def test_where_the_port_is_not_known_nobody_can_be_asked(tmp_path: Path) -> None:
    done = ask(tmp_path, "tcp:0:interface=127.0.0.1")

    assert done.exit_code == 2
    assert "does not say at which port" in done.output


def test_an_answer_of_somebody_else_is_none(tmp_path: Path) -> None:
    done = ask_at(tmp_path, Stranger)

    assert done.exit_code == 1
    assert "not from a smtpbridge" in done.output


def test_a_bridge_that_does_not_run_is_told_with_a_question(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]

    done = ask(tmp_path, f"tcp:{port}:interface=127.0.0.1")

    assert done.exit_code == 1
    assert "does the daemon run" in done.output


def test_a_bridge_that_is_stuck_is_not_waited_for(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as stuck:
        done = ask(tmp_path, f"tcp:{stuck.getsockname()[1]}:interface=127.0.0.1", "--live", "--seconds", "0.1")

    assert done.exit_code == 1
    assert "does not answer in time" in done.output


@pytest.mark.parametrize(("options", "status"), [((), 2), (("--live",), 0)])
def test_where_nobody_can_be_asked_only_life_is_taken_for_granted(
    options: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    done = ask(tmp_path, "", *options)

    assert done.exit_code == status
    assert "has no [admin]" in done.output


def test_a_fault_in_the_configuration_is_told_in_full(tmp_path: Path) -> None:
    done = ask(tmp_path, "tcp:somewhere")

    assert done.exit_code == 2
    assert "[admin] endpoint" in done.output
