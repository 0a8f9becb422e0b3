"""
`smtpbridge events`: see what was told about mail, and to whom; post it again; try a target.

Only options and printing; `ledgers` opens the ledger, `events_text` finds the words.  Both are imported when a command
runs: asking for help must not wait for them.

Of the configuration only the place of the store is read, so that these commands need no right to read secrets; `test`
alone needs all of it.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias

import click

from smtpbridge.commands.console import (
    NOT_DONE,
    Failed,
    color_option,
    config_option,
    config_or_end,
    faults_end,
    json_option,
)
from smtpbridge.commands.moments import Moment
from smtpbridge.errors import SmtpbridgeError

if TYPE_CHECKING:
    from smtpbridge.store.ledger import EventFilter
    from smtpbridge.store.ledger_sqlite import SqliteLedger

_Command: TypeAlias = Callable[..., None]
# The values of `store.ledger.Standing`, which is not imported for a help text.
_STATES = ("waiting", "sending", "delivered", "dead")


@click.group(short_help="Show and replay what is told of mail.")
def events() -> None:
    """
    Show the events that the bridge makes of Infobip's notifications, and post them again; the daemon may run meanwhile.

    A TIME is an age (90m, 2h, 3d) or a date (2026-11-20, 2026-11-20T06:30, UTC): when the bridge got to know.

    \b
      smtpbridge events list --since 1h --type bounce
      smtpbridge events show ID
      smtpbridge events test TARGET
      smtpbridge events dead
      smtpbridge events replay --target TARGET --since 2d

    Exit codes: 0 done; 1 not done: no such event, no ledger, a target that does not answer; 2 a wrong call.
    """


_config_option = config_option("The configuration file; only the place of the store is read.")


def _filter_options(command: _Command) -> _Command:
    for option in (
        click.option("--subaccount", metavar="NUMBER", help="Only of the mail of this subaccount."),
        click.option("--type", "type_", metavar="EVENT", help="Only of this kind, by SparkPost's name."),
        click.option("--recipient", metavar="ADDRESS", help="Only about this recipient."),
        click.option("--target", metavar="NAME", help="Only for this target."),
        click.option("--until", type=Moment(), metavar="TIME", help="Only what came before."),
        click.option("--since", type=Moment(), metavar="TIME", help="Only what came then or later."),
    ):
        command = option(command)
    return command


@events.command("list", short_help="Show what was told.")
@_config_option
@json_option("Print one JSON object a line.")
@color_option
@_filter_options
@click.option("--state", type=click.Choice(_STATES), help="Only with a delivery in this state.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.")
def list_(
    config: str,
    as_json: bool,
    since: float | None,
    until: float | None,
    target: str | None,
    recipient: str | None,
    type_: str | None,
    subaccount: str | None,
    state: str | None,
    limit: int | None,
) -> None:
    """
    Show events in the order of their coming, page by page at a terminal.

    With --json: id, type, at, recipient, subaccount, deliveries (target, state, batch, attempts, next_attempt, answer)
    and event, which is what is posted; times are seconds since 1970-01-01 UTC.
    """
    from smtpbridge.commands import events_text
    from smtpbridge.store.ledger import EVERYTHING

    wanted = _wanted(since, until, target, recipient, type_, subaccount, state)
    with _ledger(config) as ledger:
        found = islice(ledger.list(wanted), limit)
        if as_json:
            for kept in found:
                click.echo(events_text.as_json(kept))
        else:
            _page(events_text.table(found, time.time(), filtered=wanted != EVERYTHING))


@events.command(short_help="Show one event in full.")
@_config_option
@color_option
@json_option()
@click.argument("event_id", metavar="ID")
def show(config: str, as_json: bool, event_id: str) -> None:
    """Show how an event stands at each target, and what is posted."""
    from smtpbridge.commands import events_text

    with _ledger(config) as ledger:
        kept = ledger.show(event_id)
        _print([events_text.as_json(kept)] if as_json else events_text.full(kept, time.time()))


@events.command(short_help="Post events again.")
@_config_option
@_filter_options
@click.option("--dead", "only_dead", is_flag=True, help="Only what was given up.")
@click.option("--all", "everything", is_flag=True, help="All that is kept.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def replay(
    config: str,
    since: float | None,
    until: float | None,
    target: str | None,
    recipient: str | None,
    type_: str | None,
    subaccount: str | None,
    only_dead: bool,
    everything: bool,
    yes: bool,
) -> None:
    """
    Let events be posted again to the targets that have got them, or at which they were given up.

    They keep their event_id, by which a consumer knows what it has.  What still waits is left alone.
    """
    from smtpbridge.commands import events_text, ledgers
    from smtpbridge.store.ledger import EVERYTHING

    wanted = _wanted(since, until, target, recipient, type_, subaccount, "dead" if only_dead else None)
    if everything == (wanted != EVERYTHING):
        raise click.UsageError("Say which events, or write --all.")
    with _ledger(config) as ledger:
        if not yes and (count := ledgers.replayable(ledger, wanted)):
            click.confirm(events_text.question(count), abort=True, err=True)
        click.echo(events_text.replayed(ledger.replay(wanted)))


@events.command(short_help="Show what was given up.")
@_config_option
@json_option("Print one JSON object a line.")
@color_option
@click.argument("target", metavar="[TARGET]", required=False)
def dead(config: str, as_json: bool, target: str | None) -> None:
    """
    Show the batches that no attempt could deliver, with the target's last answer.

    They are kept until they are replayed, or too old ([events] keep_days).
    """
    from smtpbridge.commands import events_text

    with _ledger(config) as ledger:
        found = ledger.dead_list(target)
        _print(map(events_text.dead_as_json, found) if as_json else events_text.dead(found, time.time()))


@events.command(short_help="Try targets.")
@config_option()
@json_option("Print one JSON object a line.")
@color_option
@click.argument("targets", metavar="[TARGET...]", nargs=-1)
def test(config: str, as_json: bool, targets: tuple[str, ...]) -> None:
    """
    Post SparkPost's ping to targets, all by default, and say in plain words what is wrong.

    The ping is [{"msys":{}}], an empty batch, which readers of SparkPost's webhooks answer and forget.  It goes as
    events go: with the target's authentication, certificates and proxy.  Needs the secrets, so call it as the daemon's
    own user.

    \b
      smtpbridge events test --config FILE
      smtpbridge events test crm audit

    With --json: target, usable, what, status, text, advice; "what" is taken, refused, redirected, timeout, unreachable,
    tls, lost or login.
    """
    from smtpbridge.commands.pinging import chosen, ping_all
    from smtpbridge.commands.running import run

    said = config_or_end(config).events
    try:
        wanted = chosen(said, targets)
        found = run(lambda reactor: ping_all(wanted, reactor, os.environ))
    except SmtpbridgeError as error:
        raise Failed(str(error)) from error
    if found is None:
        raise click.Abort
    for one in found:
        for line in [one.as_json()] if as_json else one.lines():
            click.echo(line, err=not (one.usable or as_json))
    if not all(one.usable for one in found):
        raise SystemExit(NOT_DONE)


def _wanted(
    since: float | None,
    until: float | None,
    target: str | None,
    recipient: str | None,
    type_: str | None,
    subaccount: str | None,
    state: str | None,
) -> "EventFilter":
    from smtpbridge.store.ledger import EventFilter, Standing

    return EventFilter(
        since=since,
        until=until,
        target=target,
        standing=None if state is None else Standing(state),
        recipient=recipient and recipient.removeprefix("<").removesuffix(">").lower(),
        type=type_,
        subaccount=subaccount,
    )


@contextmanager
def _ledger(config: str) -> "Iterator[SqliteLedger]":
    """Open the ledger; whatever is wrong with it, then or inside the block, ends the command with status 1."""
    from smtpbridge.commands import ledgers
    from smtpbridge.excerpts import load_store

    with faults_end(config):
        path = load_store(config, os.environ).path
    try:
        with ledgers.opened(path) as ledger:
            yield ledger
    except SmtpbridgeError as error:
        raise Failed(str(error)) from error


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _page(lines: Iterator[str]) -> None:
    """Print as the lines come; by a pager where they do not fit on the terminal."""
    fitting = list(islice(lines, max(1, shutil.get_terminal_size().lines - 1))) if sys.stdout.isatty() else []
    after = next(lines, None)
    if not fitting or after is None:
        _print(chain(fitting, () if after is None else (after,), lines))
    else:
        click.echo_via_pager(f"{line}\n" for line in chain(fitting, (after,), lines))
