"""
Read the configuration: TOML in, frozen values out, or all faults at once.

Theory of operation
-------------------

`load` reads the file, `loads` takes its text; both parse it with `tomllib`, open
one `Table` for each of its tables and let the readers in `settings` turn them
into values.  The readers collect faults instead of stopping, so an operator
mends a file in one go; only a text that is no TOML ends the reading at once.

Files and the environment are read here and in `machine`, and nowhere below: the readers ask for
both through `Surroundings`.  Variables that set keys (`settings.overlay`) are
laid over the file before.  Secrets are wrapped as they are read.

Some keys belong to features that this version lacks.  Where ignoring one would
break a promise it is a fault; else it is read, checked and told in `notes`.
"""

import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.machine import Machine, SameMachine
from smtpbridge.settings import checks
from smtpbridge.settings.admin import read_admin
from smtpbridge.settings.control import read_control
from smtpbridge.settings.credential import note_credentials, read_credential, read_logins
from smtpbridge.settings.events import read_events, reporting
from smtpbridge.settings.listener import read_listener
from smtpbridge.settings.log import read_log
from smtpbridge.settings.overlay import lay_over, settings_of
from smtpbridge.settings.place import DEFAULT_PATH
from smtpbridge.settings.queue import read_bounces, read_queue
from smtpbridge.settings.record import Record, Recorded, Recording
from smtpbridge.settings.store import read_store
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
    "loads",
    "reread",
]

# Each worker costs some 60 MB; more than this is a slip of the pen.
_MOST_WORKERS = 256
# A sign of life comes every second, and a busy machine may be late with it.
_LEAST_STUCK_SECONDS = 3
_KEY_OCTETS = 32


class ConfigError(SmtpbridgeError):
    """The configuration cannot be used; `faults` holds one sentence for each reason."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load(path: str | Path, environ: Mapping[str, str]) -> Config:
    """Read the file at `path`; raise `ConfigError` with everything that is wrong with it."""
    return load_recorded(path, environ)[0]


def load_recorded(path: str | Path, environ: Mapping[str, str], before: Record | None = None) -> tuple[Config, Record]:
    """
    As `load`, and return what the configuration was read from; the record holds secrets.

    With the record of an earlier reading, secrets that are the same have the same hash.
    """
    path = Path(path).absolute()
    settings = settings_of(environ)
    key = before.key if before else secrets.token_hex(_KEY_OCTETS)
    record = Record(_text_of(path, settings), str(path.parent), key, settings)
    return _read_all(record, Recording(record, Machine(path.parent, environ))), record


def load_record(record: Record) -> Config:
    """Read a configuration once more from what it was read from the first time.  Raises as `load` does."""
    return _read_all(record, Recorded(record))


def reread(record: Record, environ: Mapping[str, str]) -> tuple[Config, Record]:
    """Read the same text and variables, with what is now in the files that it names.  Raises as `load` does."""
    fresh = Record(record.text, record.base, record.key, record.settings)
    return _read_all(fresh, Recording(fresh, SameMachine(record, environ))), fresh


def loads(text: str, *, base: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration from its text; relative paths in it begin at `base`.  Raises as `load` does."""
    record = Record(text, str(base), secrets.token_hex(_KEY_OCTETS), settings_of(environ))
    return _read_all(record, Machine(base, environ))


def _read_all(record: Record, around: Surroundings) -> Config:
    values = _values_of(record.text)
    faults = lay_over(values, record.settings)
    if record.settings:
        around.notes.append(f"from the environment, before what the file says: {', '.join(record.settings)}")
    config = _read(Table(values, "", faults), around, bytes.fromhex(record.key))
    if faults:
        raise ConfigError(tuple(faults))
    return config


def top_of(path: Path, environ: Mapping[str, str], faults: list[str]) -> Table:
    """Return the whole file as a table, with what the environment sets laid over it, for whoever reads a part."""
    settings = settings_of(environ)
    values = _values_of(_text_of(path, settings))
    faults += lay_over(values, settings)
    return Table(values, "", faults)


def _text_of(path: Path, settings: Mapping[str, str]) -> str:
    """Return the text of the file, none where there is none and the environment has `settings` to stand in for it."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        if settings and isinstance(error, FileNotFoundError):
            return ""
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


def _read(top: Table, around: Surroundings, key: bytes) -> Config:
    hostname = _read_hostname(top, around)
    ip_pools = top.table("ip_pools")
    pools = ip_pools.names()
    credentials = top.tables("credential")
    listeners = _read_listeners(top, around, credentials=bool(credentials), pools=pools)
    senders = tuple(found for one in credentials if (found := read_credential(one, around, pools, key)))
    note_credentials(senders, around)
    logins = read_logins(top.table("logins"))
    upstreams = _read_upstreams(top, around)
    names = tuple(one.name for one in upstreams)
    translation = top.table("translation")
    policy = read_policy(translation, ip_pools, top.table("subaccounts"), names)
    events = read_events(top, around, listeners)
    policy = reporting(translation, policy, events)
    store = read_store(top.table("store"), around)
    queue = read_queue(top.table("queue"))
    bounces = read_bounces(top, around, names)
    process = _read_process(top.table("process"), store, around)
    admin = read_admin(top, listeners, around)
    log = read_log(top.table("log"), around)
    top.close()
    notes = tuple(around.notes)
    return Config(
        hostname,
        listeners,
        senders,
        upstreams,
        store,
        policy,
        process,
        queue,
        bounces,
        admin,
        logins,
        log,
        notes,
        events,
    )


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


def _read_process(table: Table, store: Store, around: Surroundings) -> Process:
    default = Process()
    workers = table.whole("workers", default.workers, most=_MOST_WORKERS, words={"auto": min(_cores(), _MOST_WORKERS)})
    stuck = table.seconds("stuck_seconds", default.stuck_seconds)
    memory = table.whole("max_body_memory_bytes", default.max_body_memory_bytes, least=1_048_576)
    temporary = table.whole("max_temporary_bytes", default.max_temporary_bytes, least=67_108_864)
    folder = _read_temporary_folder(table, around)
    control = read_control(table, store.path, around)
    table.close()
    if stuck < _LEAST_STUCK_SECONDS:
        table.fault("stuck_seconds", f"{stuck:g}: write a number of seconds of at least {_LEAST_STUCK_SECONDS}")
    return Process(workers, memory, temporary, folder, stuck, control)


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
