"""`smtpbridge sandbox`: its options; `standin` does the work."""

import secrets
from pathlib import Path
from typing import IO

import click

from smtpbridge.commands.console import Failed
from smtpbridge.commands.folders import lasting_folder, name_folder, passing_folder
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.sandbox.fates import fate_table
from smtpbridge.sandbox.outcomes import outcome_table

_TABLES = (
    f"\b\nRecipients and senders that make it refuse:\n{outcome_table()}"
    f"\n\n\b\nRecipients by what is reported of them, and when the last of it is:\n{fate_table()}"
)


@click.command(short_help="Run a stand-in for Infobip.", epilog=_TABLES)
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
@click.option(
    "--speed",
    type=click.FloatRange(0.01, 10_000),
    default=1.0,
    show_default=True,
    help="How many times as soon as usual all is reported, and tried again where nobody takes it.",
)
def sandbox(
    port: int,
    tls_port: int | None,
    folder: Path | None,
    user: str,
    password: str | None,
    certificate: IO[bytes] | None,
    key: IO[bytes] | None,
    speed: float,
) -> None:
    """
    Run the stand-in for Infobip alone: STARTTLS, AUTH, Infobip's replies, limits and notifications.

    Each message is kept as an .eml file, its envelope beside it as .json.  What becomes of it is posted to the
    X-IB-Notify-Url and X-IB-Tracking-Url of the message, if it has them.  Ctrl-C ends it.

    \b
      smtpbridge sandbox
      smtpbridge sandbox --port 2587 --tls-port 2465 --folder mail --password secret
      smtpbridge sandbox --speed 60
    """
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
            run(lambda reactor: StandIn(reactor, premises, click.echo, speed).run(port, tls_port))
    except SmtpbridgeError as error:
        raise Failed(str(error)) from error
    finally:
        if folder is None:
            name_folder(mail, click.echo)
