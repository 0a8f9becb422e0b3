"""
Who a message is from and for.

An envelope is what SMTP carries beside the content (RFC 5321, 2.3.1).  Its
addresses are ASCII text without angle brackets, as `smtp.paths` and
`mail.addresses` let them in; the null reverse-path is the empty string.
"""

from smtpbridge.values import value


@value
class Envelope:
    """The reverse-path and the forward-paths of one transaction."""

    sender: str
    recipients: tuple[str, ...]
