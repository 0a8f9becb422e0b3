"""
The name of a kind of event, and its fields, from its constant format.

A program that reads the log wants a short word, and a person who writes a log line should not have to invent one.  So
the name is what the format says up to its first stop, less its fields and the words that every sentence has; a format
that begins with a key is named by the key.  Whom a line is about (`id=`, `client=`, `upstream=`) is no part of the
name.  docs/log-events.md lists every name, and a test compares.
"""

import re
import string
from functools import cache

# What a member of a JSON line or a field of the journal is called that is no field of the event.
RESERVED = frozenset({"time", "level", "event", "message", "worker", "failure"})
_SUBJECTS = re.compile(r"^(?:(?:id|client|upstream)=\x00 ?)+")
_FIRST_KEY = re.compile(r"^([A-Za-z][\w.-]*)=")
_KEY = re.compile(r"[\w.-]+=\S*")
_STOP = re.compile(r"[;:,]|\. ")
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_FILLING = re.compile(r"an?|and|as|at|be|by|for|from|how|in|is|its?|of|on|once|that|the|this|to|was|what|who|with")
_MOST_WORDS = 6


@cache
def name_of(template: str) -> str:
    """Return the name of the events that have this format, such as `connected`; raise `ValueError` for no format."""
    said, fields = "", []
    for literal, field, _, _ in string.Formatter().parse(template):
        said += literal
        if field is not None:
            said += "\0"
            fields.append(field)
    said = _SUBJECTS.sub("", said) or said
    if key := _FIRST_KEY.match(said):
        return "-".join(_WORD.findall(key[1].lower().replace("_", " ")))
    phrase = _KEY.sub(" ", _STOP.split(said.strip("\0 :;,"))[0])
    words = [word.replace("'", "") for word in _WORD.findall(phrase.lower()) if not _FILLING.fullmatch(word)]
    words = words or _WORD.findall(" ".join(fields[:1]).lower().replace("_", " "))
    return "-".join(words[:_MOST_WORDS]) or "event"


@cache
def fields_of(template: str) -> tuple[str, ...]:
    """Return the names of the fields that a format has, each once."""
    named = (field for _, field, _, _ in string.Formatter().parse(template) if field)
    return tuple(dict.fromkeys(field for field in named if field.isidentifier()))


def key_of(field: str) -> str:
    """Return what a field is called where the reserved names stand beside it."""
    return f"{field}_" if field in RESERVED else field
