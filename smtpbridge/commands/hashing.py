"""
`smtpbridge hash`: from a secret that a sender presents to the line of the configuration that stands for it.

The secret is asked for without echo, or read from standard input: as an
argument it would be in the list of processes and in the shell's history.
"""

import secrets
import sys

import click

from smtpbridge.commands.console import Failed
from smtpbridge.secret import KeyedHash, ScryptHash, SecretHash
from smtpbridge.settings.surroundings import one_line

# SparkPost's API keys have 40 characters.  Twenty of a random key are beyond guessing, of a password they are rare.
_SHORTEST_KEY = 20
# NIST SP 800-63B-4, 3.1.1.2, for a password that is all there is.
_SHORTEST_PASSWORD = 15


def _refuse(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> None:
    """Refuse all arguments; click itself would show them, and one may be the secret."""
    if given:
        raise click.UsageError("the secret is no argument; give it at standard input (the argument is not shown)")


@click.command("hash", short_help="Hash a secret that a sender presents.")
@click.option("--password", is_flag=True, help="The secret is a password that a person made up: scrypt, slow to guess.")
@click.argument("arguments", nargs=-1, metavar="", expose_value=False, callback=_refuse)
def hash_(password: bool) -> None:
    """
    Print the line for [[credential]] that stands for a secret, so that the secret itself is kept nowhere.

    At a terminal the secret is asked for; else it is one line of standard input.  It is never an argument,
    which every user of the machine could see.  Two runs print two different hashes; either is right.

    Without --password the hash is one that is quick to compute, for keys that are long and random.

    \b
      smtpbridge hash
      smtpbridge hash --password
      smtpbridge hash < sender.key
      openssl rand -hex 20 | tee sender.key | smtpbridge hash

    Exit codes: 0 done; 1 the secret is not one line, or too short for a quick hash; 2 a wrong call.
    """
    secret = _asked("Password" if password else "Key") if sys.stdin.isatty() else sys.stdin.buffer.read()
    content = one_line(secret)
    if isinstance(content, str):
        raise Failed(f"the secret {content}")
    _judge(content, password)
    made: SecretHash
    if password:
        made = ScryptHash.make(content, secrets.token_bytes(16))
    else:
        made = KeyedHash.make(content, secrets.token_bytes(32))
    click.echo(f'secret_hash = "{made.written()}"')


def _asked(what: str) -> bytes:
    """Ask twice, so that a slip is noticed; what is printed goes to the terminal and not into a redirected output."""
    answer: str = click.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    return answer.encode("utf-8", "surrogateescape")


def _judge(content: bytes, password: bool) -> None:
    """Refuse what a quick hash cannot protect, and warn of a password that no hash can."""
    length = len(content.decode("utf-8", "replace"))
    if not password and length < _SHORTEST_KEY:
        raise Failed(
            f"a key of {length} characters can be found from a quick hash; make a longer one, as in "
            '"openssl rand -hex 20", or use --password'
        )
    if password and length < _SHORTEST_PASSWORD:
        click.echo(
            f"note: {length} characters can be guessed over the network, whatever the hash; {_SHORTEST_PASSWORD} or "
            "more are better",
            err=True,
        )
