"""Read `[log]`: what is logged, how it is written, and where to."""

from smtpbridge.settings.surroundings import Surroundings
from smtpbridge.settings.values import Log, LogFormat, LogTo
from smtpbridge.toml_table import Table

_WORDS = {to.value: to for to in LogTo}


def read_log(table: Table, around: Surroundings) -> Log:
    """Return the log; a relative path begins at the folder of the configuration file."""
    default = Log()
    level = table.choice("level", default.level)
    form = table.choice("format", default.format)
    written = table.text("to", LogTo.STDOUT.value)
    table.close()
    to = _WORDS.get(written) or around.path(written)
    if to is LogTo.JOURNAL and form is not LogFormat.AUTO:
        table.fault("format", f'"{form.value}": the journal has a form of its own; leave the key out')
    if written not in _WORDS and "/" not in written:
        table.fault("to", f'"{written}": write "stdout", "journal", or a path with a slash, such as "./{written}"')
    return Log(form, level, to)
