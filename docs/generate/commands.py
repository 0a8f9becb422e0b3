"""
`docs/commands.md`, from the commands themselves: every command with its help, its options and its exit codes.

What must not be known here: any command.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import click

_START = """\
# Commands

`smtpbridge COMMAND --help` shows each of these, and so does `man smtpbridge`. This page is written from the commands by
`make reference`.

## Exit codes

| code | meaning |
|---|---|
| 0 | done; for `check`, `translate` and `audit`: nothing is wrong |
| 1 | not done, refused, or something is wrong |
| 2 | a wrong call: an option that does not exist, values that contradict each other |

`send` has two more: 4 where a server put the message off (4yz), 5 where it refused (5yz). The sections below repeat
what is particular to a command.

## Colours, progress, completion

Colours and lines that are written over appear on terminals only. `NO_COLOR` (set to anything) and `TERM=dumb` switch
colours off, `--color` and `--no-color` count for more than both. Progress goes to standard error, so standard output
can be piped.

`smtpbridge completion bash`, `zsh` or `fish` prints the script that completes commands and options:

```
source <(smtpbridge completion bash)
```
"""


def commands_markdown(root: click.Group) -> str:
    """Return the whole page."""
    return "\n".join([_START, *_sections(root, "smtpbridge", root.context_settings)]).rstrip("\n") + "\n"


def _sections(group: click.Group, path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        full = f"{path} {name}"
        context = click.Context(command, info_name=full, **settings)
        yield f"## {full}\n"
        yield from _about(command)
        usage = " ".join(command.collect_usage_pieces(context))
        if not isinstance(command, click.Group):
            yield f"```\n{full} {usage}\n```\n"
        options = [one.get_help_record(context) for one in command.get_params(context) if isinstance(one, click.Option)]
        if rows := [record for record in options if record is not None]:
            yield "| option | meaning |\n|---|---|"
            yield from (f"| `{_cell(flags)}` | {_cell(text)} |" for flags, text in rows)
            yield ""
        if isinstance(command, click.Group):
            yield from _sections(command, full, settings)


def _about(command: click.Command) -> Iterator[str]:
    """Give the paragraphs of a help text; those that are kept as they stand (`\\b`) become blocks."""
    for paragraph in re.split(r"\n\s*\n", "\n\n".join([_text(command.help), _text(command.epilog)])):
        if paragraph.startswith("\b"):
            body = paragraph.removeprefix("\b").strip("\n")
            yield f"```\n{re.sub('(?m)^  ', '', body)}\n```\n"
        elif paragraph.strip():
            yield " ".join(paragraph.split()).replace("|", "\\|") + "\n"


def _text(text: str | None) -> str:
    return inspect.cleandoc(text) if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
