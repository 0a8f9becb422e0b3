"""
`smtpbridge trace`: follow sessions of the daemon that runs, live.

Only options and printing; the daemon filters, and masks what is secret before anything leaves it.
"""

import json
import os
import time
from collections.abc import Mapping

import click

from smtpbridge.commands.asking import NobodyThere, NotDone, ask
from smtpbridge.commands.console import Failed, color_option, config_option, faults_end, json_option

_COLOURS = {"4": "yellow", "5": "red"}


@click.command(short_help="Follow sessions as they happen.")
@config_option("The daemon's configuration file; only the place of its control socket is read.")
@click.option("--client", metavar="ADDRESS", help="Only senders at this address, or in this network (192.0.2.0/24).")
@click.option("--user", metavar="NAME", help="Only senders that log in with this user name.")
@click.option("--sender", metavar="ADDRESS", help='Only messages with this envelope sender; "" for the null one.')
@click.option("--recipient", metavar="ADDRESS", help="Only messages with this envelope recipient.")
@click.option("--listener", metavar="TEXT", help="Only at listeners with this text in their endpoint, such as 2525.")
@click.option("--upstream", metavar="NAME", help="Only connections to this upstream.")
@click.option("--session", metavar="ID", help="Only this session, by its id in a trace.")
@click.option("--headers", is_flag=True, help="Show the header blocks of messages; bodies are never shown.")
@json_option("Print one JSON object a line.")
@color_option
def trace(
    config: str,
    client: str | None,
    user: str | None,
    sender: str | None,
    recipient: str | None,
    listener: str | None,
    upstream: str | None,
    session: str | None,
    headers: bool,
    as_json: bool,
) -> None:
    """
    Follow SMTP sessions of the running daemon as they happen, with senders and with upstreams, like tcpdump; also those
    that are open already, and inside TLS.

    Each line has the time (UTC), the session's id, the listener or upstream, the peer, and who speaks: ">" the client,
    "<" the server ("*" is a remark). Of a message only its size is shown, of a login only its mechanism. Options narrow
    it down together; what shows only later, such as a recipient, brings the lines before it along. Ctrl-C ends it. It
    slows no mail down: where this terminal is too slow lines are left out, and their number is said.

    \b
      smtpbridge trace
      smtpbridge trace --client 192.0.2.0/24 --headers
      smtpbridge trace --recipient user@example.org --json
      smtpbridge trace --upstream main

    It asks the daemon at its control socket ([process] control), which is open to the daemon's own user and to root.

    Exit codes: 0 ended by Ctrl-C; 1 no daemon, or it stopped; 2 a wrong call.
    """
    from smtpbridge.excerpts import load_control

    options = {
        "client": client,
        "user": user,
        "sender": _bare(sender),
        "recipient": _bare(recipient),
        "listener": listener,
        "upstream": upstream,
        "session": session,
    }
    said = {name: value for name, value in options.items() if value is not None}
    with faults_end(config):
        path = load_control(config, os.environ)
    if path is None:
        raise Failed('[process] control is "off" in this configuration, so the daemon cannot be asked')
    try:
        for answer in ask(path, "trace", {**said, "headers": headers}):
            if "following" in answer:
                click.echo("following; Ctrl-C ends", err=True)
            elif as_json:
                click.echo(json.dumps(answer))
            else:
                click.echo(_line(answer))
    except KeyboardInterrupt:
        return
    except (NobodyThere, NotDone) as error:
        raise Failed(str(error)) from error


def _bare(address: str | None) -> str | None:
    """Return an address without the angle brackets that a log shows around it."""
    return address[1:-1] if address is not None and address.startswith("<") and address.endswith(">") else address


def _line(answer: Mapping[str, object]) -> str:
    at = answer.get("at")
    seconds = at if isinstance(at, int | float) else 0.0
    stamp = f"{time.strftime('%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03}"
    if "lost" in answer:
        return f"{stamp} * {answer['lost']} lines are missing: they came faster than they were read"
    side, text = str(answer.get("side")), str(answer.get("text"))
    place = answer.get("listener") or answer.get("upstream")
    line = f"{stamp} {answer.get('session')} [{place}] {answer.get('peer') or 'local'} {side} {text}"
    colour = _COLOURS.get(text[:1]) if side == "<" else None
    return click.style(line, fg=colour, dim=side == "*") if colour or side == "*" else line
