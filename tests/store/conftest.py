"""A store for each test, closed at its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpbridge.store.sqlite import SqliteStore
from tests.store.samples import opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that does not exist yet."""
    return tmp_path / "state"


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    """Return an empty store."""
    made = opened(folder)
    yield made
    made.close()
