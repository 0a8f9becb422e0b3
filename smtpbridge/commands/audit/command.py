"""`smtpbridge audit`: its options and its printing; the modules beside it do the work."""

import json
from typing import IO

import click

from smtpbridge.commands.console import Progress, color_option, json_option, width


@click.command(short_help="Show what a move would mean for mail in files.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--config", "-c", type=click.Path(), help="A configuration; default the built-in defaults.")
@click.option("--user", metavar="NAME", default="", help="SMTP user name of the senders, perhaps with a subaccount.")
@json_option()
@color_option
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
    from smtpbridge.commands.circumstances import circumstances

    around = circumstances(config, user)
    with Progress() as progress:
        found = look_through(paths, around, lambda messages: progress.say(f"{messages:,} messages"))
    if page is not None:
        page.write(html(found))
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        for line in lines(found, width()):
            click.echo(line)
    raise SystemExit(1 if found.refused else 0)
