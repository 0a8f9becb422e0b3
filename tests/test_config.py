"""The configuration: what is read, what is refused and in which words, and that etc/smtpbridge.toml tells the truth."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from email.header import decode_header, make_header
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.config import Config, ConfigError, describe, load, loads
from smtpbridge.dialect.bounds import Bounds
from smtpbridge.dialect.policy import UNSAID, BccStyle, Defaults, Policy, Priority, Subaccount, Unsupported
from smtpbridge.excerpts import load_store
from smtpbridge.machine import own_name
from smtpbridge.mail.addresses import parse_mailbox
from smtpbridge.secret import KeyedHash, Secret, Sha256Hash, fits
from smtpbridge.settings import values
from smtpbridge.settings.endpoint import EndpointText, Reach, read_endpoint
from smtpbridge.settings.regions import REGIONS
from smtpbridge.settings.values import (
    AuthMode,
    Bounces,
    Deadlines,
    Host,
    Level,
    LineEndings,
    Listener,
    Log,
    LogFormat,
    LoginLimits,
    LogTo,
    Mode,
    ProxyTls,
    Queue,
    Security,
)

EXAMPLE = Path(__file__).parent.parent / "etc" / "smtpbridge.toml"
PASSWORD = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "k3y with spaces"}

LISTENER = '[[listener]]\nendpoint = "tcp:2525:interface=127.0.0.1"\n'
UPSTREAM = '[upstream.main]\nregion = "europe"\n'
CREDENTIAL = f'[[credential]]\nusername = "SMTP_Injection"\nsecret_hash = "sha256:{"ab" * 32}"\n'
EVENTS = '[events]\npublic_url = "https://events.example.com"\nendpoint = "tcp:8090:interface=127.0.0.1"\n'
BOUNCES = '[bounces]\nfrom = "Mail Delivery <mailer-daemon@example.com>"\n'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def keys(tmp_path: Path, authority: trustme.CA) -> Path:
    """A folder with a certificate and key that belong together, a stray key, and the authority's certificate."""
    server, other = authority.issue_cert("bridge.example.com"), authority.issue_cert("other.example.com")
    chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(server.private_key_pem.bytes())
    (tmp_path / "stray.pem").write_bytes(other.private_key_pem.bytes())
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    return tmp_path


def parse(text: str, base: Path = Path("/nowhere"), environ: Mapping[str, str] = PASSWORD) -> Config:
    return loads('hostname = "bridge.example.com"\n' + text, base=base, environ=environ)


def faults(text: str, base: Path = Path("/nowhere"), environ: Mapping[str, str] = PASSWORD) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, base, environ)
    return list(caught.value.faults)


def notes(text: str, base: Path = Path("/nowhere")) -> tuple[str, ...]:
    """Return what is noted of a configuration that has a route for bounces, which is noted where it is missing."""
    return parse(text + BOUNCES, base).notes


def listener(lines: str, endpoint: str = "tcp:2525:interface=127.0.0.1") -> str:
    return f"[[listener]]\nendpoint = '{endpoint}'\n{lines}\n{UPSTREAM}"


def upstream(lines: str) -> str:
    return f"{LISTENER}[upstream.main]\n{lines}\n"


# The whole file


def test_a_listener_and_an_upstream_are_a_complete_configuration_and_all_else_has_a_default() -> None:
    config = parse(LISTENER + UPSTREAM)

    endpoint = "tcp:2525:interface=127.0.0.1"
    assert config.listeners == (Listener(endpoint, EndpointText("tcp", Reach.LOCAL, takes_backlog=True)),)
    (main,) = config.upstreams
    assert (main.name, main.hosts) == ("main", (Host("smtp-api.infobip.com", 587),))
    assert (main.username, main.security, main.deadlines) == ("App", Security.STARTTLS, Deadlines())
    assert (config.credentials, config.translation) == ((), Policy())
    assert config.store.path == Path("/var/lib/smtpbridge")
    assert (config.queue, config.bounces) == (Queue(60.0, 3600.0, 72 * 3600.0), None)
    assert [note.split(":")[0] for note in config.notes] == ["[bounces]"]


def test_all_faults_are_named_at_once_each_with_table_and_key_and_what_would_be_right() -> None:
    text = """
        [[listener]]
        endpont = "tcp:2525"
        [[listener]]
        endpoint = "tcp:2526:interface=127.0.0.1"
        max_sessions = "many"
        [upstream.main]
        hosts = ["smtp-api.infobip.com"]
        deadlines = { connect = 0, finale = 5 }
        [translation]
        bcc = "single"
        [proces]
        workers = 2
    """

    assert faults(text) == [
        '[[listener]] #1 endpoint: is missing; write endpoint = "tcp:2525:interface=127.0.0.1"',
        '[[listener]] #1: unknown key "endpont"; did you mean "endpoint"?',
        '[[listener]] #2 max_sessions: "many": write a whole number of at least 1',
        '[upstream.main] hosts: "smtp-api.infobip.com" has no port; write "smtp-api.infobip.com:587"',
        "[upstream.main.deadlines] connect: 0: write a number of seconds above 0",
        '[upstream.main.deadlines]: unknown key "finale"; did you mean "final"?',
        '[translation] bcc: "single": write "individual" or "shared"',
        'unknown table "proces"; did you mean "process"?',
    ]


def test_an_empty_file_is_told_what_it_needs() -> None:
    assert [fault.split(":")[0] for fault in faults("")] == ["[[listener]]", "[upstream.main]"]


def test_a_file_that_is_not_toml_is_refused_with_line_and_column() -> None:
    assert re.search(r"line 3, column \d+", faults('\n[[listener]\nendpoint = "x"')[0])


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 10_000])
def test_a_file_that_the_parser_itself_gives_up_on_is_refused_as_any_other(text: str) -> None:
    assert faults(text)[0].startswith("not TOML: ")


def test_a_file_that_is_absent_or_not_utf8_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'hostname = "\xe9"')

    for name, reason in (("absent.toml", "no such file"), ("latin.toml", "not UTF-8 at octet 12")):
        with pytest.raises(ConfigError, match=reason) as caught:
            load(tmp_path / name, {})
        assert name in caught.value.faults[0]


@given(st.text())
def test_any_text_gives_a_configuration_error_and_nothing_else(text: str) -> None:
    with pytest.raises(ConfigError):
        loads(text, base=Path("/nowhere"), environ={})


def test_the_store_and_the_workers_are_read(tmp_path: Path) -> None:
    config = parse(f'{LISTENER}{UPSTREAM}{BOUNCES}[store]\npath = "{tmp_path}"\n[process]\nworkers = 4\n')

    assert (config.store.path, config.process.workers) == (tmp_path, 4)
    assert config.notes == ()


def test_auto_is_a_worker_for_each_processor() -> None:
    config = parse(f'{LISTENER}{UPSTREAM}[process]\nworkers = "auto"\n')

    assert config.process.workers == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("written", ["0", "-1", "257", '"many"', "true", "1.5"])
def test_workers_are_a_number_or_auto(written: str) -> None:
    [fault] = faults(f"{LISTENER}{UPSTREAM}[process]\nworkers = {written}\n")

    assert fault == f'[process] workers: {written}: write a whole number from 1 to 256 or "auto"'


def test_a_worker_is_not_called_stuck_before_a_few_signs_of_life_are_missing() -> None:
    [fault] = faults(f"{LISTENER}{UPSTREAM}[process]\nstuck_seconds = 2\n")

    assert fault == "[process] stuck_seconds: 2: write a number of seconds of at least 3"


def test_a_token_that_would_lead_nowhere_is_refused() -> None:
    assert faults(LISTENER + UPSTREAM + '[translation]\ncallback_data = "token"\n') == [
        '[translation] callback_data: "token" needs [events], which says where it leads; write "json"',
    ]


def test_the_store_is_where_systemd_says_unless_the_file_names_a_place() -> None:
    environ = {**PASSWORD, "STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}

    assert parse(LISTENER + UPSTREAM, environ=environ).store.path == Path("/var/lib/one")
    named = parse(f'{LISTENER}{UPSTREAM}[store]\npath = "kept"\n', base=Path("/etc/x"), environ=environ)
    assert named.store.path == Path("/etc/x/kept")


def test_the_store_can_be_read_alone_where_the_rest_cannot(tmp_path: Path) -> None:
    path = tmp_path / "smtpbridge.toml"
    path.write_text('[store]\npath = "kept"\n[upstream.main]\npassword_file = "/nowhere/secret"\n')

    assert load_store(path, {}).path == tmp_path / "kept"
    path.write_text('[store]\npaht = "kept"\n')
    with pytest.raises(ConfigError, match=r'unknown key "paht"; did you mean "path"\?'):
        load_store(path, {})
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_store(path, {})


@pytest.mark.parametrize("name", ["two words", "-a.example", "a..b", "bücher.example", "a." * 200])
def test_a_host_name_that_could_not_stand_in_ehlo_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^hostname: "):
        loads(f'hostname = "{name}"\n{LISTENER}{UPSTREAM}', base=Path("/"), environ=PASSWORD)


@pytest.mark.parametrize("name", ["bridge", "localhost"])
def test_a_host_name_without_a_domain_is_noted(name: str) -> None:
    config = loads(f'hostname = "{name}"\n{LISTENER}{UPSTREAM}{BOUNCES}', base=Path("/"), environ=PASSWORD)

    assert [note.partition(" is not a full name")[0] for note in config.notes] == [f'hostname: "{name}"']


@pytest.mark.parametrize("name", ["bridge.example", "192.0.2.1", "2001:db8::1"])
def test_a_full_host_name_is_not_noted(name: str) -> None:
    assert loads(f'hostname = "{name}"\n{LISTENER}{UPSTREAM}{BOUNCES}', base=Path("/"), environ=PASSWORD).notes == ()


@pytest.mark.parametrize(
    ("full", "name"),
    [
        ("mx7.example.com", "mx7.example.com"),
        ("localhost", "mx7"),
        ("localhost.localdomain", "mx7"),
        ("LOCALHOST", "mx7"),
        ("mx7", "mx7"),
        ("localhosting.example", "localhosting.example"),
    ],
)
def test_a_machine_with_a_short_name_takes_the_full_one_of_the_resolver_but_is_never_localhost(
    full: str, name: str
) -> None:
    assert own_name("mx7", lambda: full) == name


def test_a_machine_with_a_full_name_does_not_ask_the_resolver() -> None:
    def ask() -> str:
        raise AssertionError("the resolver was asked")

    assert own_name("mx7.example.com", ask) == "mx7.example.com"


# Listeners: who may relay


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("tcp:25:interface=127.0.0.1", EndpointText("tcp", Reach.LOCAL, takes_backlog=True)),
        ("tcp:25:127.9.9.9", EndpointText("tcp", Reach.LOCAL, takes_backlog=True)),
        ("tcp:0:interface=localhost", EndpointText("tcp", Reach.LOCAL, any_port=True, takes_backlog=True)),
        ("tcp:25", EndpointText("tcp", Reach.ANYBODY, takes_backlog=True)),
        ("tcp:25:interface=0.0.0.0", EndpointText("tcp", Reach.ANYBODY, takes_backlog=True)),
        ("tcp:port=25:interface=192.0.2.1:backlog=100", EndpointText("tcp", Reach.ANYBODY)),
        (r"tcp6:25:interface=\:\:1", EndpointText("tcp6", Reach.LOCAL, takes_backlog=True)),
        (r"tcp6:25:interface=\:\:", EndpointText("tcp6", Reach.ANYBODY, takes_backlog=True)),
        (
            "ssl:465:privateKey=k.pem:certKey=c.pem",
            EndpointText("ssl", Reach.ANYBODY, speaks_tls=True, takes_backlog=True, files=("c.pem", "k.pem")),
        ),
        (
            "tls:/etc/keys:465:interface=127.0.0.1",
            EndpointText("tls", Reach.LOCAL, speaks_tls=True, takes_backlog=True),
        ),
        ("unix:/run/bridge", EndpointText("unix", Reach.LOCAL, takes_backlog=True)),
        ("systemd:domain=INET:name=smtp", EndpointText("systemd", Reach.ANYBODY)),
        ("systemd:INET:0", EndpointText("systemd", Reach.ANYBODY)),
        ("onion:25", EndpointText("onion", Reach.ANYBODY)),
    ],
)
def test_an_endpoint_tells_who_can_reach_it(endpoint: str, expected: EndpointText) -> None:
    assert read_endpoint(endpoint) == expected


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("2525", "does not begin with a kind"),
        ("tpc:25", 'did you mean "tcp:"'),
        ("tcp:", "has no port"),
        ("tcp:smtp", "a number from 0 to 65535"),
        ("tcp:70000", "a number from 0 to 65535"),
        ("tcp:25:interface=eth0", "write an IP address"),
        ("tcp6:25:interface=::1", r"in an IPv6 address write each colon as \\\\:"),
        ("tcp:25:iface=127.0.0.1", 'unknown argument "iface"'),
        ("tcp:25:port=26", '"port" twice'),
        ("tcp:25\\", "ends in a backslash"),
        ("systemd:domain=INET", "names no socket"),
        ("systemd:domain=INET:index=0:name=a", "names no socket"),
        ("haproxy:tcp:25", "does not listen on"),
        ("", "is empty"),
    ],
)
def test_an_endpoint_that_twisted_would_not_take_is_refused_beforehand(endpoint: str, reason: str) -> None:
    (fault,) = faults(listener("", endpoint))

    assert re.search(reason, fault)


@given(st.text(alphabet="tcp6:=\\/ 05.[]ax"))
def test_any_endpoint_string_is_read_or_refused(text: str) -> None:
    assert isinstance(read_endpoint(text), EndpointText | str)


OPEN_TO_ANYBODY = ["tcp:2525", "tcp:2525:interface=192.0.2.1", "systemd:domain=INET:index=0", "other:25"]


@pytest.mark.parametrize("endpoint", OPEN_TO_ANYBODY)
@pytest.mark.parametrize(
    "lines", ["", "allow = []", CREDENTIAL, f"allow = []\n{CREDENTIAL}", f'auth = "required"\n{CREDENTIAL}']
)
def test_a_listener_that_others_reach_does_not_start_without_a_list_or_auth_under_tls(
    endpoint: str, lines: str
) -> None:
    (fault,) = faults(listener(lines, endpoint))

    assert fault.startswith(f'[[listener]] #1 endpoint: "{endpoint}" may be reached by anybody')


@pytest.mark.parametrize("endpoint", OPEN_TO_ANYBODY)
def test_a_listener_that_others_reach_starts_with_a_written_list_or_auth_under_tls(endpoint: str, keys: Path) -> None:
    tls = 'certificate = "chain.pem"\nkey = "key.pem"\n'

    assert parse(listener('allow = ["10.0.0.0/8"]', endpoint)).listeners[0].allow == (ip_network("10.0.0.0/8"),)
    assert parse(listener(tls + CREDENTIAL, endpoint), keys).listeners[0].key_pair is not None
    (fault,) = faults(listener(f'auth = "off"\n{tls}{CREDENTIAL}', endpoint), keys)
    assert "may be reached by anybody" in fault


def test_an_endpoint_with_tls_of_its_own_protects_auth_and_takes_no_second_certificate(keys: Path) -> None:
    endpoint = "ssl:465:privateKey=key.pem:certKey=chain.pem"
    assert parse(listener(CREDENTIAL, endpoint)).listeners[0].address.speaks_tls

    (fault,) = faults(listener(f'certificate = "chain.pem"\nkey = "key.pem"\n{CREDENTIAL}', endpoint), keys)
    assert fault.startswith("[[listener]] #1 certificate: ")


def test_a_listener_that_nobody_could_use_is_refused() -> None:
    (fault,) = faults(listener("allow = []"))

    assert fault.startswith("[[listener]] #1 allow: is empty")


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_an_open_relay_is_noted_loudly(network: str) -> None:
    (note,) = notes(listener(f'allow = ["{network}"]', "tcp:2525"))

    assert "OPEN RELAY" in note
    assert notes(listener(f'allow = ["{network}"]')) == ()


@pytest.mark.parametrize(
    ("network", "right"),
    [("10.0.0.1/8", 'write "10.0.0.0/8"'), ("10.0.0.0/33", "is not a network"), ("localhost", "is not a network")],
)
def test_a_network_that_is_none_is_refused_with_what_would_be_right(network: str, right: str) -> None:
    (fault,) = faults(listener(f'allow = ["127.0.0.1", "{network}"]'))

    assert fault.startswith(f'[[listener]] #1 allow: "{network}" ')
    assert right in fault


@pytest.mark.parametrize("endpoint", ["tcp:2525:interface=127.0.0.1", "tcp:2525"])
def test_every_wrong_network_is_named_at_once_and_nothing_else_is_made_of_it(endpoint: str) -> None:
    found = faults(listener('allow = ["10.0.0.0/33", "foo", 5]', endpoint))

    assert [fault.split(" ")[3] for fault in found] == ['"10.0.0.0/33"', '"foo"', "5:"]


def test_balancers_are_networks_of_their_own_with_a_time_and_a_word_on_tls() -> None:
    lines = 'proxy_from = ["10.0.0.0/24", "2001:db8::7"]\nproxy_seconds = 2.5\nproxy_tls = "always"'
    (found,) = parse(listener(lines)).listeners

    assert found.proxy_from == (ip_network("10.0.0.0/24"), ip_network("2001:db8::7"))
    assert (found.proxy_seconds, found.proxy_tls) == (2.5, ProxyTls.ALWAYS)
    (plain,) = parse(LISTENER + UPSTREAM).listeners
    assert (plain.proxy_from, plain.proxy_seconds, plain.proxy_tls) == ((), 5.0, ProxyTls.HEADER)
    assert parse(listener("proxy_from = []")).listeners == (plain,)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('proxy_from = ["10.0.0.1/24"]', 'proxy_from: "10.0.0.1/24" has bits set behind its prefix'),
        ('proxy_from = "10.0.0.1"', 'proxy_from: "10.0.0.1": write a list of texts'),
        ("proxy_seconds = 0", "proxy_seconds: 0: write a number of seconds above 0"),
        ('proxy_tls = "never"', 'proxy_tls: "never": write "header" or "always"'),
        ('proxy_tls = "always"', 'proxy_tls: "always" is about balancers, and there are none; write proxy_from = ['),
        ('proxy_from = []\nproxy_tls = "always"', 'proxy_tls: "always" is about balancers, and there are none'),
    ],
)
def test_a_wrong_word_about_balancers_is_refused(lines: str, fault: str) -> None:
    (found,) = faults(listener(lines))

    assert found.startswith(f"[[listener]] #1 {fault}")


def test_balancers_do_not_go_with_an_endpoint_where_their_header_could_not_be_read(keys: Path) -> None:
    own_tls = f"ssl:2525:privateKey={keys}/key.pem:certKey={keys}/chain.pem:interface=127.0.0.1"

    for endpoint, what in ((own_tls, 'proxy_tls = "always"'), ("unix:/run/smtpbridge.sock", "has no address")):
        (fault,) = faults(listener('proxy_from = ["10.0.0.0/24"]', endpoint))
        assert fault.startswith("[[listener]] #1 proxy_from: ")
        assert what in fault
        assert "write a tcp: endpoint" in fault


@pytest.mark.parametrize("lines", ["", "allow = []", 'auth = "off"', 'proxy_tls = "always"'])
def test_balancers_alone_are_no_reason_to_let_anybody_relay(lines: str) -> None:
    more = "" if lines != 'auth = "off"' else CREDENTIAL

    (fault,) = faults(listener(f'proxy_from = ["10.0.0.0/24"]\n{lines}', "tcp:2525") + more)

    assert "nothing says who may relay" in fault


def test_a_listener_whose_tls_ends_at_the_balancer_may_rest_on_auth_alone() -> None:
    lines = 'proxy_from = ["10.0.0.0/24"]\n'

    for more in ("", "allow = []", 'auth = "required"', 'allow = []\nproxy_tls = "always"'):
        parse(listener(lines + more, "tcp:2525") + CREDENTIAL)
    # A wrong network is told as such, and not as a missing reason to trust.
    (fault,) = faults(listener('proxy_from = ["foo"]', "tcp:2525") + CREDENTIAL)
    assert fault.startswith('[[listener]] #1 proxy_from: "foo" is not a network')


def test_an_allowed_network_with_a_balancer_in_it_is_noted() -> None:
    lines = 'proxy_from = ["10.0.0.7", "2001:db8::/64"]\nallow = ["{}"]'

    for network, named in (("10.0.0.0/8", "10.0.0.7/32"), ("2001:db8::1", "2001:db8::/64")):
        (note,) = notes(listener(lines.format(network), "tcp:2525"))
        assert note.startswith(f"[[listener]] #1 allow: holds balancers of proxy_from ({named})")
    assert notes(listener(lines.format("192.0.2.0/24"), "tcp:2525")) == ()
    assert notes(listener(lines.format("10.0.0.0/8") + '\nauth = "required"', "tcp:2525") + CREDENTIAL) == ()


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_balancers_that_may_be_anybody_are_noted_loudly(network: str) -> None:
    lines = f'proxy_from = ["{network}"]\nallow = ["10.0.0.0/8"]'
    (note,) = notes(listener(lines, "tcp:2525"))

    assert note.startswith("[[listener]] #1 proxy_from: OPEN RELAY: ")
    assert not any("OPEN RELAY" in one for one in notes(listener(lines)))


def test_required_auth_needs_a_credential() -> None:
    assert faults(listener('auth = "required"')) == [
        '[[listener]] #1 auth: "required" needs a [[credential]] for the senders to present'
    ]


def test_two_listeners_on_one_endpoint_are_refused() -> None:
    (fault,) = faults(LISTENER + LISTENER + UPSTREAM)

    assert fault.startswith("[[listener]] #2 endpoint: ")


@pytest.mark.parametrize("endpoint", ["tcp:0:interface=127.0.0.1", "tcp:interface=127.0.0.1:port=00"])
def test_a_port_that_the_system_chooses_is_never_taken(endpoint: str) -> None:
    config = parse(f'[[listener]]\nendpoint = "{endpoint}"\n' * 2 + UPSTREAM)

    assert [one.endpoint for one in config.listeners] == [endpoint, endpoint]


def test_every_limit_of_a_listener_is_read() -> None:
    numbers = {
        one.name: 5000 + at
        for at, one in enumerate(fields(Listener))
        if one.name.startswith(("max_", "spool_")) or one.name.endswith(("_seconds", "_bytes"))
    }
    lines = "\n".join(f"{name} = {number}" for name, number in numbers.items())
    config = parse(listener(f'{lines}\nauth = "off"\nline_endings = "reject"'))

    assert config.listeners[0] == replace(
        Listener("tcp:2525:interface=127.0.0.1", EndpointText("tcp", Reach.LOCAL, takes_backlog=True)),
        auth=AuthMode.OFF,
        line_endings=LineEndings.REJECT,
        **numbers,  # type: ignore[arg-type]  # mypy does not know which fields the names are
    )
    assert len(numbers) > 12


def test_a_message_size_that_infobip_would_refuse_is_noted() -> None:
    assert notes(listener("max_message_bytes = 20905984")) == ()
    assert "max_message_bytes" in notes(listener("max_message_bytes = 20905985"))[0]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('certificate = "chain.pem"', "key: is missing; certificate is given"),
        ('key = "key.pem"', "certificate: is missing; key is given"),
        ('certificate = "chain.pem"\nkey = "stray.pem"', "key: the file does not belong to the first certificate"),
        ('certificate = "chain.pem"\nkey = "chain.pem"', "key: the file holds no private key"),
        ('certificate = "key.pem"\nkey = "key.pem"', "certificate: the file holds no certificate"),
        ('certificate = "gone.pem"\nkey = "key.pem"', r'certificate: ".*gone\.pem" cannot be read \(no such file'),
    ],
)
def test_a_certificate_and_key_that_would_not_work_are_refused(lines: str, fault: str, keys: Path) -> None:
    (found,) = faults(listener(lines), keys)

    assert re.match(rf"\[\[listener\]\] #1 {fault}", found)


def test_a_certificate_and_key_that_fit_are_read_and_the_key_is_a_secret(keys: Path) -> None:
    pair = parse(listener('certificate = "chain.pem"\nkey = "key.pem"'), keys).listeners[0].key_pair

    assert pair is not None
    assert pair.certificate == (keys / "chain.pem").read_bytes()
    assert pair.key == Secret((keys / "key.pem").read_bytes())


# Credentials and secrets


def test_a_secret_shows_in_no_text_but_is_there_when_asked_for() -> None:
    secret = Secret(b"k3y")

    assert [str(secret), repr(secret), f"{secret}", f"{[secret]}", f"{secret!s:>5}"] == ["***"] * 3 + ["[***]", "  ***"]
    assert secret.reveal() == b"k3y"
    assert (secret == Secret(b"k3y"), secret == Secret(b"key")) == (True, False)


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"AccessKey a b\n", b"AccessKey a b"), (b"key\r\n", b"key"), (b"key", b"key"), (b" key \n", b" key ")],
    ids=["with-blanks", "crlf", "without-a-line-end", "blanks-around-it"],  # the log of the suite names its tests
)
def test_a_secret_file_holds_the_secret_less_its_last_newline(tmp_path: Path, content: bytes, secret: bytes) -> None:
    (tmp_path / "sender.key").write_bytes(content)
    text = f'{LISTENER}{UPSTREAM}[[credential]]\nusername = "SMTP_Injection"\nsecret_file = "sender.key"\n'

    known = parse(text, tmp_path).credentials[0].secret
    assert fits(known, secret)
    assert not fits(known, secret + b"x")


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"one\ntwo\n", b"key\n\n", b"k\0y"])
def test_a_secret_file_without_one_secret_is_refused_without_being_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sender.key").write_bytes(content)
    text = f'{LISTENER}{UPSTREAM}[[credential]]\nusername = "SMTP_Injection"\nsecret_file = "sender.key"\n'

    (fault,) = faults(text, tmp_path)
    assert fault.startswith(f'[[credential]] #1 secret_file: "{tmp_path}/sender.key" ')
    assert "two" not in fault


def test_no_secret_of_a_sender_is_kept_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "sender.key").write_text("unmistakable")
    text = f'{LISTENER}{UPSTREAM}[[credential]]\nusername = "a"\nsecret_file = "sender.key"\n'

    (one,) = parse(text, tmp_path).credentials
    assert isinstance(one.secret, KeyedHash)
    assert b"unmistakable" not in one.secret.key + one.secret.digest
    assert one != parse(text, tmp_path).credentials[0], "each process has a key of its own"


def test_scrypt_hashes_that_differ_in_cost_are_noted() -> None:
    same, other = (
        f'[[credential]]\nusername = "a"\nsecret_hash = "$scrypt$ln={ln},r=8,p=3${"A" * 22}${"A" * 43}"\n'
        for ln in (15, 16)
    )

    assert notes(f"{LISTENER}{UPSTREAM}{same}{same}") == ()
    (note,) = notes(f"{LISTENER}{UPSTREAM}{same}{other}")
    assert "differ in cost" in note


def test_how_often_a_login_may_fail_is_read() -> None:
    lines = "max_failed_logins = 4\nwindow_seconds = 60\nlongest_pause_seconds = 120\ndelay_seconds = 0.5\n"

    assert parse(LISTENER + UPSTREAM).logins == LoginLimits(10, 600.0, 900.0, 1.0)
    assert parse(f"{LISTENER}{UPSTREAM}[logins]\n{lines}").logins == LoginLimits(4, 60.0, 120.0, 0.5)
    said = describe(parse(f"{LISTENER}{UPSTREAM}{CREDENTIAL}[logins]\n{lines}"))
    assert "credential SMTP_Injection, secret kept as sha256" in said
    assert any(line.startswith("logins: 4 failures of an address within 60 seconds") for line in said)


def test_a_network_that_holds_ipv4_mapped_addresses_and_others_is_refused() -> None:
    for network in ("::fffe:0:0/95", "::/1", "::/64"):
        (fault,) = faults(listener(f'allow = ["{network}"]', "tcp:2525"))
        assert "IPv4-mapped addresses" in fault, network
    for network in ("::ffff:10.0.0.0/104", "::ffff:0:0/96", "2001:db8::/32", "64:ff9b::/96", "::1/128"):
        parse(listener(f'allow = ["{network}"]', "tcp:2525"))


def test_a_secret_hash_is_the_sha256_of_the_secret() -> None:
    digest = sha256(b"k3y")
    text = f'{LISTENER}{UPSTREAM}[[credential]]\nusername = "a"\nsecret_hash = "sha256:{digest.hexdigest()}"\n'

    assert parse(text).credentials[0].secret == Sha256Hash(digest.digest())


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('username = "a"', "secret_file: is missing; write one of"),
        ('username = "a"\nsecret_file = "x"\nsecret_hash = "hunter2"', "secret_hash: the value (not shown) is not a h"),
        ('username = "a"\nsecret_hash = "hunter2"', "secret_hash: the value (not shown) is not a hash"),
        (f'secret_hash = "sha256:{"0" * 64}"', "username: is missing"),
    ],
)
def test_a_credential_that_could_not_be_checked_is_refused_and_never_quoted(lines: str, fault: str) -> None:
    found = faults(f"{LISTENER}{UPSTREAM}[[credential]]\n{lines}\n")

    assert found[0].startswith(f"[[credential]] #1 {fault}")
    assert not any("hunter2" in one for one in found)


def test_a_secret_file_that_everybody_can_read_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "api.key"
    path.write_text("k3y")

    path.chmod(0o640)
    assert notes(upstream('region = "us"\npassword_file = "api.key"'), tmp_path) == ()
    path.chmod(0o644)
    (note,) = notes(upstream('region = "us"\npassword_file = "api.key"'), tmp_path)
    assert note.startswith("[upstream.main] password_file: every user of this machine can read")


# Upstreams


def test_the_password_is_taken_from_the_nearest_source_that_has_one(tmp_path: Path) -> None:
    (tmp_path / "api.key").write_text("from the file\n")
    (tmp_path / "upstream.main.password").write_text("from systemd\n")
    plain, named = upstream('region = "us"'), upstream('region = "us"\npassword_file = "api.key"')
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    both = {**systemd, "SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "from the environment"}

    assert parse(plain, tmp_path, systemd).upstreams[0].password.reveal() == b"from systemd"
    assert parse(plain, tmp_path, both).upstreams[0].password.reveal() == b"from the environment"
    assert parse(named, tmp_path, both).upstreams[0].password.reveal() == b"from the file"


def test_a_file_can_be_a_credential_of_systemds(keys: Path) -> None:
    systemd = {**PASSWORD, "CREDENTIALS_DIRECTORY": str(keys)}
    listener = LISTENER + 'certificate = "credential:chain.pem"\nkey = "credential:key.pem"\n'

    [found] = parse(listener + UPSTREAM, environ=systemd).listeners

    assert found.key_pair is not None
    assert found.key_pair.certificate_path == keys / "chain.pem"


@pytest.mark.parametrize("name", ["", ".", "..", "../chain.pem", "/etc/passwd"])
def test_a_credential_is_a_name_and_no_path(name: str, keys: Path) -> None:
    systemd = {"CREDENTIALS_DIRECTORY": str(keys)}
    text = LISTENER + UPSTREAM + f'password_file = "credential:{name}"\n'

    [fault] = faults(text, environ=systemd)

    assert "names no credential" in fault


def test_a_credential_outside_the_service_is_refused_with_the_way_to_look_at_it() -> None:
    [fault] = faults(LISTENER + UPSTREAM + 'password_file = "credential:infobip.key"\n', environ={})

    assert "$CREDENTIALS_DIRECTORY is not set here" in fault
    assert "/run/credentials/smtpbridge.service" in fault


def test_a_missing_password_is_refused_with_the_three_ways_to_give_one(tmp_path: Path) -> None:
    text = f'{LISTENER}[upstream.big-one]\nregion = "us"\n'

    for environ in ({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
        assert faults(text, environ=environ) == [
            (
                "[upstream.big-one] password_file: is missing; write password_file, set "
                "$SMTPBRIDGE_UPSTREAM_BIG_ONE_PASSWORD, or give the systemd credential upstream.big-one.password"
            )
        ]


def test_a_password_file_that_is_named_but_absent_is_not_replaced_by_the_environment() -> None:
    (fault,) = faults(upstream('region = "us"\npassword_file = "gone.key"'))

    assert fault == '[upstream.main] password_file: "/nowhere/gone.key" cannot be read (no such file or directory)'


def test_two_upstreams_that_would_share_one_password_variable_are_refused() -> None:
    text = f'{LISTENER}[upstream.a-b]\nregion = "us"\n[upstream.a_b]\nregion = "eu"\n'

    (fault,) = faults(text, environ={"SMTPBRIDGE_UPSTREAM_A_B_PASSWORD": "x"})
    assert fault.startswith('[upstream.a_b] name: shares $SMTPBRIDGE_UPSTREAM_A_B_PASSWORD with "a-b"')


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("smtp.example.com:587", Host("smtp.example.com", 587)),
        ("192.0.2.1:25", Host("192.0.2.1", 25)),
        ("[2001:db8::1]:465", Host("2001:db8::1", 465)),
        ("sink_1:2526", Host("sink_1", 2526)),
    ],
)
def test_a_host_is_a_name_or_an_address_with_a_port_and_prints_as_written(written: str, host: Host) -> None:
    assert parse(upstream(f'hosts = ["{written}"]')).upstreams[0].hosts == (host,)
    assert str(host) == written


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("smtp.example.com", 'has no port; write "smtp.example.com:587"'),
        ("2001:db8::1", 'has no port; write "[2001:db8::1]:587"'),
        ("[2001:db8::1]", 'has no port; write "[2001:db8::1]:587"'),
        ("[smtp.example.com]:25", 'has brackets, which only an IPv6 address takes; write "smtp.example.com:25"'),
        ("smtp.example.com:0", "has the port 0; write a number from 1 to 65535"),
        ("smtp.example.com:99999", "has the port 99999; write a number from 1 to 65535"),
        ("https://example.com", "is not a host and a port"),
        ("a b:25", "is not a host name"),
        ("bücher.example:25", "is not ASCII; write an internationalised name in its xn-- form"),
    ],
)
def test_a_host_that_could_not_be_dialled_is_refused_with_what_would_be_right(written: str, fault: str) -> None:
    (found,) = faults(upstream(f'hosts = ["{written}"]'))

    assert found.startswith(f'[upstream.main] hosts: "{written}" {fault}')


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_gives_its_host_and_the_port_of_the_security(name: str) -> None:
    region = REGIONS[name]

    assert parse(upstream(f'region = "{name}"')).upstreams[0].hosts == (Host(region.host, 587),)
    implicit = upstream(f'region = "{name}"\nsecurity = "tls"')
    if 465 in region.ports:
        assert parse(implicit).upstreams[0].hosts == (Host(region.host, 465),)
    else:
        (fault,) = faults(implicit)
        assert fault == (
            f'[upstream.main] region: "{name}" answers on port 587 only, which is for security = "starttls"'
        )


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("", "hosts: is missing"),
        ("hosts = []", "hosts: is empty"),
        ('hosts = ["a:1"]\nregion = "us"', "region: and hosts are both given"),
        ('region = "atlantis"', 'region: "atlantis" is no region; write one of europe, eu, '),
    ],
)
def test_an_upstream_needs_exactly_one_of_hosts_and_region(lines: str, fault: str) -> None:
    (found,) = faults(upstream(lines))

    assert found.startswith(f"[upstream.main] {fault}")


def test_the_first_upstream_is_the_default() -> None:
    text = f'{LISTENER}[upstream.zeta]\nregion = "us"\n[upstream.alpha]\nregion = "eu"\n'
    environ = {"SMTPBRIDGE_UPSTREAM_ZETA_PASSWORD": "a", "SMTPBRIDGE_UPSTREAM_ALPHA_PASSWORD": "b"}

    config = parse(text, environ=environ)
    assert [one.name for one in config.upstreams] == ["zeta", "alpha"]
    assert config.translation.default_upstream == "zeta"


def test_every_key_of_an_upstream_is_read(keys: Path) -> None:
    deadlines = {one.name: 11.5 + at for at, one in enumerate(fields(Deadlines))}
    lines = f"""
        hosts = ["a.example:587", "b.example:587"]
        security = "tls"
        server_name = "c.example"
        trust_roots = "ca.pem"
        client_certificate = "chain.pem"
        client_key = "key.pem"
        username = "shop"
        max_connections = 3
        deadlines = {{ {", ".join(f"{name} = {value}" for name, value in deadlines.items())} }}
        idle_seconds = 1.5
        max_age_seconds = 2.5
        max_messages = 4
        max_waiters = 0
        wait_seconds = 3.5
        min_rate_bytes = 5
        max_reply_line_bytes = 1000
        max_reply_lines = 50
    """

    assert parse(upstream(lines), keys).upstreams == (
        values.Upstream(
            name="main",
            hosts=(Host("a.example", 587), Host("b.example", 587)),
            password=Secret(b"k3y with spaces"),
            username="shop",
            security=Security.TLS,
            server_name="c.example",
            trust_roots=values.TrustRoots(keys / "ca.pem", (keys / "ca.pem").read_bytes()),
            client_pair=values.KeyPair(
                keys / "chain.pem",
                keys / "key.pem",
                (keys / "chain.pem").read_bytes(),
                Secret((keys / "key.pem").read_bytes()),
            ),
            max_connections=3,
            deadlines=Deadlines(**deadlines),
            idle_seconds=1.5,
            max_age_seconds=2.5,
            max_messages=4,
            max_waiters=0,
            wait_seconds=3.5,
            min_rate_bytes=5,
            max_reply_line_bytes=1000,
            max_reply_lines=50,
        ),
    )


def test_trust_roots_without_a_certificate_are_refused(keys: Path) -> None:
    (fault,) = faults(upstream('region = "us"\ntrust_roots = "key.pem"'), keys)

    assert fault.startswith("[upstream.main] trust_roots: the file holds no certificate")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('client_certificate = "chain.pem"', "client_key: is missing; client_certificate is given, and"),
        ('client_key = "key.pem"', "client_certificate: is missing; client_key is given, and mutual TLS needs both"),
        (
            'client_certificate = "chain.pem"\nclient_key = "stray.pem"',
            "client_key: the file does not belong to the first certificate",
        ),
        ('client_certificate = "key.pem"\nclient_key = "key.pem"', "client_certificate: the file holds no certificate"),
        ('client_certificate = "chain.pem"\nclient_key = "ca.pem"', "client_key: the file holds no private key"),
    ],
)
def test_a_client_certificate_and_key_that_would_not_work_are_refused(lines: str, fault: str, keys: Path) -> None:
    (found,) = faults(upstream(f'region = "us"\n{lines}'), keys)

    assert found.startswith(f"[upstream.main] {fault}")


def test_the_key_of_a_client_certificate_that_everybody_can_read_is_noted_and_is_never_shown(keys: Path) -> None:
    (keys / "key.pem").chmod(0o644)
    text = upstream('region = "us"\nclient_certificate = "chain.pem"\nclient_key = "key.pem"')

    (note,) = notes(text, keys)

    assert note.startswith("[upstream.main] client_key: every user of this machine can read")
    (line,) = [line for line in describe(parse(text, keys)) if line.startswith("upstream")]
    assert f"client certificate {keys / 'chain.pem'}" in line
    assert "PRIVATE" not in repr(parse(text, keys))


def test_verification_is_on_and_only_one_key_switches_it_off_with_a_note_and_in_the_description() -> None:
    assert not parse(upstream('region = "us"')).upstreams[0].insecure_skip_verification
    text = upstream('region = "us"\ninsecure_skip_verification = true')

    (note,) = notes(text)

    assert note.startswith("[upstream.main] insecure_skip_verification: INSECURE: ")
    (line,) = [line for line in describe(parse(text)) if line.startswith("upstream")]
    assert "INSECURE: certificate NOT VERIFIED" in line
    assert "roots" not in line


def test_trust_roots_that_would_not_be_looked_at_are_refused(keys: Path) -> None:
    (fault,) = faults(upstream('region = "us"\ntrust_roots = "ca.pem"\ninsecure_skip_verification = true'), keys)

    assert fault.startswith("[upstream.main] trust_roots: is given, and insecure_skip_verification would")


# Translation


def test_the_translation_tables_become_the_policy() -> None:
    text = f"""{LISTENER}{UPSTREAM}
        [translation]
        bcc = "shared"
        envelope_from = "bounces@example.com"
        transactional_priority = "none"
        on_inline_css = "refuse"
        list_unsubscribe = "<https://example.com/u/{{recipient}}>, <mailto:off@example.com>"
        notify_url = "https://example.com/r?x=1"
        notify_content_type = "application/xml"
        skip_active_storage = false
        max_json_bytes = 1000
        max_json_levels = 200
        max_json_values = 300
        max_encoded_words = 400
        max_idn_characters = 500
        [ip_pools]
        "my pool" = "main"
        [subaccounts]
        123 = {{ entity_id = "shop" }}
    """

    assert parse(text).translation == Policy(
        bcc=BccStyle.SHARED,
        envelope_from="bounces@example.com",
        transactional_priority=Priority.NONE,
        on_inline_css=Unsupported.REFUSE,
        list_unsubscribe="<https://example.com/u/{recipient}>, <mailto:off@example.com>",
        notify_url="https://example.com/r?x=1",
        notify_content_type="application/xml",
        skip_active_storage=False,
        bounds=Bounds(1000, 200, 300, 400, 500),
        ip_pools={"my pool": "main"},
        subaccounts={"123": Subaccount(entity_id="shop")},
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('envelope_from = "always"', 'envelope_from: "always" is not an address; write "auto", "keep" or'),
        ('envelope_from = "a@b\\r\\nX: y"', "envelope_from: "),
        ('notify_url = "ftp://example.com"', 'notify_url: "ftp://example.com" is not a web address'),
        ('notify_url = "https://[::1"', "notify_url: "),
        ('tracking_url = "https://example.com/a b"', "tracking_url: "),
        ('notify_content_type = "text/html"', "notify_content_type: "),
        ('list_unsubscribe = "https://example.com"', "list_unsubscribe: "),
        ('list_unsubscribe = "<https://example.com/{address}>"', "list_unsubscribe: "),
        ('application_id = "a\\nb"', "application_id: "),
        ('intermediate_report = "yes"', "intermediate_report: "),
        ('on_ip_pool = "map"', 'on_ip_pool: "map": write "warn" or "refuse"'),
        ("callback_data_limit = 0", "callback_data_limit: 0: write a whole number of at least 1"),
        ("max_json_bytes = 0", "max_json_bytes: 0: write a whole number of at least 1"),
        ("max_json_levels = 201", "max_json_levels: 201: write a whole number from 1 to 200"),
        ('max_json_values = "all"', 'max_json_values: "all": write a whole number of at least 1'),
    ],
)
def test_a_wrong_switch_of_the_translation_is_refused(line: str, fault: str) -> None:
    (found,) = faults(f"{LISTENER}{UPSTREAM}[translation]\n{line}\n")

    assert found.startswith(f"[translation] {fault}")
    assert found.isprintable()


def test_pools_and_subaccounts_lead_to_upstreams_that_exist() -> None:
    text = f"""{LISTENER}{UPSTREAM}
        [ip_pools]
        fast = "mian"
        [subaccounts]
        12 = {{ upstream = "other", entity = "x" }}
        shop = {{ upstream = "main" }}
    """

    assert faults(text) == [
        '[ip_pools] fast: "mian" is not the name of an upstream; there: "main"',
        '[subaccounts.12] upstream: "other" is not the name of an upstream; there: "main"',
        '[subaccounts.12]: unknown key "entity"; did you mean "entity_id"?',
        '[subaccounts] "shop": is not the number of a subaccount; write it as in 123 = { upstream = "main" }',
    ]


# What the bridge takes over


def test_each_listener_has_a_mode_of_its_own_and_queue_mode_is_told_at_the_start() -> None:
    config = parse(LISTENER + LISTENER.replace("2525", "2526") + 'mode = "queue"\n' + UPSTREAM + BOUNCES)

    assert [one.mode for one in config.listeners] == [Mode.PROXY, Mode.QUEUE]
    (note,) = config.notes
    assert note.startswith('[[listener]] #2 mode: "queue": at tcp:2526:interface=127.0.0.1 ')
    assert faults(listener('mode = "que"')) == ['[[listener]] #1 mode: "que": write "proxy" or "queue"']


def test_the_pace_of_the_queue_is_read_and_what_would_never_try_again_is_refused() -> None:
    text = f"{LISTENER}{UPSTREAM}[queue]\n"

    read = parse(text + "first_retry_seconds = 5\nlongest_retry_seconds = 0.5e2\nlifetime_seconds = 600\n").queue
    assert read == Queue(5.0, 50.0, 600.0)
    assert faults(text + "longest_retry_seconds = 30\nlifetime_seconds = 59\n") == [
        "[queue] longest_retry_seconds: 30 is less than first_retry_seconds (60); write more",
        "[queue] lifetime_seconds: 59 is less than first_retry_seconds (60); write more",
    ]


def test_bounces_leave_by_the_first_upstream_from_the_address_in_their_from_unless_told_otherwise() -> None:
    text = LISTENER + UPSTREAM + UPSTREAM.replace("main", "other").replace('"europe"', '"us"')
    environ = {**PASSWORD, "SMTPBRIDGE_UPSTREAM_OTHER_PASSWORD": "k3y"}

    read = parse(text + BOUNCES, environ=environ).bounces
    assert read == Bounces("main", "Mail Delivery <mailer-daemon@example.com>", "mailer-daemon@example.com")
    more = BOUNCES + 'upstream = "other"\nenvelope_from = "bounces@example.com"\n'
    read = parse(text + more, environ=environ).bounces
    assert read == Bounces("other", "Mail Delivery <mailer-daemon@example.com>", "bounces@example.com")


def test_the_null_sender_of_bounces_can_still_be_chosen() -> None:
    bounces = parse(LISTENER + UPSTREAM + BOUNCES + 'envelope_from = ""\n').bounces

    assert bounces == Bounces("main", "Mail Delivery <mailer-daemon@example.com>", "")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a@example.com", "a@example.com"),
        ("Mail, Delivery <a@example.com>", '"Mail, Delivery" <a@example.com>'),
        ("Zürich <a@bücher.example>", "=?utf-8?q?Z=C3=BCrich?= <a@xn--bcher-kva.example>"),
        (f"{'ü' * 60} <a@example.com>", None),
    ],
)
def test_the_from_of_bounces_is_one_ascii_line_that_shows_the_name_as_written(written: str, shown: str | None) -> None:
    bounces = parse(f'{LISTENER}{UPSTREAM}[bounces]\nfrom = """{written}"""\n').bounces

    assert bounces is not None
    assert bounces.header_from.isascii()
    assert bounces.header_from.isprintable()
    assert parse_mailbox(str(make_header(decode_header(bounces.header_from)))) == parse_mailbox(written)
    assert shown is None or bounces.header_from.lower() == shown.lower()
    assert bounces.envelope_from == parse_mailbox(written).address


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("", 'from: is missing; write from = "Mail Delivery <mailer-daemon@example.com>"'),
        ('from = "Mail Delivery"', 'from: "Mail Delivery" is no mailbox (no @ in it); write it as in "Mail Delivery <'),
        ('from = "a\\r\\nBcc: b <a@example.com>"', 'from: "a\\u000d\\u000aBcc: b <a@example.com>" holds a control'),
        (f'from = "{"é" * 300} <a@example.com>"', "from: "),
        ('from = "a@b.example"\nupstream = "x"', 'upstream: "x" is not the name of an upstream; there: "main"'),
        ('from = "a@b.example"\nenvelope_from = "x"', 'envelope_from: "x" is not an address; write one such as'),
        ('from = "a@b.example"\nenvelope = ""', ' unknown key "envelope"; did you mean "envelope_from"?'),
    ],
)
def test_a_wrong_route_for_bounces_is_refused(lines: str, fault: str) -> None:
    (found,) = faults(f"{LISTENER}{UPSTREAM}[bounces]\n{lines}\n")

    assert found.startswith((f"[bounces] {fault}", f"[bounces]:{fault}"))
    assert found.isprintable()


# Defaults for fewer senders than all

SAID = """
open_tracking = true
click_tracking = false
transactional = true
ip_pool = "Fast"
list_unsubscribe = "none"
envelope_from = "keep"
"""
POOLS = '[ip_pools]\nfast = "main"\n'
READ = Defaults(True, False, True, "Fast", "", "keep")


def test_each_place_that_can_say_what_counts_says_it_in_the_same_keys() -> None:
    config = parse(
        f"{LISTENER}[listener.translation]{SAID}{UPSTREAM}{CREDENTIAL}[credential.translation]{SAID}"
        f"[translation]{SAID}{POOLS}[subaccounts.7]{SAID}entity_id = 'shop'\n"
    )

    assert [one.defaults for one in config.listeners] == [READ]
    assert [one.defaults for one in config.credentials] == [READ]
    assert config.translation.subaccounts["7"] == Subaccount(entity_id="shop", defaults=READ)
    assert {name: getattr(config.translation, name) for name in READ.said()} == READ.said()


def test_a_place_that_says_nothing_costs_nothing() -> None:
    text = f"{LISTENER}[listener.translation]\n{UPSTREAM}{CREDENTIAL}[subaccounts]\n7 = {{ entity_id = 'shop' }}\n"
    config = parse(text)

    assert config.listeners[0].defaults is UNSAID
    assert config.credentials[0].defaults is UNSAID
    assert config.translation.subaccounts["7"].defaults is UNSAID


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('open_tracking = "yes"', 'open_tracking: "yes": write true or false, without quotes'),
        ('ip_pool = "fats"', 'ip_pool: "fats" is not in [ip_pools] ("fast"); write one of its names, or "default"'),
        ('list_unsubscribe = "off"', 'list_unsubscribe: "off" is not in angle brackets'),
        ('envelope_from = "always"', 'envelope_from: "always" is not an address'),
        ('bcc = "shared"', 'unknown key "bcc"; known here: '),
    ],
)
@pytest.mark.parametrize("place", ["listener", "credential"])
def test_a_wrong_default_is_refused_where_it_stands(place: str, line: str, fault: str) -> None:
    text = LISTENER + "[listener.translation]\n" if place == "listener" else CREDENTIAL + "[credential.translation]\n"
    (found,) = faults(f"{text}{line}\n{UPSTREAM}{POOLS}{LISTENER if place == 'credential' else ''}")

    assert found.startswith((f"[[{place}]] #1 translation {fault}", f"[[{place}]] #1 translation: {fault}"))


def test_a_pool_for_everybody_is_refused_where_no_pools_are() -> None:
    assert faults(f'{LISTENER}{UPSTREAM}[translation]\nip_pool = "fast"\n') == [
        '[translation] ip_pool: "fast" is not in [ip_pools] (it names none); write one of its names, or "default"'
    ]
    assert parse(f'{LISTENER}{UPSTREAM}[translation]\nip_pool = "Default"\n').translation.ip_pool == "Default"


def test_a_subaccount_with_two_ways_to_go_is_refused() -> None:
    (found,) = faults(f'{LISTENER}{UPSTREAM}{POOLS}[subaccounts]\n7 = {{ upstream = "main", ip_pool = "fast" }}\n')

    assert found.startswith("[subaccounts.7] ip_pool: and upstream are both given")


# What is said of it


def test_the_description_holds_what_decides_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "sender.key").write_text("s3nder")
    text = (
        f'{LISTENER}{UPSTREAM}{CREDENTIAL}[[credential]]\nusername = "other"\nsecret_file = "sender.key"\n'
        '[subaccounts]\n7 = { entity_id = "x" }\n'
    )

    said = "\n".join(describe(parse(text, tmp_path)))

    for fact in (
        "tcp:2525:interface=127.0.0.1",
        "127.0.0.0/8",
        "smtp-api.infobip.com:587",
        "App",
        "SMTP_Injection",
        "after 60 to 3600 seconds, given up after 259200",
        "bounces: none",
    ):
        assert fact in said
    for secret in ("s3nder", "k3y", "abab"):
        assert secret not in said
        assert secret not in repr(parse(text, tmp_path))


def described_listener(lines: str, base: Path) -> str:
    (said,) = [line for line in describe(parse(listener(lines) + CREDENTIAL, base)) if line.startswith("listener")]
    return said


def test_the_description_says_what_networks_may_do_under_each_kind_of_auth(tmp_path: Path) -> None:
    required = described_listener('auth = "required"\nallow = ["10.0.0.0/8"]', tmp_path)
    assert "AUTH required, takes AUTH without TLS from 10.0.0.0/8" in required
    assert "without AUTH" not in required
    for auth in ("optional", "off"):
        said = described_listener(f'auth = "{auth}"\nallow = ["10.0.0.0/8"]', tmp_path)
        assert f"AUTH {auth}, relays for 10.0.0.0/8 without AUTH" in said


def test_the_description_says_what_becomes_of_line_ends_and_which_rates_hold(tmp_path: Path) -> None:
    plain = described_listener("", tmp_path)
    assert "a bare CR or LF is written anew" in plain
    assert "a minute" not in plain
    lines = 'line_endings = "reject"\nmax_connections_per_minute = 1200\nmax_messages_per_minute = 60\n'
    said = described_listener(f'{lines}proxy_from = ["192.0.2.1"]', tmp_path)
    assert "a bare CR or LF is refused" in said
    assert "1,200 connections a minute of an address, 60 messages a minute of an address" in said
    assert "a PROXY header from 192.0.2.1/32, TLS where the header says so" in said


def test_the_description_says_how_much_room_messages_may_take_and_what_a_credential_may_send() -> None:
    lines = "max_body_memory_bytes = 2000000\nmax_temporary_bytes = 70000000\nworkers = 2\n"
    said = describe(parse(f"{LISTENER}{UPSTREAM}{CREDENTIAL}max_messages_per_minute = 7\n[process]\n{lines}"))

    (process,) = [line for line in said if line.startswith("workers 2")]
    assert "2,000,000 octets of memory and 70,000,000 of temporary files in the system's folder" in process
    (credential,) = [line for line in said if line.startswith("credential")]
    assert "7 messages a minute of whoever presents it" in credential


def test_the_description_tells_how_bounces_leave() -> None:
    said = describe(parse(LISTENER + UPSTREAM + BOUNCES + 'envelope_from = "b@example.com"\n'))

    assert (
        "bounces: from Mail Delivery <mailer-daemon@example.com>, envelope sender <b@example.com>, by upstream main"
        in said
    )


# etc/smtpbridge.toml


def uncommented(*, examples: bool) -> str:
    """
    Return the example file with its keys uncommented.

    Those that have no default, and those of a table that is not there by default, only where `examples` says so.
    """
    lines = []
    there = True
    for line in EXAMPLE.read_text("utf-8").splitlines():
        match = re.fullmatch(r"# (\w+ = .*|\[\[?[\w.]+\]\]?)", line)
        if re.fullmatch(r"(# )?\[\[?[\w.]+\]\]?", line):
            there = not line.startswith("# ")
        if match and (examples or (there and not line.endswith("# no default"))):
            line = match[1]
        lines.append(line)
    return "\n".join(lines)


def load_example(text: str, folder: Path) -> Config:
    (folder / "infobip.key").write_text("k3y")
    (folder / "infobip.key").chmod(0o600)
    # A name of its own, so that what is noted does not depend on the machine.
    text = text.replace("/etc/smtpbridge/", f"{folder}/").replace("# hostname =", "hostname =")
    return loads(text, base=folder, environ={})


def test_the_example_file_is_a_working_configuration(tmp_path: Path) -> None:
    config = load_example(EXAMPLE.read_text("utf-8"), tmp_path)

    assert [note.split(":")[0] for note in config.notes] == ["[bounces]"]
    assert config.upstreams[0].hosts == (Host("smtp-api.infobip.com", 587),)


def test_each_default_that_the_example_file_shows_is_the_default_of_the_code(tmp_path: Path) -> None:
    plain = load_example(EXAMPLE.read_text("utf-8"), tmp_path)
    spelled_out = load_example(uncommented(examples=False), tmp_path)

    assert spelled_out == plain


def test_the_example_file_shows_every_key_of_the_code_and_no_other(keys: Path) -> None:
    text = uncommented(examples=True)
    shown = tomllib.loads(text)
    for name in ("sender", "inbox", "inbox-basic", "inbox-hmac", "crm", "crm-token", "crm-oauth"):
        (keys / f"{name}.key").write_text("k3y of more than sixteen")
    (keys / "client.pem").write_bytes((keys / "chain.pem").read_bytes())
    (keys / "client.key").write_bytes((keys / "key.pem").read_bytes())
    (keys / "admin.token").write_text("an-example-of-a-token")
    (keys / "chain.pem").rename(keys / "fullchain.pem")
    (keys / "key.pem").rename(keys / "privkey.pem")

    # No other: all that is wrong with it are the pairs of keys of which one is to be written.
    with pytest.raises(ConfigError) as caught:
        load_example(text, keys)
    assert [fault.split(" are both given")[0] for fault in caught.value.faults] == [
        "[[credential]] #1 secret_file: and secret_hash",
        "[upstream.main] region: and hosts",
        "[subaccounts.123] ip_pool: and upstream",
        *(
            f'[events.target.crm] {key}: and auth = "none"'
            for key in ("username", "password_file", "header", "token_file")
        ),
        *(
            f'[events.target.crm] {key}: and auth = "none"'
            for key in ("token_url", "client_id", "scope", "client_secret_file")
        ),
        *(f"[translation] {key}: and [events]" for key in ("notify_url", "tracking_url", "notify_content_type")),
        "[translation] callback_data: and [events]",
    ]
    # Every one: a key that is nobody's makes each table tell what it knows.
    for place in KNOWN_TABLES:
        assert set(known_keys(place)) == set(find(shown, place)), place


KNOWN_TABLES = {
    "": "ZZZ = 1\n" + LISTENER + UPSTREAM,
    "listener": LISTENER + "ZZZ = 1\n" + UPSTREAM,
    "listener.translation": LISTENER + "translation = { ZZZ = 1 }\n" + UPSTREAM,
    "credential": LISTENER + UPSTREAM + CREDENTIAL + "ZZZ = 1\n",
    "logins": LISTENER + UPSTREAM + "[logins]\nZZZ = 1\n",
    "credential.translation": LISTENER + UPSTREAM + CREDENTIAL + "[credential.translation]\nZZZ = 1\n",
    "upstream.main": LISTENER + UPSTREAM + "ZZZ = 1\n",
    "upstream.main.deadlines": LISTENER + UPSTREAM + "deadlines = { ZZZ = 1 }\n",
    "queue": LISTENER + UPSTREAM + "[queue]\nZZZ = 1\n",
    "bounces": LISTENER + UPSTREAM + BOUNCES + "ZZZ = 1\n",
    "store": LISTENER + UPSTREAM + "[store]\nZZZ = 1\n",
    "translation": LISTENER + UPSTREAM + "[translation]\nZZZ = 1\n",
    "subaccounts.123": LISTENER + UPSTREAM + "[subaccounts.123]\nZZZ = 1\n",
    "admin": LISTENER + UPSTREAM + '[admin]\nendpoint = "unix:/run/admin"\nZZZ = 1\n',
    "process": LISTENER + UPSTREAM + "[process]\nZZZ = 1\n",
    "events": LISTENER + UPSTREAM + EVENTS + "ZZZ = 1\n",
    "events.target.crm": LISTENER + UPSTREAM + EVENTS + '[events.target.crm]\nurl = "https://a.example"\nZZZ = 1\n',
}


def known_keys(place: str) -> list[str]:
    # Where a secret can be had is not the question.
    (fault,) = [fault for fault in faults(KNOWN_TABLES[place]) if "unknown key" in fault]
    return fault.split("known here: ")[1].split(", ")


def find(shown: dict[str, object], place: str) -> dict[str, object]:
    found: object = shown
    for part in filter(None, place.split(".")):
        assert isinstance(found, dict)
        found = found[part]
        found = found[0] if isinstance(found, list) else found
    assert isinstance(found, dict)
    return found


def test_the_control_socket_is_in_the_folder_of_the_store_unless_it_is_named() -> None:
    default = parse(f'{LISTENER}{UPSTREAM}[store]\npath = "state"\n')
    named = parse(f'{LISTENER}{UPSTREAM}[process]\ncontrol = "/run/smtpbridge/control"\n')
    without = parse(f'{LISTENER}{UPSTREAM}[process]\ncontrol = "off"\n')

    assert default.process.control == default.store.path / "control"
    assert named.process.control == Path("/run/smtpbridge/control")
    assert without.process.control is None


def test_a_place_that_no_socket_can_have_is_a_fault() -> None:
    [fault] = faults(f'{LISTENER}{UPSTREAM}[process]\ncontrol = "/run/{"x" * 110}"\n')

    assert "[process] control: is a path of over 107 octets" in fault


@pytest.mark.parametrize(
    ("written", "log"),
    [
        ("", Log()),
        ('format = "json"\nlevel = "debug"', Log(LogFormat.JSON, Level.DEBUG)),
        ('to = "journal"', Log(to=LogTo.JOURNAL)),
        ('to = "/var/log/smtpbridge.log"\nformat = "text"', Log(LogFormat.TEXT, to=Path("/var/log/smtpbridge.log"))),
        ('to = "./log"', Log(to=Path("/nowhere/log"))),
    ],
)
def test_the_log_is_read(written: str, log: Log) -> None:
    assert parse(f"{LISTENER}{UPSTREAM}[log]\n{written}\n").log == log


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('format = "xml"', '[log] format: "xml": write "auto", "text" or "json"'),
        ('level = "loud"', '[log] level: "loud": write "debug", "info", "warn", "error" or "critical"'),
        ('to = "syslog"', '[log] to: "syslog": write "stdout", "journal", or a path with a slash, such as "./syslog"'),
        (
            'to = "journal"\nformat = "json"',
            '[log] format: "json": the journal has a form of its own; leave the key out',
        ),
    ],
)
def test_a_log_that_cannot_be_is_a_fault(written: str, fault: str) -> None:
    assert faults(f"{LISTENER}{UPSTREAM}[log]\n{written}\n") == [fault]
