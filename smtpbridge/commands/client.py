"""
The client of `smtpbridge send`: Python's own smtplib, overheard.

Not our own core, which relays to the provider only, under rules that a sender does not have; and what
is asked is whether somebody who shares no code with the bridge can speak to it.

The conversation is told line by line as it goes; what follows AUTH is masked.
"""

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from smtpbridge.commands.doorway import Door
from smtpbridge.commands.printing import harmless
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.secret import Secret

_MASK = "********"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the conversation: who says it ("C", "S", or "-" for neither), and what."""

    who: str
    text: str


Tell: TypeAlias = Callable[[Line], None]


class NotTalked(SmtpbridgeError):
    """No conversation came about, or it broke; nobody knows more than the text says."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who the sender says it is."""

    user: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message with its envelope; `message` has CRLF lines without doubled dots."""

    sender: str
    recipients: tuple[str, ...]
    message: bytes
    message_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: its code and its text on one line."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass(frozen=True, slots=True)
class Sent:
    """
    What became of one message.

    `answer` is the last word: to the final dot, or to the command that was refused before it; `refused` are recipients
    that were not let in; `failure` says why there was no answer at all.
    """

    message_id: str
    answer: Answer | None
    command: str = ""
    refused: tuple[tuple[str, Answer], ...] = ()
    failure: str = ""

    @property
    def kind(self) -> int:
        """Return the first digit of the worst reply: 2, 4 or 5; 0 where there was none that SMTP knows."""
        if self.answer is None or self.failure:
            return 0
        worst = max(one.code // 100 for one in (self.answer, *(answer for _, answer in self.refused)))
        return worst if worst in (2, 4, 5) else 0

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "reply": str(self.answer) if self.answer else self.failure,
            "code": self.answer.code if self.answer else None,
            "command": self.command,
            "refused": {recipient: str(answer) for recipient, answer in self.refused},
            "message_id": self.message_id,
        }


class Refused(SmtpbridgeError):
    """A command was answered with 4yz or 5yz."""

    def __init__(self, command: str, answer: Answer) -> None:
        super().__init__(f"{command}: {answer}")
        self.command, self.answer = command, answer


class Overheard(smtplib.SMTP):
    """smtplib's client, which tells what it says and hears."""

    def __init__(self, door: Door, hello: str, seconds: float, tell: Tell | None) -> None:
        """Connect and say EHLO; `hello` is our name, `seconds` the longest wait.  Raises `Refused`."""
        self._tell = tell
        self._secret = False
        try:
            super().__init__(door.host, door.port, hello, timeout=seconds, **self._more(door))
        except smtplib.SMTPConnectError as error:
            if error.smtp_code < 400:
                raise NotTalked(f"{door} does not greet as an SMTP server does") from error
            raise Refused("the greeting", answer_of((error.smtp_code, error.smtp_error))) from error
        try:
            self.note_tls()
            _good("EHLO", self.ehlo())
        except BaseException:
            self.close()
            raise

    def _more(self, door: Door) -> dict[str, Any]:
        """Return what else smtplib's constructor takes."""
        return {}

    def secured(self, context: ssl.SSLContext | None) -> None:
        """STARTTLS, then EHLO anew (RFC 3207, 4.2)."""
        try:
            self.starttls(context=context)
        except smtplib.SMTPResponseException as error:
            raise Refused("STARTTLS", answer_of((error.smtp_code, error.smtp_error))) from error
        self.note_tls()
        _good("EHLO", self.ehlo())

    def note_tls(self) -> None:
        """Tell what was agreed upon, if anything was."""
        if isinstance(self.sock, ssl.SSLSocket):
            self._tell_line("-", f"{self.sock.version()}")

    def log_in(self, login: Login) -> None:
        """AUTH, once: a second mechanism would count as a second failure."""
        try:
            self.user, self.password = login.user, login.password.reveal().decode("ascii")
            login.user.encode("ascii")
        except UnicodeError as error:
            raise NotTalked("user name or password is not ASCII, which this command cannot send") from error
        offered = self.esmtp_features.get("auth", "").upper().split()
        try:
            if "PLAIN" in offered:
                self.auth("PLAIN", self.auth_plain)
            elif "LOGIN" in offered:
                self.auth("LOGIN", self.auth_login)
            else:
                raise NotTalked("the server offers neither AUTH PLAIN nor AUTH LOGIN here")
        except smtplib.SMTPResponseException as error:
            raise Refused("AUTH", answer_of((error.smtp_code, error.smtp_error))) from error

    def one(self, parcel: Parcel) -> Sent:
        """Send one message; a refusal leaves the connection as it was before."""
        options = [f"size={len(parcel.message)}"] if self.has_extn("size") else []
        if not parcel.message.isascii() and self.has_extn("8bitmime"):
            options.append("body=8bitmime")
        mail = answer_of(self.mail(parcel.sender, options))
        if mail.code != 250:
            return self._without(parcel, "MAIL", mail)
        answers = [(recipient, answer_of(self.rcpt(recipient))) for recipient in parcel.recipients]
        refused = tuple((recipient, answer) for recipient, answer in answers if answer.code not in (250, 251))
        if len(refused) == len(parcel.recipients):
            return self._without(parcel, "RCPT", refused[-1][1], refused)
        try:
            answer = answer_of(self.data(parcel.message))
        except smtplib.SMTPDataError as error:
            return self._without(parcel, "DATA", answer_of((error.smtp_code, error.smtp_error)), refused)
        return Sent(parcel.message_id, answer, "end of data", refused)

    def _without(
        self, parcel: Parcel, command: str, answer: Answer, refused: tuple[tuple[str, Answer], ...] = ()
    ) -> Sent:
        if answer.code == 421:
            raise Refused(command, answer)
        self.rset()
        return Sent(parcel.message_id, answer, command, refused)

    def leave(self) -> None:
        """QUIT; what is said to that changes nothing."""
        try:
            self.quit()
        except (OSError, smtplib.SMTPException):
            self.close()

    # The conversation

    def send(self, s: bytes | str) -> None:  # type: ignore[override]  # typeshed knows of more kinds of octets
        """Tell what goes out."""
        if self._tell is not None:
            self._tell_sent(s.encode("ascii", "replace") if isinstance(s, str) else bytes(s))
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Tell what comes in."""
        code, text = super().getreply()
        if code != 334:
            self._secret = False
        for line in text.decode("utf-8", "replace").split("\n"):
            self._tell_line("S", harmless(f"{code} {line}"))
        return code, text

    def _tell_line(self, who: str, text: str) -> None:
        if self._tell is not None:
            self._tell(Line(who, text))

    def _tell_sent(self, octets: bytes) -> None:
        if self._secret:
            self._tell_line("C", _MASK)
            return
        line = octets.decode("utf-8", "replace").removesuffix("\r\n")
        if line.upper().startswith("AUTH "):
            self._secret = True
            verb, mechanism, *response = line.split(" ", 2)
            line = " ".join([verb, mechanism, *(_MASK for _ in response)])
        if "\r\n" in line:
            self._tell_line("C", f"(the message and its final dot, {len(octets):,} octets)")
        else:
            self._tell_line("C", harmless(line))


class OverheardTls(Overheard, smtplib.SMTP_SSL):
    """The same with TLS from the first octet."""

    def _more(self, door: Door) -> dict[str, Any]:
        return {"context": door.context}


def answer_of(said: tuple[int, bytes | str]) -> Answer:
    code, text = said
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return Answer(code, harmless(" ".join(shown.split("\n"))))


def _good(command: str, said: tuple[int, bytes]) -> None:
    answer = answer_of(said)
    if not 200 <= answer.code < 300:
        raise Refused(command, answer) if answer.code >= 400 else NotTalked(f"{command}: not an SMTP reply: {answer}")
