"""
Decide whether anything in a body has to change, and change that.

Theory of operation
-------------------

A body is opaque.  One look over its octets says whether it may hold what
concerns us: SparkPost's marks (`data-msys-...`), more links than Infobip takes,
or text parts in base64, which hide both.  Nearly always it holds none, and that
look was all.

Else the text parts are found (`mail.parts`), and each that is concerned is
taken out, its transfer encoding off, rewritten, and put back in the same
encoding.  The result is a list of pieces: spans of the old body, and new octets
in the places of those parts.  Whatever is not such a part stays octet for
octet, also a part in which in the end nothing changed, and a part that is
signed.

CSS comes first, because css-inline writes the document anew and would put
quotes around Infobip's attribute; links are counted last, when those opted out
are known.

What must not be known here: what HTML looks like inside, and where the body is kept.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from smtpbridge.dialect.html import Mark, short_lines, tracked_links, unmarked_html, unmarked_text
from smtpbridge.dialect.inline_css import CannotInline, has_style, inlined
from smtpbridge.dialect.instructions import Remark
from smtpbridge.dialect.layout import layout_of
from smtpbridge.dialect.plan import Kept, New, Piece
from smtpbridge.mail.encodings import Encoding, decode, encode, plain, wire
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.parts import BLOCK, Octets, Part, leaves

# Infobip drops a mail with more tracked links than that (error 6024).
_MOST_LINKS = 150
# Rewriting holds up everything else for as long as it takes.
_LARGEST_PART = 8 * 1024 * 1024

# Quoted-printable may break a line anywhere, also within a word.
_SOFT = rb"(?:=\r\n)?"
# The search runs for the dash, which base64 does not have: an attachment costs next to nothing.
_MARK = rb"(?i:" + _SOFT.join((b"m", b"s", b"y", b"s", b"-")).join((_SOFT, rb")"))
_MARKED = re.compile(rb"-" + _MARK)
# The same, or (then with a group) a part that may be in base64.  What follows may be cut by the end of a block.
_MARKED_OR_ENCODED = re.compile(rb"-(?:" + _MARK + rb"|((?i:encoding))[ \t]*+(?:\Z|:\s*+(?:[bB]|\Z)))")
# Every link to http(s) has one; so have others, and only too many of them lead to a closer look.  Some templates write
# slashes as character references.
_ADDRESS = re.compile(rb":" + _SOFT + rb"[/&]")
_BASE64 = re.compile(rb"(?i:base64)")
# Where dashes are as rare as that (one in so many octets), looking at each on its own pays.
_FEW, _RARE = 32, 512
# What may be cut by the end of a block: the longest match less one.
_OVERLAP = 32
_HTML = b"text/html"
# Charsets in which ASCII does not look like ASCII, so marks cannot be found in them.
_WIDE = (b"utf-16", b"utf-32", b"utf16", b"utf32", b"ucs-2", b"ucs-4", b"iso-10646-ucs")


@dataclass(frozen=True, slots=True)
class Rework:
    """What becomes of the body (`None`: nothing), and whether Infobip would drop the mail for its tracked links."""

    pieces: tuple[Piece, ...] | None = None
    too_many_links: bool = False
    warnings: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()


_NOTHING = Rework()


def rework(header: HeaderBlock, body: Octets, *, inline_css: bool, clicks_tracked: bool) -> Rework:
    """Return what becomes of a body in wire form below that header; never fails."""
    if not (inline_css or _concerns_us(header, body, clicks_tracked)):
        return _NOTHING
    texts = _Texts(body, inline_css, clicks_tracked)
    for part in leaves(header, body):
        if _is_text(part):
            texts.take(part)
    return texts.result()


def _concerns_us(header: HeaderBlock, body: Octets, clicks_tracked: bool) -> bool:
    """Look over the body once: tell whether a text part may have to be read."""
    layout = layout_of(header.names)
    # `find`, because `in` takes its left side for a number first and throws an error away.
    media = header.value_at(layout.types[0]).lower() if layout.types else b"text/"
    for at in layout.encodings:
        if _BASE64.search(header.value_at(at)) and media.find(b"text/") >= 0:
            return True
    wanted = _MARKED_OR_ENCODED if media.find(b"multipart/") >= 0 else _MARKED
    links = 0
    for block in _blocks(body):
        found = _search(wanted, block)
        if found is not None and found.lastindex:
            if _has_hidden_text(header, body):
                return True
            # All parts were seen.
            wanted = _MARKED
            found = _search(wanted, block)
        if found is not None:
            return True
        if clicks_tracked:
            links += len(_ADDRESS.findall(block))
            if links > _MOST_LINKS:
                return True
    return False


def _has_hidden_text(header: HeaderBlock, body: Octets) -> bool:
    return any(part.encoding is Encoding.BASE64 and _is_text(part) for part in leaves(header, body))


def _is_text(part: Part) -> bool:
    return part.media.name in (_HTML, b"text/plain") and not part.attachment


def _blocks(body: Octets) -> Iterable[bytes]:
    size = len(body)
    if size <= BLOCK:
        return (body[0:size],)
    return (body[at : min(at + BLOCK + _OVERLAP, size)] for at in range(0, size, BLOCK))


def _search(wanted: re.Pattern[bytes], block: bytes) -> re.Match[bytes] | None:
    """Do what `wanted.search` does, for an expression that begins with a dash."""
    at = block.find(b"-")
    looks = 0
    while at >= 0:
        # To find an octet is far cheaper than to search for the expression, unless there are many of them.
        if looks > _FEW + at // _RARE:
            return wanted.search(block, at)
        if found := wanted.match(block, at):
            return found
        looks += 1
        at = block.find(b"-", at + 1)
    return None


class _Texts:
    """The text parts of one body, taken one after the other."""

    def __init__(self, body: Octets, inline_css: bool, clicks_tracked: bool) -> None:
        self._body = body
        self._inline_css = inline_css
        self._count_links = clicks_tracked
        self._pieces: list[Piece] = []
        self._at = 0
        self._links = 0
        self._uncounted = False
        self._marks: Counter[Mark] = Counter()
        self._warnings: dict[Remark, None] = {}

    def take(self, part: Part) -> None:
        """Rewrite a part where it has to be."""
        is_html = part.media.name == _HTML
        if not (is_html and (self._inline_css or self._count_links)) and not self._may_be_marked(part):
            return
        if part.end - part.start > _LARGEST_PART:
            self._leave("it is too large")
            self._uncounted = self._uncounted or is_html
            return
        octets = plain(self._body[part.start : part.end])
        content = decode(octets, part.encoding)
        if content is None:
            self._leave("its transfer encoding cannot be read")
            return
        changed = self._html(content, part) if is_html else self._text(content, part)
        if changed == content:
            return
        written = encode(changed, part.encoding)
        if octets.endswith(b"\r\n") and not written.endswith(b"\r\n"):
            written += b"\r\n"
        if any(written.startswith(one) or b"\r\n" + one in written for one in part.delimiters):
            self._leave("without them it would look like the end of the part")
            return
        self._put(part, wire(written))

    def result(self) -> Rework:
        """Return what came of all parts."""
        # Where they could not be counted, a mail without tracked clicks is better than none.
        too_many = self._links > _MOST_LINKS or (self._count_links and self._uncounted)
        warnings = tuple(self._warnings)
        if too_many:
            warnings += (_too_many_links("too many" if self._uncounted else str(self._links)),)
        if unsubscribes := self._marks[Mark.UNSUBSCRIBE]:
            warnings += (_no_unsubscribe_link(unsubscribes),)
        pieces = None
        if self._pieces:
            size = len(self._body)
            rest = (Kept(self._at, size),) if self._at < size else ()
            pieces = (*self._pieces, *rest)
        return Rework(pieces, too_many, warnings, _notes(self._marks))

    def _may_be_marked(self, part: Part) -> bool:
        """Tell whether decoding could show marks; base64 must be decoded to know."""
        return part.encoding is Encoding.BASE64 or any(
            _MARKED.search(self._body[at : min(at + BLOCK + _OVERLAP, part.end)])
            for at in range(part.start, part.end, BLOCK)
        )

    def _html(self, html: bytes, part: Part) -> bytes:
        changed = html
        if self._inline_css and has_style(html):
            changed = self._with_css_inlined(html, part)
        if self._is_marked(changed, part):
            unmarked = unmarked_html(changed)
            self._marks += unmarked.marks
            changed = unmarked.octets
        if self._count_links:
            self._links += tracked_links(changed)
        return changed

    def _text(self, text: bytes, part: Part) -> bytes:
        if not self._is_marked(text, part):
            return text
        unmarked = unmarked_text(text)
        self._marks += unmarked.marks
        return unmarked.octets

    def _is_marked(self, content: bytes, part: Part) -> bool:
        """Tell whether there are marks that can be taken off."""
        if part.media.charset.startswith(_WIDE):
            if _MARKED.search(content.replace(b"\0", b"")):
                self._leave("its charset does not extend ASCII")
            return False
        marked = _MARKED.search(content) is not None
        if marked and part.signed:
            self._leave("it is signed")
            return False
        return marked

    def _with_css_inlined(self, html: bytes, part: Part) -> bytes:
        try:
            if part.signed:
                raise CannotInline("it is signed")
            changed = inlined(html, part.media.charset)
            if part.encoding is Encoding.IDENTITY and (short := short_lines(changed)) is not None:
                return short
            if part.encoding is Encoding.IDENTITY:
                raise CannotInline("its lines would be too long for its transfer encoding")
        except CannotInline as error:
            self._warnings[Remark("inline-css", f"CSS was not inlined in an HTML part: {error}")] = None
            return html
        return changed

    def _leave(self, why: str) -> None:
        text = f"SparkPost's marks, if any, were left in a text part: {why}"
        self._warnings[Remark("link-marks", text)] = None

    def _put(self, part: Part, octets: bytes) -> None:
        if part.start > self._at:
            self._pieces.append(Kept(self._at, part.start))
        self._pieces.append(New(octets))
        self._at = part.end


def _too_many_links(links: str) -> Remark:
    text = f"{links} links to be tracked, Infobip takes {_MOST_LINKS}: clicks are not tracked in this message"
    return Remark("too-many-links", text)


def _no_unsubscribe_link(count: int) -> Remark:
    text = f"data-msys-unsubscribe was taken off {_links(count)}: clicks there do not unsubscribe at Infobip"
    return Remark("unsubscribe-link", text)


def _notes(marks: Counter[Mark]) -> tuple[Remark, ...]:
    notes: tuple[Remark, ...] = ()
    if count := marks[Mark.UNTRACKED]:
        are = "is" if count == 1 else "are"
        notes += (Remark("untracked-link", f"{_links(count)} {are} not tracked, as data-msys-clicktrack asks"),)
    if count := marks[Mark.NAME]:
        text = f"data-msys-linkname was taken off {_links(count)}: Infobip does not name links"
        notes += (Remark("link-name", text),)
    if count := marks[Mark.OTHER]:
        were = "1 unknown data-msys- attribute was" if count == 1 else f"{count} unknown data-msys- attributes were"
        notes += (Remark("link-attribute", f"{were} taken off"),)
    return notes


def _links(count: int) -> str:
    return "1 link" if count == 1 else f"{count} links"
