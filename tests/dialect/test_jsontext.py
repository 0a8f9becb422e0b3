"""Promises of `dialect.jsontext`: what is JSON to whom, and nothing is lost between reading and writing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.jsontext import (
    MOST_VALUES,
    BadJson,
    TooDeep,
    TooManyValues,
    read_lenient,
    read_strict,
    write,
)
from smtpbridge.dialect.number import Number

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True).map(Number)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FRAGMENTS = st.lists(
    st.sampled_from([*"{}[]:,\"'/*\\ \n0-1.eE", "true", "NULL", "//", "/*", "*/", "\\u00e9", '"a"', "'b'", "1"])
).map("".join)


@given(VALUES)
def test_what_is_written_is_read_back_by_both_readers_with_every_type_and_order(value: Json) -> None:
    text = write(value)

    for read in (read_strict, read_lenient):
        found = read(text)
        assert repr(found) == repr(_joined(value))
        assert write(found) == text


@given(VALUES)
def test_what_is_written_is_printable_ascii_that_another_reader_takes(value: Json) -> None:
    text = write(value)

    assert text.isascii()
    assert text.isprintable()
    json.loads(text)


@pytest.mark.parametrize("number", ["1e400", "-0", "0.10", "123456789012345678901234567890", "1E+5", "-1.5e-3"])
def test_a_number_stays_as_it_is_written(number: str) -> None:
    for read in (read_strict, read_lenient):
        value = read(f"[{number}]")
        assert isinstance(value, list)
        assert isinstance(value[0], Number)
        assert write(value) == f"[{number}]"


def test_a_number_loses_its_leading_zeros_and_nothing_else() -> None:
    value = read_lenient("[007, -00.5, 0, 00, 1.007e05]")

    assert value == ["7", "-0.5", "0", "0", "1.007e05"]
    assert write(value) == "[7,-0.5,0,0,1.007e05]"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1,}', {"a": "1"}),
        ("[1,2 , ]", ["1", "2"]),
        ("{'a':'b'}", {"a": "b"}),
        ("""['say "x"\\n', "it's"]""", ['say "x"\n', "it's"]),
        ("""['\\\\"']""", ['\\"']),
        ("[/* one */1/**/, // two\n2]", ["1", "2"]),
        ("[TRUE,False,nUll]", [True, False, None]),
        ('["a\nb\tc\0"]', ["a\nb\tc\0"]),
        ('{"a":{}} and more " {', {"a": {}}),
        ('{"a":1,"b":2,"a":3}', {"a": "3", "b": "2"}),
        ('["\\ud83d\\ude00\\ud800"]', ["😀\ud800"]),
        ("{'\\u0061':[[],{}]}", {"a": [[], {}]}),
        (' "text" ', "text"),
        ('"a":1', "a"),
        ("['a' , 'b','c',]", ["a", "b", "c"]),
        ("['a','b \\n \"','c\"']", ["a", 'b \n "', 'c"']),
        ("[ ]", []),
        ("{ }", {}),
    ],
)
def test_the_lenient_grammar_takes_what_json_c_takes(text: str, value: Json) -> None:
    assert read_lenient(text) == value


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0), ("  ", 2), ("{", 1), ('{"a":', 5), ('{"a":1', 6), ("[1", 2), ('{"a" "b"}', 5), ('{"a":1 "b":2}', 7),
        ("[1 2]", 3), ("[{} {}]", 4), ("[1,,2]", 3), ("[,]", 1), ("{,}", 1), ("[,1]", 1), ('{"a":,}', 5), ("{a:1}", 1),
        ('["a":1]', 4), ("{1}", 1), ('{"a":1]', 6), ("[1}", 2), ("]", 0), ("+1", 0), (".5", 0), ("[1.]", 1), ("[-]", 1),
        ("NaN", 0), ("[Infinity]", 1), ("\ufeff{}", 0), ('["\\x"]', 2), ('["\\u12"]', 2), ('["a]', 1), ("['a]", 1),
        ("/* {}", 0), ("{} /".replace("{}", "["), 2), ("tru", 0), ("[truee]", 5), ("{'a\"b\"c': 1 2}", 12),
        ("[1/]", 1), (",", 0),
    ],
)  # fmt: skip
def test_what_nobody_takes_is_refused_where_it_goes_wrong(text: str, position: int) -> None:
    with pytest.raises(BadJson) as caught:
        read_lenient(text)

    assert abs(caught.value.position - position) <= 2
    assert str(caught.value.position + 1) in str(caught.value)
    with pytest.raises(BadJson):
        read_strict(text)


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "[-Infinity]", "{'a':1}", "[1,]", "[01]", '["\n"]', "[1] x", "[True]"]
)
def test_strict_is_strict(text: str) -> None:
    with pytest.raises(BadJson):
        read_strict(text)


@pytest.mark.parametrize("read", [read_strict, read_lenient])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_a_hundred_levels_are_read_and_one_more_is_refused(read, start: str, end: str) -> None:  # type: ignore[no-untyped-def] # either reader
    levels = start.count("[") + start.count("{")
    inner = "[]" if levels == 1 else "0"
    turns = 99 if levels == 1 else 50

    read(start * turns + inner + end * turns)
    with pytest.raises(TooDeep, match="deep"):
        read(start * (turns + 1) + inner + end * (turns + 1))
    with pytest.raises(TooDeep):
        read(start * 9_000)
    with pytest.raises(TooManyValues):
        read(start * 100_000)


@pytest.mark.parametrize("read", [read_strict, read_lenient])
def test_how_many_levels_are_read_can_be_said(read) -> None:  # type: ignore[no-untyped-def] # either reader
    assert read("[[" + "[]," * 9 + "[]]]", most_levels=3) == [[[]] * 10]
    with pytest.raises(TooDeep):
        read('[[{"a":[]}]]', most_levels=3)


READERS = pytest.mark.parametrize("read", [read_strict, read_lenient])


@READERS
@pytest.mark.parametrize(
    ("text", "values"),
    [("[1,1,1]", 3), ('{"a":1,"b":2}', 2), ("[[],[],{}]", 6), ('{"a":{"b":[1,2]}}', 4), ("1", 0), ('"[,{,"', 0)],
)
def test_as_many_values_are_read_as_are_allowed_and_not_one_more(read, text: str, values: int) -> None:  # type: ignore[no-untyped-def] # either reader
    # The text is longer than it may have values: a short one is not looked at.
    assert read(text + " " * 9, values) == read_strict(text)
    if values:
        with pytest.raises(TooManyValues):
            read(text + " " * 9, values - 1)


@READERS
@pytest.mark.parametrize("inside", [",", "[", "{", '\\",', "\\\\,", "',", "/*,", "//,"])
def test_what_stands_inside_of_strings_is_not_counted(read, inside: str) -> None:  # type: ignore[no-untyped-def] # either reader
    assert isinstance(read(f'["{inside * MOST_VALUES}",1,2]', 4), list)


@pytest.mark.parametrize("text", ["['{}',1]", "[1/*{}*/,2]", "[1]//{}", "['\\\\',1]//{}", '["{}", \'"{}\']'])
def test_what_stands_inside_of_single_quotes_and_comments_is_not_counted(text: str) -> None:
    assert isinstance(read_lenient(text.replace("{}", ",[" * 50), 3), list)


@READERS
@pytest.mark.parametrize("start", ['["', "['", "[/*", "[//", "['\\'", '["\\"'])
def test_what_stands_behind_a_missing_end_is_not_gone_through_again_and_again(read, start: str) -> None:  # type: ignore[no-untyped-def] # either reader
    # This test takes minutes where each opening is tried as a beginning.
    with pytest.raises(BadJson):
        read(start + ",[" * 50_000 + start[1:] * 100_000)


def test_text_is_mended_in_as_many_places_as_it_may_have_values_and_not_in_one_more() -> None:
    text = "[" + "'\"' " * 50 + "]"

    with pytest.raises(TooManyValues):
        read_lenient(text, 49)
    with pytest.raises(BadJson, match="comma missing"):
        read_lenient(text, 50)


@given(st.lists(st.sampled_from([("\\\\", "\\"), ('\\"', '"'), ('"', '"'), ("\\n", "\n"), ("a", "a")])))
def test_what_is_escaped_in_single_quotes_is_what_it_is_in_double_ones(pieces: list[tuple[str, str]]) -> None:
    written = "".join(one for one, _ in pieces)

    assert read_lenient(f"['{written}']") == ["".join(meant for _, meant in pieces)]


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert read_strict("[" + "[]," * 500 + "{}]") == [[]] * 500 + [{}]


@given(FRAGMENTS)
def test_any_text_is_read_or_refused_and_strict_json_means_the_same_to_both(text: str) -> None:
    try:
        strict = read_strict(text)
    except BadJson:
        try:
            read_lenient(text)
        except BadJson as error:
            assert 0 <= error.position <= len(text)  # noqa: PT017 - not raising is as good
    else:
        assert repr(read_lenient(text)) == repr(strict)


@pytest.mark.parametrize(
    "text",
    [
        "{" + ",".join(f'"k{number:06}":1' for number in range(80_000)) + ",}",
        "[" * 100_000,
        '"' + "\\u0000" * 170_000,
        "/*" * 500_000,
        "[" + "/**/" * 250_000 + "]",
        "['" + '\\\\"' * 300_000,
    ],
    ids=["keys", "deep", "escapes", "openings", "comments", "quotes"],
)
def test_a_mebibyte_of_one_thing_is_read_or_refused(text: str) -> None:
    # How long it takes is measured in bench/test_reading.py.
    try:
        value = read_lenient(text)
    except BadJson as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017 - not raising is as good
    else:
        assert repr(read_lenient(write(value))) == repr(value)


@pytest.mark.parametrize("read", [read_strict, read_lenient])
@pytest.mark.parametrize("times", [10, 3_000])
def test_numbers_are_kept_as_written_in_short_and_in_long_texts(read, times: int) -> None:  # type: ignore[no-untyped-def] # either reader
    written = ["1", "1.0", "1e0", "10E-1", "-0", "123456789012345678901234567890"] * times
    value = read(f"[{','.join(written)}]")

    assert value == written
    assert all(isinstance(number, Number) for number in value)


@given(FRAGMENTS)
def test_text_behind_the_value_changes_nothing(rest: str) -> None:
    assert read_lenient("{'a':[1,],}" + rest) == {"a": ["1"]}


def _joined(value: Json) -> Json:
    """Two lone surrogates that stand side by side are one character to every reader of escapes."""
    match value:
        case Number() | bool() | None:
            return value
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        case list():
            return [_joined(entry) for entry in value]
        case dict():
            return {name: _joined(member) for name, member in value.items()}
