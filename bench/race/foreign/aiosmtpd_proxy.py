"""
A bridge over aiosmtpd and aiosmtplib, as somebody would write it who needs one by tomorrow.

It runs in an environment of its own and knows nothing of the rest of this tree.
Upstream connections are kept in a list and used again; headers are read with `email`.
"""

import asyncio
import email.parser
import email.policy
import json
import os
import socket
import ssl

import aiosmtplib
from aiosmtpd.smtp import SMTP, Envelope, Session

_LONG = 78


class Bridge:
    """Translates and passes on; an answer from upstream becomes the sender's."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self._idle: list[aiosmtplib.SMTP] = []
        self._context = ssl.create_default_context(cafile=os.environ["RACE_AUTHORITY"])

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Relay one message."""
        try:
            content = translated(envelope.content)
        except ValueError:
            return "550 5.6.0 X-MSYS-API cannot be read"
        client = self._idle.pop() if self._idle else self._new()
        try:
            if not client.is_connected:
                await client.connect()
            _, answer = await client.sendmail(envelope.mail_from, envelope.rcpt_tos, content)
        except aiosmtplib.SMTPException:
            client.close()
            return "451 4.4.1 upstream failed"
        self._idle.append(client)
        return f"250 {answer}"

    def _new(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname="localhost",
            port=int(os.environ["RACE_SINK_PORT"]),
            start_tls=True,
            tls_context=self._context,
            username=os.environ["RACE_USER"],
            password=os.environ["RACE_PASSWORD"],
        )


def translated(content: bytes) -> bytes:
    """Return the message with other headers; the body is not looked at."""
    head, _, body = content.partition(b"\r\n\r\n")
    fields = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(head)
    value = fields["X-MSYS-API"]
    if value is None:
        return content
    asked = json.loads(value.replace("\r\n", ""))
    del fields["X-MSYS-API"]
    callback = {name: asked[name] for name in ("campaign_id", "metadata", "tags") if name in asked}
    options = asked.get("options", {})
    lines = [f"{name}: {value}" for name, value in fields.raw_items()]
    lines.append(folded(f"X-IB-Callback-Data: {json.dumps(callback)}"))
    if "campaign_id" in asked:
        lines.append(f"X-IB-Bulk-Id: {asked['campaign_id']}")
    for option, name in (("open_tracking", "X-IB-Track-Opens"), ("click_tracking", "X-IB-Track-Clicks")):
        lines.append(f"{name}: {str(bool(options.get(option))).lower()}")
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def folded(field: str) -> str:
    """Return a field in lines of no more than a thousand characters, folded at blanks."""
    lines = [""]
    for word in field.split(" "):
        if len(lines[-1]) + len(word) > _LONG:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)[1:]


async def main() -> None:
    """Listen until the process is ended."""
    context = None
    if os.environ["RACE_CERTIFICATE"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(os.environ["RACE_CERTIFICATE"], os.environ["RACE_KEY"])
    bridge = Bridge()
    # asyncio sets TCP_NODELAY only on a socket whose protocol is named.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", int(os.environ["RACE_PORT"])))
    listening.listen(1024)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(bridge, data_size_limit=52_428_800, hostname="bridge.example.com", tls_context=context),
        sock=listening,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
