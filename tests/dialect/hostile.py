"""
Values of X-MSYS-API that cost as much as their octets can: what the tests and `bench/test_hostile.py` have in common.

A shape is a function from a size to a raw value of at most that many octets, so that growth can be looked at.  `WAYS`
are the ways in which a value may be broken into lines or put into encoded words on its way here.
"""

from base64 import b64encode
from collections.abc import Callable
from itertools import cycle

MEBIBYTE = 1 << 20

Shape = Callable[[int], bytes]


def filled(unit: str, start: str = '{"metadata":{"a":[', end: str = "]}}") -> Shape:
    """Return as often of one thing as there is room for, between `start` and `end`."""
    head, body, tail = start.encode(), unit.encode(), end.encode()

    def shape(size: int) -> bytes:
        return head + body * ((size - len(head) - len(tail)) // len(body)) + tail

    return shape


def counted(unit: str, start: str, end: str = "}") -> Shape:
    """Return different things (`unit` with a number in it) as often as there is room for; the last comma goes."""

    def shape(size: int) -> bytes:
        each = len((unit % 999_999).encode())
        inner = "".join([unit % number for number in range((size - len(start) - len(end)) // each)])
        return (start + inner.rstrip(",") + end).encode()

    return shape


def nested(opening: str, closing: str = "", start: str = "", levels: int | None = None) -> Shape:
    """Return as many openings as there is room for (or `levels`), and as many ends."""

    def shape(size: int) -> bytes:
        most = (size - len(start)) // (len(opening) + len(closing))
        count = most if levels is None else min(most, levels)
        return (start + opening * count + closing * count).encode()

    return shape


def several(unit: str, words: tuple[str, ...], start: str = "", end: str = "") -> Shape:
    """Return words by turns."""

    def shape(size: int) -> bytes:
        parts: list[str] = []
        room = size - len(start.encode()) - len(end.encode())
        for word in cycle(words):
            room -= len((unit % word).encode())
            if room < 0:
                break
            parts.append(unit % word)
        return (start + "".join(parts) + end).encode()

    return shape


def copies(unit: str, field: str, most: int | None = None) -> Shape:
    """Return a list of copies, each with a number in it."""

    def shape(size: int) -> bytes:
        head, tail = f'{{"{field}":[', "]}"
        count = (size - len(head) - len(tail)) // (len((unit % 999_999).encode()) + 1)
        entries = [unit % number for number in range(count if most is None else min(count, most))]
        return (head + ",".join(entries) + tail).encode()

    return shape


def padded_copies(unit: str, field: str, filler: str, count: int = 1000) -> Shape:
    """Return `count` copies that share the room; each `unit` holds its number and its share of `filler`."""

    def shape(size: int) -> bytes:
        share = size // count - len(unit % (0, "")) - 8
        entries = [unit % (number, filler * max(share // len(filler.encode()), 1)) for number in range(count)]
        return f'{{"{field}":[{",".join(entries)}]}}'.encode()[:size]

    return shape


def together(*parts: str, fill: str = "a", end: str = "") -> Shape:
    """Return parts that come close to several bounds at once, and the rest of the room full of something."""
    return filled(fill, "".join(parts), end)


_CLOSE, _WORDS = 19_900, 9_900  # close to the bounds of 20,000 and 10,000

SHAPES: dict[str, Shape] = {
    # strings
    "one string": filled("a", '{"metadata":{"a":"', '"}}'),
    "one string, open": filled("a", '{"metadata":{"a":"', ""),
    "one string, not JSON": filled("a", '{"metadata":{"a":"', '"}},]'),
    "one string outside ASCII": filled("é", '{"metadata":{"a":"', '"}}'),
    "one string of emoji": filled("😀", '{"metadata":{"a":"', '"}}'),
    "one string in single quotes": filled("a", "{'metadata':{'a':'", "'}}"),
    "single quotes around doubles": filled('"', "{'metadata':{'a':'", "'}}"),
    "single quotes around doubles, many": filled("'\"',"),
    "single quotes, many": filled("'',"),
    "single quotes with blanks": filled("'', "),
    "single quotes, not JSON": filled("'',", "[", "]]]}"),
    "single quotes with escapes": filled("'\\\"',"),
    "strings": filled('"",'),
    "strings with words to be": filled('"=?",'),
    "control characters": filled("\x01", '{"metadata":{"a":"', '"}}'),
    "octets that are no UTF-8": lambda size: b'{"metadata":{"a":"' + b"a" * (size - 40) + b"\xff" * 20 + b'"}}',
    # keys
    "80,000 keys in metadata": counted('"k%07d":1,', '{"metadata":{', "}}"),
    "80,000 keys on top": counted('"k%07d":1,', "{"),
    "80,000 keys in options": counted('"k%07d":1,', '{"options":{', "}}"),
    "80,000 keys, then a comma": counted('"k%07d":1,', "{", ",}"),
    "short keys": counted('"%06d":1,', '{"metadata":{', "}}"),
    "equal keys": filled('"a":1,', "{", '"b":1}'),
    "equal metadata": filled('"metadata":{},', "{", '"a":1}'),
    "keys outside ASCII": counted('"\u00e9%06d":1,', '{"metadata":{', "}}"),
    # nesting
    "arrays 100,000 deep": nested("[", "]", levels=100_000),
    "arrays 100,000 deep, open": nested("[", levels=100_000),
    "arrays, all open": nested("["),
    "objects 100,000 deep": nested('{"a":', "}", levels=100_000),
    "objects, all open": nested('{"a":'),
    "objects, braces only": nested("{"),
    "mixed nesting": nested('[{"a":', "}]"),
    "mixed nesting, open": nested('[{"a":'),
    "nesting in a name": filled("[{", '{"metadata":{"', '":1}}'),
    "nesting in a string": filled("[", '{"metadata":{"a":"', '"}}'),
    "closings only": filled("]", "", ""),
    "99 levels, many": filled("[" * 90 + "]" * 90 + ","),
    "98 levels, then wide": filled("1,", '{"metadata":' + '{"a":' * 95 + "[", "1]" + "}" * 96),
    # encoded words
    "words of Q": filled("=?UTF-8?Q?aaaaaaaaaa?= "),
    "words of B": filled("=?UTF-8?B?YWFhYWFhYWFh?= "),
    "words of one octet, Q": filled("=?UTF-8?Q?a?= ", "", ""),
    "words of one octet, Q, joined": filled("=?utf8?Q?1?=", "", ""),
    "words of one octet, B": filled("=?UTF-8?B?YQ==?= ", "", ""),
    "words of one octet, apart": filled("=?l1?Q?a?=,", "", ""),
    "words in strings": filled('"=?l1?Q?a?=",'),
    "words in strings, one quote each": filled('"=?l1?Q?=22?=",'),
    "words that decode to quotes": filled("=?l1?Q?=22?= ", "", ""),
    "words that decode to brackets": filled("=?l1?Q?=5B?= ", "", ""),
    "words that decode to JSON": filled("=?l1?Q?1,?=,"),
    "words that decode to nothing": filled("=?l1?Q??=", "", ""),
    "words by turns of charsets": several("=?%s?Q?1?= ", ("utf-8", "l1", "koi8-r", "gbk", "hz", "utf-7")),
    "words of charsets nobody knows": several("=?%s?Q?1?= ", tuple(f"x-{number}" for number in range(500))),
    "words with half characters": filled("=?utf8?Q?=C3?=", "", ""),
    "words with half characters, B": filled("=?utf8?B?ww==?= ", "", ""),
    "words with half characters in a string": filled("=?utf8?Q?=C3?=", '{"metadata":{"a":"', '"}}'),
    "words with a broken escape": filled("=?utf8?Q?=?=", "", ""),
    "words of broken base64": filled("=?utf8?B?!?=", "", ""),
    "words of ISO-2022-JP": filled("=?iso-2022-jp?B?GyRCJCI=?= ", "", ""),
    "words of UTF-7": filled("=?utf-7?Q?+AOk-?= ", "", ""),
    "words without an end": filled("=?UTF-8?Q?", "", ""),
    "words, starts only": filled("=?", "", ""),
    "words, starts in a string": filled("=?", '{"metadata":{"a":"', '"}}'),
    "words, starts with a charset": filled("=?a?q?", '{"metadata":{"a":"', '"}}'),
    "one long charset": filled("a", "=?", "?Q?a?="),
    "words of long charsets": filled("=?" + "a" * 1000 + "?Q?a?= ", "", ""),
    "one long word, Q": filled("=41", "=?UTF-8?Q?", "?="),
    "one long word, B": filled("YWFh", "=?UTF-8?B?", "?="),
    "one long word, no JSON within": filled("=41", '{"metadata":{"a":"=?UTF-8?Q?', '?="}}'),
    # escapes
    "escapes": filled("\\u0041", '{"metadata":{"a":"', '"}}'),
    "escapes of surrogate pairs": filled("\\ud83d\\ude00", '{"metadata":{"a":"', '"}}'),
    "escapes of lone surrogates": filled("\\ud83d", '{"metadata":{"a":"', '"}}'),
    "escapes of line ends": filled("\\n", '{"metadata":{"a":"', '"}}'),
    "escapes of quotes": filled('\\"', '{"metadata":{"a":"', '"}}'),
    "escapes of quotes, open": filled('\\"', "['", ""),
    "escapes of backslashes": filled("\\\\", '{"metadata":{"a":"', '"}}'),
    "escapes of NUL": filled("\\u0000", '{"metadata":{"a":"', '"}}'),
    "escapes nobody knows": filled("\\x", '{"metadata":{"a":"', '"}}'),
    "escapes in single quotes": filled("\\u0041", "{'metadata':{'a':'", "'}}"),
    "escapes of quotes in single quotes": filled("\\'", "{'metadata':{'a':'", "'}}"),
    "escapes, strings of one": filled('"\\n",'),
    # numbers
    "one number": filled("1", '{"metadata":{"a":', "}}"),
    "one number with zeros": filled("0", '{"metadata":{"a":', "1}}"),
    "one number of exponents": filled("1e", '{"metadata":{"a":', "1}}"),
    "one fraction": filled("1", '{"metadata":{"a":1.', "}}"),
    "numbers": filled("1,", end="1]}}"),
    "different numbers": counted("1%06d,", '{"metadata":{"a":[', "]}}"),
    "different numbers with zeros": counted("0%06d,", '{"metadata":{"a":[', "]}}"),
    "numbers with a zero": filled("01,"),
    "numbers with a minus and a zero": filled("-01,"),
    "numbers that are none": filled("NaN,"),
    "minuses": filled("-,"),
    # what only json-c reads
    "trailing commas in arrays": filled("[1,],"),
    "trailing commas in objects": filled('{"a":1,},'),
    "empty arrays": filled("[],", end="[]]}}"),
    "empty arrays, trailing comma": filled("[],"),
    "empty objects": filled("{},", end="{}]}}"),
    "empty objects, trailing comma": filled("{},"),
    "objects of one": filled('{"a":1},', end="1]}}"),
    "literals": filled("TRUE,"),
    "literals in right case": filled("true,", end="null]}}"),
    "literals with tails": filled("NULLx,"),
    "literals in odd case": filled("nUlL,"),
    "comments": filled("/**/1,"),
    "comments only": filled("/**/"),
    "comments, one long": filled("*", '{"metadata":{}/*', "*/}"),
    "comments of slashes": filled("//\r\n ", '{"metadata":{}', "}"),
    "comments without an end": filled("/*", "[", ""),
    "comments without an end, spaced": filled("/* ", "[1,", ""),
    "one comment without an end": filled("a", "[/*", ""),
    "comments behind commas": filled("1,/**/", "[", "]"),
    "comments behind commas, long run": filled("/**/", "[1,", "1,]"),
    "comments behind each comma, open": filled(",/*", "[", ""),
    "commas and comments without an end": filled(",/*", "[1", ""),
    "commas and open quotes": filled(',\\"', '["', ""),
    "commas and open single quotes": filled(",\\'", "['", ""),
    "brackets and open single quotes": filled("[],\\'", "[1,[],", ""),
    "single quotes without commas": filled("'\"' ", "[", "]"),
    "single quotes after words": filled("1'\"'", "[", "]"),
    "literals without commas": filled("TRUE ", "[", "]"),
    "slashes": filled("/", "[", ""),
    "form feeds": filled("\x0c", "[", "]"),
    "form feeds and blanks": filled("\x0c ", "[", "]"),
    "blanks": filled(" ", "", ""),
    "blanks in an object": filled(" ", "{", "}"),
    "blanks behind a comma": filled(" ", "[1,", "2,]"),
    "blanks behind commas": filled(",  ", "[", "]"),
    "commas": filled(",", "[", ""),
    "commas after values": filled("1,,", "[", "]"),
    "colons": filled(":", "{", "}"),
    "quotes": filled('"', "[", "]"),
    "odd quotes": filled("'", "[", "]"),
    "text behind the end": filled("a", "{}", ""),
    "JSON behind the end": filled("{}", "", ""),
    "odd JSON behind the end": filled("'a',01,TRUE,", "{}", ""),
    # copies
    "65,536 bcc": copies('"a%06d@b.cc"', "bcc"),
    "1,000 bcc": copies('"someone.with.a.name%06d@mail.example.com"', "bcc", 1000),
    "1,000 cc with names": copies('{"email":"a%06d@b.example","name":"Ann"}', "cc", 1000),
    "1,000 cc with long names": padded_copies('{"email":"a%06d@b.example","name":"%s"}', "cc", "a"),
    "1,000 cc with long names outside ASCII": padded_copies('{"email":"a%06d@b.example","name":"%s"}', "cc", "é"),
    "1,000 bcc with long names": padded_copies('{"email":"a%06d@b.example","name":"%s"}', "bcc", "é"),
    "1,000 cc with control characters": padded_copies('{"email":"a%06d@b.example","name":"%s"}', "cc", "\\u0001"),
    "1,000 cc with words in names": padded_copies('{"email":"a%06d@b.example","name":"%s"}', "cc", "=?l1?Q?a?= "),
    "1,000 cc with quotes in names": padded_copies('{"email":"a%06d@b.example","name":"%s"}', "cc", '\\"'),
    "1,000 cc with blanks in names": padded_copies('{"email":"a%06d@b.example","name":"%s"}', "cc", " a"),
    "1,000 cc with atoms in front": padded_copies('"x%06d %s <a@b.example>"', "cc", "a "),
    "1,000 cc with quoted strings in front": padded_copies('"x%06d %s <a@b.example>"', "cc", '\\"a\\"'),
    "1,000 cc with long domains": padded_copies('"a%06d@%s"', "cc", "a."),
    "1,000 cc outside ASCII": padded_copies('"a%06d@%s.example"', "cc", "é", 20_000),
    "1,000 cc with domains outside ASCII": copies(
        '"a%06d@ééééééééééééééééééééééééééé.ééééééééééééééééé.example"', "cc", 1000
    ),
    "1,000 cc with long domains outside ASCII": copies('"a%06d@' + ".".join(["é" * 54] * 4) + '"', "cc", 1000),
    "1,000 cc with other domains outside ASCII": copies('"a@%06d' + ".".join(["é" * 40] * 4) + '.example"', "cc", 1000),
    "1,000 cc with domains in Arabic": copies('"a@' + ".".join(["ا" * 40] * 4) + '.%06d.example"', "cc", 1000),
    "1,000 cc with domains to be mapped": copies('"a@' + ".".join(["ﷺ" * 2] * 12) + '.%06d.example"', "cc", 1000),
    "185 cc with domains in Arabic": copies('"a@' + ".".join(["ا" * 38] * 4) + '.%06d"', "cc", 185),
    "1,000 cc with labels outside ASCII": copies('"a%06d@' + "é." * 120 + 'example"', "cc", 1000),
    "1,000 cc with long labels outside ASCII": copies('"a%06d@' + "é" * 240 + '"', "cc", 1000),
    "empty entries": filled("{},", '{"cc":[', "{}]}"),
    "one address": filled("a", '{"cc":["', '@b.example"]}'),
    "one address of dots": filled("a.", '{"cc":["', 'a@b.example"]}'),
    "one address of quotes": filled('\\"', '{"cc":["', '@b.example"]}'),
    "one address, open quote": filled("a", '{"cc":["\\"', '@b.example"]}'),
    "one address of quoted pairs": filled("\\\\a", '{"cc":["\\"', '\\"@b.example"]}'),
    "one address of ats": filled("@", '{"cc":["', 'b.example"]}'),
    "one address of angles": filled("<", '{"cc":["', 'a@b.example>"]}'),
    "one address of closing angles": filled(">", '{"cc":["<a@b.example', '"]}'),
    "one address of angle pairs": filled("<>", '{"cc":["', '"]}'),
    "one address of parentheses": filled("(", '{"cc":["', 'a@b.example"]}'),
    "one address of comments": filled("()", '{"cc":["', 'a@b.example"]}'),
    "one address of semicolons": filled("a;", '{"cc":["', 'a@b.example"]}'),
    "one address of commas": filled("a@b,", '{"cc":["', 'a@b.example"]}'),
    "one address of blanks": filled(" ", '{"cc":["a', '@b.example"]}'),
    "one address of labels": filled("a.", '{"cc":["a@', 'example"]}'),
    "one address, domain outside ASCII": filled("é", '{"cc":["a@', '"]}'),
    "one name": filled("a", '{"cc":["', ' <a@b.example>"]}'),
    "one name of quoted strings": filled('\\"a\\"', '{"cc":["', ' <a@b.example>"]}'),
    "one name with an open quote": filled("a", '{"cc":["\\"', ' <a@b.example>"]}'),
    "one name of ats": filled("a@", '{"cc":["', ' <a@b.example>"]}'),
    "one name of backslashes": filled("\\\\", '{"cc":["', ' <a@b.example>"]}'),
    "one name outside ASCII": filled("é", '{"cc":["', ' <a@b.example>"]}'),
    "one name of atoms": filled("a ", '{"cc":[{"email":"a@b.example","name":"', 'a"}]}'),
    "no address, large": filled("[],", '{"cc":[{"email":[', "[]]}]}"),
    # the other fields
    "a long campaign": filled("a", '{"campaign_id":"', '"}'),
    "a long campaign outside ASCII": filled("é", '{"campaign_id":"', '"}'),
    "a long tag": filled("a", '{"tags":["', '"]}'),
    "ten long tags": filled('"' + "a" * 100_000 + '",', '{"tags":[', '""]}'),
    "200,000 tags": filled('"ab",', '{"tags":[', '""]}'),
    "200,000 tags of null": filled("null,", '{"tags":[', "null]}"),
    "tags of numbers": filled("1,", '{"tags":[', "1]}"),
    "metadata with long strings outside ASCII": filled('"' + "é" * 500 + '",', '{"metadata":{"a":[', '""]}}'),
    "metadata of many short strings outside ASCII": counted('"k%06d":"é",', '{"metadata":{', "}}"),
    "metadata of many medium members": counted('"k%06d":"' + "a" * 100 + '",', '{"metadata":{', "}}"),
    "metadata of quotes and commas": filled('\\",\\"', '{"metadata":{"a":"', '"}}'),
    "metadata of tokens over a line": filled('"' + "a" * 1000 + '",', '{"metadata":{"a":[', '""]}}'),
    "a long ip_pool": filled("a", '{"options":{"ip_pool":"', '"}}'),
    # several bounds at once
    "close to the values, all odd": together("[", "'\"'," * _CLOSE, "'", fill='"', end="']"),
    "close to the values, all odd, not JSON": together("[", "'\"'," * _CLOSE, "'", fill='"', end="'x]"),
    "close to the values, empty arrays": together(
        '{"metadata":{"a":[', "[]," * (_CLOSE // 2), "'", fill="\x01", end="']}}"
    ),
    "close to the values, deep": together(
        '{"metadata":{"a":[', ("[" * 90 + "]" * 90 + ",") * 218, '"', fill="\x01", end='"]}}'
    ),
    "close to the words, in strings": together('["', '=?l1?Q?a?=","' * _WORDS, fill="\x01", end='",]'),
    "close to the words, not JSON": together("[", '"=?l1?Q?=22?=",' * _WORDS, '"', fill="\x01", end='"x'),
    "close to the words, all in one": together(
        '{"metadata":{"a":"', "=?utf8?Q?=C3?=" * _WORDS, fill="\x01", end='",}}'
    ),
    "close to the words, of all charsets": together(
        '{"metadata":{"a":"', "=?utf8?Q?=C3?= =?gbk?B?gQ==?= " * (_WORDS // 2), fill="\x01", end='"}}x'
    ),
    "close to the values, read twice": together(
        '{"cc":["a"],"metadata":{"a":[', ("[" * 90 + "]" * 90 + ",") * 218, '"', fill="\x01", end='"]}}'
    ),
    "close to words and values, read twice": together(
        '{"cc":["a"],"metadata":{"a":[', '"=?l1?Q?=22?=",01,' * _WORDS, "'", fill='"', end="']}}"
    ),
    "close to the words, read four times": together(
        '{"cc":["a"],"metadata":{"a":"=?l1?Q?=22?=', " =?utf8?Q?=C3?= =?gbk?B?gQ==?=" * (_WORDS // 2), end='"}}'
    ),
    "999 copies in order, and one wrong": together(
        '{"cc":["', '","'.join([f"a{number}@b.example" for number in range(998)]), '","', fill="a@", end='"]}'
    ),
    "1,000 odd copies with names and metadata": together(
        "{'cc':[",
        ",".join(f"{{'email':'a{number}@b.example','name':'{'é' * 200}'}}" for number in range(1000)),
        "],'metadata':{'a':'",
        fill='"',
        end="'}}",
    ),
    "a long unknown name": filled("a", '{"', '":1}'),
    "a long dkim_key": filled("\\u0001", '{"options":{"dkim_key":"', '"}}'),
}


def plain(value: bytes) -> bytes:
    """Return the value on one line."""
    return b" " + value


def _broken(value: bytes, width: int) -> bytes:
    return b" " + b"\r\n ".join([value[at : at + width] for at in range(0, len(value), width)])


def folded_short(value: bytes) -> bytes:
    """Return the value broken at 76 octets, wherever that is."""
    return _broken(value, 75)


def folded_long(value: bytes) -> bytes:
    """Return the value broken at 998 octets, wherever that is."""
    return _broken(value, 997)


def folded_everywhere(value: bytes) -> bytes:
    """Return the value with each octet on a line of its own."""
    return _broken(value, 1)


def in_words(value: bytes) -> bytes:
    """Return the value in encoded words, one a line, as the mail libraries do it."""
    return b" " + b"\r\n ".join([b"=?UTF-8?B?%b?=" % b64encode(value[at : at + 45]) for at in range(0, len(value), 45)])


# How much of the room is left for the value itself.
WAYS: dict[str, tuple[Callable[[bytes], bytes], float]] = {
    "plain": (plain, 1 - 1e-4),
    "at 76": (folded_short, 75 / 78 - 1e-4),
    "at 998": (folded_long, 997 / 1000 - 1e-4),
    "everywhere": (folded_everywhere, 0.25 - 1e-4),
    "words": (in_words, 45 / 75 - 1e-4),
}


def value(name: str, way: str, size: int = MEBIBYTE) -> bytes:
    """Return the raw value of that shape, of at most `size` octets with all that the way adds."""
    broken, share = WAYS[way]
    return broken(SHAPES[name](int(size * share)))


def block(api: bytes) -> bytes:
    """Return a header block with those fields in it."""
    return (
        b"From: Sender Example <news@sender.example>\r\nTo: user0@rcpt.example\r\nSubject: A hostile message\r\n"
        + api
        + b"MIME-Version: 1.0\r\n"
    )


def field(raw: bytes) -> bytes:
    """Return the field with that raw value."""
    return b"X-MSYS-API:%b\r\n" % raw


def _fields(*values: bytes) -> bytes:
    return b"".join(map(field, values))


def _halves(size: int) -> bytes:
    half = SHAPES["short keys"](size // 2 - 20)
    return _fields(b" " + half, b" " + half)


def _other_halves(size: int) -> bytes:
    return _fields(b" " + SHAPES["short keys"](size // 2 - 20), b" " + SHAPES["numbers"](size // 2 - 20))


def _halves_of_one_meaning(size: int) -> bytes:
    half = SHAPES["words of one octet, apart"](size // 2 - 20)
    return _fields(b" " + half, b"  " + half)


# Header blocks in which it is not one value that costs: the part of a header that holds X-MSYS-API, by its size.
BLOCKS: dict[str, Shape] = {
    "two equal halves": _halves,
    "two halves that differ": _other_halves,
    "two halves of one meaning": _halves_of_one_meaning,
    "many fields": lambda size: _fields(*[b' {"a":%06d}' % number for number in range(size // 25)]),
    "many equal fields": lambda size: _fields(b" {}") * (size // 16),
    "many fields of one meaning": lambda size: _fields(*[b" null" + b" " * number for number in range(size // 720)]),
    "lines that are no fields": lambda size: b"X-MSYS-API: {\r\n" + b"x\r\n" * ((size - 15) // 3),
    "lines that are no fields, closed": lambda size: b"X-MSYS-API: {\r\n" + b"\x0b\r\n" * (size // 3 - 10) + b"}\r\n",
    "fields with such lines": lambda size: b"X-MSYS-API: {\r\n}\r\n" * (size // 18),
    "a line that is no field behind a costly value": lambda size: (
        b"X-MSYS-API: " + folded_long(SHAPES["close to the values, all odd, not JSON"](size - 4000)) + b"\r\nx\r\n"
    ),
    "lines that are blank": lambda size: b"X-MSYS-API: {" + b"\r\n " * ((size - 18) // 3) + b"}\r\n",
    "lines with blanks": lambda size: b"X-MSYS-API: {" + b"\r\n \t" * ((size - 18) // 4) + b"}\r\n",
    "lines of commas": lambda size: b"X-MSYS-API: {" + b"\r\n ," * ((size - 18) // 4) + b"}\r\n",
    "behind a Cc of commas": lambda size: b"Cc: " + b"," * (size - 60) + b'\r\nX-MSYS-API: {"cc":["a@b.example"]}\r\n',
    "behind a Cc of addresses": lambda size: (
        b"Cc: " + b"a@b," * (size // 4 - 20) + b'\r\nX-MSYS-API: {"cc":["a@b.example"]}\r\n'
    ),
}
