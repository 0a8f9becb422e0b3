"""
The root of all errors that this package raises on purpose.

Every room derives its own from `SmtpbridgeError`, so a caller at the edge can
tell a fault that was foreseen from a defect.  A refusal that belongs to a mail
peer is not an error but a value: a `Reply` in `smtp`, a `Refusal` in `dialect`.
"""


class SmtpbridgeError(Exception):
    """Base of every foreseen fault; its text is fit for an operator, never for a mail peer."""
