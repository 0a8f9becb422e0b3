"""
Paths and parameters of MAIL and RCPT (RFC 5321, 4.1.2).  No I/O.

Theory of operation
-------------------

`read_path` takes what stands behind `FROM:` or `TO:` and returns the address,
as ASCII text without angle brackets, and the text of the parameters.  Two
regular expressions know the whole grammar; a source route is read and dropped
(4.1.1.3, appendix C), a blank before the path and a path without brackets are
let through, because senders that SparkPost accepted write them.

Nothing but printable ASCII ever comes out, so what this module returned
can stand in a command of ours: that is checked again where it is written.
"""

import re

from smtpbridge.errors import SmtpbridgeError

# 4.5.3.1.1 and 4.5.3.1.2 name 64 and 255 octets as the least to accept; real return paths hold longer local parts.
MAX_ADDRESS = 320

# What follows a run of these characters is never one of them, so nothing is gained by giving any back (`++`).  A group
# must not be repeated so (`(...)*+`): before 3.11.5 Python goes on behind the half of it that it had found last.
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_LOCAL = rf"{_DOT_STRING}|\"(?:[ !#-\[\]-~]|\\[ -~])*\""
# Underscores are no part of 4.1.2 but stand in real host names.
_LABEL = r"[A-Za-z0-9_]++(?:-++[A-Za-z0-9_]++)*"
# 4.1.3 lets nearly anything stand in a literal, angle brackets and quotes too.  Real ones are IPv4 or IPv6, and one of
# those would end the path for whoever looks for the first bracket.
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_DOMAIN = rf"{_HOST}|\[[A-Za-z0-9.:\-]+\]"
# What nearly all mail comes from and goes to: nothing quoted, no literal, no double hyphen.  Between angle brackets
# `read_path` finds just this, if it is not too long.
USUAL_ADDRESS = rf"(?>{_DOT_STRING}@[A-Za-z0-9_]++(?:[.\-][A-Za-z0-9_]++)*)"
_ROUTE = r"(?:@[A-Za-z0-9.\-]+(?:,@[A-Za-z0-9.\-]+)*:)?"
_BRACKETED = re.compile(rf" *<(?:{_ROUTE}((?:{_LOCAL})@(?:{_DOMAIN})))?>(?: (.*))?")
_POSTMASTER = re.compile(r" *<(postmaster)>(?: (.*))?", re.IGNORECASE)
_BARE = re.compile(rf" *((?:{_LOCAL})@(?:{_DOMAIN}))(?: (.*))?")
_ADDRESS = re.compile(rf"(?:{_LOCAL})@(?:{_DOMAIN})")
# 4.1.1.1: esmtp-param
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([!-<>-~]+))?")


class BadPath(SmtpbridgeError):
    """The path is none; `beyond_ascii` tells that it would be one with SMTPUTF8."""

    def __init__(self, text: str, *, beyond_ascii: bool = False) -> None:
        """Keep the reason, fit for a peer."""
        super().__init__(text)
        self.beyond_ascii = beyond_ascii


class BadParameter(SmtpbridgeError):
    """A parameter is malformed or stands twice."""


def read_path(text: str) -> tuple[str, str]:
    """
    Return (address, parameters) of the text behind `FROM:` or `TO:`; the null path gives the empty address.

    Raise `BadPath`.
    """
    if not text.isascii():
        raise BadPath("the address is not ASCII, and SMTPUTF8 is not offered", beyond_ascii=True)
    match = _BRACKETED.fullmatch(text) or _POSTMASTER.fullmatch(text) or _BARE.fullmatch(text)
    if match is None:
        raise BadPath("the address is malformed")
    address, parameters = match.groups("")
    if len(address) > MAX_ADDRESS:
        raise BadPath("the address is too long")
    return address, parameters


def read_parameters(text: str) -> dict[str, str]:
    """Return the parameters by their names in capitals, empty text for one without value; raise `BadParameter`."""
    found: dict[str, str] = {}
    for part in text.split():
        match = _PARAMETER.fullmatch(part)
        name = match[1].upper() if match is not None else ""
        if match is None or name in found:
            raise BadParameter("a parameter is malformed or given twice")
        found[name] = match[2] or ""
    return found


# Tell, by something or None, whether a text can stand between angle brackets; some that can are not known here.
matches_address = _ADDRESS.fullmatch


def is_address(text: str) -> bool:
    """Tell whether `text` can stand between the angle brackets of a command of ours (the null path too)."""
    return not text or _ADDRESS.fullmatch(text) is not None or text.lower() == "postmaster"
