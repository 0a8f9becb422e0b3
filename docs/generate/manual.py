"""
Write the manual pages: smtpbridge(1) from the commands' own help, smtpbridge.toml(5) from the keys.

They are in man(7), which every `man` shows.  click-man would write a page for each
command; people who type `man smtpbridge` look for one page with all of it.
"""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping

import click

from docs.generate.example import Entry, Key, Section
from smtpbridge import __version__

_FILES = """\
.TP
.I /etc/smtpbridge/smtpbridge.toml
The configuration, where
.B \\-\\-config
does not say otherwise; see
.BR smtpbridge.toml (5).
.TP
.I /var/lib/smtpbridge
What was answered 250 and is not the provider's yet, unless
.B path
in
.B [store]
names another folder."""
_ENVIRONMENT = """\
.TP
.BI SMTPBRIDGE_UPSTREAM_ NAME _PASSWORD
The password for the upstream of that name, where the configuration has no
.BR password_file .
.TP
.B CREDENTIALS_DIRECTORY
Set by systemd: the folder with the credential
.BI upstream. NAME .password\\fR,
which is looked for last.
.TP
.B STATE_DIRECTORY
Set by systemd: the store, where the configuration names none.
.TP
.B TMPDIR
Where temporary files are, unless the configuration says it."""
_DAEMON = """\
The daemon is a plugin of
.BR twistd :
.PP
.EX
twistd \\-n \\-\\-pidfile= smtpbridge \\-\\-config FILE
.EE"""


def commands_page(root: click.Group) -> str:
    """Return smtpbridge(1)."""
    context = click.Context(root, info_name="smtpbridge")
    parts = [_head("SMTPBRIDGE", "1"), ".SH NAME", r"smtpbridge \- take SparkPost's place and relay to Infobip"]
    parts += [".SH SYNOPSIS", *_usage(context), ".SH DESCRIPTION", *_prose(root.help), ".PP", _DAEMON, ".SH COMMANDS"]
    for inner in _inner_contexts(context):
        parts += _command(inner)
    parts += [".SH FILES", _FILES, ".SH ENVIRONMENT", _ENVIRONMENT, *_epilog(root)]
    parts += [".SH SEE ALSO", ".BR smtpbridge.toml (5),", ".BR twistd (1)"]
    return _joined(parts)


def keys_page(sections: list[Section], accepts: Mapping[tuple[str, str], str]) -> str:
    """Return smtpbridge.toml(5)."""
    parts = [_head("SMTPBRIDGE.TOML", "5"), ".SH NAME", r"smtpbridge.toml \- configuration of smtpbridge"]
    parts.append(".SH DESCRIPTION")
    for section in sections:
        if section.place:
            parts.append(f'.SS "{_quoted(section.place)}"')
        for number, text in enumerate(section.intro if section.place else section.intro[-1:]):
            parts += [".PP", _text(text)] if number else [_text(text)]
        for entry in section.entries:
            parts += _entry(section.place, entry, accepts)
    parts += [".SH SEE ALSO", ".BR smtpbridge (1)"]
    return _joined(parts)


def _head(title: str, number: str) -> str:
    # A date would change without a change of the page; the version says what it is about.
    return f'.\\" Written by make reference; do not edit.\n.TH {title} {number} "" "smtpbridge {__version__}"\n.ad l'


def _entry(place: str, entry: Entry, accepts: Mapping[tuple[str, str], str]) -> Iterator[str]:
    for number, key in enumerate(entry.keys):
        yield ".TQ" if number else ".TP"
        yield f".B {_text(key.name)}"
    for key in entry.keys:
        lead = f"{key.name}: " if len(entry.keys) > 1 else ""
        takes = accepts[place, key.name].replace("`", "")
        yield _text(f"{lead}{takes}; {_default(key, takes)}.")
        yield ".br"
    for text in entry.text:
        yield from (_text(text), ".br")


def _default(key: Key, takes: str) -> str:
    if key.has_default:
        return f"default {key.shown}"
    return "no default" if key.shown in takes else f"no default, for example {key.shown}"


def _inner_contexts(outer: click.Context) -> Iterator[click.Context]:
    """Yield the commands of a group, and those of groups in it, in their order."""
    assert isinstance(outer.command, click.Group)
    for name in outer.command.list_commands(outer):
        command = outer.command.get_command(outer, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=outer)
        yield inner
        if isinstance(command, click.Group):
            yield from _inner_contexts(inner)


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    yield f'.SS "{_quoted(context.command_path)}"'
    yield from _usage(context)
    yield ".PP"
    yield from _prose(command.help)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield from (".TP", f".B {_text(record[0])}", _text(" ".join(record[1].split())))
    if command.epilog:
        yield ".PP"
        yield from _prose(command.epilog)


def _usage(context: click.Context) -> Iterator[str]:
    yield f".B {_text(context.command_path)}"
    if pieces := context.command.collect_usage_pieces(context):
        yield _text(" ".join(pieces))


def _epilog(root: click.Group) -> Iterator[str]:
    """Yield what the group says at its end, which is about exit codes, under the heading where readers look."""
    if root.epilog:
        yield ".SH EXIT STATUS"
        yield from _prose(re.sub(r"Exit codes:\n", "", root.epilog))


def _prose(text: str | None) -> Iterator[str]:
    """Yield a help text: paragraphs, and what stands behind \\b as it is."""
    shown = inspect.cleandoc(text or "").partition("\f")[0].strip()
    for number, part in enumerate(re.split(r"\n\s*\n", shown)):
        if number:
            yield ".PP"
        if part.startswith("\b"):
            lines = inspect.cleandoc(part.removeprefix("\b").strip("\n")).splitlines()
            yield from (".EX", *(_text(line) for line in lines), ".EE")
        else:
            yield _text(" ".join(part.split()))


def _joined(parts: Iterable[str]) -> str:
    """Return the lines of a page, long ones in several, as editors and mandoc like them."""
    shown: list[str] = []
    verbatim = False
    for line in "\n".join(parts).splitlines():
        verbatim = line == ".EX" or (verbatim and line != ".EE")
        if verbatim or line.startswith((".", "'")):
            shown.append(line.rstrip())
        else:
            shown += _folded(line)
    return "\n".join(shown) + "\n"


def _folded(line: str) -> Iterator[str]:
    for part in textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False):
        # A line that begins with a dot or an apostrophe would be a command of roff.
        yield f"\\&{part}" if part.startswith((".", "'")) else part


def _text(text: str) -> str:
    """Return text in which roff finds nothing to obey."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
    # What is longer than a line may be broken anywhere (a hash).
    escaped = re.sub(r"\w{32}(?=\w)", r"\g<0>\\:", escaped)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _quoted(text: str) -> str:
    return _text(text).replace('"', "\\(dq")
