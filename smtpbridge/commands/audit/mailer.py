"""
Recognise which mail library wrote a message, and in which shape its `X-MSYS-API` came.

How it works: the sender's own word counts first (X-Mailer, User-Agent), then
marks that libraries leave without meaning to: the form of their Message-ID and
of their MIME boundaries, how they encode a header, in which order they write.
Without a word of its own a message is only likely to be of that library.

The shape is told of the header as it lies there, whoever wrote it: it decides
how hard the header is to read.  Here is nothing that reads it.
"""

import re

from smtpbridge.mail.headers import HeaderBlock, unfold

UNKNOWN = "not recognised"
_PYTHON, _PYTHON_MODERN = "Python email, legacy (Django to 5)", "Python email, modern (Django 6)"
_NODEMAILER, _PHPMAILER, _SWIFT, _RUBY = "nodemailer", "PHPMailer", "Swift Mailer", "Ruby mail"
_SYMFONY, _JAVAMAIL, _MIME_LITE, _MAILKIT = "Symfony Mime", "JavaMail", "MIME::Lite", "MailKit"

# What libraries and programs call themselves, as it begins; anybody else is shown by the words before the version.
_NAMED = {
    b"nodemailer": _NODEMAILER,
    b"phpmailer": _PHPMAILER,
    b"php/": "PHP mail()",
    b"swift": _SWIFT,
    b"symfony": _SYMFONY,
    b"mime::lite": _MIME_LITE,
    b"javamail": _JAVAMAIL,
    b"jakarta": _JAVAMAIL,
    b"mailkit": _MAILKIT,
    b"microsoft outlook": "Microsoft Outlook",
    b"apple mail": "Apple Mail",
    b"mozilla thunderbird": "Thunderbird",
}
_PRODUCT = re.compile(rb"[^\d(/\[;<,]{1,40}")
_VERSION_MARK = re.compile(r"[\s-]+v?$")

_IDS = {
    "swift": _SWIFT,
    "java": _JAVAMAIL,
    "python": _PYTHON,
    "ruby": _RUBY,
    "node": _NODEMAILER,
    "symfony": _SYMFONY,
    "php": _PHPMAILER,
    "mailkit": _MAILKIT,
}
_ID = re.compile(
    rb"\s*<(?:"
    rb"(?P<swift>[0-9a-f]{32}@swift\.generated)"
    rb"|(?P<java>\d{1,10}\.\d+\.1\d{12}(?:\.JavaMail\.[^@]*)?@|[^@]*\.JavaMail\.[^@]*@)"
    rb"|(?P<python>1\d{11}\.\d+\.\d+@|20\d{12}\.\d+\.\d+@)"
    rb"|(?P<ruby>[0-9a-f]{8,}_[0-9a-f-]{6,}@[^>]+\.mail>)"
    rb"|(?P<node>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}@)"
    rb"|(?P<symfony>[0-9a-f]{32}@)"
    rb"|(?P<php>[A-Za-z0-9]{38,43}@)"
    rb"|(?P<mailkit>[0-9A-Z]{11,13}\.[0-9A-Z]{11,14}@)"
    rb")"
)

_BOUNDARIES = {
    "python": _PYTHON,
    "node": _NODEMAILER,
    "php": _PHPMAILER,
    "swift": _SWIFT,
    "ruby": _RUBY,
    "java": _JAVAMAIL,
    "lite": _MIME_LITE,
    "dotnet": ".NET System.Net.Mail",
    "apple": "Apple Mail",
}
_BOUNDARY = re.compile(
    rb"boundary=\s*\"?(?:(?P<python>={15}\d{10,}==)|(?P<node>--_NmP-)|(?P<php>b[123][_=])|(?P<swift>_=_swift)"
    rb"|(?P<ruby>--==_mimepart_)|(?P<java>----=_Part_\d)|(?P<lite>_-{10}=_)|(?P<dotnet>--boundary_)|(?P<apple>Apple-Mail))",
    re.IGNORECASE,
)
_FOLD_FIRST = re.compile(rb"[ \t]*\r\n")


def mailer_of(header: HeaderBlock) -> str:
    """Return the name of the library, or `UNKNOWN`."""
    for name in (b"x-mailer", b"user-agent"):
        for value in header.values(name):
            if named := _named(unfold(value)):
                return named
    found = _by_id(header) or _by_boundary(header) or _by_api_header(header) or _by_order(header)
    if found in (_PYTHON, _PYTHON_MODERN):
        return _PYTHON if _follows(header, b"content-type", b"mime-version") else _PYTHON_MODERN
    return found or UNKNOWN


def shape_of(values: list[bytes]) -> str:
    """Return in a few words how the raw `X-MSYS-API` is written; `values` hold at least one."""
    if len(values) > 1:
        return "several headers"
    value = values[0]
    if not value.isascii():
        return "text outside ASCII as it is"
    if b"=?" in value:
        return _encoded(value)
    if b"\r\n" not in value:
        return "plain, one line"
    return "plain, first line empty" if _FOLD_FIRST.match(value) else "plain, folded"


def _encoded(value: bytes) -> str:
    pieces = value.split()
    if not all(piece.startswith(b"=?") and piece.endswith(b"?=") for piece in pieces):
        return "encoded words inside plain text"
    lower = value.lower()
    q, b = b"?q?" in lower, b"?b?" in lower
    return f"encoded words, {'Q and B' if q and b else 'Q' if q else 'B'}"


def _named(value: bytes) -> str:
    lower = value.lower()
    for start, name in _NAMED.items():
        if lower.startswith(start):
            return name
    product = _PRODUCT.match(value)
    return _VERSION_MARK.sub("", product[0].decode("ascii", "replace")) if product else ""


def _by_id(header: HeaderBlock) -> str:
    values = header.values(b"message-id")
    match = _ID.match(values[0]) if values else None
    return _IDS[match.lastgroup] if match and match.lastgroup else ""


def _by_boundary(header: HeaderBlock) -> str:
    values = header.values(b"content-type")
    match = _BOUNDARY.search(values[0]) if values else None
    return _BOUNDARIES[match.lastgroup] if match and match.lastgroup else ""


def _by_api_header(header: HeaderBlock) -> str:
    """Go by how X-MSYS-API is encoded: few libraries do it alike."""
    if b"x-msys-api" not in header.names:
        return ""
    field = header.fields[header.names.index(b"x-msys-api")]
    name, _, value = field.partition(b":")
    words = value.lstrip()
    if name == b"X-Msys-Api":
        by_order = _follows(header, b"date", b"mime-version") or _follows(header, b"date", b"content-transfer-encoding")
        return _NODEMAILER if by_order or words.startswith(b"=?UTF-8?Q?=7B") else ""
    if words.startswith(b"=?UTF-8?Q?{=22"):
        return _RUBY
    # These letters are in lower case nowhere else, and nobody else leaves a blank on an empty first line.
    if b"=?utf-8?b?" in value or b"=?utf-8?q?" in value or value.startswith(b" \r\n "):
        return _PYTHON
    return ""


def _by_order(header: HeaderBlock) -> str:
    """Go by the order of the MIME fields; only Python puts the type first and the charset between quotes."""
    quoted = any(
        b'charset="utf-8"' in value or b'charset="us-ascii"' in value for value in header.values(b"content-type")
    )
    if quoted and _follows(header, b"content-type", b"mime-version"):
        return _PYTHON
    if quoted and _follows(header, b"content-type", b"content-transfer-encoding", b"mime-version"):
        return _PYTHON_MODERN
    return ""


def _follows(header: HeaderBlock, *names: bytes) -> bool:
    """Tell whether these fields stand one behind the other."""
    if names[0] not in header.names:
        return False
    at = header.names.index(names[0])
    return header.names[at : at + len(names)] == names
