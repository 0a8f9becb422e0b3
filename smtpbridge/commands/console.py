"""
What all commands share: exit codes, the option for the configuration, how faults and lines are told.

A command's own module holds its options and its printing, and is imported for
every `--help`; so whatever is slow to import (Twisted, cryptography, the
configuration) is imported inside the function that needs it.

Exit codes are the same everywhere: 0 done, 1 not done, 2 a wrong call.  A command
that has more of them says so in its help.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from smtpbridge.settings.place import DEFAULT_PATH

if TYPE_CHECKING:
    from smtpbridge.config import Config, ConfigError

NOT_DONE = 1
WRONG_CALL = 2

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Failed(click.ClickException):
    """The command could not do its work; exit 1, the text to stderr."""


def config_option(text: str = "The configuration file.") -> Callable[[_Command], _Command]:
    """Return the decorator for `--config`, which every command spells alike."""
    return click.option("--config", "-c", type=click.Path(), default=DEFAULT_PATH, show_default=True, help=text)


def json_option(text: str = "Print one JSON object.") -> Callable[[_Command], _Command]:
    """Return the decorator for `--json`."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def color_option(command: _Command) -> _Command:
    """Decorate a command that has colours with `--color/--no-color`, which count for more than `colours_wanted`."""

    def obey(context: click.Context, _: click.Parameter, wanted: bool | None) -> None:
        if wanted is not None:
            context.color = wanted

    return click.option(
        "--color/--no-color",
        default=None,
        expose_value=False,
        callback=obey,
        help="Colours; default on a terminal, unless NO_COLOR is set or TERM is dumb.",
    )(command)


def colours_wanted(environ: Mapping[str, str]) -> bool | None:
    """Return whether the environment asks for plain text (no-color.org, terminfo); `None`: a terminal has colours."""
    return False if environ.get("NO_COLOR") or environ.get("TERM") == "dumb" else None


def config_or_end(path: str, *, status: int = NOT_DONE) -> "Config":
    """Read a configuration; end with all its faults and that status where it has any."""
    from smtpbridge.config import load

    with faults_end(path, status=status):
        return load(path, os.environ)


@contextmanager
def faults_end(path: str, *, status: int = NOT_DONE) -> Iterator[None]:
    """Within the block, a configuration with faults ends the command with that status; all of them are printed."""
    from smtpbridge.config import ConfigError

    try:
        yield
    except ConfigError as error:
        print_faults(path, error)
        raise SystemExit(status) from error


def print_faults(path: str, error: "ConfigError") -> None:
    """Print what is wrong with a configuration."""
    click.echo(f"{path} cannot be used:", err=True)
    for fault in error.faults:
        click.echo(f"  {fault}", err=True)


def width() -> int:
    """Return how many columns the terminal has."""
    return shutil.get_terminal_size().columns


class Progress:
    """
    One line at stderr that is written over, where somebody looks; elsewhere nothing.

    It is wiped away as the block ends, so what is printed then stands alone.
    """

    def __init__(self) -> None:
        """Look whether there is a terminal that can write over a line."""
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def say(self, text: str) -> None:
        """Show how far it is."""
        self._write(text[: width() - 1])

    def wipe(self) -> None:
        """Make room for a line that stays."""
        self._write("")

    def _write(self, text: str) -> None:
        if self._shown:
            # Not by `click.echo`, which takes out what moves a cursor where no colours are wanted.
            sys.stderr.write(f"\r{text}\033[K")
            sys.stderr.flush()
