"""
What `smtpbridge send` was asked for, and what follows from it: where to go, as whom, and with which messages.

Options that contradict each other are told as a wrong call, which only the command line knows how to say.
"""

import sys
from dataclasses import dataclass
from email.utils import formatdate, make_msgid
from typing import IO

import click

from smtpbridge.commands.client import Login, Parcel
from smtpbridge.commands.composing import BadWish, Draft, Wish, compose, field_of, mailbox, metadata_of, with_wish
from smtpbridge.commands.console import Failed, config_or_end
from smtpbridge.commands.doorway import Door, NoDoor, Tls, listener_door, server_door
from smtpbridge.commands.translation import envelope_of, wire_lines
from smtpbridge.config import Config
from smtpbridge.mail.addresses import domain_of
from smtpbridge.secret import Secret
from smtpbridge.settings.surroundings import one_line

# SparkPost's name for everybody.
USER = "SMTP_Injection"
_TEXT = "This is a test.\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """The options, by their names."""

    config: str
    server: str | None
    tls: str | None
    trust_roots: str | None
    insecure: bool
    user: str | None
    password_file: IO[bytes] | None
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    archive: tuple[str, ...]
    from_: str | None
    mail_from: str | None
    subject: str
    text: str | None
    html: str | None
    file: IO[bytes] | None
    headers: tuple[str, ...]
    campaign: str | None
    metadata: tuple[str, ...]
    tags: tuple[str, ...]
    track_opens: bool | None
    track_clicks: bool | None
    transactional: bool | None
    ip_pool: str | None
    count: int
    concurrency: int
    timeout: float
    verbose: bool
    as_json: bool


def door_of(asked: Asked) -> tuple[Config | None, Door]:
    """Return where to go, and the configuration that says so, if one does; end the command where there is none."""
    tls = Tls(asked.tls) if asked.tls else None
    try:
        if asked.server:
            return None, server_door(asked.server, tls, asked.trust_roots, insecure=asked.insecure)
        if asked.trust_roots:
            raise click.UsageError("--trust-roots goes with --server: the listener's certificate is known.")
        config = config_or_end(asked.config)
        return config, listener_door(config, tls, insecure=asked.insecure)
    except NoDoor as error:
        raise Failed(str(error)) from error


def login_of(asked: Asked) -> Login | None:
    """Return as whom to log in, `None` for nobody; a terminal is asked for the password."""
    if asked.password_file is None and asked.user is None:
        return None
    content: bytes | str
    if asked.password_file is not None:
        content = one_line(asked.password_file.read())
    elif sys.stdin.isatty():
        content = str(click.prompt("Password", hide_input=True, err=True)).encode("utf-8", "surrogateescape")
    else:
        raise click.UsageError("--user needs a password: name a file with --password-file, or - for standard input.")
    if isinstance(content, str):
        raise Failed(f"the password {content}")
    return Login(asked.user or USER, Secret(content))


def parcels_of(asked: Asked, config: Config | None) -> list[Parcel]:
    """Return the messages; raise `BadWish`, or `NoSuchAddress` for those of a file."""
    wish = _wish(asked)
    if asked.file is not None:
        if asked.text or asked.html or asked.headers or asked.from_:
            raise click.UsageError(
                "--file is the whole message: --text, --html, --header and --from have no place there."
            )
        octets = with_wish(wire_lines(asked.file.read()), wish)
        envelope = envelope_of(octets, asked.mail_from, asked.to)
        return [Parcel(envelope.sender, envelope.recipients, octets, "")] * asked.count
    text = sys.stdin.read() if asked.text == "-" else asked.text
    draft = _draft(asked, text if text or asked.html else _TEXT, config)
    return [_composed(asked, draft, wish) for _ in range(asked.count)]


def _draft(asked: Asked, text: str | None, config: Config | None) -> Draft:
    written = asked.from_ or (config.bounces.header_from if config and config.bounces else None)
    if not written:
        raise BadWish("--from is missing; name an address from which the provider lets you send")
    if not asked.to:
        raise BadWish("--to is missing")
    to = tuple(mailbox(one) for one in asked.to)
    headers = tuple(field_of(one) for one in asked.headers)
    return Draft(mailbox(written), to, asked.subject, text, asked.html, headers)


def _composed(asked: Asked, draft: Draft, wish: Wish) -> Parcel:
    address = draft.sender.address
    message_id = make_msgid(domain=domain_of(address))
    octets = compose(draft, wish, formatdate(localtime=True), message_id)
    if asked.mail_from is not None:
        address = asked.mail_from and mailbox(asked.mail_from).address
    return Parcel(address, tuple(one.address for one in draft.to), octets, message_id)


def _wish(asked: Asked) -> Wish:
    return Wish(
        cc=tuple(mailbox(one) for one in asked.cc),
        bcc=tuple(mailbox(one) for one in asked.bcc),
        archive=tuple(mailbox(one) for one in asked.archive),
        campaign=asked.campaign,
        metadata=metadata_of(asked.metadata),
        tags=asked.tags,
        track_opens=asked.track_opens,
        track_clicks=asked.track_clicks,
        transactional=asked.transactional,
        ip_pool=asked.ip_pool,
    )
