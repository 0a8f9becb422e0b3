"""`smtpbridge completion`: the script that lets a shell complete words; click writes it."""

import click
from click.shell_completion import get_completion_class

_PROGRAM = "smtpbridge"
_VARIABLE = "_SMTPBRIDGE_COMPLETE"


@click.command(short_help="Print what lets a shell complete words.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print the script for a shell; bash must be 4.4 or newer.

    \b
      smtpbridge completion bash > /etc/bash_completion.d/smtpbridge
      smtpbridge completion zsh > "${fpath[1]}/_smtpbridge"
      smtpbridge completion fish > ~/.config/fish/completions/smtpbridge.fish
      source <(smtpbridge completion bash)         # for this shell only
    """
    found = get_completion_class(shell)
    assert found is not None, shell
    # Not `source()`: for bash that runs bash to look at its version, which may not be here.
    maker = found(context.find_root().command, {}, _PROGRAM, _VARIABLE)
    click.echo(maker.source_template % maker.source_vars())
