"""
What was found at a host, for people and for programs.

Each kind of finding has a word of its own (`What`), which programs may rely on.
"""

from dataclasses import dataclass
from enum import Enum

from smtpbridge.commands.trial import Knock


class What(Enum):
    """What was found; `docs/check.md` has a row for each."""

    READY = "ready"
    NAME_UNKNOWN = "name-unknown"
    NAME_WITHOUT_ADDRESS = "name-without-address"
    DNS_SILENT = "dns-silent"
    REFUSED = "refused"
    BLOCKED = "blocked"
    NO_ROUTE = "no-route"
    SILENT = "silent"
    WRONG_PORT = "wrong-port"
    NOT_SMTP = "not-smtp"
    GREETING_REFUSED = "greeting-refused"
    GREETING_PUT_OFF = "greeting-put-off"
    HELLO_REFUSED = "hello-refused"
    NO_STARTTLS = "no-starttls"
    CERTIFICATE_NAME = "certificate-name"
    CERTIFICATE_AUTHORITY = "certificate-authority"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_BAD = "certificate-bad"
    CLIENT_CERTIFICATE = "client-certificate"
    TLS_TOO_OLD = "tls-too-old"
    TLS_FAILED = "tls-failed"
    LOGIN_REFUSED = "login-refused"
    LOGIN_PUT_OFF = "login-put-off"
    LOGIN_NOT_OFFERED = "login-not-offered"
    SENDER_REFUSED = "sender-refused"
    SENDER_PUT_OFF = "sender-put-off"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one host; `notes` are worth knowing where mail flows all the same."""

    upstream: str
    host: str
    what: What
    text: str
    advice: str = ""
    notes: tuple[str, ...] = ()
    addresses: tuple[Knock, ...] = ()

    @property
    def usable(self) -> bool:
        """Tell whether mail can be sent there."""
        return self.what is What.READY

    def lines(self) -> list[str]:
        """Return it for people."""
        lines = [f"upstream {self.upstream}, {self.host}: {self.text}"]
        lines += [f"  {self.advice}"] if self.advice else []
        return lines + [f"  note: {note}" for note in self.notes]

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "upstream": self.upstream,
            "host": self.host,
            "usable": self.usable,
            "what": self.what.value,
            "text": self.text,
            "advice": self.advice,
            "notes": list(self.notes),
            "addresses": [{"address": one.address, "result": one.way.value} for one in self.addresses],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement: what it is, what was seen, what to do."""

    what: What
    text: str
    advice: str = ""
