"""
Somebody on the line between an SMTP client and a server, as a program of its own.

    python -m tests.integration.tls_mitm DEED PORT RECORD CERTIFICATE KEY

It listens on 127.0.0.1, says on which port, carries each connection to PORT, and writes to RECORD all
that it could read: in the clear, or with a certificate of its own.  What it does beside that is its deed:

- `carry`: nothing,
- `strip`: takes STARTTLS out of what the server offers,
- `refuse`: answers STARTTLS itself, with no,
- `reply-with`: puts replies into one piece with the server's answer to STARTTLS,
- `reply-late`: says them once the client's handshake has begun,
- `command-with`: puts commands into one piece with the client's STARTTLS,
- `command-late`: says them once the server's answer to STARTTLS is there,
- `impostor`: shakes hands in the server's place, and with the server in the client's.
"""

import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path

REPLIES = b"250-injected\r\n250 AUTH PLAIN LOGIN\r\n235 injected\r\n"
COMMANDS = b"EHLO evil\r\nMAIL FROM:<evil@mail.example.com>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n"


class Line:
    """One connection that is carried."""

    def __init__(
        self, client: socket.socket, server: socket.socket, deed: str, record: Callable[[bytes], None]
    ) -> None:
        self.client, self.server = client, server
        self._deed = deed
        self._record = record

    def carry(self, paper: tuple[str, str]) -> None:
        """Follow the talk reply by reply up to the handshake, then carry octets both ways."""
        self._answer()
        while True:
            command = self._heard(self.client.recv(65_536))
            if not command:
                return
            asks = command.upper().startswith(b"STARTTLS")
            if asks and self._deed == "refuse":
                self.client.sendall(b"454 4.7.0 TLS not available\r\n")
                continue
            self.server.sendall(command + (COMMANDS if asks and self._deed == "command-with" else b""))
            self._answer(to_starttls=asks)
            if asks:
                break
        if self._deed == "impostor":
            self._step_between(paper)
        if self._deed == "reply-late":
            self._heard(self.client.recv(65_536))
            self.client.sendall(REPLIES)
        if self._deed == "command-late":
            self.server.sendall(COMMANDS)
        self._carry_both_ways()

    def _heard(self, octets: bytes) -> bytes:
        self._record(octets)
        return octets

    def _answer(self, *, to_starttls: bool = False) -> None:
        """Carry one reply of the server to the client."""
        reply = b""
        while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] == b"-":
            piece = self._heard(self.server.recv(65_536))
            if not piece:
                break
            reply += piece
        if self._deed == "strip":
            reply = reply.replace(b"250-STARTTLS\r\n", b"")
        self.client.sendall(reply + (REPLIES if to_starttls and self._deed == "reply-with" else b""))

    def _step_between(self, paper: tuple[str, str]) -> None:
        towards_server = ssl.create_default_context()
        towards_server.check_hostname = False
        towards_server.verify_mode = ssl.CERT_NONE
        towards_client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        towards_client.load_cert_chain(*paper)
        self.client = towards_client.wrap_socket(self.client, server_side=True)
        self.server = towards_server.wrap_socket(self.server)

    def _carry_both_ways(self) -> None:
        """Carry octets until both sides are done; in one thread, because OpenSSL's connections are not for two."""
        ways = {self.client: self.server, self.server: self.client}
        while ways:
            ready, _, _ = select.select(list(ways), [], [])
            for one in ready:
                if not self._flow(one, ways[one]):
                    ways[one].shutdown(socket.SHUT_WR)
                    del ways[one]

    def _flow(self, one: socket.socket, other: socket.socket) -> bool:
        """Carry what has come; tell whether more may."""
        one.setblocking(False)
        try:
            # Until it says that there is no more: what OpenSSL has read already no select shows.
            while octets := self._heard(one.recv(65_536)):
                other.setblocking(True)
                other.sendall(octets)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False


def _serve(client: socket.socket, port: int, deed: str, record: Path, paper: tuple[str, str]) -> None:
    def write(octets: bytes) -> None:
        with record.open("ab") as file:
            file.write(octets)

    with client, socket.create_connection(("127.0.0.1", port)) as server:
        line = Line(client, server, deed, write)
        try:
            line.carry(paper)
        except OSError as error:
            sys.stdout.write(f"gave up: {error}\n")
            sys.stdout.flush()
        finally:
            line.client.close()
            line.server.close()


def main() -> None:
    """Serve until the end."""
    deed, port, record, certificate, key = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"in between at port {listening.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            client, _ = listening.accept()
            arguments = (client, int(port), deed, Path(record), (certificate, key))
            threading.Thread(target=_serve, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main()
