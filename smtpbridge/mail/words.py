"""
RFC 2047: text outside ASCII in header fields, read as it really arrives and written as the standard says.

Theory of operation
-------------------

Reading replaces encoded words where they stand and touches nothing else, so
a word may begin in the middle of a JSON string, hold a raw quote, or be far
longer than the 75 characters of RFC 2047, 2: libraries write all of these.
A word without its closing `?=`, with a blank in it, with a charset that nobody
knows or with octets that its charset cannot hold is not a word but text, and
stays.

A character may be cut in two by a writer that counts octets, so neighbours of
one charset are joined as octets before they are decoded.  White space between
two words belongs to the folding and is dropped (RFC 2047, 6.2); beside
anything else it stays.

Every step is one pass of a compiled expression or of a C function, so a field
of a mebibyte of words is read in linear time.

What must not be known here: what a field means, and JSON.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, a2b_qp, b2a_base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from smtpbridge.errors import SmtpbridgeError

# charset, "*language" (RFC 2231, 5), encoding, text.  Octets above 127 in the text are the charset's own affair.
_WORD = re.compile(rb"=\?([\w.:+-]++)(?:\*[\w-]*+)?\?([BbQq])\?([^\x00-\x20?\x7f]*+)\?=")
_BAD_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2})")

# The charsets that mail is written in, by codec and by the names they go under.  A table, because asking the import
# system for a stranger's name finds things that are no charsets and remembers every failure for ever.
_NAMES = {
    "utf_8": "utf-8 utf8 unicode-1-1-utf-8",
    "utf_7": "utf-7 unicode-1-1-utf-7",
    "utf_16": "utf-16",
    "utf_16_be": "utf-16be",
    "utf_16_le": "utf-16le",
    "ascii": "us-ascii ascii ansi_x3.4-1968 iso646-us",
    "latin_1": "iso-8859-1 iso8859-1 iso_8859-1 latin1 latin-1 l1",
    "iso8859_8": "iso-8859-8 iso8859-8 iso_8859-8 iso-8859-8-i iso-8859-8-e",
    **{
        f"iso8859_{part}": f"iso-8859-{part} iso8859-{part} iso_8859-{part}"
        for part in (*range(2, 8), *range(9, 17))
        if part != 12
    },
    **{f"cp{page}": f"windows-{page} cp{page} x-cp{page}" for page in range(1250, 1259)},
    **{f"cp{page}": f"cp{page} ibm{page}" for page in (437, 850, 852, 855, 857, 858, 862, 864, 866)},
    "cp874": "windows-874 cp874",
    "tis_620": "tis-620",
    "koi8_r": "koi8-r",
    "koi8_u": "koi8-u",
    "mac_roman": "macintosh mac x-mac-roman",
    "mac_cyrillic": "x-mac-cyrillic",
    "gb2312": "gb2312 euc-cn",
    "gbk": "gbk cp936 windows-936 x-gbk",
    "gb18030": "gb18030",
    "hz": "hz-gb-2312",
    "big5": "big5 big-5 x-x-big5",
    "big5hkscs": "big5-hkscs",
    "cp950": "cp950",
    "shift_jis": "shift_jis shift-jis sjis x-sjis",
    "cp932": "cp932 windows-31j ms_kanji",
    "euc_jp": "euc-jp x-euc-jp",
    "iso2022_jp": "iso-2022-jp",
    "iso2022_jp_1": "iso-2022-jp-1",
    "iso2022_jp_2": "iso-2022-jp-2",
    "iso2022_jp_3": "iso-2022-jp-3",
    "iso2022_jp_ext": "iso-2022-jp-ext cp50220 cp50221",
    "euc_kr": "euc-kr ks_c_5601-1987 ks_c_5601",
    "cp949": "cp949 windows-949 uhc",
    "iso2022_kr": "iso-2022-kr",
}
_CODECS = {name: codec for codec, names in _NAMES.items() for name in names.split()}

_LINE = 76  # RFC 2047, 2: a line that holds an encoded word
_HARD_LINE = 998  # RFC 5322, 2.1.1
_LONGEST_WORD = 75  # RFC 2047, 2
_FRAME = len("=?UTF-8?Q??=")
_ROOM_FOR_ONE = 12  # a character of four octets, each written =XX
# RFC 2047, 5 (3): the characters that need no escape even in a display name, the strictest of all places.
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_QUOTED = [b"_" if octet == 0x20 else b"%c" % octet if octet in _SAFE else b"=%02X" % octet for octet in range(256)]
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTINUATION = re.compile(rb"=[89AB]")


class NotUtf8(SmtpbridgeError, ValueError):
    """Octets outside encoded words are not UTF-8; `offset` counts the octets before the first wrong one."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"not UTF-8 at octet {offset}")
        self.offset = offset


@dataclass(slots=True)
class _Run:
    """Neighbouring words of one charset and the octets of each; grows while it is read."""

    start: int
    end: int
    codec: str
    octets: list[bytes]


def decode(value: bytes) -> str:
    """Return the whole value as text, its encoded words replaced in place; raise `NotUtf8`."""
    # `find`, because `in` takes its left side for a number first and throws an error away.
    if value.find(b"=?") >= 0:
        return _decode(value, "strict")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8(error.start) from error


def decode_text(text: str) -> str:
    """Do what `decode` does inside text; lone surrogates in it survive."""
    return _decode(text.encode("utf-8", "surrogatepass"), "surrogatepass") if "=?" in text else text


def without_words(value: bytes) -> bytes:
    """Return the value with a blank for each encoded word, for a reader who wants only what is never encoded."""
    return _WORD.sub(b" ", value) if b"=?" in value else value


def encode(text: str, *, column: int) -> bytes:
    """
    Return unstructured header text as ASCII; the first line of it begins at `column`.

    Printable ASCII stays as it is, on one line.  Everything else, and what a reader would take for an encoded word
    or trim, becomes encoded words of UTF-8, one a line, none of these lines over 76 (RFC 2047, 2).
    """
    if not text:
        return b""
    if _PLAIN.fullmatch(text) and "=?" not in text and column + len(text) <= _HARD_LINE:
        return text.encode("ascii")
    room = _LINE - column
    if room < _FRAME + _ROOM_FOR_ONE:
        return b"\r\n " + b"\r\n ".join(encoded_words(text))
    return b"\r\n ".join(encoded_words(text, room))


def encoded_words(text: str, room: int = _LONGEST_WORD) -> list[bytes]:
    """
    Return text as encoded words that are fit for any place (RFC 2047, 5), in B or Q, whichever is shorter.

    The first word takes at most `room` characters, at least 24 of them; no character is cut.  A lone surrogate,
    which UTF-8 cannot hold, becomes U+FFFD.
    """
    octets = _SURROGATE.sub("\ufffd", text).encode()
    quoted = b"".join(map(_QUOTED.__getitem__, octets))
    first, rest = min(room, _LONGEST_WORD) - _FRAME, _LONGEST_WORD - _FRAME
    if len(quoted) <= (len(octets) + 2) // 3 * 4:
        return [b"=?UTF-8?Q?%b?=" % part for part in _cut_quoted(quoted, first, rest)]
    parts = _cut_octets(octets, first // 4 * 3, rest // 4 * 3)
    return [b"=?UTF-8?B?%b?=" % b2a_base64(part, newline=False) for part in parts]


def _decode(value: bytes, errors: str) -> str:
    text: list[str] = []
    at, behind_word = 0, False
    for start, end, decoded in _replacements(value):
        if not (behind_word and _is_blank(value, at, start)):
            text.append(_utf8(value, at, start, errors))
        text.append(decoded)
        at, behind_word = end, True
    text.append(_utf8(value, at, len(value), errors))
    return "".join(text)


def _replacements(value: bytes) -> Iterator[tuple[int, int, str]]:
    """Go over (start, end, text) of what is replaced: runs of words, or single words where the run makes no sense."""
    for run in _runs(value):
        whole = _text(b"".join(run.octets), run.codec)
        if whole is not None:
            yield run.start, run.end, whole
            continue
        for match, octets in zip(_WORD.finditer(value, run.start, run.end), run.octets, strict=True):
            part = _text(octets, run.codec)
            if part is not None:
                yield match.start(), match.end(), part


def _runs(value: bytes) -> Iterator[_Run]:
    """Go over the words whose charset is known and whose transfer encoding is sound, neighbours together."""
    run: _Run | None = None
    for match in _WORD.finditer(value):
        charset, encoding, content = match.groups()
        codec = _codec(charset)
        octets = _unquote(content) if encoding in b"Qq" else _unbase64(content)
        if codec is None or octets is None:
            continue
        start, end = match.span()
        if run is not None and codec == run.codec and _is_blank(value, run.end, start):
            run.octets.append(octets)
            run.end = end
            continue
        if run is not None:
            yield run
        run = _Run(start, end, codec, [octets])
    if run is not None:
        yield run


@lru_cache(maxsize=64)
def _codec(charset: bytes) -> str | None:
    return _CODECS.get(charset.decode("ascii").lower())


def _unquote(content: bytes) -> bytes | None:
    if b"=" not in content:
        return content.replace(b"_", b" ")
    return None if _BAD_ESCAPE.search(content) else a2b_qp(content, header=True)


def _unbase64(content: bytes) -> bytes | None:
    try:
        # Padding is often forgotten; nothing else about base64 may be wrong.
        return a2b_base64(content + b"=" * (-len(content) % 4), strict_mode=True)
    except Base64Error:
        return None


def _text(octets: bytes, codec: str) -> str | None:
    try:
        return octets.decode(codec)
    except ValueError:
        return None


def _is_blank(value: bytes, start: int, end: int) -> bool:
    return start == end or value[start:end].isspace()


def _utf8(value: bytes, start: int, end: int, errors: str) -> str:
    try:
        return value[start:end].decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise NotUtf8(start + error.start) from error


def _cut_quoted(quoted: bytes, first: int, rest: int) -> Iterator[bytes]:
    at, room = 0, first
    while at < len(quoted):
        end = at + room
        # Step back out of an escape, and before the first octet of a character that goes on behind the cut.
        while end < len(quoted) and (b"=" in quoted[end - 2 : end] or _CONTINUATION.match(quoted, end)):
            end -= 1
        yield quoted[at:end]
        at, room = end, rest


def _cut_octets(octets: bytes, first: int, rest: int) -> Iterator[bytes]:
    at, room = 0, first
    while at < len(octets):
        end = at + room
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        yield octets[at:end]
        at, room = end, rest
