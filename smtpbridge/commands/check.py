"""`smtpbridge check`: its options and its printing; `checking` looks at the hosts."""

import json
import os
from typing import TYPE_CHECKING

import click

from smtpbridge.commands.console import NOT_DONE, Progress, color_option, config_option, json_option, print_faults

if TYPE_CHECKING:
    from smtpbridge.commands.finding import Finding
    from smtpbridge.config import Config


def _address(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    if given is None:
        return None
    from smtpbridge.mail.addresses import BadAddress, parse_address

    try:
        return parse_address(given)
    except BadAddress as error:
        raise click.BadParameter(f"{given}: {error}") from error


@click.command(short_help="Look through a configuration.")
@config_option()
@click.option("--connect", is_flag=True, help="Dial every host of every upstream, verify TLS, log in.")
@click.option(
    "--from",
    "sender",
    metavar="ADDRESS",
    callback=_address,
    help="With --connect: also ask whether mail from this address is taken (MAIL, then RSET).",
)
@json_option()
@color_option
def check(config: str, connect: bool, sender: str | None, as_json: bool) -> None:
    """
    Read the configuration and report every fault at once.

    Without a fault it prints what is in force.  No port is bound and no mail is sent.

    With --connect it says in plain words what is wrong between here and the provider, and what to do: DNS, a port that
    is blocked or the wrong one, the certificate, the login, the sender.

    \b
      smtpbridge check --config smtpbridge.toml
      smtpbridge check --config smtpbridge.toml --connect
      smtpbridge check --connect --from news@shop.example
      smtpbridge check --connect --json

    With --json: {"usable", "faults", "in_force", "notes", "hosts": [{"upstream", "host", "usable", "what", "text",
    "advice", "notes", "addresses"}]}; docs/check.md lists the words of "what".

    Exit codes: 0 it can be used; 1 it has faults, or a host cannot be used; 2 a wrong call.
    """
    from smtpbridge.config import ConfigError, describe, load
    from smtpbridge.workers.shares import notes_on

    if sender is not None and not connect:
        raise click.UsageError("--from goes with --connect.")
    try:
        found = load(config, os.environ)
    except ConfigError as error:
        if as_json:
            _print_json(faults=error.faults)
        else:
            print_faults(config, error)
        raise SystemExit(NOT_DONE) from error
    notes = (*found.notes, *notes_on(found, found.process.workers))
    if not as_json:
        for line in describe(found):
            click.echo(line)
        for note in notes:
            click.echo(click.style(f"note: {note}", fg="yellow"), err=True)
    findings = _connect(found, sender) if connect else []
    if as_json:
        _print_json(in_force=describe(found), notes=notes, findings=findings)
    else:
        _print_findings(findings)
    raise SystemExit(0 if all(finding.usable for finding in findings) else NOT_DONE)


def _connect(config: "Config", sender: str | None) -> "list[Finding]":
    from smtpbridge.commands.checking import connect_to_all
    from smtpbridge.commands.running import run

    with Progress() as progress:
        findings = run(lambda reactor: connect_to_all(config, reactor, sender=sender, say=progress.say))
    if findings is None:
        raise click.Abort
    return findings


def _print_findings(findings: "list[Finding]") -> None:
    for finding in findings:
        first, *others = finding.lines()
        click.echo(click.style(first, fg="green" if finding.usable else "red"), err=not finding.usable)
        for line in others:
            click.echo(line, err=not finding.usable)


def _print_json(
    faults: tuple[str, ...] = (),
    in_force: list[str] | None = None,
    notes: tuple[str, ...] = (),
    findings: "list[Finding] | None" = None,
) -> None:
    hosts = [finding.as_json() for finding in findings or []]
    usable = not faults and all(host["usable"] for host in hosts)
    told = {"usable": usable, "faults": faults, "in_force": in_force or [], "notes": notes, "hosts": hosts}
    click.echo(json.dumps(told))
