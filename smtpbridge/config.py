"""
Read the configuration: TOML in, frozen values out, or all faults at once.

Theory of operation
-------------------

`load` reads the file, `loads` takes its text; both parse it with `tomllib`, open
one `Table` for each of its tables and let the readers in `settings` turn them
into values.  The readers collect faults instead of stopping, so an operator
mends a file in one go; only a text that is no TOML ends the reading at once.

Files and the environment are read here and nowhere below: the readers ask for
both through `Surroundings`.  Secrets are wrapped as they are read.

Some keys belong to features that this version lacks.  Where ignoring one would
break a promise it is a fault; else it is read, checked and told in `notes`.
"""

import os
import secrets
import socket
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.settings import checks
from smtpbridge.settings.admin import read_admin
from smtpbridge.settings.credential import note_credentials, read_credential, read_logins
from smtpbridge.settings.listener import read_listener
from smtpbridge.settings.queue import read_bounces, read_queue
from smtpbridge.settings.record import Record, Recorded, Recording
from smtpbridge.settings.surroundings import Surroundings
from smtpbridge.settings.text import describe
from smtpbridge.settings.translation import read_policy
from smtpbridge.settings.upstream import password_variable, read_upstream
from smtpbridge.settings.values import Config, Listener, Process, Store, Upstream
from smtpbridge.toml_table import Table

__all__ = [
    "DEFAULT_PATH",
    "Config",
    "ConfigError",
    "describe",
    "load",
    "load_record",
    "load_recorded",
    "load_store",
    "loads",
]

# Each worker costs some 60 MB; more than this is a slip of the pen.
_MOST_WORKERS = 256
# A sign of life comes every second, and a busy machine may be late with it.
_LEAST_STUCK_SECONDS = 3

# Where the commands look when they are not told.
DEFAULT_PATH = "/etc/smtpbridge/smtpbridge.toml"


class ConfigError(SmtpbridgeError):
    """The configuration cannot be used; `faults` holds one sentence for each reason."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load(path: str | Path, environ: Mapping[str, str]) -> Config:
    """Read the file at `path`; raise `ConfigError` with everything that is wrong with it."""
    return load_recorded(path, environ)[0]


def load_recorded(path: str | Path, environ: Mapping[str, str]) -> tuple[Config, Record]:
    """As `load`, and return what the configuration was read from; the record holds secrets."""
    path = Path(path).absolute()
    record = Record(_text_of(path), str(path.parent))
    return _read_all(record.text, Recording(record, _Machine(path.parent, environ))), record


def load_record(record: Record) -> Config:
    """Read a configuration once more from what it was read from the first time.  Raises as `load` does."""
    return _read_all(record.text, Recorded(record))


def loads(text: str, *, base: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration from its text; relative paths in it begin at `base`.  Raises as `load` does."""
    return _read_all(text, _Machine(base, environ))


def _read_all(text: str, around: Surroundings) -> Config:
    faults: list[str] = []
    config = _read(Table(_values_of(text), "", faults), around)
    if faults:
        raise ConfigError(tuple(faults))
    return config


def load_store(path: str | Path, environ: Mapping[str, str]) -> Store:
    """
    Read `[store]` alone; raise `ConfigError` for what is wrong with it.

    Who looks after the store need not be able to read the secrets that the rest names, such as a systemd credential.
    """
    path = Path(path).absolute()
    faults: list[str] = []
    store = _read_store(Table(_values_of(_text_of(path)), "", faults).table("store"), _Machine(path.parent, environ))
    if faults:
        raise ConfigError(tuple(faults))
    return store


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read ({(error.strerror or str(error)).lower()})",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{path}: is not UTF-8 at octet {error.start}",)) from error


def _values_of(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # A `TOMLDecodeError` ends in "(at line 3, column 7)"; the others are a number of thousands of digits and
        # brackets nested as deep.
        raise ConfigError((f"not TOML: {error}",)) from error


class _Machine:
    """`Surroundings` over real files and the environment that was handed in."""

    def __init__(self, base: Path, environ: Mapping[str, str]) -> None:
        self.notes: list[str] = []
        self._base = base
        self._environ = environ

    def path(self, text: str) -> Path:
        return self._base / text

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def open_to_all(self, path: Path) -> bool:
        return bool(os.stat(path).st_mode & stat.S_IROTH)

    def is_folder(self, path: Path) -> bool:
        return path.is_dir()

    def variable(self, name: str) -> str | None:
        return self._environ.get(name)

    def hostname(self) -> str:
        return own_name(socket.gethostname(), socket.getfqdn)


def own_name(name: str, ask: Callable[[], str]) -> str:
    """
    Return what a machine that goes by `name` calls itself; `ask` the resolver for its full name.

    The resolver, which may be slow or absent, is asked only where a short name is all there is.  What it says is not
    taken where it is the name that every machine has for itself.
    """
    if "." in name:
        return name
    full = ask()
    return name if full.partition(".")[0].lower() == "localhost" else full


def _read(top: Table, around: Surroundings) -> Config:
    hostname = _read_hostname(top, around)
    ip_pools = top.table("ip_pools")
    pools = ip_pools.names()
    credentials = top.tables("credential")
    listeners = _read_listeners(top, around, credentials=bool(credentials), pools=pools)
    key = secrets.token_bytes(32)
    senders = tuple(found for one in credentials if (found := read_credential(one, around, pools, key)))
    note_credentials(senders, around)
    logins = read_logins(top.table("logins"))
    upstreams = _read_upstreams(top, around)
    names = tuple(one.name for one in upstreams)
    policy = read_policy(top.table("translation"), ip_pools, top.table("subaccounts"), names)
    store = _read_store(top.table("store"), around)
    queue = read_queue(top.table("queue"))
    bounces = read_bounces(top, around, names)
    process = _read_process(top.table("process"), around)
    admin = read_admin(top, listeners)
    top.close()
    notes = tuple(around.notes)
    return Config(hostname, listeners, senders, upstreams, store, policy, process, queue, bounces, admin, logins, notes)


def _read_hostname(top: Table, around: Surroundings) -> str:
    name = top.text("hostname", check=checks.host_name)
    if not top.has("hostname"):
        name = around.hostname()
        if wrong := checks.host_name(name):
            top.fault("hostname", f'the machine calls itself "{name}", which {wrong}')
    # The colon is that of an IPv6 address.
    if "." not in name and ":" not in name:
        around.notes.append(
            f'hostname: "{name}" is not a full name; Infobip and recipients see it in Received and Message-ID; '
            'write hostname = "bridge.example.com"'
        )
    return name


def _read_listeners(
    top: Table, around: Surroundings, *, credentials: bool, pools: tuple[str, ...]
) -> tuple[Listener, ...]:
    tables = top.tables("listener")
    if not top.has("listener"):
        top.fault("[[listener]]", 'is missing; write one with endpoint = "tcp:2525:interface=127.0.0.1"')
    listeners: list[Listener] = []
    taken: set[str] = set()
    for table in tables:
        listener = read_listener(table, around, credentials=credentials, pools=pools)
        if listener.endpoint in taken:
            table.fault("endpoint", f'"{listener.endpoint}" is taken by an earlier [[listener]]; write another port')
        if listener.endpoint and not listener.address.any_port:
            taken.add(listener.endpoint)
        listeners.append(listener)
    return tuple(listeners)


def _read_upstreams(top: Table, around: Surroundings) -> tuple[Upstream, ...]:
    table = top.table("upstream")
    if not table.names():
        top.fault("[upstream.main]", 'is missing; write it with region = "europe" and password_file')
    variables: dict[str, str] = {}
    upstreams: list[Upstream] = []
    for name in table.names():
        own = table.table(name)
        variable = password_variable(name)
        # One variable for two accounts would hand one account's password to the other's host.
        if variable in variables and not own.has("password_file"):
            own.fault("name", f'shares ${variable} with "{variables[variable]}"; name it otherwise')
        variables[variable] = name
        upstreams.append(read_upstream(name, own, around))
    return tuple(upstreams)


def _read_store(table: Table, around: Surroundings) -> Store:
    written = table.text("path")
    table.close()
    if written:
        return Store(around.path(written))
    # systemd sets it for a unit with StateDirectory=; several folders are joined by colons.
    state = around.variable("STATE_DIRECTORY")
    return Store(Path(state.split(":")[0])) if state else Store()


def _read_process(table: Table, around: Surroundings) -> Process:
    default = Process()
    workers = table.whole("workers", default.workers, most=_MOST_WORKERS, words={"auto": min(_cores(), _MOST_WORKERS)})
    stuck = table.seconds("stuck_seconds", default.stuck_seconds)
    memory = table.whole("max_body_memory_bytes", default.max_body_memory_bytes, least=1_048_576)
    temporary = table.whole("max_temporary_bytes", default.max_temporary_bytes, least=67_108_864)
    folder = _read_temporary_folder(table, around)
    table.close()
    if stuck < _LEAST_STUCK_SECONDS:
        table.fault("stuck_seconds", f"{stuck:g}: write a number of seconds of at least {_LEAST_STUCK_SECONDS}")
    return Process(workers, memory, temporary, folder, stuck)


def _cores() -> int:
    """Return how many processors this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_temporary_folder(table: Table, around: Surroundings) -> Path | None:
    text = table.text("temporary_folder")
    if not text:
        return None
    folder = around.path(text)
    if not around.is_folder(folder):
        table.fault("temporary_folder", f'"{folder}" is no folder; make it, for the daemon\'s user alone')
    return folder
