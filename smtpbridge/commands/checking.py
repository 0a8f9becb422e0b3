"""
`smtpbridge check --connect`: can each host of each upstream be used?

The hosts are tried side by side, each by itself.  No listener is bound and no mail is sent.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, gatherResults

from smtpbridge.commands.diagnosis import finding_of
from smtpbridge.commands.finding import Finding
from smtpbridge.commands.probing import Patience, Prober, Resolver, system_addresses
from smtpbridge.commands.running import Reactor
from smtpbridge.settings.values import Config, Host, Upstream

_PATIENCE = Patience()


def _nobody(_step: str) -> None:
    pass


async def connect_to_all(
    config: Config,
    reactor: Reactor,
    *,
    sender: str | None = None,
    patience: Patience = _PATIENCE,
    resolve: Resolver = system_addresses,
    say: Callable[[str], None] = _nobody,
) -> list[Finding]:
    """
    Try every host of every upstream, and return what was found, in the order of the configuration.

    With a `sender` each provider is asked whether it takes mail from it.  `say` hears of each step.
    """
    prober = Prober(reactor, config.hostname, patience, resolve, say, sender)

    async def tried(upstream: Upstream, host: Host) -> Finding:
        return finding_of(await prober.probe(upstream, host), upstream, host, sender)

    trials = [Deferred.fromCoroutine(tried(upstream, host)) for upstream in config.upstreams for host in upstream.hosts]
    found: list[Finding] = await gatherResults(trials, consumeErrors=True)
    return found
