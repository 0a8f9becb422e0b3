"""
Single tables of the configuration, for commands that look after a daemon and may not be able to read its secrets.

A file with faults elsewhere serves as well: what is not asked for is not read.
"""

from collections.abc import Mapping
from pathlib import Path

from smtpbridge.config import ConfigError, top_of
from smtpbridge.machine import Machine
from smtpbridge.settings.admin import read_admin, read_admin_place
from smtpbridge.settings.control import read_control
from smtpbridge.settings.store import read_store
from smtpbridge.settings.values import Admin, Store


def load_store(path: str | Path, environ: Mapping[str, str]) -> Store:
    """
    Read `[store]` alone; raise `ConfigError` for what is wrong with it.

    Who looks after the store need not be able to read the secrets that the rest names, such as a systemd credential.
    """
    path = Path(path).absolute()
    faults: list[str] = []
    store = read_store(top_of(path, environ, faults).table("store"), Machine(path.parent, environ))
    if faults:
        raise ConfigError(tuple(faults))
    return store


def load_control(path: str | Path, environ: Mapping[str, str]) -> Path | None:
    """
    Read only where the control socket is, `None` where there is to be none; raise `ConfigError` for its faults.

    As with `load_store`, whoever asks the daemon needs no right to read secrets.
    """
    path = Path(path).absolute()
    faults: list[str] = []
    top, around = top_of(path, environ, faults), Machine(path.parent, environ)
    found = read_control(top.table("process"), read_store(top.table("store"), around).path, around)
    if faults:
        raise ConfigError(tuple(faults))
    return found


def load_admin(path: str | Path, environ: Mapping[str, str]) -> Admin | None:
    """As `load_store`, for `[admin]` with its token."""
    path = Path(path).absolute()
    faults: list[str] = []
    admin = read_admin(top_of(path, environ, faults), (), Machine(path.parent, environ))
    if faults:
        raise ConfigError(tuple(faults))
    return admin


def load_admin_place(path: str | Path, environ: Mapping[str, str]) -> Admin | None:
    """As `load_store`, for where `[admin]` is: who asks how the daemon is need not be able to read its token either."""
    faults: list[str] = []
    admin = read_admin_place(top_of(Path(path).absolute(), environ, faults))
    if faults:
        raise ConfigError(tuple(faults))
    return admin
