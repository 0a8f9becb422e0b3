"""
Tell senders of recipients that the bridge took over and could not serve.

Each such recipient is named in an error line of the log, always.  Beyond that a
report goes to the original sender where a route is configured and the message did not
come from the null path.  A report is a parcel like any other, except that its own
original sender is the null path: nobody is ever told of a report that failed
(RFC 5321, 6.1), so no report can make another.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger

from smtpbridge.mail.report import Report, Undelivered, body_of, header_of
from smtpbridge.mail.trace import rfc5322_date
from smtpbridge.relay.content import Content
from smtpbridge.relay.verdict import Refused
from smtpbridge.smtp.data import stuff
from smtpbridge.smtp.replies import Reply
from smtpbridge.store.values import OTHER, Parcel


@dataclass(frozen=True, slots=True)
class Route:
    """How reports leave: by which upstream, with which reverse-path and header From."""

    upstream: str
    sender: str
    header_from: str


class Reporter:
    """Write reports, and the log lines that stand in for them."""

    _log = Logger()

    def __init__(self, hostname: str, route: Route | None, lifetime: float, epoch: Callable[[], float]) -> None:
        """Send reports by `route`; without one there is only the log.  A report is tried for `lifetime` seconds."""
        self._hostname = hostname
        self._route = route
        self._lifetime = lifetime
        self._epoch = epoch

    def give_up(
        self, about: Parcel, arrived: float, lost: tuple[Refused, ...], host: str, *, unknown: bool = False
    ) -> tuple[Parcel, Content] | None:
        """Log that `lost` are given up, and return the report to be kept and sent, `None` where there is none."""
        for one in lost:
            self._log.error(
                "id={id} given_up=<{to}> from=<{sender}> outcome={outcome} answer={answer}",
                id=about.message_id,
                to=one.address,
                sender=about.original_sender,
                outcome="unknown" if unknown else "failed",
                answer=one.answer,
            )
        if self._route is None or not about.original_sender:
            return None
        return self._report(about, arrived, lost, host, self._route, "delayed" if unknown else "failed")

    def _report(
        self, about: Parcel, arrived: float, lost: tuple[Refused, ...], host: str, route: Route, action: str
    ) -> tuple[Parcel, Content]:
        now = self._epoch()
        report = Report(
            reporter=self._hostname,
            sender=route.header_from,
            to=about.original_sender,
            date=rfc5322_date(now),
            message_id=about.message_id,
            arrived=rfc5322_date(arrived),
            failures=tuple(
                Undelivered(one.address, _status_of(one.answer), str(one.answer), host.rpartition(":")[0])
                for one in lost
            ),
            original_header=about.header,
            action=action,
        )
        body = stuff(body_of(report))
        parcel = Parcel(
            message_id=f"{about.message_id}R",
            upstream=route.upstream,
            sender=route.sender,
            original_sender="",
            recipients=(about.original_sender,),
            header=header_of(report),
            eight_bit=not report.original_header.isascii(),
            priority=OTHER,
            source="reports",
            expires_at=now + self._lifetime,
            not_before=now,
        )
        return parcel, Content(b"", len(body), len(body), body)


def _status_of(answer: Reply) -> str:
    """Return the enhanced code of an answer, or the plain one of its class (RFC 3463)."""
    return answer.enhanced or f"{answer.code // 100}.0.0"
