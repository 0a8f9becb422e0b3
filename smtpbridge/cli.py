"""
The console command: which commands there are.

Each command is a module of `commands`, which reads the arguments and prints; the
work is done by modules that are imported only then: asking for help must not
wait for Twisted.
"""

import os

import click

from smtpbridge import __version__
from smtpbridge.commands.audit.command import audit
from smtpbridge.commands.check import check
from smtpbridge.commands.completion import completion
from smtpbridge.commands.console import colours_wanted
from smtpbridge.commands.demo import demo
from smtpbridge.commands.events import events
from smtpbridge.commands.hashing import hash_
from smtpbridge.commands.health import health
from smtpbridge.commands.queue import queue
from smtpbridge.commands.reload import reload_
from smtpbridge.commands.sandbox import sandbox
from smtpbridge.commands.send import send
from smtpbridge.commands.top import top
from smtpbridge.commands.trace import trace
from smtpbridge.commands.translate import translate


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit codes:\n  0  done\n  1  not done, refused, or something is wrong\n  2  a wrong call",
)
@click.version_option(__version__, prog_name="smtpbridge", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """
    Take SparkPost's place in front of your senders and relay their mail to Infobip.

    \b
      smtpbridge demo                        see it work; needs no configuration
      smtpbridge sandbox                     run a stand-in for Infobip alone
      smtpbridge translate message.eml       see what becomes of a message of yours
      smtpbridge audit mail/                 see what a move means for all of them
      smtpbridge check --config FILE         look through a configuration
      smtpbridge send --to ADDRESS           send a test message through it
      smtpbridge top                         watch it at work
      smtpbridge queue list --config FILE    see what is kept and not delivered yet
      smtpbridge health                      ask the running bridge whether mail flows
      smtpbridge events list --config FILE   see what was told of mail, and to whom
      smtpbridge trace --config FILE         follow sessions as they happen
      smtpbridge reload --config FILE        have the daemon read FILE again
      smtpbridge hash                        hash the key or the password of a sender
      smtpbridge completion bash             let the shell complete all this
      twistd -n smtpbridge --config FILE     run it
    """
    context.color = colours_wanted(os.environ)


_COMMANDS = (
    audit,
    check,
    completion,
    demo,
    events,
    hash_,
    health,
    queue,
    reload_,
    sandbox,
    send,
    top,
    trace,
    translate,
)

for _command in _COMMANDS:
    main.add_command(_command)
