"""What is different between two configurations: in the words of the file, without a secret; what needs a restart."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from smtpbridge.config import Config, load_recorded, loads, reread
from smtpbridge.machine import stamps
from smtpbridge.secret import Secret
from smtpbridge.settings.changes import bound, changes, in_order
from smtpbridge.settings.endpoint import EndpointText, Reach
from smtpbridge.settings.event_values import Events
from smtpbridge.settings.values import Admin, Log, LogFormat, Process, Store

LISTENER = '[[listener]]\nendpoint = "tcp:2525:interface=127.0.0.1"\n'
OTHER = '[[listener]]\nendpoint = "tcp:2526:interface=127.0.0.1"\n'
UPSTREAM = '[upstream.main]\nregion = "europe"\n'
SECOND = '[upstream.second]\nhosts = ["mx.example.com:587"]\n'
KEY = "sha256:" + 64 * "a"
OTHER_KEY = "sha256:" + 64 * "b"
PASSWORD, NEW_PASSWORD = "upstream-secret-71", "upstream-secret-72"


def parse(text: str, password: str = PASSWORD) -> Config:
    environ = {f"SMTPBRIDGE_UPSTREAM_{name}_PASSWORD": password for name in ("MAIN", "SECOND")}
    return loads('hostname = "bridge.test"\n' + text, base=Path("/"), environ=environ)


def test_equal_configurations_have_no_difference() -> None:
    text = LISTENER + UPSTREAM

    assert changes(parse(text), parse(text)) == ()
    assert bound(parse(text), parse(text)) == ()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            LISTENER + "idle_seconds = 200\n" + UPSTREAM,
            "[[listener]] tcp:2525:interface=127.0.0.1 idle_seconds 300 -> 200",
        ),
        (
            LISTENER + 'mode = "queue"\n' + UPSTREAM,
            "[[listener]] tcp:2525:interface=127.0.0.1 mode proxy -> queue",
        ),
        (
            LISTENER + 'allow = ["192.0.2.0/24"]\n' + UPSTREAM,
            "[[listener]] tcp:2525:interface=127.0.0.1 allow 127.0.0.0/8 ::1/128 -> 192.0.2.0/24",
        ),
        (LISTENER + UPSTREAM + "max_connections = 7\n", "[upstream.main] max_connections 20 -> 7"),
        (
            LISTENER + '[upstream.main]\nhosts = ["a.example.com:587"]\n',
            "[upstream.main] hosts smtp-api.infobip.com:587 -> a.example.com:587",
        ),
        (LISTENER + UPSTREAM + SECOND, "[upstream.second] added"),
        (LISTENER + UPSTREAM + "[translation]\nopen_tracking = true\n", "[translation] open_tracking false -> true"),
        (LISTENER + UPSTREAM + '[ip_pools]\nfast = "main"\n', "[ip_pools]"),
        (LISTENER + UPSTREAM + "[queue]\nfirst_retry_seconds = 30\n", "[queue] first_retry_seconds 60 -> 30"),
        (LISTENER + UPSTREAM + '[bounces]\nfrom = "a@example.com"\n', "[bounces] added"),
        (LISTENER + UPSTREAM + '[log]\nlevel = "debug"\n', "[log] level info -> debug"),
        (LISTENER + UPSTREAM + "[logins]\ndelay_seconds = 3\n", "[logins] delay_seconds 1 -> 3"),
        (
            LISTENER + UPSTREAM + "[process]\nmax_body_memory_bytes = 2000000\n",
            "[process] max_body_memory_bytes 268435456 -> 2000000",
        ),
        (
            LISTENER + UPSTREAM + f'[[credential]]\nusername = "shop"\nsecret_hash = "{KEY}"\n',
            "[[credential]] shop: added",
        ),
    ],
)
def test_a_difference_is_said_by_its_place_and_key(more: str, said: str) -> None:
    old, new = parse(LISTENER + UPSTREAM), parse(more)

    assert changes(old, new) == (said,)
    assert bound(old, new) == ()


def test_a_password_is_named_and_never_shown() -> None:
    old, new = parse(LISTENER + UPSTREAM), parse(LISTENER + UPSTREAM, NEW_PASSWORD)

    assert changes(old, new) == ("[upstream.main] password",)


def test_a_credential_of_another_secret_has_changed() -> None:
    credential = '[[credential]]\nusername = "shop"\nsecret_hash = "{}"\n'
    old, new = (parse(LISTENER + UPSTREAM + credential.format(key)) for key in (KEY, OTHER_KEY))

    assert changes(old, new) == ("[[credential]] shop: changed",)


def test_another_order_of_upstreams_is_another_default() -> None:
    old, new = parse(LISTENER + UPSTREAM + SECOND), parse(LISTENER + SECOND + UPSTREAM)

    assert changes(old, new) == ("the default upstream: main -> second",)


def test_listeners_may_change_places() -> None:
    old, new = parse(LISTENER + OTHER + UPSTREAM), parse(OTHER + LISTENER + "idle_seconds = 7\n" + UPSTREAM)
    endpoints = [one.endpoint for one in old.listeners]

    assert bound(old, new) == ()
    assert [one.endpoint for one in in_order(new, endpoints).listeners] == endpoints
    assert changes(old, in_order(new, endpoints)) == (
        "[[listener]] tcp:2525:interface=127.0.0.1 idle_seconds 300 -> 7",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OTHER + UPSTREAM, "[[listener]] endpoint: tcp:2526:interface=127.0.0.1 is new, which needs a restart"),
        (OTHER + UPSTREAM, "[[listener]] endpoint: tcp:2525:interface=127.0.0.1 is gone, which needs a restart"),
        (LISTENER + UPSTREAM + "[process]\nworkers = 3\n", "[process] workers 1 -> 3: needs a restart"),
        (LISTENER + UPSTREAM + '[process]\ncontrol = "off"\n', "[process] control: needs a restart"),
        (LISTENER + UPSTREAM + "[process]\nstuck_seconds = 9\n", "[process] stuck_seconds 30 -> 9: needs a restart"),
        (LISTENER + UPSTREAM + '[log]\nformat = "json"\n', "[log] format auto -> json: needs a restart"),
        (LISTENER + UPSTREAM + '[store]\npath = "/elsewhere"\n', "[store] path: needs a restart"),
        (LISTENER + UPSTREAM + '[admin]\nendpoint = "tcp:9:interface=127.0.0.1"\n', "[admin] added: needs a restart"),
    ],
)
def test_what_needs_a_restart_is_said(text: str, said: str) -> None:
    assert said in bound(parse(LISTENER + UPSTREAM), parse(text))


def test_whatever_a_process_cannot_follow_is_bound_also_what_is_added_one_day() -> None:
    old = parse(LISTENER + UPSTREAM)
    other: dict[str, Any] = {
        "store": Store(Path("/x")),
        "admin": Admin("tcp:9:interface=127.0.0.1", EndpointText("tcp", Reach.LOCAL)),
        "process": Process(workers=2),
        "log": Log(LogFormat.JSON),
        "events": Events("https://e.example", "tcp:8090:interface=127.0.0.1", Secret(b"secret of the inbox")),
    }
    followed = {"hostname", "listeners", "credentials", "upstreams", "translation", "queue", "bounces", "logins"}

    assert {one.name for one in fields(Config)} - followed == other.keys() | {"notes"}
    for name, value in other.items():
        assert bound(old, replace(old, **{name: value}))


def test_reading_files_again_keeps_the_text_and_the_hashes_of_the_same_secrets(tmp_path: Path) -> None:
    for name in ("password", "sender"):
        (tmp_path / name).write_text(f"{name}-secret-1")
    path = tmp_path / "smtpbridge.toml"
    path.write_text(
        f'hostname = "bridge.test"\n{LISTENER}{UPSTREAM}password_file = "password"\n'
        '[[credential]]\nusername = "shop"\nsecret_file = "sender"\n'
    )
    config, record = load_recorded(path, {})
    before = stamps(record)
    path.write_text("nonsense")
    (tmp_path / "fresh").write_text("password-secret-2")
    (tmp_path / "fresh").rename(tmp_path / "password")

    again, fresh = reread(record, {})

    assert changes(config, again) == ("[upstream.main] password",)
    assert {Path(one).name for one, stamp in stamps(fresh).items() if stamp != before[one]} == {"password"}
    assert record.files != fresh.files


def test_a_link_above_a_file_that_is_turned_shows_in_its_stamp(tmp_path: Path) -> None:
    # As Kubernetes does with ..data, and certbot with the files themselves.
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "password").write_text("upstream-secret-74")
    (tmp_path / "data").symlink_to("one")
    path = tmp_path / "smtpbridge.toml"
    path.write_text(f'hostname = "bridge.test"\n{LISTENER}{UPSTREAM}password_file = "data/password"\n')
    _, record = load_recorded(path, {})
    before = stamps(record)
    (tmp_path / "fresh").symlink_to("two")
    (tmp_path / "fresh").rename(tmp_path / "data")

    assert before.keys() == stamps(record).keys()
    assert before != stamps(record)


def test_a_file_that_is_gone_has_no_stamp(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("upstream-secret-73")
    path = tmp_path / "smtpbridge.toml"
    path.write_text(f'hostname = "bridge.test"\n{LISTENER}{UPSTREAM}password_file = "password"\n')
    _, record = load_recorded(path, {})
    (tmp_path / "password").unlink()

    assert stamps(record) == {str(tmp_path / "password"): None}


def test_the_files_of_an_endpoint_of_its_own_tls_are_watched_and_their_change_is_seen(tmp_path: Path) -> None:
    for name in ("key.pem", "chain.pem"):
        (tmp_path / name).write_text(name)
    text = (
        f'hostname = "bridge.test"\n[[listener]]\nendpoint = "ssl:465:interface=127.0.0.1:'
        f'privateKey={tmp_path}/key.pem:certKey={tmp_path}/chain.pem"\n{UPSTREAM}'
    )
    path = tmp_path / "smtpbridge.toml"
    path.write_text(text)
    config, record = load_recorded(path, {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": PASSWORD})
    (tmp_path / "chain.pem").write_text("another")
    again, _ = reread(record, {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": PASSWORD})

    assert {Path(one).name for one in stamps(record)} == {"key.pem", "chain.pem"}
    [said] = changes(config, again)
    assert said.endswith("endpoint (the files that it names)")


def test_who_may_look_may_change_and_where_may_not(tmp_path: Path) -> None:
    for name in ("key.pem", "chain.pem"):
        (tmp_path / name).write_text(name)
    (tmp_path / "token").write_text("a-token-of-operators-1")
    path = tmp_path / "smtpbridge.toml"

    def written(port: int, more: str) -> Config:
        path.write_text(
            f'hostname = "bridge.test"\n{LISTENER}{UPSTREAM}[admin]\nendpoint = "ssl:{port}:interface=127.0.0.1:'
            f'privateKey={tmp_path}/key.pem:certKey={tmp_path}/chain.pem"\ntoken_file = "token"\n{more}'
        )
        return load_recorded(path, {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": PASSWORD})[0]

    config = written(9225, "")
    (tmp_path / "token").write_text("a-token-of-operators-2")
    (tmp_path / "chain.pem").write_text("another")
    again = written(9225, 'host_names = ["ops.test"]\n')

    assert bound(config, again) == ()
    assert changes(config, again) == (
        "[admin] token_file",
        "[admin] host_names",
        "[admin] endpoint (the files that it names)",
    )
    assert bound(config, written(9226, "")) == ("[admin] endpoint: needs a restart",)
