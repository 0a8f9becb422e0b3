"""
Inline the CSS of one HTML text with css-inline, where that is installed (the extra `css`).

How it works: the library parses the document, puts the rules of its `<style>`
elements on the elements that they match, and writes the document anew.  The
`<style>` elements stay, because media queries cannot be inlined.  Linked style
sheets are not loaded, neither from the network nor from a file.

The library keeps no bounds, and a document that nests its elements deeply
enough ends the process.  So the bounds are kept here, before it is called: the
size of the text, the number of tags, which no nesting can exceed, and the work
of comparing every rule with every element.

What must not be known here: MIME, transfer encodings, where a text comes from.
"""

import re
from collections.abc import Callable
from functools import cache

from smtpbridge.errors import SmtpbridgeError

_LARGEST = 2 * 1024 * 1024
# Twice as many levels can come of so many tags (`<table><td>` makes four); at 12,000 the library overflows its stack.
_MOST_TAGS = 4_000
_MOST_COMPARISONS = 10_000_000
# An unclosed `<b>` is made anew in every paragraph, so a text can grow with the square of its length.
_MOST_GROWTH = 16

# What an HTML parser never leaves open, wherever it stands.
_OPENING_TAG = re.compile(r"<(?!(?:br|hr|img|meta)[\s/>])[a-z]", re.IGNORECASE)
_STYLE = re.compile(rb"<style[\s/>]", re.IGNORECASE)
_RULES = re.compile(r"<style[\s/>].*?(?:</style|\Z)", re.IGNORECASE | re.DOTALL)
_LINE_END = re.compile(r"\r\n|\r|\n")


class CannotInline(SmtpbridgeError):
    """The text stays as it was; the message says why."""


def can_inline() -> bool:
    """Tell whether css-inline is installed."""
    return _inliner() is not None


def has_style(html: bytes) -> bool:
    """Tell whether there is CSS to inline."""
    return _STYLE.search(html) is not None


def inlined(html: bytes, charset: bytes) -> bytes:
    """
    Return an HTML text of that charset (empty: not given) with its CSS inlined, in the same charset.

    What was ASCII stays ASCII: a character that does not fit becomes a reference.  Raise `CannotInline`.
    """
    inline = _inliner()
    if inline is None:
        raise CannotInline("css-inline is not installed")
    if len(html) > _LARGEST:
        raise CannotInline(f"the HTML is larger than {_LARGEST:,} octets")
    name = charset.decode("ascii", "replace") or "utf-8"
    text = _decoded(html, name)
    _check_bounds(text)
    try:
        result = inline(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in the library is no Exception, and the mail must go on
        raise CannotInline(f"css-inline failed: {type(error).__name__}") from error
    if len(result) > _MOST_GROWTH * (len(text) + 4_096):
        raise CannotInline("the HTML grew too large")
    result = _LINE_END.sub("\r\n", result)
    octets = result.encode(name, "xmlcharrefreplace")
    return result.encode("ascii", "xmlcharrefreplace") if html.isascii() and not octets.isascii() else octets


def _decoded(html: bytes, charset: str) -> str:
    try:
        if "<a>".encode(charset) != b"<a>":
            raise CannotInline("its charset does not extend ASCII")
        return html.decode(charset)
    except (LookupError, UnicodeError) as error:
        raise CannotInline("it cannot be read in its charset") from error


def _check_bounds(text: str) -> None:
    tags = sum(1 for _ in _OPENING_TAG.finditer(text))
    if tags > _MOST_TAGS:
        raise CannotInline(f"the HTML has {tags:,} tags; the limit is {_MOST_TAGS:,}")
    rules = sum(style[0].count("{") + style[0].count(",") for style in _RULES.finditer(text))
    if rules * tags > _MOST_COMPARISONS:
        raise CannotInline(f"{rules:,} rules for {tags:,} tags are too many")


@cache
def _inliner() -> Callable[[str], str] | None:
    # An extra, and not small: it is loaded when the first message asks for it.
    try:
        from css_inline import CSSInliner
    except ImportError:
        return None
    return CSSInliner(load_remote_stylesheets=False, keep_style_tags=True).inline
