"""
The one gate for addresses, and the way in which they are shown.

Theory of operation
-------------------

`parse_address` is the only way from text to an address.  What passes is ASCII
of RFC 5321, 4.1.2: a local part that is a dot-string or a quoted string, and a
domain or an address literal.  Neither can hold a control character, so nothing
behind the gate has to look for one.

`parse_mailbox` reads one address with or without a display name; the name is
anybody's text and has not passed any gate.  `format_mailboxes` writes names so
that any mail reader shows them: as atoms, as a quoted string, or as encoded
words, whichever is the plainest that holds the name.

`first_address` reads a From field as it arrives: folded, with comments, groups,
several addresses, or worse.  It looks for something that passes the gate and
gives up quietly.

Internationalised domains go through `idna` (UTS 46 mapping, then IDNA 2008),
which `twisted[tls]` brings along.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Protocol

import idna

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail import words

_LOCAL_MOST = 64  # RFC 5321, 4.5.3.1.1
_DOMAIN_MOST = 255  # RFC 5321, 4.5.3.1.2
_MOST_OF_FROM = 1 << 16  # an address that stands behind 64 KiB of others is not what anybody means by the first
_LINE = 76  # RFC 5322, 2.1.1 says 78; RFC 2047, 2 says 76 where a word is, and one limit does for both

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322, 3.2.3
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LOCAL = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# RFC 5321, 4.1.3; no other tag than IPv6 was ever registered.
_LITERAL = re.compile(r"\[(?:([0-9.]+)|IPv6:([0-9A-Fa-f:.]+))\]", re.IGNORECASE)

_QUOTED = r'"(?>(?:[^"\\]++|\\.)*)"'
_QUOTED_STRING = re.compile(_QUOTED, re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NAMED = re.compile(rf'((?>(?:[^"<\\]++|{_QUOTED}|\\.)*))<(.*)>', re.DOTALL)
_ATOMS = re.compile(rf"{_ATOM}(?: {_ATOM})*")
_PRINTABLE = re.compile(r"[ -~]+")
_TO_ESCAPE = re.compile(r'(["\\])')

# Possessive, with the first @ only: text of nothing but @ must not be gone through once for each.
_LEADING_ADDRESS = re.compile(r"[^@\",;<>]*+@[^\",;<>]++[,;]")
_SEVERAL = "more than one address where one is wanted"
# An address up to a comma, a semicolon (as some mail programs write lists) or a blank.
_ANOTHER = re.compile(r"[^@]*@[^@,; ]+[,; ]")

# One member of an address list, up to the comma, or the colon or semicolon of a group (RFC 5322, 3.4).
_MEMBER = re.compile(
    rf'((?>(?:[^"<\[,;:\\]++|{_QUOTED}|<(?>(?:[^<>"]++|{_QUOTED})*)>|\[[^\[\]]*+\]|\\.|[<\[\\])*))[,;:]?', re.DOTALL
)
_OUTSIDE_COMMENT = re.compile(rf'[^"(\\]++|{_QUOTED}|\\.|.', re.DOTALL)
_INSIDE_COMMENT = re.compile(r"[^()\\]++|\\.|.", re.DOTALL)


class BadAddress(SmtpbridgeError, ValueError):
    """Text that is no address; `reason` is a constant text that is fit for anybody."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NonAsciiLocalPart(BadAddress):
    """An address that only SMTPUTF8 could carry (RFC 6531): the provider does not take it."""


class Named(Protocol):
    """Anything that has an address and a display name (empty: none)."""

    @property
    def address(self) -> str: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """An address that passed the gate, and a display name that passed none (empty: none)."""

    address: str
    name: str = ""


def parse_address(text: str) -> str:
    """
    Return `local@domain` in ASCII; raise `BadAddress`.

    The local part stays as it is, and so does the case of both.  A domain outside ASCII becomes its xn-- form.
    """
    local, at, domain = text.rpartition("@")
    if len(text) > _LOCAL_MOST + 1 + _DOMAIN_MOST:
        raise BadAddress(_SEVERAL if _holds_another(local) else "too long")
    if not at:
        raise BadAddress("no @ in it")
    if not local.isascii():
        raise NonAsciiLocalPart("local part outside ASCII")
    if not _LOCAL.fullmatch(local):
        raise BadAddress(_SEVERAL if _holds_another(local) else "wrong local part")
    if len(local) > _LOCAL_MOST:
        raise BadAddress("local part over 64 octets")
    if not domain.isascii():
        domain = _to_ascii(domain)
    if len(domain) > _DOMAIN_MOST:
        raise BadAddress("domain over 255 octets")
    if not _DOMAIN.fullmatch(domain) and not _is_literal(domain):
        raise BadAddress("wrong domain")
    return f"{local}@{domain}"


def parse_mailbox(text: str) -> NamedAddress:
    """Read `a@b`, `<a@b>`, `Name <a@b>` or `"Quoted, Name" <a@b>`; raise `BadAddress`."""
    text = text.strip(" ")
    if not text.endswith(">") or "<" not in text:
        return NamedAddress(parse_address(text))
    match = _NAMED.fullmatch(text)
    if match:
        name, address = match.groups()
    else:
        # A quote that nobody closed: the last angle bracket still says where the address is.
        name, _, address = text[:-1].rpartition("<")
    if _LEADING_ADDRESS.match(name):
        # An address before a comma, outside quotes, is a recipient of its own: reading it as a name would lose it.
        raise BadAddress(_SEVERAL)
    return NamedAddress(parse_address(address.strip(" ")), _unquoted(name).strip(" "))


def format_mailbox(address: str, name: str = "", column: int = 0) -> bytes:
    """Return one address for a list of addresses, folded where it would pass 76 when begun at `column`."""
    return _fill(_tokens(address, name), column)


def format_mailboxes(mailboxes: Iterable[Named], column: int) -> bytes:
    """Return the value of a To, Cc or Bcc field that begins at `column`: lines of at most 76 where possible."""
    tokens: list[bytes] = []
    for mailbox in mailboxes:
        if tokens:
            tokens[-1] += b","
        tokens += _tokens(mailbox.address, mailbox.name)
    return _fill(tokens, column)


def first_address(value: bytes) -> str | None:
    """Return the first address in the value of a From field, however it is written, or None."""
    value = value[:_MOST_OF_FROM]
    found = _first_in(words.without_words(value))
    if found is None and b"=?" in value:
        # Some encode the whole field, address and all.
        return _first_in(words.decode_text(value.decode("utf-8", "replace")).encode("utf-8", "replace"))
    return found


def domain_of(address: str) -> str:
    """Return the domain of an address in lower case."""
    return address.rpartition("@")[2].lower()


def key(address: str) -> str:
    """Return what is equal for two spellings of one address: they differ in case only."""
    return address.lower()


def _holds_another(local: str) -> bool:
    """Tell whether what should be a local part is an address with the beginning of a further one behind it."""
    return _ANOTHER.match(local) is not None


# IDNA takes microseconds a character.  Who reads a list twice, and the next message, ask for the same domains.
@lru_cache(maxsize=1024)
def _to_ascii(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise BadAddress("domain that has no ASCII form") from error


def _is_literal(domain: str) -> bool:
    match = _LITERAL.fullmatch(domain)
    if match is None:
        return False
    try:
        IPv4Address(match[1]) if match[1] else IPv6Address(match[2])
    except AddressValueError:
        return False
    return True


def _unquoted(phrase: str) -> str:
    if '"' not in phrase:
        return phrase
    if "\\" not in phrase:
        # Without quoted pairs the quotes belong together by twos; a last one that is left alone is text.
        head, odd, tail = phrase.rpartition('"') if phrase.count('"') % 2 else (phrase, "", "")
        return head.replace('"', "") + odd + tail
    return _QUOTED_STRING.sub(lambda quoted: _QUOTED_PAIR.sub(r"\1", quoted[0][1:-1]), phrase)


def _tokens(address: str, name: str) -> list[bytes]:
    """Return what may not be folded inside, in order."""
    if not name:
        return [address.encode("ascii")]
    return [*_phrase(name), b"<%b>" % address.encode("ascii")]


def _phrase(name: str) -> list[bytes]:
    # RFC 2047, 5: words are not read in a quoted string, but some read them, so what looks like one is encoded.
    if not _PRINTABLE.fullmatch(name) or "=?" in name:
        return words.encoded_words(name)
    if _ATOMS.fullmatch(name):
        atoms = name.encode("ascii").split(b" ")
        return atoms if max(map(len, atoms)) < _LINE else words.encoded_words(name)
    if len(name) >= _LINE:
        return words.encoded_words(name)
    quoted = b'"%b"' % _TO_ESCAPE.sub(r"\\\1", name).encode("ascii")
    return [quoted] if len(quoted) < _LINE else words.encoded_words(name)


def _fill(tokens: list[bytes], column: int) -> bytes:
    parts: list[bytes] = []
    for token in tokens:
        gap = b" " if parts else b""
        if column + len(gap) + len(token) <= _LINE or (not parts and len(token) >= _LINE):
            parts.append(gap + token)
            column += len(parts[-1])
        else:
            parts.append(b"\r\n " + token)
            column = 1 + len(token)
    return b"".join(parts)


def _first_in(value: bytes) -> str | None:
    text = _without_comments(value.replace(b"\r\n", b"").decode("utf-8", "replace"))
    for member in _MEMBER.finditer(text):
        for candidate in _candidates(member[1].strip(" \t")):
            try:
                return parse_address(candidate)
            except BadAddress:
                continue
    return None


def _candidates(member: str) -> Iterator[str]:
    """Go over what may be the address of one member of a list, the likeliest first."""
    if member.endswith(">"):
        match = _NAMED.fullmatch(member)
        member = match[2] if match else member[:-1].rpartition("<")[2]
        # RFC 5322, 4.4: a source route is read and dropped.
        member = member.rpartition(":")[2] if member.startswith("@") else member
    yield member
    if '"' not in member:
        # RFC 5322, 4.4: blanks around the dots and the @.
        yield member.replace(" ", "").replace("\t", "")


def _without_comments(text: str) -> str:
    if "(" not in text:
        return text
    kept: list[str] = []
    depth, at = 0, 0
    while match := (_INSIDE_COMMENT if depth else _OUTSIDE_COMMENT).match(text, at):
        token, at = match[0], match.end()
        if depth:
            depth += (token == "(") - (token == ")")
        elif token == "(":
            depth = 1
        else:
            kept.append(token)
    # A parenthesis that nobody closed is no comment.
    return text if depth else "".join(kept)
