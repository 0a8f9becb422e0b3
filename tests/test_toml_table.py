"""The typed reader: every fault is collected, named by table and key, and reading goes on with the default."""

from collections.abc import Callable
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.toml_table import Table, quoted


class Colour(Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


def read(values: dict[str, object], ask: Callable[[Table], object], place: str = "[paint]") -> tuple[object, list[str]]:
    faults: list[str] = []
    return ask(Table(values, place, faults)), faults


READINGS: list[tuple[str, Callable[[Table], object], object]] = [
    ("text", lambda table: table.text("key", "default"), "default"),
    ("texts", lambda table: table.texts("key", ("default",)), ("default",)),
    ("flag", lambda table: table.flag("key", True), True),
    ("optional flag", lambda table: table.optional_flag("key"), None),
    ("whole", lambda table: table.whole("key", 7, least=2, most=9), 7),
    ("seconds", lambda table: table.seconds("key", 1.5), 1.5),
    ("choice", lambda table: table.choice("key", Colour.RED), Colour.RED),
    ("table", lambda table: table.table("key").names(), ()),
    ("tables", lambda table: table.tables("key"), []),
]
BY_NAME = {name: ask for name, ask, _ in READINGS}


@pytest.mark.parametrize(("ask", "default"), [(ask, default) for _, ask, default in READINGS])
def test_an_absent_key_gives_the_default_without_a_fault(ask: Callable[[Table], object], default: object) -> None:
    assert read({}, ask) == (default, [])


@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("text", "a b", "a b"),
        ("texts", ["a", "b"], ("a", "b")),
        ("texts", [], ()),
        ("flag", False, False),
        ("optional flag", True, True),
        ("whole", 2, 2),
        ("whole", 9, 9),
        ("seconds", 3, 3.0),
        ("seconds", 0.25, 0.25),
        ("choice", "blue", Colour.BLUE),
        ("table", {"a": 1}, ("a",)),
    ],
)
def test_a_right_value_is_returned_as_it_stands(name: str, given_value: object, value: object) -> None:
    assert read({"key": given_value}, BY_NAME[name]) == (value, [])


@pytest.mark.parametrize(
    ("name", "given_value", "fault"),
    [
        ("text", 5, "5: write text in quotes"),
        ("text", "  ", '"  " is empty; leave the key out for the default'),
        ("texts", "one", '"one": write a list of texts such as ["one", "two"]'),
        ("flag", "true", '"true": write true or false, without quotes'),
        ("flag", 1, "1: write true or false, without quotes"),
        ("whole", 1, "1: write a whole number from 2 to 9"),
        ("whole", 10, "10: write a whole number from 2 to 9"),
        ("whole", True, "true: write a whole number from 2 to 9"),
        ("whole", 2.0, "2.0: write a whole number from 2 to 9"),
        ("seconds", 0, "0: write a number of seconds above 0"),
        ("seconds", float("nan"), "nan: write a number of seconds above 0"),
        ("seconds", float("-inf"), "-inf: write a number of seconds above 0"),
        ("seconds", float("inf"), "inf: write a number of seconds of at most 1000000000, which is some thirty years"),
        ("seconds", 1e300, "1e+300: write a number of seconds of at most 1000000000, which is some thirty years"),
        pytest.param(
            "seconds",
            10**5000,
            "a number of too many digits: write a number of seconds of at most 1000000000, which is some thirty years",
            id="huge",
        ),
        ("seconds", True, "true: write a number of seconds above 0"),
        ("choice", "pink", '"pink": write "red", "green" or "blue"'),
        ("choice", 3, '3: write "red", "green" or "blue"'),
        ("table", 3, "3: write a table, [paint.key]"),
        ("tables", {"a": 1}, "a table: begin each one with [[key]], in two pairs of brackets"),
        ("tables", [1], "a list: begin each one with [[key]], in two pairs of brackets"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right_and_the_default_stands_in(
    name: str, given_value: object, fault: str
) -> None:
    default = next(default for found, _, default in READINGS if found == name)

    assert read({"key": given_value}, BY_NAME[name]) == (default, [f"[paint] key: {fault}"])


def test_every_fault_of_a_table_is_collected() -> None:
    def ask(table: Table) -> object:
        return table.flag("a", False), table.whole("b", 1), table.text("c", "x")

    value, faults = read({"a": 1, "b": "2", "c": 3}, ask)

    assert value == (False, 1, "x")
    assert [fault.split(":")[0] for fault in faults] == ["[paint] a", "[paint] b", "[paint] c"]


def test_a_check_may_refuse_a_text_or_one_item_of_a_list() -> None:
    def check(text: str) -> str | None:
        return None if text.islower() else "is not in small letters"

    assert read({"a": "B"}, lambda table: table.text("a", "d", check=check)) == (
        "d",
        ['[paint] a: "B" is not in small letters'],
    )
    assert read({"a": ["b", "C", "d"]}, lambda table: table.texts("a", check=check)) == (
        ("b", "d"),
        ['[paint] a: "C" is not in small letters'],
    )


def test_every_wrong_item_of_a_list_is_named_whatever_is_wrong_with_it() -> None:
    value, faults = read(
        {"a": ["ok", 5, "No", True]},
        lambda table: table.texts("a", check=lambda text: None if text.islower() else "is not in small letters"),
    )

    assert value == ("ok",)
    assert faults == [
        "[paint] a: 5: write text in quotes",
        '[paint] a: "No" is not in small letters',
        "[paint] a: true: write text in quotes",
    ]


@pytest.mark.parametrize("value", ["hunter2", 123456, ["hunter2"]])
def test_a_value_that_may_be_a_secret_is_not_in_its_fault(value: object) -> None:
    _, faults = read({"a": value}, lambda table: table.text("a", check=lambda _: "is wrong", quote=False))

    assert len(faults) == 1
    assert "hunter2" not in faults[0]
    assert "123456" not in faults[0]


def test_a_choice_can_be_narrowed_to_some_members() -> None:
    def ask(table: Table) -> object:
        return table.choice("a", Colour.RED, among=(Colour.RED, Colour.GREEN))

    assert read({"a": "green"}, ask) == (Colour.GREEN, [])
    assert read({"a": "blue"}, ask) == (Colour.RED, ['[paint] a: "blue": write "red" or "green"'])


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    def ask(table: Table) -> None:
        table.text("endpoint")
        table.flag("open_tracking", False)
        table.close()

    assert read({"endpont": "x"}, ask)[1] == ['[paint]: unknown key "endpont"; did you mean "endpoint"?']
    assert read({"Open_Tracking": 1}, ask)[1] == ['[paint]: unknown key "Open_Tracking"; did you mean "open_tracking"?']
    assert read({"zzz": 1}, ask)[1] == ['[paint]: unknown key "zzz"; known here: endpoint, open_tracking']


def test_an_unknown_table_is_called_a_table_and_the_top_level_has_no_name() -> None:
    def ask(table: Table) -> None:
        table.tables("listener")
        table.close()

    assert read({"listner": [{}]}, ask, place="")[1] == ['unknown table "listner"; did you mean "listener"?']


def test_tables_are_named_as_a_person_finds_them_in_the_file() -> None:
    top = Table({"listener": [{}, {}], "upstream": {"main": {"deadlines": {}}, "a b": {}}}, "", [])

    assert [table.place for table in top.tables("listener")] == ["[[listener]] #1", "[[listener]] #2"]
    assert top.table("upstream").table("main").table("deadlines").place == "[upstream.main.deadlines]"
    assert top.table("upstream").table("a b").place == '[upstream."a b"]'
    assert top.tables("listener")[1].table("inner").place == "[[listener]] #2 inner"


def test_a_key_counts_as_empty_only_when_the_file_gives_it_with_nothing_in_it() -> None:
    table = Table({"none": [], "one": ["x"], "zero": 0}, "[paint]", [])

    assert [table.is_empty(key) for key in ("none", "one", "zero", "absent")] == [True, False, False, False]


def test_a_quoted_text_is_one_printable_line_that_ends() -> None:
    assert quoted('a"b\\c\r\n\x1b') == '"a\\"b\\\\c\\u000d\\u000a\\u001b"'
    assert len(quoted("x" * 1000)) < 100


TOML_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(TOML_VALUES)
def test_any_value_gives_a_result_of_the_right_type_and_a_printable_fault_for_it_or_each_item(value: object) -> None:
    for name, ask, default in READINGS:
        result, faults = read({"key": value}, ask)

        assert isinstance(result, type(default)) or (name == "optional flag" and isinstance(result, bool))
        most = len(value) if isinstance(value, list) and name == "texts" else 1
        assert len(faults) <= most
        assert all(fault.isprintable() for fault in faults)


def test_a_whole_number_that_no_counter_holds_is_refused_where_no_bound_is_named() -> None:
    found = read({"key": 10**5000}, lambda table: table.whole("key", 7))

    assert found == (
        7,
        ["[paint] key: a number of too many digits: write a whole number from 1 to 9223372036854775807"],
    )
