"""`smtpbridge send`: its options and its printing; `composing` writes the message, `sending` sends it."""

import json
import socket
from typing import TYPE_CHECKING, Any

import click

from smtpbridge.commands.console import (
    NOT_DONE,
    Progress,
    color_option,
    config_option,
    json_option,
)
from smtpbridge.errors import SmtpbridgeError

if TYPE_CHECKING:
    from smtpbridge.commands.asked import Asked
    from smtpbridge.commands.client import Login, Parcel, Sent
    from smtpbridge.commands.doorway import Door

_PUT_OFF, _REFUSED = 4, 5
# A test, and no flood: what races is `make bench`.
_MOST_MESSAGES, _MOST_CONNECTIONS = 1000, 20
_COLOURS = {2: "green", 4: "yellow", 5: "red", 0: "red"}
_WORDS = {2: "accepted", 4: "put off", 5: "refused", 0: "not sent"}
_MARKS = {"C": "->", "S": "<-", "-": "--"}


@click.command(short_help="Send a test message.")
@config_option("The configuration file; its first listener is where the message goes.")
@click.option("--server", metavar="HOST:PORT", help="Send there instead, without a configuration.")
@click.option(
    "--tls",
    type=click.Choice(["starttls", "tls", "none"]),
    help="How TLS begins; default as the listener has it, with --server STARTTLS where it is offered (465: tls).",
)
@click.option("--trust-roots", metavar="FILE", help="With --server: authorities (PEM) instead of the system's.")
@click.option("--insecure", is_flag=True, help="Do not verify the certificate.")
@click.option("--user", metavar="NAME", help="Log in as NAME; with --password-file default SMTP_Injection.")
@click.option(
    "--password-file",
    type=click.File("rb"),
    help="File with the password, - for standard input; a terminal is asked.  It is never an argument.",
)
@click.option("--to", metavar="ADDRESS", multiple=True, help="Recipient, as often as wanted.")
@click.option("--cc", metavar="ADDRESS", multiple=True, help="Entry of cc in X-MSYS-API, as often as wanted.")
@click.option("--bcc", metavar="ADDRESS", multiple=True, help="Entry of bcc, likewise.")
@click.option("--archive", metavar="ADDRESS", multiple=True, help="Entry of archive, likewise.")
@click.option("--from", "from_", metavar="ADDRESS", help="From; default the one of [bounces] in the configuration.")
@click.option("--mail-from", metavar="ADDRESS", help='Envelope sender, "" for the null sender; default that of From.')
@click.option("--subject", default="Test message from smtpbridge", show_default=True, help="Subject.")
@click.option("--text", help="Text of the message, - for standard input.")
@click.option("--html", help="HTML of the message; with --text both are sent.")
@click.option("--file", type=click.File("rb"), help="Send the message in this file (.eml), - for standard input.")
@click.option("--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Another header field.")
@click.option("--campaign", metavar="ID", help="campaign_id.")
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, help="Metadata, or a JSON object; repeatable.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag, as often as wanted.")
@click.option("--track-opens/--no-track-opens", default=None, help="options.open_tracking; default not said.")
@click.option("--track-clicks/--no-track-clicks", default=None, help="options.click_tracking; default not said.")
@click.option("--transactional/--no-transactional", default=None, help="options.transactional; default not said.")
@click.option("--ip-pool", metavar="NAME", help="options.ip_pool.")
@click.option("--count", "-n", type=click.IntRange(1, _MOST_MESSAGES), default=1, show_default=True, help="Messages.")
@click.option(
    "--concurrency", type=click.IntRange(1, _MOST_CONNECTIONS), default=1, show_default=True, help="Connections."
)
@click.option(
    "--timeout", type=click.FloatRange(1, 3600), default=600.0, show_default=True, help="Seconds for a reply."
)
@click.option("--verbose", "-v", is_flag=True, help="Print the conversation, without secrets, to standard error.")
@json_option("Print one JSON object for each message.")
@color_option
def send(**given: Any) -> None:
    """
    Send a test message to the bridge as a sender of SparkPost would, and print the reply.

    It goes to the first listener of the configuration, and takes that listener's certificate and no other.  The options
    for campaign, metadata, tags, tracking and copies become its X-MSYS-API header.

    \b
      smtpbridge send --to you@example.com --from news@shop.example
      smtpbridge send --to you@example.com --campaign autumn --metadata order=4711 --tag sale --track-opens -v
      smtpbridge send --to you@example.com --metadata '{"order": 4711}' --html '<p>Hello</p>' --bcc audit@shop.example
      smtpbridge send --file message.eml --user SMTP_Injection --password-file sender.key
      smtpbridge send --server bridge.example.com:587 --to you@example.com --from me@shop.example --count 20

    With --json, a line for each message: {"result", "reply", "code", "command", "refused", "message_id"}.

    Exit codes, by the worst reply: 0 accepted; 1 no conversation: connection, TLS, configuration; 2 a wrong call; 4 put
    off (4yz), the same may be accepted later; 5 refused (5yz).
    """
    from smtpbridge.commands.asked import Asked, door_of, login_of, parcels_of

    asked = Asked(**given)
    if asked.verbose and asked.concurrency > 1:
        raise click.UsageError("--verbose shows one connection; leave out --concurrency.")
    config, door = door_of(asked)
    try:
        parcels = parcels_of(asked, config)
    except SmtpbridgeError as error:
        raise click.UsageError(str(error)) from error
    raise SystemExit(_send(asked, door, login_of(asked), parcels))


def _send(asked: "Asked", door: "Door", login: "Login | None", parcels: "list[Parcel]") -> int:
    """Send, print what became of each, and return the exit code."""
    from smtpbridge.commands.client import Line
    from smtpbridge.commands.sending import Sender

    sender = Sender(door, login, socket.gethostname(), asked.timeout, overhear=asked.verbose)
    worst: list[int] = []
    with Progress() as progress:
        for one in sender.send_all(parcels, min(asked.concurrency, len(parcels))):
            if isinstance(one, Line):
                click.echo(f"{_MARKS[one.who]} {one.text}", err=True)
                continue
            worst.append(one.kind)
            progress.wipe()
            _print(one, as_json=asked.as_json, several=len(parcels) > 1)
            progress.say(f"{len(worst):,} of {len(parcels):,} messages")
    return _status(worst)


def _print(sent: "Sent", *, as_json: bool, several: bool) -> None:
    if as_json:
        click.echo(json.dumps({"result": _WORDS[sent.kind].replace(" ", "-"), **sent.as_json()}))
        return
    word = click.style(_WORDS[sent.kind], fg=_COLOURS[sent.kind])
    at = "" if sent.command in ("", "end of data") else f" (at {sent.command})"
    shown = sent.failure or str(sent.answer)
    ours = f"  {sent.message_id}" if sent.message_id and not several else ""
    click.echo(f"{word}{at}: {shown}", err=sent.kind == 0)
    for recipient, answer in sent.refused:
        click.echo(f"  <{recipient}>: {answer}")
    if ours and sent.kind == 2:
        click.echo(f"Message-ID:{ours}")


def _status(kinds: list[int]) -> int:
    """Return the exit code: the worst of all."""
    if not kinds or 0 in kinds:
        return NOT_DONE
    worst = max(kinds)
    return worst if worst in (_PUT_OFF, _REFUSED) else 0
