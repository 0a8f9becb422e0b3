"""`[events]`: what is read, what is refused and in which words, and what becomes of the policy and of the secrets."""

from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from smtpbridge.config import Config, ConfigError, describe, load_record, load_recorded, loads
from smtpbridge.dialect.bounce_class import BounceClass
from smtpbridge.dialect.event_options import EventOptions, Unsubscription
from smtpbridge.dialect.policy import CallbackData
from smtpbridge.dialect.sparkpost_event import EventType
from smtpbridge.dialect.token import inbox_path
from smtpbridge.secret import Secret
from smtpbridge.settings.event_values import (
    EVERY_TYPE,
    Basic,
    Events,
    HeaderToken,
    OAuth2,
    Target,
)
from smtpbridge.signature import Algorithm, Encoding, Signature

SECRET = b"a-long-random-secret-of-the-inbox"
EXAMPLE = Path(__file__).parent.parent / "etc" / "smtpbridge.toml"
ELSE = """
hostname = "bridge.example.com"
[[listener]]
endpoint = "tcp:2525:interface=127.0.0.1"
[upstream.main]
region = "europe"
[bounces]
from = "a@example.com"
"""
INBOX = """[events]
public_url = "https://events.example.com/infobip"
endpoint = "tcp:8090:interface=127.0.0.1"
secret_file = "inbox.key"
"""
TARGET = '[events.target.crm]\nurl = "https://crm.example.com/hook?key=1"\n'
ENVIRON = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "k3y with spaces"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a secret for every purpose."""
    for name in ("basic", "hmac", "token", "oauth"):
        (tmp_path / f"{name}.key").write_bytes(b"the secret for " + name.encode() + b"\n")
    (tmp_path / "inbox.key").write_bytes(SECRET + b"\n")
    (tmp_path / "short.key").write_bytes(b"guess-me\n")
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    return tmp_path


def parse(text: str, folder: Path, **environ: str) -> Config:
    return loads(ELSE + text, base=folder, environ=ENVIRON | environ)


def events(text: str, folder: Path) -> Events:
    found = parse(text, folder).events
    assert found is not None
    return found


def faults(text: str, folder: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, folder, **environ)
    return list(caught.value.faults)


def test_without_the_table_there_are_no_events_and_the_callback_data_are_json(tmp_path: Path) -> None:
    config = parse("", tmp_path)

    assert config.events is None
    assert config.translation.callback_data is CallbackData.JSON
    assert config.translation.notify_url == ""


def test_an_address_an_endpoint_and_a_secret_are_all_that_the_inbox_needs(folder: Path) -> None:
    config = parse(INBOX, folder)

    assert config.events == Events("https://events.example.com/infobip", "tcp:8090:interface=127.0.0.1", Secret(SECRET))
    assert config.notes == (
        "[events]: no target is configured: events are kept and posted to nobody; write [events.target.NAME]",
    )


def test_with_events_every_message_carries_the_token_and_the_address_of_the_inbox(folder: Path) -> None:
    policy = parse(INBOX + TARGET, folder).translation

    assert policy.callback_data is CallbackData.TOKEN
    assert policy.notify_url == policy.tracking_url == f"https://events.example.com/infobip/{inbox_path(SECRET)}"
    assert policy.notify_content_type == "application/json"
    assert policy.intermediate_report is True


@pytest.mark.parametrize(("lines", "expected"), [("delay = false", None), ("delay = true", True)])
def test_intermediate_reports_are_asked_for_where_there_are_delays(
    lines: str, expected: bool | None, folder: Path
) -> None:
    assert parse(f"{INBOX}{lines}\n", folder).translation.intermediate_report is expected


def test_the_path_of_the_inbox_tells_nothing_of_the_secret_and_differs_with_it() -> None:
    path = inbox_path(SECRET)

    assert len(path) == 32
    assert path == inbox_path(SECRET)
    assert path != inbox_path(SECRET + b"!")


def test_every_key_is_read(folder: Path) -> None:
    text = f"""{INBOX}
        basic_username = "infobip"
        basic_password_file = "basic.key"
        hmac_header = "X-Signature"
        hmac_secret_file = "hmac.key"
        hmac_algorithm = "sha512"
        hmac_encoding = "base64"
        allow = ["192.0.2.0/24"]
        max_body_bytes = 65536
        max_requests_per_second = 2
        max_concurrent = 3
        keep_days = 4
        max_bytes = 67108864
        message_id_in_reply = true
        injection = false
        delay = false
        initial_open = true
        unsubscription = "list_unsubscribe"
        policy_rejection_class = "25"
        customer_id = "7"
    """

    assert events(text, folder) == Events(
        "https://events.example.com/infobip",
        "tcp:8090:interface=127.0.0.1",
        Secret(SECRET),
        (),
        Basic("infobip", Secret(b"the secret for basic")),
        Signature("X-Signature", Secret(b"the secret for hmac"), Algorithm.SHA512, Encoding.BASE64),
        (ip_network("192.0.2.0/24"),),
        65_536,
        2,
        3,
        4,
        67_108_864,
        True,
        EventOptions(False, False, True, Unsubscription.LIST, BounceClass.ADMIN_FAILURE, "7"),
    )


def test_a_target_takes_all_events_of_all_mail_unless_it_says_otherwise(folder: Path) -> None:
    text = f"""{INBOX}{TARGET}
        [events.target.some]
        url = "http://127.0.0.1:8000/"
        events = ["delivery", "open"]
        subaccounts = ["0", "12"]
        headers = {{ X-Key = "v4lue of crm" }}
        batch_events = 1
        batch_seconds = 2.5
        timeout_seconds = 3
        attempts = 4
        hours = 5
    """

    assert events(text, folder).targets == (
        Target("crm", "https://crm.example.com/hook?key=1", EVERY_TYPE, frozenset()),
        Target(
            "some",
            "http://127.0.0.1:8000/",
            frozenset({EventType.DELIVERY, EventType.OPEN}),
            frozenset({"0", "12"}),
            None,
            (("X-Key", Secret(b"v4lue of crm")),),
            1,
            2.5,
            3,
            4,
            5,
        ),
    )


@pytest.mark.parametrize(
    ("lines", "proof"),
    [
        (
            'auth = "basic"\nusername = "me"\npassword_file = "basic.key"',
            Basic("me", Secret(b"the secret for basic")),
        ),
        (
            'auth = "token"\ntoken_file = "token.key"',
            HeaderToken("X-MessageSystems-Webhook-Token", Secret(b"the secret for token")),
        ),
        (
            'auth = "oauth2"\ntoken_url = "https://l.example/t"\nclient_id = "me"\nclient_secret_file = "oauth.key"',
            OAuth2("https://l.example/t", "me", Secret(b"the secret for oauth")),
        ),
    ],
)
def test_each_way_to_say_who_the_bridge_is_has_its_secret_in_a_file(
    lines: str, proof: Basic | HeaderToken | OAuth2, folder: Path
) -> None:
    assert events(INBOX + TARGET + lines, folder).targets[0].proof == proof


def test_secrets_may_be_systemd_credentials(folder: Path) -> None:
    (folder / "events.secret").write_bytes(SECRET)
    (folder / "events.target.crm").write_bytes(b"the secret of crm")
    text = INBOX.replace('secret_file = "inbox.key"\n', "") + TARGET + 'auth = "token"\nheader = "X-Key"\n'

    found = parse(text, folder, CREDENTIALS_DIRECTORY=str(folder)).events

    assert found is not None
    assert found.secret == Secret(SECRET)
    assert found.targets[0].proof == HeaderToken("X-Key", Secret(b"the secret of crm"))


def test_a_target_may_have_trust_roots_of_its_own(folder: Path) -> None:
    pem = trustme.CA().cert_pem.bytes()
    (folder / "ca.pem").write_bytes(pem)

    roots = events(INBOX + TARGET + 'trust_roots = "ca.pem"\n', folder).targets[0].trust_roots

    assert roots is not None
    assert roots.certificates == pem


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[events]\n", "secret_file: is missing; write secret_file, or give the systemd credential events.secret"),
        ("[events]\n", 'public_url: is missing; write public_url = "https://events.example.com/infobip"'),
        ("[events]\n", 'endpoint: is missing; write endpoint = "tcp:8090:interface=127.0.0.1"'),
        (INBOX.replace("https", "http"), 'public_url: "http://events.example.com/infobip" is not https, and what'),
        (INBOX.replace("/infobip", "/?a=1"), 'public_url: "https://events.example.com/?a=1" holds more than a path'),
        (INBOX.replace("/infobip", "/" + 450 * "x"), "public_url: "),
        (INBOX.replace("tcp:8090", "stdio:8090"), "endpoint: "),
        (INBOX.replace("8090", "2525"), 'endpoint: "tcp:2525:interface=127.0.0.1" is taken by a [[listener]]'),
        (INBOX.replace("inbox.key", "short.key"), "secret_file: holds a secret of fewer than 16 characters"),
        (INBOX.replace("inbox.key", "absent.key"), "secret_file: "),
        (INBOX + 'basic_username = "a"', "basic_password_file: is missing; basic_username needs it"),
        (INBOX + 'basic_password_file = "basic.key"', "basic_username: is missing; basic_password_file needs it"),
        (INBOX + 'basic_username = "a:b"\nbasic_password_file = "basic.key"', 'basic_username: "a:b" holds a colon'),
        (INBOX + 'hmac_header = "X-Signature"', "hmac_secret_file: is missing; hmac_header needs it"),
        (INBOX + 'hmac_header = "X Y"\nhmac_secret_file = "hmac.key"', 'hmac_header: "X Y" is not the name'),
        (INBOX + "allow = []", "allow: is empty, so nobody could report"),
        (INBOX + 'allow = ["10.0.0.1/8"]', 'allow: "10.0.0.1/8" has bits set behind its prefix'),
        (INBOX + "max_bytes = 1", "max_bytes: 1: write a whole number of at least 67108864"),
        (INBOX + 'policy_rejection_class = "1"', 'policy_rejection_class: "1" is no bounce class; write one of 10,'),
        (INBOX + 'customer_id = "me"', 'customer_id: "me" is no number'),
        (INBOX + 'publik_url = "x"', 'unknown key "publik_url"; did you mean "public_url"?'),
    ],
)
def test_a_wrong_inbox_is_refused_with_what_would_be_right(text: str, fault: str, folder: Path) -> None:
    assert any(one.removeprefix("[events]").lstrip(": ").startswith(fault) for one in faults(text, folder))


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('url = "http://crm.example.com/"', 'url: "http://crm.example.com/" is not https'),
        ('url = "https://me:pw@crm.example.com/"', "url: "),
        ("", 'url: is missing; write url = "https://app.example.com/sparkpost"'),
        ('url = "https://a.example"\nevents = ["bounced"]', 'events: "bounced" is no event; did you mean "bounce"?'),
        ('url = "https://a.example"\nevents = []', "events: is empty, so nothing would be posted"),
        ('url = "https://a.example"\nsubaccounts = ["x"]', 'subaccounts: "x" is not the number of a subaccount'),
        ('url = "https://a.example"\nbatch_events = 351', "batch_events: 351: write a whole number from 1 to 350"),
        ('url = "https://a.example"\nusername = "a"', 'username: and auth = "none" are both given; it is for auth ='),
        ('url = "https://a.example"\nauth = "basic"', 'username: is missing; auth = "basic" needs it'),
        ('url = "https://a.example"\nauth = "token"', "token_file: is missing; write token_file, or give the systemd"),
        ('url = "https://a.example"\nheaders = { Host = "b" }', "the bridge's own to say"),
        ('url = "http://[::1]/"\ntrust_roots = "basic.key"', "trust_roots: the file holds no certificate"),
        ('url = "http://[::1]/"\ntrust_roots = "basic.key"', "trust_roots: is given, and an http: address has no"),
    ],
)
def test_a_wrong_target_is_refused_with_what_would_be_right(lines: str, fault: str, folder: Path) -> None:
    found = faults(f"{INBOX}[events.target.crm]\n{lines}\n", folder)

    assert any(fault in one for one in found)
    assert all(one.startswith("[events.target.crm") for one in found)


def test_a_name_that_could_not_stand_in_a_log_is_refused(folder: Path) -> None:
    text = f'{INBOX}[events.target."a b"]\nurl = "https://a.example"\n'

    assert [fault for fault in faults(text, folder) if "is not usable" in fault]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('callback_data = "json"', "callback_data: and [events] are both given; leave it out: events need the token"),
        ('notify_url = "https://a.example"', "notify_url: and [events] are both given; leave it out"),
        ('tracking_url = "https://a.example"', "tracking_url: and [events] are both given; leave it out"),
        ('notify_content_type = "application/xml"', "notify_content_type: and [events] are both given; leave it out"),
    ],
)
def test_what_would_lead_reports_away_from_the_inbox_is_refused(line: str, fault: str, folder: Path) -> None:
    (found,) = faults(f"{INBOX}{TARGET}[translation]\n{line}\n", folder)

    assert found.startswith(f"[translation] {fault}")


def test_an_inbox_that_others_reach_without_tls_is_noted(folder: Path) -> None:
    (note,) = parse(INBOX.replace(":interface=127.0.0.1", "") + TARGET, folder).notes

    assert note.startswith("[events] endpoint: tcp:8090 may be reached by others without TLS")


def test_the_description_tells_where_events_go_and_no_secret(folder: Path) -> None:
    lines = 'auth = "token"\ntoken_file = "token.key"\nheaders = { X-Key = "v4lue of crm" }\n'
    config = parse(INBOX + TARGET + lines, folder)
    said = "\n".join(describe(config))

    assert "inbox at tcp:8090:interface=127.0.0.1, https://events.example.com/infobip/***" in said
    assert "target crm: https://crm.example.com/hook, all events, auth token" in said
    for hidden in (SECRET.decode(), "the secret for token", "v4lue of crm", "key=1"):
        assert hidden not in said
        assert hidden not in repr(config.events) or hidden == "key=1"
    assert inbox_path(SECRET) not in said


def test_workers_read_the_secrets_from_the_record_when_the_files_are_gone(folder: Path) -> None:
    path = folder / "smtpbridge.toml"
    path.write_text(ELSE + INBOX + TARGET + 'auth = "token"\ntoken_file = "token.key"\n')
    first, record = load_recorded(path, ENVIRON)
    for file in folder.iterdir():
        file.unlink()

    assert load_record(record).events == first.events


def test_each_default_that_the_example_file_shows_is_the_default_of_the_code(folder: Path) -> None:
    shown: dict[str, list[str]] = {}
    table: list[str] = []
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if line.removeprefix("# ").startswith("["):
            table = shown.setdefault(line.removeprefix("# "), [])
        elif line.startswith("# ") and " = " in line and not line.endswith("# no default"):
            table.append(line.removeprefix("# "))
    inbox, target = shown["[events]"], shown["[events.target.crm]"]

    assert len(inbox) > 8
    assert len(target) > 4
    assert events("\n".join([INBOX, *inbox, TARGET, *target]), folder) == events(INBOX + TARGET, folder)
