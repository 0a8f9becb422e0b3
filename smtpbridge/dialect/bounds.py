"""
How much of `X-MSYS-API` is read: one value, so that each reader takes what concerns it and the defaults stand once.

Whoever reads such a header holds up every other session of the process for as
long as it takes, and what costs time is not octets but things: a mebibyte of
text is read in milliseconds, a mebibyte of empty arrays in most of a second.
So each kind of thing has a bound of its own.  They are far from what a sender
needs, and together they keep the worst header below 250 ms of a processor;
`bench/test_hostile.py` shows it.

The fields are named as the keys in `[translation]` are; a refusal names the key.
"""

from dataclasses import dataclass

from smtpbridge.dialect.jsontext import MOST_LEVELS, MOST_VALUES


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that is read; what holds more is refused."""

    # Octets of the header's values, folds and encoded words included.  A thousand copies with long names need 200 KB.
    max_json_bytes: int = 1 << 20
    max_json_levels: int = MOST_LEVELS
    max_json_values: int = MOST_VALUES
    # A thousand copies with long names need 5,000, 45 octets in each.
    max_encoded_words: int = 10_000
    # Of the different domains outside ASCII in cc, bcc and archive, for which IDNA takes microseconds a character.  A
    # thousand domains of thirty characters each.
    max_idn_characters: int = 30_000


USUAL = Bounds()
