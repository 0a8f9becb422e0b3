"""
The console command: what can be asked for, and with which options.

Each command reads its arguments, leaves the work to a module of `commands`,
and prints.  Those modules are imported when they are needed: asking for help
must not wait for Twisted.  The reactor is fetched here and handed down.
"""

import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from smtpbridge import __version__
from smtpbridge.commands.hashing import hash_
from smtpbridge.commands.queue import queue
from smtpbridge.config import DEFAULT_PATH, Config, ConfigError, describe, load
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.sandbox.outcomes import outcome_table

if TYPE_CHECKING:
    from smtpbridge.commands.translation import Circumstances

_WRONG_CALL = 2


class _Failed(click.ClickException):
    """The command could not do its work; exit 1, the text to stderr."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit codes:\n  0  done\n  1  not done, refused, or something is wrong\n  2  a wrong call",
)
@click.version_option(__version__, prog_name="smtpbridge", message="%(prog)s %(version)s")
def main() -> None:
    """
    Take SparkPost's place in front of your senders and relay their mail to Infobip.

    \b
      smtpbridge demo                        see it work; needs no configuration
      smtpbridge translate message.eml       see what becomes of a message of yours
      smtpbridge audit mail/                 see what a move means for all of them
      smtpbridge check --config FILE         look through a configuration
      smtpbridge queue list --config FILE    see what is kept and not delivered yet
      smtpbridge hash                        hash the key or the password of a sender
      twistd -n smtpbridge --config FILE     run it
    """


main.add_command(queue)
main.add_command(hash_)


@main.command(short_help="Show the bridge at work.")
@click.option("--once", is_flag=True, help="End after the sample, exit 0 when it came through.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=2525,
    show_default=True,
    help="Where the bridge listens on 127.0.0.1; 0 for a port that is free.",
)
def demo(once: bool, port: int) -> None:
    """
    Send one message through the bridge to a stand-in for Infobip, and stay up for more.

    Certificates, secrets and the configuration are made for the run and removed afterwards.  The folder with the
    mail stays and is named.

    \b
      smtpbridge demo
      smtpbridge demo --port 2526
      smtpbridge demo --once --port 0
    """
    from twisted.internet import reactor

    from smtpbridge.commands.demo import Demo
    from smtpbridge.commands.folders import lasting_folder, passing_folder
    from smtpbridge.commands.running import run

    mail = lasting_folder()
    try:
        with passing_folder() as private:
            shown = Demo(reactor, click.echo, _width(), private, mail)
            run(reactor, lambda: shown.run(port, once=once))
    except SmtpbridgeError as error:
        raise _Failed(str(error)) from error
    finally:
        _name_folder(mail)


@main.command(
    short_help="Run a stand-in for Infobip.",
    epilog="\b\nRecipients and senders that make it refuse:\n" + outcome_table(),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=2587,
    show_default=True,
    help="Port for STARTTLS on 127.0.0.1; 0 for one that is free.",
)
@click.option("--tls-port", type=click.IntRange(0, 65535), help="Another port, with TLS from the first octet.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Where mail is kept; default a new folder."
)
@click.option("--user", default="App", show_default=True, help="The user name that it knows.")
@click.option("--password", help="The password of that user; default a random one.")
@click.option("--certificate", type=click.File("rb"), help="Chain in PEM form, with --key; default one made now.")
@click.option("--key", type=click.File("rb"), help="Key of the certificate in PEM form.")
def sandbox(
    port: int,
    tls_port: int | None,
    folder: Path | None,
    user: str,
    password: str | None,
    certificate: IO[bytes] | None,
    key: IO[bytes] | None,
) -> None:
    """
    Run the stand-in for Infobip alone: STARTTLS, AUTH, Infobip's replies and limits.

    Each message is kept as an .eml file, its envelope beside it as .json.  Ctrl-C ends it.

    \b
      smtpbridge sandbox
      smtpbridge sandbox --port 2587 --tls-port 2465 --folder mail --password secret
    """
    from twisted.internet import reactor

    from smtpbridge.commands.folders import lasting_folder, passing_folder
    from smtpbridge.commands.running import run
    from smtpbridge.commands.standin import StandIn, premises_from

    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key go together.")
    mail = folder or lasting_folder()
    try:
        with passing_folder() as private:
            pair = (certificate.read(), key.read()) if certificate and key else None
            users = {user: secrets.token_hex(20) if password is None else password}
            premises = premises_from(pair, private, users, mail)
            run(reactor, lambda: StandIn(reactor, premises, click.echo).run(port, tls_port))
    except SmtpbridgeError as error:
        raise _Failed(str(error)) from error
    finally:
        if folder is None:
            _name_folder(mail)


@main.command(short_help="Look through a configuration.")
@click.option(
    "--config", "-c", type=click.Path(), default=DEFAULT_PATH, show_default=True, help="The configuration file."
)
@click.option("--connect", is_flag=True, help="Dial every host of every upstream, verify TLS, log in.")
def check(config: str, connect: bool) -> None:
    """
    Read the configuration and report every fault at once.

    Without a fault it prints what is in force.  No port is bound and no mail is sent.

    \b
      smtpbridge check --config smtpbridge.toml
      smtpbridge check --config smtpbridge.toml --connect
    """
    found = _load(config, status=1)
    for line in describe(found):
        click.echo(line)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if connect:
        _connect(found)


@main.command(short_help="Show what becomes of a message.")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--mail-from", metavar="ADDRESS", help='Envelope sender, "" for the null sender; default Return-Path, From.'
)
@click.option(
    "--rcpt-to",
    metavar="ADDRESS",
    multiple=True,
    help="Envelope recipient, as often as wanted; default To, Cc and Bcc.",
)
@click.option("--config", "-c", type=click.Path(), help="A configuration; default the built-in defaults.")
@click.option("--user", metavar="NAME", default="", help="SMTP user name of the sender, perhaps with a subaccount.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def translate(
    file: IO[bytes], mail_from: str | None, rcpt_to: tuple[str, ...], config: str | None, user: str, as_json: bool
) -> None:
    """
    Show what would become of the message in FILE, standard input by default; nothing is sent.

    FILE holds the message as it is, without doubled dots.  A line end may be LF alone and is read as CRLF.  The limits
    are those of the first listener in the configuration.

    \b
      smtpbridge translate message.eml
      smtpbridge translate --mail-from a@example.com --rcpt-to b@example.net message.eml
      smtpbridge translate --user SMTP_Injection:X-MSYS-SUBACCOUNT=12 --config FILE message.eml
      smtpbridge translate --json - < message.eml

    With --json: {"reply", "warnings", "transactions": [{"upstream", "mail_from", "rcpt_to", "message"}]}, where the
    message is the base64 of its octets.

    Exit codes: 0 it would be relayed; 1 it would be refused; 2 a wrong call.
    """
    from smtpbridge.commands.translation import NoSuchAddress, envelope_of, foretell, wire_lines

    around = _circumstances(config, user)
    octets = wire_lines(file.read())
    try:
        envelope = envelope_of(octets, mail_from, rcpt_to)
    except NoSuchAddress as error:
        raise click.UsageError(str(error)) from error
    foretold = foretell(octets, envelope, around)
    if as_json:
        click.echo(json.dumps(foretold.as_json()))
    else:
        for line in foretold.as_lines(_width()):
            click.echo(line)
    raise SystemExit(1 if foretold.refused else 0)


@main.command(short_help="Show what a move would mean for mail in files.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--config", "-c", type=click.Path(), help="A configuration; default the built-in defaults.")
@click.option("--user", metavar="NAME", default="", help="SMTP user name of the senders, perhaps with a subaccount.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--html", "page", type=click.File("w", "utf-8", lazy=False), help="Write a page for people, in one file, there."
)
def audit(paths: tuple[str, ...], config: str | None, user: str, as_json: bool, page: IO[str] | None) -> None:
    """
    Look through mail that was sent with SparkPost, and show what the bridge would do with it; nothing is sent.

    A PATH is a message (.eml), an mbox, a Maildir, or a folder of such.  The envelope is taken from Return-Path, From,
    To, Cc and Bcc, the limits from the first listener in the configuration.

    \b
      smtpbridge audit Maildir sent.mbox
      smtpbridge audit --html audit.html mail/
      smtpbridge audit --json --config FILE mail/

    Exit codes: 0 everything would be relayed, perhaps with warnings; 1 some message would be refused; 2 a wrong call.
    """
    from smtpbridge.commands.audit.collect import audit as look_through
    from smtpbridge.commands.audit.page import html
    from smtpbridge.commands.audit.table import lines

    found = look_through(paths, _circumstances(config, user), _tell_progress)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    if page is not None:
        page.write(html(found))
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        for line in lines(found, _width()):
            click.echo(line)
    raise SystemExit(1 if found.refused else 0)


def _tell_progress(messages: int) -> None:
    """Say how far it is where somebody watches."""
    if sys.stderr.isatty():
        click.echo(f"\r{messages:,} messages", nl=False, err=True)


def _circumstances(config: str | None, user: str) -> "Circumstances":
    from smtpbridge.commands.translation import Circumstances
    from smtpbridge.dialect.policy import UNSAID, Policy
    from smtpbridge.relay.auth import read_user_name
    from smtpbridge.settings.endpoint import EndpointText, Reach
    from smtpbridge.settings.values import Listener

    name = read_user_name(user)
    if name.odd:
        click.echo(f"note: {name.odd!r} behind the user name means nothing to the bridge", err=True)
    if config is None:
        listener = Listener("", EndpointText("tcp", Reach.LOCAL))
        return Circumstances(Policy(), listener, "localhost", name.subaccount)
    found = _load(config, status=_WRONG_CALL)
    # The first listener and, of several credentials of that name, the first: a message does not say which it came by.
    wanted, listener = name.name.lower(), found.listeners[0]
    login = next((one.defaults for one in found.credentials if one.username.lower() == wanted), UNSAID)
    defaults = login.over(listener.defaults)
    return Circumstances(found.translation, listener, found.hostname, name.subaccount, defaults)


def _connect(config: Config) -> None:
    """Print what is found at each host; exit 1 when one cannot be used."""
    from twisted.internet import reactor

    from smtpbridge.commands.checking import connect_to_all
    from smtpbridge.commands.running import run

    findings = run(reactor, lambda: connect_to_all(config, reactor))
    if findings is None:
        raise click.Abort
    for finding in findings:
        for line in finding.lines():
            click.echo(line, err=not finding.usable)
    if not all(finding.usable for finding in findings):
        raise SystemExit(1)


def _load(path: str, *, status: int) -> Config:
    """Read a configuration; end with all its faults and that status where it has any."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        click.echo(f"{path} cannot be used:", err=True)
        for fault in error.faults:
            click.echo(f"  {fault}", err=True)
        raise SystemExit(status) from error


def _name_folder(folder: Path) -> None:
    """Say where the mail is, or remove the folder where there is none."""
    if any(folder.iterdir()):
        click.echo(f"The mail is kept in {folder}")
    else:
        folder.rmdir()


def _width() -> int:
    return shutil.get_terminal_size().columns
