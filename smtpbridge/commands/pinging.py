"""
What `smtpbridge events test` does: post SparkPost's ping to targets, and say what is wrong.

The ping goes the way that events go: by the outbox's own poster, with the target's authentication, certificates and
proxy.  Neither the whole address of a target nor a secret is shown.

What must not be known here: the terminal.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import click

from smtpbridge.commands.printing import harmless
from smtpbridge.commands.running import Reactor
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.event_assembly import poster_for, proxies
from smtpbridge.events.faults import Came, Outcome
from smtpbridge.settings.event_values import Basic, Events, HeaderToken, OAuth2, Target

_PING = '[{"msys":{}}]'


class NoSuchTarget(SmtpbridgeError):
    """The configuration has no target of that name."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a ping."""

    target: Target
    outcome: Outcome

    @property
    def usable(self) -> bool:
        """Tell whether events would be taken."""
        return self.outcome.came is Came.TAKEN

    def lines(self) -> Iterator[str]:
        """Yield what it means, for people."""
        name, where = harmless(self.target.name), harmless(urlsplit(self.target.url).netloc)
        if self.usable:
            yield f"{name} ({where}): {click.style('takes events', fg='green')}, {harmless(self.outcome.words)}"
            return
        yield f"{name} ({where}): {click.style(harmless(self.outcome.words), fg='red')}"
        if advice := advice_about(self.target, self.outcome):
            yield f"  {advice}"

    def as_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(
            {
                "target": self.target.name,
                "usable": self.usable,
                "what": self.outcome.came.value,
                "status": self.outcome.status,
                "text": self.outcome.words,
                "advice": advice_about(self.target, self.outcome),
            }
        )


def chosen(events: Events | None, names: Sequence[str]) -> list[Target]:
    """Return the targets of these names, all without any; raise `NoSuchTarget`."""
    if events is None:
        raise NoSuchTarget("the configuration has no [events], so there are no targets")
    known = {one.name: one for one in events.targets}
    for name in names:
        if name not in known:
            there = f"there are: {', '.join(known)}" if known else "there is none"
            raise NoSuchTarget(f"there is no target {name}; {there} ([events.target.NAME])")
    found = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    if not found:
        raise NoSuchTarget("there is no target yet; write [events.target.NAME] with its url")
    return found


async def ping_all(targets: Sequence[Target], reactor: Reactor, environ: Mapping[str, str]) -> list[Answered]:
    """Post to each, one after another; `environ` may name a proxy.  Raises `WrongProxy`."""
    proxy_for = proxies(environ)
    found = []
    for target in targets:
        poster = poster_for(target, reactor, proxy_for)
        try:
            found.append(Answered(target, await poster.ping()))
        finally:
            await poster.close()
    return found


def advice_about(target: Target, outcome: Outcome) -> str:
    """Return what to do, nothing where the outcome says so itself."""
    match outcome.came:
        case Came.TAKEN | Came.REDIRECTED | Came.UNREACHABLE:
            return ""
        case Came.REFUSED:
            return _about_status(target, outcome.status or 0)
        case Came.TIMEOUT:
            return f"nobody is there, or it takes longer than timeout_seconds = {target.timeout_seconds:g}"
        case Came.TLS:
            return (
                "its certificate has to be for the host in url, in its time, and lead to an authority of the system or "
                "of trust_roots"
            )
        case Came.LOST:
            return "perhaps it speaks no TLS at that port, or something on the way cuts: look at url and at its log"
        case Came.LOGIN:
            return "look at token_url, client_id, client_secret_file and scope"


def _about_status(target: Target, status: int) -> str:
    match status:
        case 401 | 403:
            return f"it does not let us in: {_about_proof(target)}"
        case 404 | 410:
            return "nobody is at this path: look at url"
        case 405:
            return "it takes no POST at this path: look at url"
        case 400 | 415 | 422:
            return f"it does not take SparkPost's ping, {_PING}, as readers of SparkPost's webhooks do: look at url"
        case 413:
            return "it takes less than a ping: something before it refuses bodies"
        case 429:
            return "it is asked too often by now: try again later; events wait and are posted again"
        case _ if status >= 500:
            return "the fault is on its side: look at its log; events wait and are posted again"
    return "look at url and at its log"


def _about_proof(target: Target) -> str:
    match target.proof:
        case None:
            return 'there is no auth; write auth = "basic", "token" or "oauth2" as it wants it'
        case Basic():
            return "look at username and password_file"
        case HeaderToken(header=header):
            return f"look at token_file, and whether it reads {header}"
        case OAuth2():
            return "a token was to be had, so look at scope, and at the rights of client_id"
