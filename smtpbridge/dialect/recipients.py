"""
The lists of `X-MSYS-API` that ask for copies: cc, bcc and archive.

An entry is a string (`a@b`, `Name <a@b>`), `{"email", "name"}`, or the form of
SparkPost's REST interface, `{"address": ...}` around either.  Every address
goes through the gate of `mail.addresses`; a name is cleaned of control
characters, so neither can carry a line end anywhere.

Whether an address was met before is not asked here.
"""

from smtpbridge.dialect.bounds import USUAL, Bounds
from smtpbridge.dialect.instructions import Json, Mailbox, Refusal, Remark
from smtpbridge.dialect.jsontext import write
from smtpbridge.dialect.typed import CONTROL, Refused, array, quoted, string
from smtpbridge.mail.addresses import BadAddress, NamedAddress, NonAsciiLocalPart, parse_mailbox
from smtpbridge.values import value

MOST_COPIES = 1000  # SparkPost's limit over the three lists together


@value
class Copies:
    """The three lists as written, doubles included."""

    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    archive: tuple[Mailbox, ...] = ()


_LISTS = ("cc", "bcc", "archive")
_NONE = Copies()


class _Domains:
    """The domains outside ASCII that were met: `mail.addresses` remembers them, so each costs its characters once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._met: set[str] = set()
        self._characters = 0

    def meet(self, address: str) -> None:
        """Raise `Refused` when the domain of an address makes them too many."""
        domain = address.rpartition("@")[2]
        if domain.isascii() or domain in self._met:
            return
        self._met.add(domain)
        self._characters += len(domain)
        if self._characters > self._most:
            text = f"X-MSYS-API cc, bcc and archive are limited to {self._most} characters of domains outside ASCII"
            raise Refused(Refusal(text, limit="max_idn_characters", kind="limit"))


def read_copies(document: dict[str, Json], warnings: list[Remark], bounds: Bounds = USUAL) -> Copies:
    """Return the three lists of the header; raise `Refused`."""
    if "cc" not in document and "bcc" not in document and "archive" not in document:
        return _NONE
    lists = {field: array(document.get(field), field) or [] for field in _LISTS}
    count = sum(map(len, lists.values()))
    if count == 0:
        return _NONE
    if count > MOST_COPIES:
        text = f"X-MSYS-API cc, bcc and archive hold {count} recipients, more than {MOST_COPIES}"
        raise Refused(Refusal(text, kind="copies"))
    domains = _Domains(bounds.max_idn_characters)
    return Copies(**{field: _mailboxes(entries, field, domains, warnings) for field, entries in lists.items()})


def _mailboxes(entries: list[Json], field: str, domains: _Domains, warnings: list[Remark]) -> tuple[Mailbox, ...]:
    mailboxes = []
    changed = 0
    for entry in entries:
        found = _mailbox(entry, field, domains)
        name = CONTROL.sub(" ", found.name)
        changed += name != found.name
        mailboxes.append(Mailbox(found.address, name.strip(" ")))
    if changed:
        names = "1 display name" if changed == 1 else f"{changed} display names"
        text = f"X-MSYS-API '{field}': control characters in {names} became spaces"
        warnings.append(Remark("control-in-name", text))
    return tuple(mailboxes)


def _mailbox(entry: Json, field: str, domains: _Domains) -> NamedAddress:
    name = None
    written = entry
    # Two turns: `{"address": {"email": ..., "name": ...}}` is an object in an object, and there is no third.
    for _ in range(2):
        if isinstance(written, dict):
            name = name or string(written.get("name"), f"{field}.name")
            written = written["email"] if "email" in written else written.get("address")
    # A number is a `str` too; it holds no @ and fails as any other text does.
    if not isinstance(written, str):
        raise Refused(_no_address(entry, field, "no address in it"), mendable=True)
    if not written.isascii():
        domains.meet(written)
    try:
        found = parse_mailbox(written)
    except NonAsciiLocalPart as foreign:
        refusal = _no_address(written, field, foreign.reason, enhanced="5.6.7")  # RFC 6531, 3.5
        raise Refused(refusal, mendable=True) from foreign
    except BadAddress as error:
        raise Refused(_no_address(written, field, error.reason), mendable=True) from error
    return NamedAddress(found.address, name) if name else found


def _no_address(entry: Json, field: str, reason: str, enhanced: str = "5.6.0") -> Refusal:
    shown = quoted(entry) if isinstance(entry, str) else quoted(write(entry))
    text = f"X-MSYS-API '{field}' entry {shown} is not a valid address: {reason}"
    return Refusal(text, enhanced=enhanced, kind="address")
