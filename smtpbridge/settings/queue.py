"""
Read `[queue]` and `[bounces]`: how long is tried what the bridge took over, and who tells its sender when that fails.

Both count in proxy mode too: what the provider takes in part is finished by the
bridge.  So the absence of a route for bounces is told at the start, whatever the
mode of the listeners is.
"""

from smtpbridge.mail.addresses import BadAddress, format_mailbox, parse_mailbox
from smtpbridge.settings import checks
from smtpbridge.settings.surroundings import Surroundings
from smtpbridge.settings.values import Bounces, Queue
from smtpbridge.toml_table import Table

_DEFAULT = Queue()
_EXAMPLE = "Mail Delivery <mailer-daemon@example.com>"
# A report's header field is one line; RFC 5322, 2.1.1 ends it at 998 octets with its name.
_LONGEST_FROM = 900

_NO_ROUTE = (
    "no route for bounces is configured: a recipient that the bridge gives up on is only an error line in the log, and "
    f'its sender hears nothing; write from = "{_EXAMPLE}"'
)


def read_queue(table: Table) -> Queue:
    """Return how often and how long is tried."""
    queue = Queue(
        first_retry_seconds=table.seconds("first_retry_seconds", _DEFAULT.first_retry_seconds),
        longest_retry_seconds=table.seconds("longest_retry_seconds", _DEFAULT.longest_retry_seconds),
        lifetime_seconds=table.seconds("lifetime_seconds", _DEFAULT.lifetime_seconds),
    )
    table.close()
    first = f"first_retry_seconds ({queue.first_retry_seconds:g})"
    if queue.longest_retry_seconds < queue.first_retry_seconds:
        table.fault("longest_retry_seconds", f"{queue.longest_retry_seconds:g} is less than {first}; write more")
    if queue.lifetime_seconds < queue.first_retry_seconds:
        # Every parcel would be given up before it is tried again.
        table.fault("lifetime_seconds", f"{queue.lifetime_seconds:g} is less than {first}; write more")
    return queue


def read_bounces(top: Table, around: Surroundings, upstreams: tuple[str, ...]) -> Bounces | None:
    """Return the route for bounces, `None` where there is none; `upstreams` are the names, the default first."""
    given, table = top.has("bounces"), top.table("bounces")
    upstream = table.text(
        "upstream", upstreams[0] if upstreams else "", check=lambda text: checks.upstream(text, upstreams)
    )
    header_from = _one_line(table.text("from", check=_from_fault))
    envelope_from = _read_envelope_from(table, header_from)
    table.close()
    if not given:
        around.notes.append(f"{table.place}: {_NO_ROUTE}")
        return None
    if not table.has("from"):
        table.fault("from", f'is missing; write from = "{_EXAMPLE}", an address that the provider lets you send from')
    return Bounces(upstream, header_from, envelope_from)


def _read_envelope_from(table: Table, header_from: str) -> str:
    """
    Return the envelope sender of reports: the address of their From unless the file says otherwise.

    RFC 5321, 4.5.5 wants the null sender, which the provider refuses.  No loop comes of it: a report's original
    sender is null whatever it leaves with.
    """
    # An empty text, which `text` refuses, is the null sender written down.
    if table.is_empty("envelope_from"):
        return ""
    default = parse_mailbox(header_from).address if header_from else ""
    return table.text("envelope_from", default, check=_envelope_from_fault)


def _one_line(mailbox: str) -> str:
    """Return a mailbox as a From field shows it: its name quoted or encoded where that is needed."""
    if not mailbox:
        return ""
    found = parse_mailbox(mailbox)
    return format_mailbox(found.address, found.name).replace(b"\r\n ", b" ").decode("ascii")


def _from_fault(text: str) -> str | None:
    if not text.isprintable():
        return "holds a control character"
    try:
        shown = _one_line(text)
    except BadAddress as error:
        return f'is no mailbox ({error.reason}); write it as in "{_EXAMPLE}"'
    return f"is longer than {_LONGEST_FROM} characters" if len(shown) > _LONGEST_FROM else None


def _envelope_from_fault(text: str) -> str | None:
    wrong = checks.address(text)
    return wrong and f'{wrong}; write one such as "bounces@example.com", or "" for the null sender'
