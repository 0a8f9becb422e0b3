"""`smtpbridge translate`: its options and its printing; `translation` does the work."""

import json
from typing import IO

import click

from smtpbridge.commands.console import color_option, json_option, width


@click.command(short_help="Show what becomes of a message.")
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
@json_option()
@color_option
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
    from smtpbridge.commands.circumstances import circumstances
    from smtpbridge.commands.translation import NoSuchAddress, envelope_of, foretell, wire_lines

    around = circumstances(config, user)
    octets = wire_lines(file.read())
    try:
        envelope = envelope_of(octets, mail_from, rcpt_to)
    except NoSuchAddress as error:
        raise click.UsageError(str(error)) from error
    foretold = foretell(octets, envelope, around)
    if as_json:
        click.echo(json.dumps(foretold.as_json()))
    else:
        for line in foretold.as_lines(width()):
            click.echo(line)
    raise SystemExit(1 if foretold.refused else 0)
