"""What is promised of the callback data: JSON in the given order, within its limit, on lines that fit."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.callback_data import CallbackText, callback_text
from smtpbridge.dialect.instructions import Instructions, Json, Reading
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.sparkpost import read

_COLUMN = 20
_TEXT = st.one_of(
    st.text(max_size=30),
    st.text('\\",:[]{} \r\n\x00a', max_size=400),
    st.integers(300, 1100).map(lambda length: "s" * length),
)
_NUMBERS = st.sampled_from(["1", "70", "1e400", "-0.10", "9" * 300]).map(Number)
_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.one_of(_TEXT, _NUMBERS, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=12,
)
_WISHES = st.builds(
    Instructions,
    campaign=st.one_of(st.none(), st.text(max_size=20)),
    tags=st.one_of(st.none(), st.lists(_TEXT, max_size=10).map(tuple)),
    metadata=st.one_of(st.none(), st.dictionaries(_TEXT, _VALUES, max_size=12)),
)


def _written(wishes: Instructions, limit: int = 4000) -> CallbackText:
    text = callback_text(wishes, limit, _COLUMN)
    assert text is not None
    return text


def _value(text: CallbackText) -> Any:
    return json.loads(" ".join(text.lines), parse_int=str, parse_float=str)


def _as_given(wishes: Instructions) -> dict[str, Any]:
    given = {"campaign_id": wishes.campaign, "tags": wishes.tags and list(wishes.tags), "metadata": wishes.metadata}
    if wishes.tags == ():
        given["tags"] = []
    return {name: value for name, value in given.items() if value is not None}


def test_members_come_compact_and_in_order_and_numbers_as_written() -> None:
    wishes = Instructions("c\u00fc", {"b": Number("1e400"), "a": [True, None]}, ("t1", "t2"))

    assert _written(wishes) == CallbackText(
        ('{"campaign_id":"c\\u00fc","tags":["t1","t2"],"metadata":{"b":1e400,"a":[true,null]}}',)
    )


def test_only_members_that_were_given_are_written() -> None:
    assert callback_text(Instructions(), 4000, _COLUMN) is None
    assert _written(Instructions(tags=())).lines == ('{"tags":[]}',)
    assert _written(Instructions("")).lines == ('{"campaign_id":""}',)


def test_half_of_a_surrogate_pair_survives_as_an_escape() -> None:
    assert _written(Instructions("\ud800")).lines == ('{"campaign_id":"\\ud800"}',)


def test_over_the_limit_metadata_goes_first_from_the_end() -> None:
    wishes = Instructions("c", {"one": "1", "two": "2", "three": "3"}, ("t1", "t2"))

    text = _written(wishes, limit=80)

    assert text.lines == ('{"campaign_id":"c","tags":["t1","t2"],"metadata":{"one":"1"},"truncated":true}',)
    assert (text.members_left_out, text.tags_left_out) == (2, 0)


def test_then_tags_go_from_the_end_and_the_campaign_never() -> None:
    wishes = Instructions("campaign", {"one": "1234567890"}, ("t1", "t2"))

    text = _written(wishes, limit=72)
    assert text.lines == ('{"campaign_id":"campaign","tags":["t1"],"metadata":{},"truncated":true}',)
    assert (text.members_left_out, text.tags_left_out) == (1, 1)

    least = _written(wishes, limit=1)
    assert least.lines == ('{"campaign_id":"campaign","tags":[],"metadata":{},"truncated":true}',)


def test_a_text_of_exactly_the_limit_is_whole() -> None:
    wishes = Instructions(metadata={"a": "1", "b": "2"})
    whole = '{"metadata":{"a":"1","b":"2"}}'

    assert _written(wishes, limit=len(whole)).lines == (whole,)
    assert _written(wishes, limit=len(whole) - 1).truncated


def test_nothing_claims_to_be_truncated_that_is_whole() -> None:
    assert _written(Instructions("campaign"), limit=1) == CallbackText(('{"campaign_id":"campaign"}',))


@pytest.mark.parametrize("length", [994, 995])
def test_the_longest_string_that_a_line_takes_is_kept(length: int) -> None:
    text = _written(Instructions(metadata={"a": "x" * length, "b": "1"}))

    assert not text.truncated
    assert max(map(len, text.lines)) == length + 2


@pytest.mark.parametrize(
    "metadata", [{"a": "x" * 996, "b": "1"}, {"a" * 996: "x", "b": "1"}, {"a": [Number("1" * 998)], "b": "1"}]
)
def test_a_member_that_no_line_takes_is_left_out_and_the_others_stay(metadata: dict[str, Json]) -> None:
    text = _written(Instructions(metadata=metadata))

    assert text.lines == ('{"metadata":{"b":"1"},"truncated":true}',)
    assert text.members_left_out == 1


def test_a_tag_that_no_line_takes_is_left_out_and_the_others_stay() -> None:
    assert _written(Instructions(tags=("x" * 996, "t"))).lines == ('{"tags":["t"],"truncated":true}',)


@given(_WISHES)
def test_whatever_fits_reads_back_as_it_was_given(wishes: Instructions) -> None:
    text = callback_text(wishes, 10**6, _COLUMN)

    if text is None:
        assert _as_given(wishes) == {}
    elif not text.truncated:
        assert _value(text) == _as_given(wishes)
        assert list(_value(text)) == list(_as_given(wishes))


_PLAIN_OR_NOT = st.text('a \\"\n\x7f\x80?=', max_size=4)
_DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "campaign_id": st.text("a b\\u00fc", max_size=4),
        "tags": st.lists(st.one_of(_PLAIN_OR_NOT, st.integers(), st.booleans(), st.none()), max_size=4),
        "metadata": st.dictionaries(_PLAIN_OR_NOT, st.one_of(_PLAIN_OR_NOT, st.integers(), st.lists(_PLAIN_OR_NOT))),
    },
)


@given(_DOCUMENTS, st.booleans(), st.booleans(), st.integers(20, 200))
def test_text_that_its_reader_found_plain_is_written_the_same(
    document: dict[str, Any], ascii_only: bool, lenient: bool, limit: int
) -> None:
    value = json.dumps(document, ensure_ascii=ascii_only).replace("\\n", "\n" if lenient else "\\n").encode()
    found = read([value])
    assert isinstance(found, Reading)

    looked_through = replace(found.instructions, plain=False)

    assert callback_text(found.instructions, limit, _COLUMN) == callback_text(looked_through, limit, _COLUMN)


def test_plain_text_is_known_to_be() -> None:
    plain, escaped = read([b'{"tags": ["a"]}']), read([b'{"tags": ["\\u0061"]}'])

    assert isinstance(plain, Reading)
    assert isinstance(escaped, Reading)
    assert plain.instructions.plain
    assert not escaped.instructions.plain


@given(_WISHES, st.integers(50, 3000))
def test_lines_and_limit_are_kept_and_what_is_left_was_given(wishes: Instructions, limit: int) -> None:
    text = callback_text(wishes, limit, _COLUMN)

    if text is not None:
        assert text.lines
        assert _COLUMN + len(text.lines[0]) <= 998
        assert all(0 < len(line) <= 997 for line in text.lines)
        value, given_values = _value(text), _as_given(wishes)
        if value.get("tags") or value.get("metadata"):
            assert len(" ".join(text.lines)) <= limit
        assert value.pop("truncated", False) == text.truncated
        assert list(value) == list(given_values)
        assert value.get("campaign_id") == wishes.campaign
        assert value.get("metadata", {}).items() <= (wishes.metadata or {}).items()
        assert set(value.get("tags", ())) <= set(wishes.tags or ())
        assert len(value.get("metadata", {})) + text.members_left_out == len(wishes.metadata or {})
        assert len(value.get("tags", [])) + text.tags_left_out == len(wishes.tags or ())


@given(_WISHES)
def test_folds_stand_between_tokens_only(wishes: Instructions) -> None:
    text = callback_text(wishes, 10**6, _COLUMN)

    for line in text.lines if text else ():
        # Outside of strings, and with every string closed.
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0


def test_eighty_thousand_members_are_cut_down_in_linear_time() -> None:
    metadata: dict[str, Json] = {f"key{number}": Number(str(number)) for number in range(80_000)}

    text = _written(Instructions("c", metadata))

    assert text.members_left_out == 80_000 - len(_value(text)["metadata"])
    assert 3900 < len(" ".join(text.lines)) <= 4000
