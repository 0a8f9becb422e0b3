"""
Write `List-Unsubscribe` (RFC 2369, 3.2) and its one-click companion (RFC 8058, 3.1) from the operator's template.

How it works: `{recipient}` in the template becomes the recipient's address,
percent-encoded, so a transaction with several recipients cannot have it.

What must not be known here: whether the message is one that needs the fields.
"""

from urllib.parse import quote

_RECIPIENT = "{recipient}"
_ONE_CLICK = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
# RFC 5322, 2.1.1: at most 998 octets a line, and 78 where it can be had.
_LONGEST_LINE = 998
_GOOD_LINE = 78


def unsubscribe_fields(template: str, recipients: tuple[str, ...]) -> bytes:
    """Return both fields; nothing where one recipient must be named among several, or a URI does not fit its line."""
    if _RECIPIENT in template:
        if len(recipients) != 1:
            return b""
        template = template.replace(_RECIPIENT, quote(recipients[0], safe=""))
    field = f"List-Unsubscribe: {template}"
    if len(field) > _GOOD_LINE:
        # White space may stand around the commas of the list (RFC 2369, 2), and nowhere inside a URI.
        field = field.replace(">, <", ">,\r\n <")
    if not all(line.isascii() and line.isprintable() and len(line) <= _LONGEST_LINE for line in field.split("\r\n")):
        return b""
    companion = _ONE_CLICK if "<https://" in template.lower() else b""
    return field.encode("ascii") + b"\r\n" + companion
