"""
What a trial of a host means, and what to do about it, in words for an operator.

Pure: from a `Trial` to a `Finding`.  Nothing is asked here; where a server said something, its
words stand before ours.
"""

from collections.abc import Iterator

from smtpbridge.commands.finding import Finding, Verdict, What
from smtpbridge.commands.tls_advice import is_about_tls, tls_verdict
from smtpbridge.commands.trial import Knock, Name, Speaks, Talk, Trial, Way
from smtpbridge.settings.values import Host, Security, Upstream
from smtpbridge.smtp.client import State
from smtpbridge.smtp.replies import Reply, printable

# What a port may be heard to speak that is nobody else's.
_NO_STRANGER = (Speaks.NOTHING, Speaks.SMTP, Speaks.TLS)


def finding_of(trial: Trial, upstream: Upstream, host: Host, sender: str | None = None) -> Finding:
    """Say what a trial means; `sender` is the address that was tried with MAIL, if any."""
    verdict = _verdict(trial, upstream, host, sender)
    notes = tuple(_notes(trial, host))
    return Finding(upstream.name, str(host), verdict.what, verdict.text, verdict.advice, notes, trial.knocks)


def _verdict(trial: Trial, upstream: Upstream, host: Host, sender: str | None) -> Verdict:
    if trial.name is not Name.KNOWN:
        return _of_the_name(trial, host)
    if trial.talk is None:
        return _of_the_way(trial.knocks, host)
    if trial.talk.is_ready:
        return _of_the_sender(trial.talk, upstream, sender)
    port = _of_the_port(trial, trial.talk, upstream, host)
    return port or _of_the_talk(trial.talk, upstream, host)


# The name


def _of_the_name(trial: Trial, host: Host) -> Verdict:
    said = f" ({trial.resolver})" if trial.resolver else ""
    match trial.name:
        case Name.UNKNOWN:
            return Verdict(
                What.NAME_UNKNOWN,
                f'the name "{host.name}" does not exist{said}',
                f'DNS was asked and does not know "{host.name}": correct hosts or region.  If other machines know it, '
                "look at the resolver of this one (/etc/resolv.conf).",
            )
        case Name.NO_ADDRESS:
            return Verdict(
                What.NAME_WITHOUT_ADDRESS,
                f'the name "{host.name}" has no address{said}',
                f'"{host.name}" exists in DNS but has no address to connect to: correct hosts or region.',
            )
    return Verdict(
        What.DNS_SILENT,
        f'the name "{host.name}" could not be looked up{said}',
        "No name server answered, so nothing is known of the name: look at /etc/resolv.conf and whether UDP and TCP "
        "port 53 go out; in a container, at its DNS.  A name in /etc/hosts needs no name server.",
    )


# The way


def _of_the_way(knocks: tuple[Knock, ...], host: Host) -> Verdict:
    tried = "; ".join(f"{one.address}: {one.said}" for one in knocks)
    ways = {one.way for one in knocks}
    if Way.SILENT in ways:
        return Verdict(
            What.BLOCKED,
            f"cannot connect ({tried})",
            f"Nothing comes back from port {host.port}: a firewall here or on the way swallows it, as clouds and "
            f"offices do with mail ports (25 most of all).  Let TCP port {host.port} out to {host.name}, or try "
            "another port that the provider offers (587, 465).",
        )
    if Way.REFUSED in ways:
        return Verdict(
            What.REFUSED,
            f"cannot connect ({tried})",
            f"Nobody listens on port {host.port} there, or a firewall refuses: correct the port in hosts (587 for "
            "STARTTLS, 465 for TLS), then look at the firewall.",
        )
    return Verdict(
        What.NO_ROUTE,
        f"cannot connect ({tried})",
        f"There is no way to {host}: look at the network of this machine, its routes (ip route) and its firewall.",
    )


def _notes(trial: Trial, host: Host) -> Iterator[str]:
    """Say which addresses cannot be used while another can: nobody notices, but for the time that it takes."""
    failed = [one for one in trial.knocks if one.way is not Way.OPEN]
    opened = [one for one in trial.knocks if one.way is Way.OPEN]
    if not failed or not opened:
        return
    tried = "; ".join(f"{one.address}: {one.said}" for one in failed)
    if all(one.is_ipv6 for one in failed) and not any(one.is_ipv6 for one in opened):
        yield (
            f"IPv6 to {host} does not work from here, IPv4 does ({tried}): new connections lose time on it; mend the "
            "IPv6 route of this machine, or prefer IPv4 in /etc/gai.conf"
        )
    else:
        yield f"{len(failed)} of {len(trial.knocks)} addresses of {host} cannot be used ({tried})"


# The port


def _of_the_port(trial: Trial, talk: Talk, upstream: Upstream, host: Host) -> Verdict | None:
    """Say what the port speaks, where that is not what was expected of it."""
    wants_tls = upstream.security is Security.TLS
    if not wants_tls and trial.encrypted:
        return _tls_port(trial.below, talk, host)
    if wants_tls and not talk.secure and trial.below is Speaks.SMTP:
        return Verdict(
            What.WRONG_PORT,
            f"the port speaks SMTP, but TLS does not begin at once ({talk.why})",
            f'security = "tls" fits port 465; with port {host.port} write security = "starttls".',
        )
    heard = trial.below if talk.speaks in _NO_STRANGER else talk.speaks
    early = talk.state in (State.GREETING, State.HANDSHAKE)
    return _not_smtp(heard, talk, host) if early and heard not in _NO_STRANGER else None


def _tls_port(below: Speaks, talk: Talk, host: Host) -> Verdict:
    if below not in _NO_STRANGER:
        return _not_smtp(below, talk, host)
    return Verdict(
        What.WRONG_PORT,
        "the port speaks TLS from the first octet, and no STARTTLS",
        f'security = "starttls" fits port 587; with port {host.port} write security = "tls".',
    )


def _not_smtp(heard: Speaks, talk: Talk, host: Host) -> Verdict:
    who = {
        Speaks.HTTP: "a web server or a proxy (HTTP)",
        Speaks.SSH: "an SSH server",
        Speaks.IMAP: "an IMAP server",
        Speaks.POP: "a POP3 server",
    }.get(heard, "something that is not SMTP")
    detail = f" ({talk.why})" if talk.why and not talk.silent else ""
    return Verdict(
        What.NOT_SMTP,
        f"{who} answers on port {host.port}{detail}",
        "Correct host and port in hosts: Infobip takes mail on ports 587 and 465.  If they are right, something in "
        "between answers in its place.",
    )


# The conversation


def _of_the_talk(talk: Talk, upstream: Upstream, host: Host) -> Verdict:
    said = f"{talk.why}: {talk.answer}" if talk.answer is not None else talk.why
    if is_about_tls(talk.why):
        return tls_verdict(said, upstream, host)
    match talk.state:
        case State.GREETING if talk.answer is not None:
            return _greeting(talk.answer, said, host)
        case State.HELLO | State.STARTTLS | State.SECURE_HELLO if talk.answer is not None:
            return _hello(talk, talk.answer, said, upstream, host)
        case State.AUTH | State.RESPONSES if talk.answer is not None:
            return _login(talk.answer, said, upstream)
    if talk.silent:
        return _silent(talk, upstream, host)
    return Verdict(What.OTHER, said, "Nothing was sent.  What the host said or did stands above; try once more.")


def _silent(talk: Talk, upstream: Upstream, host: Host) -> Verdict:
    where = talk.state.name.lower().replace("_", " ")
    other = "starttls" if upstream.security is Security.TLS else "tls"
    return Verdict(
        What.SILENT,
        f"the port is open, but the host does not answer in time ({where})",
        f"The host is silent: a firewall or a proxy may take the connection and pass nothing on, the port may want "
        f'security = "{other}", or the host is overloaded: try again, then ask whoever runs {host}.',
    )


def _greeting(answer: Reply, said: str, host: Host) -> Verdict:
    if answer.is_transient:
        return Verdict(
            What.GREETING_PUT_OFF,
            said,
            f"{host} turns this connection away for now: too many connections, or work on the server.  Try again in "
            "some minutes; if it stays, lower max_connections and ask the provider about limits for this address.",
        )
    return Verdict(
        What.GREETING_REFUSED,
        said,
        f"{host} does not want connections from here: the provider may let only listed addresses in (safelist), or "
        "has barred this one.  Tell it the address from which this machine connects.",
    )


def _hello(talk: Talk, answer: Reply, said: str, upstream: Upstream, host: Host) -> Verdict:
    if "STARTTLS" in talk.why:
        # What firewalls that rewrite SMTP leave of a keyword that they do not like.
        masked = any("XXXX" in line.upper() for line in answer.lines)
        cause = (
            "a firewall on the way crosses it out (SMTP inspection: switch it off)"
            if masked
            else ("the port may be one for TLS from the first octet, or something in between takes the offer out")
        )
        return Verdict(
            What.NO_STARTTLS,
            said,
            f'There is no STARTTLS on port {host.port}: {cause}; security = "tls" fits port 465.  Without TLS nothing '
            "is sent.",
        )
    if "AUTH" in talk.why:
        return Verdict(
            What.LOGIN_NOT_OFFERED,
            said,
            f"{host} offers no login that is spoken here (PLAIN, LOGIN): look whether it is the provider's host.",
        )
    return Verdict(What.HELLO_REFUSED, said, "The host refuses our name: look at hostname; it should be a full name.")


def _login(answer: Reply, said: str, upstream: Upstream) -> Verdict:
    if answer.is_transient:
        return Verdict(
            What.LOGIN_PUT_OFF,
            said,
            "The provider could not look at the login just now (4yz is temporary): that says nothing about the "
            "password.  Try again in some minutes; if it stays, ask the provider.",
        )
    return Verdict(
        What.LOGIN_REFUSED,
        said,
        f'The provider does not know "{upstream.username}" with this password: for an API key of Infobip the '
        "username is App and the password is the key, which must be allowed to send e-mail.  The account may also let "
        "only listed addresses in (safelist).",
    )


def _of_the_sender(talk: Talk, upstream: Upstream, sender: str | None) -> Verdict:
    doubt = "INSECURE, the certificate was not verified: " if upstream.insecure_skip_verification else ""
    ready = f"{doubt}ready for mail: {_offer(talk)}"
    answer = talk.sender
    if sender is None or answer is None:
        return Verdict(What.READY, ready)
    tried = f"MAIL FROM:<{printable(sender, 254)}>"
    if answer.is_positive:
        return Verdict(What.READY, f"{ready}; {tried} is taken: {answer}")
    domain = sender.rpartition("@")[2]
    if answer.is_transient:
        advice = "The provider puts the sender off for now (4yz is temporary): try again in some minutes."
        return Verdict(What.SENDER_PUT_OFF, f"logged in, but {tried} is put off: {answer}", advice)
    return Verdict(
        What.SENDER_REFUSED,
        f"logged in, but {tried} is refused: {answer}",
        f'The account may not send as "{domain}": register the domain with the provider and verify it (SPF and DKIM '
        "records), or send from a domain that is verified.",
    )


def _offer(talk: Talk) -> str:
    offered = talk.offered
    words = [talk.tls_version, "logged in"]
    words += ["PIPELINING"] if offered.pipelining else []
    words += ["8BITMIME"] if offered.eight_bit else []
    if offered.size is not None:
        words.append(f"SIZE {offered.size:,}" if offered.size else "SIZE without a limit")
    if offered.mechanisms:
        words.append(f"AUTH {' '.join(sorted(offered.mechanisms))}")
    return ", ".join(words)
