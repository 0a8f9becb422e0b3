"""
`smtpbridge health`: ask the daemon on this machine how it is, for probes and for people.

It asks the pages of `[admin]`, by the same configuration as the daemon's, so a probe need not be changed with the
port.  What it asks is told to everybody, so it shows no token and reads none.  Nothing else is loaded: a container runs
it every few seconds.
"""

import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from smtpbridge.commands.console import NOT_DONE, WRONG_CALL, Failed, config_option, faults_end

if TYPE_CHECKING:
    from smtpbridge.settings.values import Admin


class _Cannot(Failed):
    """Nobody can be asked; a probe that is wrong should not look like a bridge that is ill."""

    exit_code = WRONG_CALL


@click.command(short_help="Ask the running bridge whether mail flows.")
@config_option("The daemon's configuration file; only where its [admin] is is read.")
@click.option("--live", is_flag=True, help="Ask only whether the process answers.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=4.0, show_default=True, help="How long to wait for the answer."
)
def health(config: str, live: bool, seconds: float) -> None:
    """
    Ask the daemon on this machine whether mail is welcome, and why not.

    It asks /readyz of [admin], or with --live /livez, and prints the reasons, a line each; docs/health.md says what
    to do about each.  For the health checks of containers, and for whoever has no curl at hand.

    \b
      smtpbridge health
      smtpbridge health --live

    With --live and without [admin] in the configuration nobody can be asked, and that counts as well: it says so.

    Exit codes: 0 it is well; 1 it is not, or does not answer; 2 a wrong call, or nobody can be asked.
    """
    from smtpbridge.excerpts import load_admin_place

    with faults_end(config, status=WRONG_CALL):
        admin = load_admin_place(config, os.environ)
    if admin is None:
        say = f'nobody can be asked: {config} has no [admin]; write endpoint = "tcp:9225:interface=127.0.0.1" in it'
        if not live:
            raise _Cannot(say)
        click.echo(say)
        return
    code, answer = _answer(admin, "/livez" if live else "/readyz", seconds)
    _tell(code, answer, live)


def _answer(admin: "Admin", page: str, seconds: float) -> tuple[int, bytes]:
    from http.client import HTTPException

    from smtpbridge.commands.way import NoWay, way_to

    try:
        return way_to(admin).get(page, seconds)
    except NoWay as error:
        raise _Cannot(f"nobody can be asked: {error}") from error
    except (OSError, HTTPException) as error:
        reason = "does not answer in time" if isinstance(error, TimeoutError) else f"does not answer ({error})"
        raise Failed(f"{admin.endpoint} {reason}: does the daemon run, with this configuration?") from error


def _tell(code: int, answer: bytes, live: bool) -> None:
    """Print what was answered; leave with 1 where that is bad."""
    if code == HTTPStatus.OK:
        click.echo("alive" if live else "ready")
        return
    try:
        for reason in json.loads(answer):
            click.echo(f"{reason['what']}: {reason['why']} (since {reason['since']})")
    except (ValueError, TypeError, KeyError):
        raise Failed(f"the answer is {code}, and not from a smtpbridge") from None
    raise SystemExit(NOT_DONE)
