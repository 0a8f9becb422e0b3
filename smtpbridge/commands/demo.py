"""`smtpbridge demo`: its options; `showing` does the work."""

import click

from smtpbridge.commands.console import Failed, color_option, width
from smtpbridge.commands.folders import lasting_folder, name_folder, passing_folder
from smtpbridge.errors import SmtpbridgeError


@click.command(short_help="Show the bridge at work.")
@click.option("--once", is_flag=True, help="End after the sample, exit 0 when it came through.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=2525,
    show_default=True,
    help="Where the bridge listens on 127.0.0.1; 0 for a port that is free.",
)
@color_option
def demo(once: bool, port: int) -> None:
    """
    Send one message through the bridge to a stand-in for Infobip, show what is told of it, and stay up for more.

    The circle is whole: the stand-in reports as Infobip does, and the bridge posts SparkPost's events.  Certificates,
    secrets and the configuration are made for the run and removed afterwards.  The folder with mail and events stays
    and is named.

    \b
      smtpbridge demo
      smtpbridge demo --port 2526
      smtpbridge demo --once --port 0
    """
    from smtpbridge.commands.running import run
    from smtpbridge.commands.showing import Demo

    mail = lasting_folder()
    try:
        with passing_folder() as private:
            run(lambda reactor: Demo(reactor, click.echo, width(), private, mail).run(port, once=once))
    except SmtpbridgeError as error:
        raise Failed(str(error)) from error
    finally:
        name_folder(mail, click.echo)
