"""
`smtpbridge reload`: have the daemon that runs read its configuration again, and say what came of it.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smtpbridge.commands.console import Failed, config_option, faults_end

if TYPE_CHECKING:
    from smtpbridge.commands.asking import Answer

# With workers the slowest has half a minute to look at it; whoever asks at the same time is served first.
_SECONDS = 90.0


@click.command(name="reload", short_help="Have the daemon read its configuration again.")
@config_option()
@click.option("--quiet", "-q", is_flag=True, help="Print nothing when all is well.")
def reload_(config: str, quiet: bool) -> None:
    """
    Have the daemon read its configuration again, and wait until that is in force.

    All of it counts from then on, or nothing: with a fault, or with a change that needs a restart (where it listens,
    how many workers), everything stays as it was and each reason is printed.  Sessions and messages under way go on.
    Certificates, keys and passwords are noticed by themselves when their files change.

    Run it as the daemon's user or as root.  The daemon is found by its control socket, which FILE names ([process]
    control, by default in the folder of [store]); it reads the file that it was started with.

    \b
      smtpbridge reload
      smtpbridge reload --config smtpbridge.toml
      systemctl reload smtpbridge            the same for the service
      docker exec bridge smtpbridge reload   the same in a container

    Exit codes: 0 it is in force; 1 nothing has changed, and why is printed; 2 a wrong call.
    """
    answer = _asked(config)
    if quiet:
        return
    read = str(answer.get("file", ""))
    if read and Path(read) != Path(config).absolute():
        click.echo(f"note: the daemon reads {read}, not {config}", err=True)
    changed = answer.get("changed")
    for line in changed if isinstance(changed, list) else ():
        click.echo(line)
    click.echo("reloaded" if changed else "reloaded; nothing has changed")


def _asked(config: str) -> "Answer":
    """Return the daemon's answer, or end with status 1."""
    from smtpbridge.commands.asking import NobodyThere, NotDone, ask
    from smtpbridge.excerpts import load_control

    with faults_end(config):
        control = load_control(config, os.environ)
    if control is None:
        raise Failed('[process] control is "off" in this configuration: send SIGHUP to the daemon instead')
    try:
        *_, answer = ask(control, "reload", {}, seconds=_SECONDS)
    except NotDone as error:
        raise Failed("\n  ".join(["not reloaded; all that was in force stays in force:", *error.why])) from error
    except NobodyThere as error:
        raise Failed(f"not reloaded: {error}") from error
    return answer
