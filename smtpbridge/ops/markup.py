"""
HTML in which nothing can be forgotten to be escaped.

Everything that stands on a page was a peer's text at some time.  So there is one way to make an
element, `element`, and it escapes whatever is not `Html` already; `Html` comes from here alone.

What cannot be seen, or changes how the text around it is read (controls, marks that turn the direction of
writing, blanks of other alphabets), is shown as its number, as in the log.
"""

from collections.abc import Iterable
from html import escape

# In characters: what of a text is shown.
_LONGEST = 400
# HTML, 13.1.2: elements without an end.
_VOID = {"input", "link", "meta"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def visible(text: str, most: int = _LONGEST) -> str:
    """Return `text` cut, and with everything that is not printable as Python would write it."""
    cut = text if len(text) <= most else text[:most] + "..."
    if cut.isprintable():
        return cut
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in cut)


def element(name: str, /, *inner: object, **attributes: object) -> Html:
    """
    Return an element.

    What is inside is text, unless it is `Html`; a list or an iterator stands for its members, `None` for nothing.
    An attribute that is `None` or `False` is left out, one that is `True` has no value; `class_` is `class`, and an
    underscore a hyphen.
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(opening if name in _VOID else f"{opening}{joined(*inner)}</{name}>")


def joined(*parts: object) -> Html:
    """Return what stands inside an element."""
    return Html("".join(_inner(part) for part in parts))


def _inner(part: object) -> str:
    match part:
        case None:
            return ""
        case Html():
            return part
        case str():
            return escape(visible(part))
        case Iterable():
            return "".join(_inner(one) for one in part)
        case _:
            return escape(visible(str(part)))


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    match value:
        case None | False:
            return ""
        case True:
            return f" {name}"
        case _:
            return f' {name}="{escape(visible(str(value), 10_000))}"'
