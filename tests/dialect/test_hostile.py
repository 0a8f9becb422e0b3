"""
Promises about headers that are made to cost: each is read or refused, with what reply, and by how much work.

No test here looks at a clock; `bench/test_hostile.py` does.  Work is counted in calls, of Python's and of C's
functions: what grows with the square of a header, or is done for each of a million things, shows in their number.
What goes wrong inside of one call of an expression does not, but then this module takes minutes.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import cache, partial
from types import FrameType
from typing import Any, TypeVar

import pytest

from smtpbridge.dialect.bounds import USUAL, Bounds
from smtpbridge.dialect.instructions import Reading, Refusal
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.policy import Policy
from smtpbridge.dialect.sparkpost import read
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from tests.dialect.hostile import BLOCKS, MEBIBYTE, SHAPES, WAYS, block, field, value

TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTPS", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
ENVELOPE = Envelope("news@sender.example", ("user0@rcpt.example",))
SMALL = 1 << 16

VALUES = "X-MSYS-API is limited to 20000 values"
WORDS = "X-MSYS-API is limited to 10000 encoded words"
DOMAINS = "X-MSYS-API cc, bcc and archive are limited to 30000 characters of domains outside ASCII"
OBJECT = "X-MSYS-API must be of type 'json object'"
JSON = "JSON parsing error in X-MSYS-API: "
MISSING = JSON + "value missing at character [0-9]+"
COMMA = JSON + "comma missing at character [0-9]+"
OPEN = JSON + "string without an end at character [0-9]+"
END = JSON + "unexpected end at character [0-9]+"
ESCAPE = JSON + "unknown escape at character [0-9]+"
ADDRESS = "X-MSYS-API 'cc' entry .* is not a valid address: [ -~]+"
CAMPAIGN = "smtpapi_campaign_id context is limited to 64 bytes"

# What becomes of a mebibyte of each shape on one line; all others are read.
REFUSED = {
    "one string, open": OPEN,
    "single quotes around doubles, many": VALUES,
    "single quotes, many": VALUES,
    "single quotes with blanks": VALUES,
    "single quotes, not JSON": VALUES,
    "single quotes with escapes": VALUES,
    "strings": VALUES,
    "strings with words to be": WORDS,
    "octets that are no UTF-8": JSON + "not UTF-8 at byte [0-9]+",
    "80,000 keys in metadata": VALUES,
    "80,000 keys on top": VALUES,
    "80,000 keys in options": VALUES,
    "80,000 keys, then a comma": VALUES,
    "short keys": VALUES,
    "equal keys": VALUES,
    "equal metadata": VALUES,
    "keys outside ASCII": VALUES,
    "arrays 100,000 deep": VALUES,
    "arrays 100,000 deep, open": VALUES,
    "arrays, all open": VALUES,
    "objects 100,000 deep": VALUES,
    "objects, all open": VALUES,
    "objects, braces only": VALUES,
    "mixed nesting": VALUES,
    "mixed nesting, open": VALUES,
    "closings only": MISSING,
    "99 levels, many": VALUES,
    "98 levels, then wide": VALUES,
    "words of Q": WORDS,
    "words of B": WORDS,
    "words of one octet, Q": WORDS,
    "words of one octet, Q, joined": WORDS,
    "words of one octet, B": WORDS,
    "words of one octet, apart": WORDS,
    "words in strings": WORDS,
    "words in strings, one quote each": WORDS,
    "words that decode to quotes": WORDS,
    "words that decode to brackets": WORDS,
    "words that decode to JSON": WORDS,
    "words that decode to nothing": WORDS,
    "words by turns of charsets": WORDS,
    "words of charsets nobody knows": WORDS,
    "words with half characters": WORDS,
    "words with half characters, B": WORDS,
    "words with half characters in a string": WORDS,
    "words with a broken escape": WORDS,
    "words of broken base64": WORDS,
    "words of ISO-2022-JP": WORDS,
    "words of UTF-7": WORDS,
    "words without an end": WORDS,
    "words, starts only": WORDS,
    "words, starts in a string": WORDS,
    "words, starts with a charset": WORDS,
    "one long charset": MISSING,
    "words of long charsets": MISSING,
    "one long word, Q": MISSING,
    "one long word, B": MISSING,
    "escapes of quotes, open": MISSING,
    "escapes nobody knows": ESCAPE,
    "escapes of quotes in single quotes": ESCAPE,
    "escapes, strings of one": VALUES,
    "one number of exponents": COMMA,
    "numbers": VALUES,
    "different numbers": VALUES,
    "different numbers with zeros": VALUES,
    "numbers with a zero": VALUES,
    "numbers with a minus and a zero": VALUES,
    "numbers that are none": VALUES,
    "minuses": VALUES,
    "trailing commas in arrays": VALUES,
    "trailing commas in objects": VALUES,
    "empty arrays": VALUES,
    "empty arrays, trailing comma": VALUES,
    "empty objects": VALUES,
    "empty objects, trailing comma": VALUES,
    "objects of one": VALUES,
    "literals": VALUES,
    "literals in right case": VALUES,
    "literals with tails": VALUES,
    "literals in odd case": VALUES,
    "comments": VALUES,
    "comments of slashes": END,
    "comments without an end": MISSING,
    "comments without an end, spaced": MISSING,
    "one comment without an end": MISSING,
    "comments behind commas": VALUES,
    "comments behind commas, long run": OBJECT,
    "comments behind each comma, open": MISSING,
    "commas and comments without an end": MISSING,
    "commas and open quotes": OPEN,
    "commas and open single quotes": MISSING,
    "brackets and open single quotes": MISSING,
    "single quotes without commas": VALUES,
    "single quotes after words": VALUES,
    "literals without commas": VALUES,
    "slashes": END,
    "form feeds": OBJECT,
    "form feeds and blanks": OBJECT,
    "blanks behind a comma": OBJECT,
    "blanks behind commas": VALUES,
    "commas": VALUES,
    "commas after values": VALUES,
    "colons": JSON + "name missing at character [0-9]+",
    "quotes": COMMA,
    "odd quotes": COMMA,
    "JSON behind the end": VALUES,
    "odd JSON behind the end": VALUES,
    "65,536 bcc": VALUES,
    "1,000 cc with words in names": WORDS,
    "1,000 cc with long domains": ADDRESS,
    "1,000 cc outside ASCII": VALUES,
    "1,000 cc with other domains outside ASCII": DOMAINS,
    "1,000 cc with domains in Arabic": DOMAINS,
    "1,000 cc with domains to be mapped": ADDRESS,
    "1,000 cc with labels outside ASCII": ADDRESS,
    "1,000 cc with long labels outside ASCII": ADDRESS,
    "empty entries": VALUES,
    "one address": ADDRESS,
    "one address of dots": ADDRESS,
    "one address of quotes": ADDRESS,
    "one address, open quote": ADDRESS,
    "one address of quoted pairs": ADDRESS,
    "one address of ats": ADDRESS,
    "one address of angles": ADDRESS,
    "one address of closing angles": ADDRESS,
    "one address of angle pairs": ADDRESS,
    "one address of parentheses": ADDRESS,
    "one address of comments": ADDRESS,
    "one address of semicolons": ADDRESS,
    "one address of commas": ADDRESS,
    "one address of blanks": ADDRESS,
    "one address of labels": ADDRESS,
    "one address, domain outside ASCII": DOMAINS,
    "no address, large": VALUES,
    "a long campaign": CAMPAIGN,
    "a long campaign outside ASCII": CAMPAIGN,
    "200,000 tags": VALUES,
    "200,000 tags of null": VALUES,
    "tags of numbers": VALUES,
    "metadata of many short strings outside ASCII": VALUES,
    "close to the values, all odd": OBJECT,
    "close to the values, all odd, not JSON": COMMA,
    "close to the words, in strings": OBJECT,
    "close to the words, not JSON": COMMA,
    "close to the values, read twice": ADDRESS,
    "close to words and values, read twice": COMMA,
    "close to the words, read four times": ADDRESS,
    "999 copies in order, and one wrong": ADDRESS,
}


# Shapes whose number is bounded, so that they do not fill the room.
SHORT = {name for name in SHAPES if re.match(r"1,000 |185 |close |(arrays|objects) 100,000 |words of long", name)}


def outcome(api: bytes) -> Plan | Refusal:
    return translate(ENVELOPE, HeaderBlock.parse(block(api)), TRACE, Policy())


T = TypeVar("T")


def counted(work: Callable[[], T]) -> tuple[T, int]:
    """Return what is returned, and how many functions were called for it."""
    calls = 0

    def look(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        found = work()
    finally:
        sys.setprofile(before)
    return found, calls


@cache
def mebibyte(name: str) -> tuple[Plan | Refusal, int]:
    """Return what becomes of a mebibyte of that shape, and in how many calls."""
    raw = value(name, "plain")
    assert MEBIBYTE // 2 < len(raw) <= MEBIBYTE or name in SHORT
    return counted(lambda: outcome(field(raw)))


@pytest.mark.parametrize("name", SHAPES)
def test_a_mebibyte_of_one_shape_is_read_or_refused_with_a_word_for_it(name: str) -> None:
    found, _ = mebibyte(name)

    if name in REFUSED:
        assert isinstance(found, Refusal)
        assert re.fullmatch(REFUSED[name], found.text), found.text
        assert (found.code, found.enhanced) == (550, "5.6.0")
    else:
        assert isinstance(found, Plan), found


def test_every_shape_that_is_said_to_be_refused_is_one() -> None:
    assert REFUSED.keys() <= SHAPES.keys()


@pytest.mark.parametrize("name", SHAPES)
def test_however_a_shape_is_folded_and_encoded_there_is_an_answer(name: str) -> None:
    for way in WAYS:
        found = outcome(field(value(name, way, SMALL)))

        assert isinstance(found, Plan) or re.fullmatch(r"[ -~]{1,480}", found.text), way


@pytest.mark.parametrize("name", BLOCKS)
def test_whatever_stands_around_the_value_there_is_an_answer(name: str) -> None:
    found = outcome(BLOCKS[name](MEBIBYTE))

    assert isinstance(found, Plan) or re.fullmatch(r"[ -~]{1,480}", found.text)


# Names are written as they are, token by token, and domains go through IDNA, which is written in Python.
WORDY = {"one name of atoms": 2_400_000, "with blanks in names": 2_400_000, "domains": 800_000}


@pytest.mark.parametrize("name", SHAPES)
def test_no_mebibyte_takes_more_calls_than_the_bounds_allow(name: str) -> None:
    most = next((most for part, most in WORDY.items() if part in name), 400_000)

    assert mebibyte(name)[1] <= most


@pytest.mark.parametrize("name", BLOCKS)
def test_twice_the_header_takes_at_most_some_twice_the_calls(name: str) -> None:
    once, twice = (counted(partial(outcome, BLOCKS[name](size)))[1] for size in (SMALL, 2 * SMALL))

    assert twice <= 2.2 * once + 10_000


def test_a_header_that_is_refused_for_its_size_is_not_read_again_in_another_way() -> None:
    values = b'{"cc":["a@b.\r\n example"],"metadata":[' + b"[]," * USUAL.max_json_values
    broken = field(b" " + values) + b"]}\r\n"

    found, calls = counted(lambda: outcome(broken))

    assert isinstance(found, Refusal)
    assert found.limit == "max_json_values"
    assert calls < 1_000


# Each bound


@pytest.mark.parametrize(
    ("raw", "bounds", "text"),
    [
        (b'{"a":"%b"}' % (b"x" * 100), Bounds(max_json_bytes=107), "X-MSYS-API is limited to 107 bytes"),
        (b'{"a":[[[]]]}', Bounds(max_json_levels=3), "X-MSYS-API is limited to 3 levels of nesting"),
        (b'{"a":[1,2,3,4]}      ', Bounds(max_json_values=4), "X-MSYS-API is limited to 4 values"),
        (b"{'a':'b','c':'d'}    ", Bounds(max_json_values=2), "X-MSYS-API is limited to 2 values"),
        (b'{"a":"=?l1?Q?a?= =?l1?Q?a?="}', Bounds(max_encoded_words=1), "X-MSYS-API is limited to 1 encoded words"),
        (
            '{"cc":["a@bé.example"],"bcc":["a@bü.example"]}'.encode(),
            Bounds(max_idn_characters=19),
            "X-MSYS-API cc, bcc and archive are limited to 19 characters of domains outside ASCII",
        ),
    ],
)
def test_what_is_over_a_bound_is_refused_with_the_bound_and_its_key(raw: bytes, bounds: Bounds, text: str) -> None:
    (key,) = (one.name for one in fields(bounds) if getattr(bounds, one.name) != getattr(USUAL, one.name))

    assert read([raw], bounds) == Refusal(text, 550, "5.6.0", limit=key)
    header = HeaderBlock.parse(block(field(b" " + raw)))
    assert translate(ENVELOPE, header, TRACE, Policy(bounds=bounds)) == read([raw], bounds)


@pytest.mark.parametrize(
    ("raw", "bounds"),
    [
        (b'{"a":"%b"}' % (b"x" * 100), Bounds(max_json_bytes=108)),
        (b'{"a":[[[]]]}', Bounds(max_json_levels=4)),
        (b'{"a":[1,2,3,4]}      ', Bounds(max_json_values=5)),
        (b"{'a':'b','c':'d'}    ", Bounds(max_json_values=3)),
        (b'{"a":"=?l1?Q?a?= =?l1?B?YQ==?="}', Bounds(max_encoded_words=2)),
        ('{"cc":["a@bé.example"],"bcc":["b@bé.example"]}'.encode(), Bounds(max_idn_characters=10)),
        ('{"cc":["Bé <a@b.example>"],"bcc":["a@bü.example"]}'.encode(), Bounds(max_idn_characters=10)),
    ],
)
def test_what_is_just_at_a_bound_is_read(raw: bytes, bounds: Bounds) -> None:
    assert isinstance(read([raw], bounds), Reading)


def test_several_headers_are_one_for_the_bounds_and_equal_ones_are_one_header() -> None:
    bounds = Bounds(max_json_bytes=40)

    assert isinstance(read([b"{}" + b" " * 30] * 9, bounds), Reading)
    found = read([b"{}" + b" " * 30, b"{}" + b" " * 29], bounds)
    assert isinstance(found, Refusal)
    assert found.limit == "max_json_bytes"


def test_a_value_in_a_hundred_spellings_is_read_and_in_one_more_is_refused() -> None:
    spellings = [b"{}" + b" " * number for number in range(101)]

    assert isinstance(read(spellings[:100]), Reading)
    assert read(spellings) == Refusal("X-MSYS-API is there 101 times with different values")


def test_a_refusal_for_any_other_reason_names_no_bound() -> None:
    for raw in (b"{", b"[]", b'{"cc":["a"]}', b'{"campaign_id":"%b"}' % (b"x" * 65)):
        found = read([raw])
        assert isinstance(found, Refusal)
        assert found.limit == ""


def test_what_the_largest_real_header_holds_is_far_from_every_bound() -> None:
    entry = '{"address":{"email":"someone.%06d@mail.example.com","name":"Jürgen Mustermann-Beispiel"}}'
    entries = ",".join([entry % number for number in range(1000)])
    metadata = ",".join([f'"key_{number:04}":"{number * 7919:024x}"' for number in range(300)])
    octets = f'{{"campaign_id":"november","metadata":{{{metadata}}},"bcc":[{entries}]}}'.encode()
    in_words = WAYS["words"][0](octets)

    quarter = Bounds(
        max_json_bytes=USUAL.max_json_bytes // 4,
        max_json_levels=USUAL.max_json_levels // 4,
        max_json_values=USUAL.max_json_values // 4,
        max_encoded_words=USUAL.max_encoded_words // 4,
    )
    found = read([in_words], quarter)
    assert isinstance(found, Reading), found
    assert len(found.instructions.bcc) == 1000
