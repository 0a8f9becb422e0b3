"""
`smtpbridge queue`: see what the store keeps, and decide about it.

Only options and printing; `parcels` does the work and `queue_text` finds the
words.  Both are imported when a command runs: asking for help must not wait for
them.

Of the configuration only the place of the store is read, so that these commands
need no right to read the provider's password.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from smtpbridge.commands.console import Failed, color_option, config_option, faults_end, json_option
from smtpbridge.errors import SmtpbridgeError

if TYPE_CHECKING:
    from smtpbridge.store.sqlite import SqliteStore

_Command: TypeAlias = Callable[..., None]
# The values of `store.values.State`, which is not imported for a help text.
_STATES = ("queued", "held", "leased")


@click.group(short_help="Show and manage what the bridge keeps.")
def queue() -> None:
    """
    Show and manage what the bridge took over and has not delivered yet; the daemon may run meanwhile.

    An ID is that of a parcel, or the id of a message as the log shows it, which means all parcels of that message.

    \b
      smtpbridge queue list --state held
      smtpbridge queue show ID
      smtpbridge queue retry --all
      smtpbridge queue export ID -o message.eml

    Exit codes: 0 done; 1 not done: no such id, no store; 2 a wrong call.
    """


_config_option = config_option("The configuration file; only the place of the store is read.")


def _selection(command: _Command) -> _Command:
    every = click.option("--all", "everything", is_flag=True, help="All parcels.")
    return click.argument("ids", metavar="ID...", nargs=-1)(every(command))


@queue.command("list", short_help="Show what is kept.")
@_config_option
@json_option("Print one JSON object a line.")
@color_option
@click.option("--sender", metavar="ADDRESS", help='Only of this envelope sender, as it was given; "" for the null one.')
@click.option("--recipient", metavar="ADDRESS", help="Only with this recipient still to serve.")
@click.option("--state", type=click.Choice(_STATES), help="Only in this state.")
@click.option("--upstream", metavar="NAME", help="Only for this upstream.")
@click.option("--message-id", metavar="ID", help="Only of this message, by its id in the log.")
@click.option("--source", metavar="NAME", help="Only from this login or client address.")
def list_(
    config: str,
    as_json: bool,
    sender: str | None,
    recipient: str | None,
    state: str | None,
    upstream: str | None,
    message_id: str | None,
    source: str | None,
) -> None:
    """
    Show what is kept, oldest first.

    With --json: id, sender, recipients, state, attempts, next_attempt, last_reply, and more; times are seconds since
    1970-01-01 UTC.
    """
    from smtpbridge.commands import queue_text
    from smtpbridge.store.values import Filter, State

    wanted = Filter(
        state=None if state is None else State(state),
        upstream=upstream,
        source=source,
        message_id=message_id,
        original_sender=_bare(sender),
        recipient=_bare(recipient),
    )
    with _store(config) as store:
        if as_json:
            for kept in store.list(wanted):
                click.echo(json.dumps(queue_text.as_json(kept)))
        else:
            _print(queue_text.table(store.list(wanted), time.time(), filtered=wanted != Filter()))


@queue.command(short_help="Show one parcel in full.")
@_config_option
@color_option
@click.argument("name", metavar="ID")
def show(config: str, name: str) -> None:
    """Show envelope, state, every attempt with the provider's words, and the header."""
    from smtpbridge.commands import parcels, queue_text

    with _store(config) as store:
        for place, kept in enumerate(parcels.found(store, [name])):
            if place:
                click.echo()
            _print(queue_text.full(kept, time.time()))


@queue.command(short_help="Try again now.")
@_config_option
@_selection
def retry(config: str, ids: tuple[str, ...], everything: bool) -> None:
    """
    Let parcels be tried at once, also those that are held.

    What may have been taken already is sent again, and may arrive twice.
    """
    from smtpbridge.commands import parcels, queue_text

    _check_selection(ids, everything)
    with _store(config) as store:
        chosen = store.list() if everything else parcels.found(store, ids)
        _print(queue_text.released(parcels.release(store, chosen, time.time())))


@queue.command(short_help="Do not try until told to.")
@_config_option
@_selection
def hold(config: str, ids: tuple[str, ...], everything: bool) -> None:
    """
    Let parcels lie until "retry" releases them, even beyond their lifetime.

    An attempt that is being made goes on.
    """
    from smtpbridge.commands import parcels, queue_text

    _check_selection(ids, everything)
    with _store(config) as store:
        chosen = store.list() if everything else parcels.found(store, ids)
        _print(queue_text.done(parcels.hold(store, chosen, time.time()), "held"))


@queue.command(short_help="Remove for good.")
@_config_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def drop(config: str, yes: bool, ids: tuple[str, ...]) -> None:
    """
    Remove parcels for good; neither their senders nor their recipients are told.

    It names them and asks first.
    """
    from smtpbridge.commands import parcels, queue_text

    with _store(config) as store:
        chosen = parcels.found(store, ids)
        _print(map(queue_text.lost, chosen))
        if not yes:
            click.confirm("Drop this? It cannot be undone, and nobody is told", abort=True, err=True)
        _print(queue_text.done(parcels.drop(store, chosen, time.time()), "dropped"))


@queue.command(short_help="Write a message to a file.")
@_config_option
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A new file; default standard output."
)
@click.argument("name", metavar="ID")
def export(config: str, output: Path | None, name: str) -> None:
    """
    Write a message as it would be sent, in the form of an .eml file.

    The parcel stays.  Its envelope is not in the file: "show" and "list --json" have it.
    """
    from smtpbridge.commands import parcels

    with _store(config) as store:
        octets = parcels.message(store, parcels.found_alone(store, name))
    if output is None or str(output) == "-":
        click.echo(octets, nl=False)
        return
    from smtpbridge.commands.folders import write_files

    try:
        # Mail is its owner's alone, and what is there already is not to be lost.
        write_files(output.parent, {output.name: octets})
    except OSError as error:
        raise Failed(f"{output} cannot be written: {(error.strerror or str(error)).lower()}") from error


@contextmanager
def _store(config: str) -> "Iterator[SqliteStore]":
    """Open the store; whatever is wrong with it, then or inside the block, ends the command with status 1."""
    from smtpbridge.commands import parcels
    from smtpbridge.excerpts import load_store

    with faults_end(config):
        path = load_store(config, os.environ).path
    try:
        with parcels.opened(path) as store:
            yield store
    except SmtpbridgeError as error:
        raise Failed(str(error)) from error


def _check_selection(ids: tuple[str, ...], everything: bool) -> None:
    if everything == bool(ids):
        raise click.UsageError("Name parcels, or write --all.")


def _bare(address: str | None) -> str | None:
    """Return an address without the angle brackets in which the log and the list show it."""
    return address and address.removeprefix("<").removesuffix(">")


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)
