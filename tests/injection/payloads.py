"""What somebody writes into a text who hopes that it will be more than a text to somebody else."""

FORGED = "\nid=X received client=10.0.0.1 helo=x user=root from=<a@b> to=<c@d> nrcpt=1 size=1"
PAYLOADS = {
    "crlf-header": "x\r\nX-Evil: 1",
    "crlf-end-of-header": "x\r\n\r\nevil body",
    "crlf-end-of-data": "x\r\n.\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<evil@evil.test>\r\nDATA\r\n",
    "crlf-recipient": "x>\r\nRCPT TO:<evil@evil.test",
    "recipient-in-the-line": "x> <evil@evil.test",
    "second-address": "x@y.test, evil@evil.test",
    "cr": "x\rX-Evil: 1",
    "lf": "x\nX-Evil: 1",
    "fold": "x\r\n X-Evil: 1",
    "nul": "x\0X-Evil: 1",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f",
    "c1-controls": "".join(map(chr, range(0x80, 0xA0))),
    "terminal": "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "line-separators": "x\u2028X-Evil: 1\u2029\x85\x0b\x0c",
    "bidi": "\u202egnp.exe\u202c\u2066\u2069\u200f\ufeff",
    "braces": "{0.__class__} {id} {} {{ }",
    "percents": "%s %d %(id)s %n %%",
    "log": FORGED,
    "log-in-the-line": "x user=root from=<evil@evil.test> verdict=250 via=evil",
    "quotes": '"\'`\\" \\\\',
    "angles": '"> to=<evil@evil.test',
    "encoded-word": "=?utf-8?Q?x=0D=0AX-Evil:_1?= =?utf-8?B?DQpYLUV2aWw6IDE=?=",
    "surrogate": "\ud800x\udfff",
    "beyond": "\U0001f4a9\U000e0041\U0010ffff",
    "long": "y" * 200_000,
    "long-and-wide": "\u20ac " * 60_000,
    "long-and-evil": "\r\nX-Evil: 1" * 10_000,
}
# Octets that are no UTF-8, for places that octets reach.
RAW = {
    "latin-1": b"\xe9\xe8",
    "half-a-character": b"\xe2\x82",
    "surrogate-in-utf-8": b"\xed\xa0\x80",
    "overlong-lf": b"\xc0\x8a",
    "overlong-cr": b"\xe0\x80\x8d",
    "bom": b"\xef\xbb\xbf",
    "utf-16": "x\nX-Evil: 1".encode("utf-16"),
    "high-crlf": b"\x8d\x8aX-Evil: 1",
}
EVIL = ("x-evil", "evil")
