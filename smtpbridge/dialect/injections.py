"""
Write the injections of a message: the events that say that it was accepted, one for each recipient.

There is one for each message that is relayed, and their number is what events cost.  So they are written straight to
octets, and what the recipients share is written once.  The octets are those that `sparkpost_event` would write.

What must not be known here: the clock, and to whom events are posted.
"""

from collections.abc import Iterable
from hashlib import sha256
from json.encoder import encode_basestring_ascii as quote

from smtpbridge.dialect.sent import Copy, Shared
from smtpbridge.dialect.sparkpost_event import Account, iso
from smtpbridge.dialect.sparkpost_ids import BITS
from smtpbridge.mail.addresses import domain_of
from smtpbridge.values import value

_HASHED = 36
_MOMENTS = 1 << 63 - _HASHED
_TWENTIETH = 50_000  # microseconds
_SWITCHES = {True: "true", False: "false"}


@value
class Injection:
    """One event: its id, the recipient in lower case, and the event as it is posted."""

    id: str
    recipient: str
    octets: bytes


def injections(
    shared: Shared,
    metadata: str,
    transmission_id: int,
    size: int,
    at: float,
    copies: Iterable[tuple[str, Copy, str]],
    account: Account,
) -> list[Injection]:
    """
    Return the events of a message that was accepted `at`; a copy is a recipient, a list, and a message_id.

    `metadata` are the message's, as `sent.written_metadata` gives them.
    """
    of_message = _of_message(shared, metadata, transmission_id, size, at, account)
    timestamp = int(at)
    written = []
    for recipient, copy, message_id in copies:
        id_ = injection_id(transmission_id, message_id)
        lower = recipient.lower()
        domain = quote(domain_of(recipient)) if "@" in recipient else ""
        domains = f',"recipient_domain":{domain},"routing_domain":{domain}' if len(domain) > len('""') else ""
        named = f',"message_id":"{message_id}"' if message_id else ""
        list_ = f',"rcpt_type":"{copy.value}"' if copy is not Copy.ENVELOPE else ""
        text = (
            f'{{"msys":{{"message_event":{{"type":"injection","event_id":"{id_}","timestamp":"{timestamp}",'
            f'"rcpt_to":{quote(lower)},"raw_rcpt_to":{quote(recipient)}{domains}{named}{list_},{of_message}}}}}}}'
        )
        written.append(Injection(id_, lower, text.encode("ascii")))
    return written


def injection_id(transmission_id: int, message_id: str) -> str:
    """
    Return the id of an injection: the time of its message, which begins the `transmission_id`, and 36 bits of a hash.

    Injections are many, and ids of those that come together lie together in an index, on a page or two.  The time goes
    round in 77 days; that two ids are the same is as rare as if all 63 bits were hashed, because only those of one
    twentieth of a second can be.
    """
    digest = sha256(f"injection\0{transmission_id}\0{message_id}".encode()).digest()
    moment = (transmission_id >> BITS) // _TWENTIETH % _MOMENTS
    return str(moment << _HASHED | int.from_bytes(digest[:8], "big") >> 64 - _HASHED)


def _of_message(shared: Shared, metadata: str, transmission_id: int, size: int, at: float, account: Account) -> str:
    author = shared.friendly_from
    texts = (
        ("customer_id", account.customer_id),
        ("subaccount_id", shared.subaccount),
        ("campaign_id", shared.campaign),
        ("friendly_from", author),
        ("sending_domain", domain_of(author) if "@" in author else ""),
        ("msg_from", shared.msg_from),
        ("msg_size", str(size) if size else ""),
        ("subject", shared.subject),
        ("ip_pool", shared.ip_pool),
        ("transactional", "1" if shared.transactional else ""),
    )
    given = "".join([f'"{name}":{quote(text)},' for name, text in texts if text])
    pixel = account.initial_pixel and shared.open_tracking
    return (
        f'"rcpt_meta":{metadata},"rcpt_tags":[{",".join(map(quote, shared.tags))}],'
        f'"transmission_id":"{transmission_id}","template_id":"smtp_{transmission_id}","template_version":"0",'
        f'"injection_time":"{iso(at)}",{given}"open_tracking":{_SWITCHES[shared.open_tracking]},'
        f'"click_tracking":{_SWITCHES[shared.click_tracking]},"initial_pixel":{_SWITCHES[pixel]},"recv_method":"esmtp"'
    )
