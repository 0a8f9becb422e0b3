"""`smtpbridge top`: its options and its loop; `sight` looks, `board` lays out, `screen` draws."""

import os
import sys
import time
from collections import deque
from typing import IO, TYPE_CHECKING

import click

from smtpbridge.commands.console import Failed, color_option, config_option, faults_end, width

if TYPE_CHECKING:
    from smtpbridge.commands.board import Line
    from smtpbridge.commands.sight import Scraper, Sight

# Rates are those of the last few sights: of one second alone they jump.
_SIGHTS = 6


@click.command(short_help="Watch the bridge at work.")
@config_option("The configuration file; its [admin] says where to look.")
@click.option("--url", metavar="URL", help="Look there instead: http://127.0.0.1:9225, or unix:PATH.")
@click.option("--token-file", type=click.File("r"), help="File with its token; default that of the configuration.")
@click.option("--interval", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Print what there is now, and end.")
@color_option
def top(config: str, url: str | None, token_file: IO[str] | None, interval: float, once: bool) -> None:
    """
    Show rates, sessions, connections to the provider, the queue and the latest trouble, anew each second.

    It reads /metrics and /readyz of the admin endpoint ([admin] in the configuration; nothing else of it is read, but
    its token has to be readable).  q or Ctrl-C ends it; without a terminal it prints what there is now, as with --once.

    \b
      smtpbridge top
      smtpbridge top --config smtpbridge.toml --interval 5
      smtpbridge top --url http://127.0.0.1:9225 --once

    Exit codes: 0 done; 1 nothing to look at (with --once, or without a terminal); 2 a wrong call.
    """
    from smtpbridge.commands.sight import NotSeen, Scraper
    from smtpbridge.commands.way import NoWay, way_at

    token = token_file.read().strip() if token_file else ""
    try:
        scraper = Scraper(way_at(url), token) if url else _scraper_of(config, token)
        watched = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        if watched and not once:
            _watch(scraper, interval)
        else:
            _print(scraper)
    except NoWay as error:
        raise Failed(f"{error}; name it with --url") from error
    except NotSeen as error:
        raise Failed(str(error)) from error


def _scraper_of(path: str, token: str) -> "Scraper":
    """Return who asks at the configuration's [admin], with its token where no other one is given."""
    from smtpbridge.commands.sight import Scraper
    from smtpbridge.commands.way import way_to
    from smtpbridge.excerpts import load_admin

    with faults_end(path):
        admin = load_admin(path, os.environ)
    if admin is None:
        raise Failed(f'{path} has no [admin]: write one with endpoint = "tcp:9225:interface=127.0.0.1"')
    if not token and admin.token is not None:
        token = admin.token.reveal().decode("ascii")
    return Scraper(way_to(admin), token)


def _print(scraper: "Scraper") -> None:
    from smtpbridge.commands.board import board

    for line in board(str(scraper), None, scraper.look(time.monotonic()), width()):
        click.echo(_styled(line))


def _watch(scraper: "Scraper", interval: float) -> None:
    """Draw until somebody has seen enough.  A bridge that is away for a moment is waited for."""
    from smtpbridge.commands.board import Line, board
    from smtpbridge.commands.screen import Screen
    from smtpbridge.commands.sight import NotSeen

    sights: deque[Sight] = deque(maxlen=_SIGHTS)
    plain = click.get_current_context().color is False
    fault = ""
    next_look = time.monotonic()
    with Screen() as screen:
        try:
            while True:
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + interval
                    try:
                        sights.append(scraper.look(time.monotonic()))
                        fault = ""
                    except NotSeen as error:
                        fault = str(error)
                columns = screen.size.columns
                before = sights[0] if len(sights) > 1 else None
                lines = [Line(fault[:columns], "red")] if fault else []
                lines += board(str(scraper), before, sights[-1], columns) if sights else []
                styled = [_styled(line) for line in lines]
                screen.draw([click.unstyle(line) for line in styled] if plain else styled)
                if screen.key(max(0.0, next_look - time.monotonic())) in ("q", "Q"):
                    return
        except KeyboardInterrupt:
            return


def _styled(line: "Line") -> str:
    return click.style(line.text, fg=line.colour or None, bold=line.bold) if line.colour or line.bold else line.text
