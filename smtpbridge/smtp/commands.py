"""
SMTP commands as values: read from a client, written to a server.  No I/O.

Theory of operation
-------------------

`read_command` turns a line into one of the values below or into a `Reply` that
refuses it: a refusal is what the client will hear.  A control character
anywhere in a line refuses it, so no value ever holds one.

`encode` writes the line for a server.  Addresses are checked again there:
whatever way a value came into being, it cannot become two commands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, TypeAlias

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.smtp.paths import BadParameter, BadPath, is_address, read_parameters, read_path
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.values import value


class Verb(Enum):
    """The commands that exist here: RFC 5321, 4.1.1; STARTTLS of RFC 3207; AUTH of RFC 4954."""

    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    HELP = "HELP"
    QUIT = "QUIT"

    # Enum's own hash is a Python function, and a session looks up a verb for each command.
    __hash__ = object.__hash__


class UnsafeCommand(SmtpbridgeError):
    """A command of ours would hold what must not stand in one."""


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO, or HELO, with the name that the client gives itself."""

    name: str
    extended: bool = True

    @property
    def verb(self) -> Verb:
        """The word that the command begins with."""
        return Verb.EHLO if self.extended else Verb.HELO

    def encode(self) -> bytes:
        """Return the line."""
        return _line(f"{'EHLO' if self.extended else 'HELO'} {self.name}")


@value
class Mail:
    """MAIL; `size` is the declared size in octets (RFC 1870), `eight_bit` stands for BODY=8BITMIME (RFC 6152)."""

    verb: ClassVar[Verb] = Verb.MAIL
    sender: str
    size: int | None = None
    eight_bit: bool = False

    def encode(self) -> bytes:
        """Return the line."""
        size = "" if self.size is None else f" SIZE={self.size}"
        return _line(f"MAIL FROM:<{_checked(self.sender)}>{size}{' BODY=8BITMIME' if self.eight_bit else ''}")


@value
class Recipient:
    """RCPT."""

    verb: ClassVar[Verb] = Verb.RCPT
    address: str

    def encode(self) -> bytes:
        """Return the line."""
        return _line(f"RCPT TO:<{_checked(self.address)}>")


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH with the mechanism in capitals and the initial response as sent, `None` when there was none."""

    verb: ClassVar[Verb] = Verb.AUTH
    mechanism: str
    initial: str | None = None

    def encode(self) -> bytes:
        """Return the line."""
        return _line(f"AUTH {self.mechanism}" + ("" if self.initial is None else f" {self.initial}"))

    def __repr__(self) -> str:
        """Say nothing of the response: it is a secret."""
        return f"Auth({self.mechanism!r})"


@dataclass(frozen=True, slots=True)
class Plain:
    """A command without an argument that matters."""

    verb: Verb

    def encode(self) -> bytes:
        """Return the line."""
        return _line(self.verb.value)


Command: TypeAlias = Hello | Mail | Recipient | Auth | Plain

UNKNOWN = reply(500, "5.5.2", "Command not recognised")
_SYNTAX = reply(501, "5.5.4", "Syntax error in parameters")
_CONTROL = reply(500, "5.5.2", "Control characters are not allowed in a command")
_MAIL_SYNTAX = reply(501, "5.5.2", "Syntax: MAIL FROM:<address>")
_RCPT_SYNTAX = reply(501, "5.5.2", "Syntax: RCPT TO:<address>")
# RFC 6531, 3.5: an address that would need SMTPUTF8.
_BEYOND_ASCII = reply(553, "5.6.7", "The address is not ASCII, and SMTPUTF8 is not offered")
# More digits are no size but an attempt to find out what breaks (RFC 1870, 4: up to twenty).
_SIZE_DIGITS = 20
_BODIES = ("7BIT", "8BITMIME")
_KNOWN = ("SIZE", "BODY", "AUTH")


def read_command(line: bytes) -> Command | Reply:
    """Return the command in `line` (without CRLF), or the reply that refuses it."""
    text = line.decode("latin-1")
    if not text.isprintable() and any(ord(character) < 32 or ord(character) == 127 for character in text):
        return _CONTROL
    word, _, rest = text.partition(" ")
    reader = _READERS.get(word.upper())
    return UNKNOWN if reader is None else reader(rest)


def _line(text: str) -> bytes:
    if not text.isascii() or not text.isprintable():
        raise UnsafeCommand("a command would hold a control character or one beyond ASCII")
    return text.encode("ascii") + b"\r\n"


def _checked(address: str) -> str:
    if not is_address(address):
        raise UnsafeCommand("an address is not fit for a command")
    return address


def _read_hello(extended: bool) -> Callable[[str], Command | Reply]:
    def read(rest: str) -> Command | Reply:
        name = rest.strip(" ")
        if not name or not name.isascii() or len(name) > 255:
            return reply(501, "5.5.4", f"Syntax: {'EHLO' if extended else 'HELO'} hostname")
        return Hello(name, extended)

    return read


def _read_mail(rest: str) -> Command | Reply:
    if rest[:5].upper() != "FROM:":
        return _MAIL_SYNTAX
    try:
        sender, tail = read_path(rest[5:].rstrip(" "))
        if not tail:
            return Mail(sender)
        return _with_parameters(sender, read_parameters(tail))
    except BadPath as error:
        return _BEYOND_ASCII if error.beyond_ascii else reply(501, "5.1.7", f"Bad sender: {error}")
    except BadParameter:
        return _SYNTAX


def _with_parameters(sender: str, parameters: dict[str, str]) -> Command | Reply:
    size: int | None = None
    eight_bit = False
    for name, given in parameters.items():
        if name == "SIZE" and given.isascii() and given.isdecimal() and len(given) <= _SIZE_DIGITS:
            size = int(given)
        elif name == "BODY" and (body := given.upper()) in _BODIES:
            eight_bit = body == "8BITMIME"
        elif name == "AUTH" and given:
            pass  # RFC 4954, 5: to be accepted wherever AUTH is offered; nothing here goes by it
        elif name in _KNOWN:
            return _SYNTAX
        else:
            return reply(555, "5.5.4", f"Parameter {name} is not supported")
    return Mail(sender, size, eight_bit)


def _read_recipient(rest: str) -> Command | Reply:
    if rest[:3].upper() != "TO:":
        return _RCPT_SYNTAX
    try:
        address, tail = read_path(rest[3:].rstrip(" "))
        parameters = read_parameters(tail) if tail else {}
    except BadPath as error:
        return _BEYOND_ASCII if error.beyond_ascii else reply(501, "5.1.3", f"Bad recipient: {error}")
    except BadParameter:
        return _SYNTAX
    if not address:
        return reply(501, "5.1.3", "Bad recipient: the null path is no recipient")
    for name in parameters:
        return reply(555, "5.5.4", f"Parameter {name} is not supported")
    return Recipient(address)


def _read_auth(rest: str) -> Command | Reply:
    words = rest.split()
    if not 1 <= len(words) <= 2:
        return reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
    return Auth(words[0].upper(), words[1] if len(words) > 1 else None)


def _read_plain(verb: Verb, *, argument: bool) -> Callable[[str], Command | Reply]:
    command = Plain(verb)

    def read(rest: str) -> Command | Reply:
        if rest.strip(" ") and not argument:
            return reply(501, "5.5.4", f"{verb.value} takes no argument")
        return command

    return read


_READERS: dict[str, Callable[[str], Command | Reply]] = {
    "EHLO": _read_hello(extended=True),
    "HELO": _read_hello(extended=False),
    "MAIL": _read_mail,
    "RCPT": _read_recipient,
    "AUTH": _read_auth,
    "STARTTLS": _read_plain(Verb.STARTTLS, argument=False),
    "DATA": _read_plain(Verb.DATA, argument=False),
    "RSET": _read_plain(Verb.RSET, argument=False),
    "QUIT": _read_plain(Verb.QUIT, argument=False),
    "NOOP": _read_plain(Verb.NOOP, argument=True),
    "VRFY": _read_plain(Verb.VRFY, argument=True),
    "HELP": _read_plain(Verb.HELP, argument=True),
}
