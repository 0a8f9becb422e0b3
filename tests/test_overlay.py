"""What the environment says of the configuration: which key a variable means, and what is refused."""

from pathlib import Path

import pytest

from smtpbridge.config import ConfigError, load, load_record, load_recorded, loads
from smtpbridge.excerpts import load_store
from smtpbridge.settings.overlay import lay_over, settings_of
from smtpbridge.settings.values import LineEndings

FILE = """
hostname = "bridge.example.com"
[[listener]]
endpoint = "tcp:2525:interface=127.0.0.1"
[upstream.Main-EU]
region = "europe"
username = "App"
"""
PASSWORD = {
    "SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "k3y with spaces",
    "SMTPBRIDGE_UPSTREAM_MAIN_EU_PASSWORD": "k3y with spaces",
}
WHOLE = {
    **PASSWORD,
    "SMTPBRIDGE__HOSTNAME": "bridge.example.com",
    "SMTPBRIDGE__LISTENER__0__ENDPOINT": "tcp:2525",
    "SMTPBRIDGE__LISTENER__0__ALLOW": '["10.0.0.0/8"]',
    "SMTPBRIDGE__UPSTREAM__MAIN__REGION": "europe",
}


def laid(**variables: str) -> dict[str, object]:
    """Return what variables, named without their prefix, come to over nothing."""
    values: dict[str, object] = {}
    assert lay_over(values, settings_of({f"SMTPBRIDGE__{name}": text for name, text in variables.items()})) == []
    return values


def faults(text: str, **variables: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loads(text, base=Path("/nowhere"), environ={**PASSWORD, **variables})
    return caught.value.faults


def test_a_file_is_not_needed_where_the_environment_says_all(tmp_path: Path) -> None:
    config = load(tmp_path / "absent.toml", WHOLE)

    assert [one.endpoint for one in config.listeners] == ["tcp:2525"]
    assert str(config.upstreams[0].hosts[0]) == "smtp-api.infobip.com:587"


def test_a_file_that_is_absent_is_a_fault_where_the_environment_sets_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.toml", PASSWORD)


def test_a_variable_counts_before_the_file_and_the_rest_of_the_file_stays() -> None:
    environ = {**PASSWORD, "SMTPBRIDGE__UPSTREAM__MAIN_EU__USERNAME": "Other"}

    config = loads(FILE, base=Path("/nowhere"), environ=environ)

    assert [(one.name, one.username) for one in config.upstreams] == [("Main-EU", "Other")]
    assert config.hostname == "bridge.example.com"


def test_the_start_names_the_variables_that_count_and_not_what_they_say() -> None:
    environ = {**PASSWORD, "SMTPBRIDGE__LISTENER__0__LINE_ENDINGS": "reject"}

    config = loads(FILE, base=Path("/nowhere"), environ=environ)

    assert config.listeners[0].line_endings is LineEndings.REJECT
    [note] = [note for note in config.notes if "environment" in note]
    assert "SMTPBRIDGE__LISTENER__0__LINE_ENDINGS" in note
    assert "reject" not in note


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("europe", "europe"),
        ('"20"', "20"),
        ("20", 20),
        ("true", True),
        ('["a", "b"]', ["a", "b"]),
        ("{ connect = 5 }", {"connect": 5}),
        ("tcp:2525:interface=127.0.0.1", "tcp:2525:interface=127.0.0.1"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_a_value_is_toml_or_else_a_text(text: str, value: object) -> None:
    assert laid(KEY=text) == {"key": value}


def test_the_places_of_a_list_are_filled_in_their_order_beyond_nine_too() -> None:
    found = laid(**{f"LISTENER__{number}__ENDPOINT": f"tcp:{number}" for number in reversed(range(12))})

    assert found == {"listener": [{"endpoint": f"tcp:{number}"} for number in range(12)]}


def test_a_number_is_a_name_where_there_is_no_list() -> None:
    assert laid(SUBACCOUNTS__123__UPSTREAM="main") == {"subaccounts": {"123": {"upstream": "main"}}}


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("SMTPBRIDGE__LISTENER__2__ENDPOINT", '"2" is no place in [[listener]]; the next new one is 1'),
        ("SMTPBRIDGE__LISTENER__ENDPOINT__X", '"endpoint" is no place in [[listener]]'),
        ("SMTPBRIDGE__HOSTNAME__X", "hostname is no table"),
        ("SMTPBRIDGE__LISTENER__0", "names a whole table; write SMTPBRIDGE__LISTENER__0__KEY"),
        ("SMTPBRIDGE__UPSTREAM____REGION", "is no way to a key"),
        ("SMTPBRIDGE__", "is no way to a key"),
    ],
)
def test_a_way_that_leads_nowhere_is_a_fault_that_names_the_variable(variable: str, words: str) -> None:
    [fault] = faults(FILE, **{variable: "1"})

    assert fault.startswith(f"${variable}: ")
    assert words in fault


def test_a_key_that_does_not_exist_is_refused_as_in_a_file() -> None:
    [fault] = faults(FILE, SMTPBRIDGE__LISTENER__0__IDLE_SECONDZ="3")

    assert "idle_secondz" in fault
    assert "idle_seconds" in fault


def test_a_worker_reads_what_its_parent_read_from_the_environment(tmp_path: Path) -> None:
    config, record = load_recorded(tmp_path / "absent.toml", WHOLE)

    assert load_record(record) == config


def test_who_looks_after_the_store_finds_it_where_the_environment_says(tmp_path: Path) -> None:
    store = load_store(tmp_path / "absent.toml", {"SMTPBRIDGE__STORE__PATH": "/srv/store"})

    assert store.path == Path("/srv/store")
