"""
Octets of mail as text for a terminal.

Whatever a message holds, what is printed moves no cursor and changes no
colour: everything that is not printable is escaped.
"""

import re

_FOLD = re.compile(rb"\r\n[ \t]+")


def shown(octets: bytes) -> str:
    r"""Return octets as printable text; what is not UTF-8 is escaped as `\xNN`."""
    return harmless(octets.decode("utf-8", "backslashreplace"))


def harmless(text: str) -> str:
    """Return text with everything escaped that a terminal would act upon."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def shown_field(field: bytes) -> str:
    """Return a header field on one line, its folds as single blanks."""
    return shown(_FOLD.sub(b" ", field).removesuffix(b"\r\n"))


def shown_path(address: str) -> str:
    """Return an address as it stands in a command."""
    return f"<{harmless(address)}>"
