"""Who would take the message that a command looks at: `--config` and `--user` as `translation.Circumstances`."""

import click

from smtpbridge.commands.console import WRONG_CALL, config_or_end
from smtpbridge.commands.translation import Circumstances
from smtpbridge.dialect.policy import UNSAID, Policy
from smtpbridge.relay.auth import read_user_name
from smtpbridge.settings.endpoint import EndpointText, Reach
from smtpbridge.settings.values import Listener


def circumstances(config: str | None, user: str) -> Circumstances:
    """Return what counts under a configuration, the defaults without one, for who logs in as `user`."""
    name = read_user_name(user)
    if name.odd:
        click.echo(f"note: {name.odd!r} behind the user name means nothing to the bridge", err=True)
    if config is None:
        listener = Listener("", EndpointText("tcp", Reach.LOCAL))
        return Circumstances(Policy(), listener, "localhost", name.subaccount)
    found = config_or_end(config, status=WRONG_CALL)
    # The first listener and, of several credentials of that name, the first: a message does not say which it came by.
    wanted, listener = name.name.lower(), found.listeners[0]
    login = next((one.defaults for one in found.credentials if one.username.lower() == wanted), UNSAID)
    defaults = login.over(listener.defaults)
    return Circumstances(found.translation, listener, found.hostname, name.subaccount, defaults)
