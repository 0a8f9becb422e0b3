"""
No octets but CRLF.CRLF end a message, for nobody on the way: SMTP smuggling through the running daemon.

The daemon has two listeners, one for each kind of `line_endings`.  Every end that is
none goes through them, followed by a transaction that wants to be smuggled in; then
comes the genuine end.  Each receiver must have counted exactly the messages that a
sender was told about, with the envelope that was told, and their content as
the rule for data that are not canonical says (docs/smuggling.md).
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import pytest

from tests.integration.postfix import Postfix, free_port, login_server, postfix
from tests.integration.rig import (
    PATIENCE,
    PROVIDER_SECRET,
    PROVIDER_USER,
    BridgeProgram,
    Papers,
    bridge,
    eventually,
    program,
    sandbox,
    write_config,
)
from tests.integration.smuggling import (
    END,
    SMUGGLED,
    Arrived,
    Lane,
    Parcel,
    credulous,
    end_sequences,
    header,
    rewritten,
    send_side_by_side,
)
from tests.integration.test_other_upstreams import aiosmtpd

SEQUENCES = end_sequences()
LANES = 48
BLOCK = 65_536
# The bodies of most messages lie in memory; a block is what the bridge reads and writes at a time.
SPOOL = 2 * BLOCK
# The probe says more NOOP than a sender may.
_SAME = f"spool_bytes = {SPOOL}\nmax_idle_commands = 1_000_000\n"
LISTENERS = (
    f'line_endings = "normalize"\n{_SAME}'
    f'[[listener]]\nendpoint = "tcp:0:interface=127.0.0.1"\nline_endings = "reject"\n{_SAME}'
)
_POSTFIX = """
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {logins}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access static:HOLD
smtpd_forbid_bare_newline = no
"""


# What is sent


def parcel(number: int, name: str, pieces: tuple[bytes, ...]) -> Parcel:
    """Return a message in which the pieces of a false end stand between a text and the smuggled transaction."""
    parts = [*pieces]
    parts[0] = header(number) + b"before" + parts[0]
    parts[-1] += SMUGGLED + b" %d\r\n" % number
    return Parcel(number, name, tuple(parts))


def cuttings(end: bytes) -> dict[str, tuple[bytes, ...]]:
    """Return the false end whole, cut in two at each place, and with each octet alone."""
    two = {f"cut at {at}": (end[:at], end[at:]) for at in range(len(end) + 1)}
    return {"whole": (end,), **two, "octet by octet": (b"", *(end[at : at + 1] for at in range(len(end))), b"")}


def across_blocks(number: int, name: str, end: bytes, *, as_kept: bool) -> Parcel:
    """
    Return a body that lies in a file, with the false end across its blocks, each time by one octet more.

    The blocks are those that the bridge writes upstream, where the body begins the first; or with `as_kept` those in
    which it reads what it kept, header included, to write it anew.  A bare LF at the beginning sees to that.
    """
    written = header(number) + b"\n" if as_kept else b""
    for block in range(1, max(4, len(end) + 2)):
        becomes = rewritten(written)
        used = len(written) if as_kept else len(becomes) + becomes.count(b"\r\n.")
        filling = block * BLOCK - block - used
        written += b"x" * (filling % 100) + (b"y" * 98 + b"\r\n") * (filling // 100 - 1) + b"z" * 100
        written += end + SMUGGLED
    written = written if as_kept else header(number) + written
    return Parcel(number, f"{name}, across blocks {'kept' if as_kept else 'sent'}", (written + b"\r\n",))


def matrix() -> list[Parcel]:
    """Return every sequence whole and cut everywhere, and those of line ends and dots also across blocks."""
    found: list[Parcel] = []
    for name, end in SEQUENCES.items():
        for cut, pieces in cuttings(end).items():
            found.append(parcel(len(found), f"{name}, {cut}", pieces))
        # Where blocks meet, line ends and dots are all that could get lost.
        for as_kept in (False, True) if end.strip(b"\r\n") in (b".", b"..") else ():
            found.append(across_blocks(len(found), name, end, as_kept=as_kept))
    return found


def sample(first: int = 0) -> list[Parcel]:
    """Return every sequence twice, whole and cut at one place, each at another; numbers begin at `first`."""
    found: list[Parcel] = []
    for place, (name, end) in enumerate(SEQUENCES.items()):
        whole, *cut = cuttings(end).values()
        for pieces in (whole, cut[place % len(cut)]):
            found.append(parcel(first + len(found), name, pieces))
    return found


# How it is sent


@contextmanager
def daemon(folder: Path, papers: Papers, port: int, upstream: str = "") -> Iterator[tuple[BridgeProgram, list[int]]]:
    """Run the bridge; yield it and the ports of the listener that normalises and of the one that rejects."""
    config = write_config(folder, papers, port, listener=LISTENERS, upstream=upstream)
    with bridge(config) as relay:

        def ports() -> list[int]:
            return [int(port) for port in re.findall(r"listening at .*port=(\d+)", relay.output())]

        eventually(lambda: len(ports()) == 2, "both listeners")
        yield relay, ports()


def send_all(port: int, parcels: Sequence[Parcel], *, reject: bool) -> list[Parcel]:
    """Send them; check what is said to each, and return those whose sender was told 250."""
    told: list[Parcel] = []
    rest = iter(parcels)
    with ExitStack() as stack:
        probe = stack.enter_context(Lane(port))
        lanes = [Lane(port) for _ in range(LANES)]
        for lane in lanes:
            stack.enter_context(lane)
        while batch := list(islice(rest, LANES)):
            for parcel, codes in zip(batch, send_side_by_side(lanes, probe, batch), strict=True):
                assert codes == [parcel.answer(reject=reject), 252], parcel.name
                told += [parcel] if codes[0] == 250 else []
    return told


def check(told: Sequence[Parcel], arrived: Sequence[Arrived]) -> None:
    """Each message that was told about is there once, as it was told, and no other is."""
    assert len(arrived) == len(told)
    by_sender = {one.sender: one for one in arrived}
    assert by_sender.keys() == {parcel.sender for parcel in told}
    for parcel in told:
        one = by_sender[parcel.sender]
        assert one.recipients == (parcel.recipient,), parcel.name
        expected = rewritten(parcel.data).partition(b"\r\n\r\n")
        assert one.body == expected[2], parcel.name
        assert one.content.count(b"\r\nSubject: number %d\r\n" % parcel.number) == 1, parcel.name


# The receivers


def held_by(instance: Postfix) -> list[Arrived]:
    """Return the messages that Postfix keeps in its hold queue."""
    files = sorted((instance.folder / "spool" / "hold").rglob("*"))
    command = [
        program("postcat", "postfix"),
        "-c",
        str(instance.folder / "etc"),
        *map(str, filter(Path.is_file, files)),
    ]
    shown = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True).stdout if files else b""
    found = []
    for record in re.split(rb"(?m)^\*\*\* ENVELOPE RECORDS .*\n", shown)[1:]:
        envelope, _, rest = record.partition(b"*** MESSAGE CONTENTS ")
        content = rest.partition(b"\n")[2].partition(b"*** HEADER EXTRACTED ")[0]
        [sender] = re.findall(rb"(?m)^sender: (.*)$", envelope)
        recipients = tuple(one.decode() for one in re.findall(rb"(?m)^recipient: (.*)$", record))
        found.append(Arrived(sender.decode(), recipients, content.replace(b"\n", b"\r\n")))
    return found


def test_there_are_more_than_forty_ends_that_are_none() -> None:
    assert len(set(SEQUENCES.values())) == len(SEQUENCES) > 120
    assert not any(END in b"x" + end + SMUGGLED for end in SEQUENCES.values())


def test_the_sandbox_counts_what_senders_were_told_wherever_the_stream_is_cut(papers: Papers, tmp_path: Path) -> None:
    parcels = matrix()
    with sandbox(tmp_path, papers) as upstream, daemon(tmp_path, papers, upstream.port) as (relay, ports):
        for port, reject in zip(ports, (False, True), strict=True):
            told = send_all(port, parcels, reject=reject)
            assert len(told) > 100
            arrived = upstream.new_messages()
            check(told, [Arrived(one.mail_from, one.rcpt_to, one.octets) for one in arrived])
            # It warns of lone CR and LF, of dots that are not doubled, and of NUL.
            assert {one.warnings for one in arrived} == {()}

    assert "Z error " not in relay.output()


def test_not_even_a_receiver_that_believes_everything_counts_more(papers: Papers, tmp_path: Path) -> None:
    parcels = matrix()
    with credulous(papers) as sink, daemon(tmp_path, papers, sink.port, 'security = "tls"') as (_, ports):
        for port, reject in zip(ports, (False, True), strict=True):
            check(send_all(port, parcels, reject=reject), sink.arrived)
            sink.arrived.clear()

    assert sink.commands <= {b"EHLO", b"AUTH", b"RSET", b"MAIL", b"RCPT", b"DATA", b"QUIT"}


def test_postfix_counts_what_senders_were_told(papers: Papers, tmp_path: Path) -> None:
    port, parcels = free_port(), sample()
    service = f"127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt\n"
    with login_server(PROVIDER_USER, PROVIDER_SECRET) as logins:
        settings = _POSTFIX.format(certificate=papers.certificate, key=papers.key, logins=logins)
        with postfix(settings, service) as sink, daemon(tmp_path, papers, port) as (_, ports):
            told = send_all(ports[0], parcels, reject=False)
            check(told, held_by(sink))
            more = send_all(ports[1], sample(len(parcels)), reject=True)
            assert len(more) > 30
            check([*told, *more], held_by(sink))


def test_aiosmtpd_counts_what_senders_were_told(papers: Papers, tmp_path: Path) -> None:
    parcels = sample()
    with aiosmtpd(papers) as sink, daemon(tmp_path, papers, sink.port) as (_, ports):
        for port, reject in zip(ports, (False, True), strict=True):
            told = send_all(port, parcels, reject=reject)
            arrived = [
                Arrived(one.mail_from or "", tuple(one.rcpt_tos), one.content)
                for one in sink.envelopes
                if isinstance(one.content, bytes)
            ]
            check(told, arrived)
            sink.envelopes.clear()


@pytest.mark.parametrize("end", [END, b"\r" + END, b"\n" + END, b"\r\n" + END], ids=["plain", "cr", "lf", "crlf"])
def test_the_genuine_end_does_end_a_message_and_what_follows_are_commands(
    papers: Papers, tmp_path: Path, end: bytes
) -> None:
    with (
        credulous(papers) as sink,
        daemon(tmp_path, papers, sink.port, 'security = "tls"') as (_, ports),
        Lane(ports[0]) as lane,
    ):
        lane.begin(Parcel(0, "genuine", ()))
        lane.write(header(0) + b"one" + end + SMUGGLED + END + b"VRFY x\r\n")
        assert lane.replies(6) == [250, 250, 250, 354, 250, 252]

    assert [one.sender for one in sink.arrived] == ["s0@example.org", "smuggled@evil.example"]
