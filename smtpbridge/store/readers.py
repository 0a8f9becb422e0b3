"""Connections that only read.  They see what was committed when they ask, and never wait for the writer."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from smtpbridge.store.database import Connection, Database
from smtpbridge.store.errors import StoreClosed, store_error


class Readers:
    """Connections that only read; one that failed, or whose database was replaced, is not used again."""

    def __init__(self, database: Database) -> None:
        """Open connections to `database` as they are needed."""
        self._database = database
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[Connection]:
        """Lend a connection to the block; whatever fails is a `StoreError`."""
        connection = None
        try:
            connection = self._take()
            yield connection
        except (sqlite3.Error, OSError) as error:
            if connection is not None:
                connection.close()
            raise store_error("the store cannot be read", error) from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle, and what is lent when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Connection:
        if self._closed:
            raise StoreClosed("the store is closed")
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.is_current():
                return connection
            connection.close()
        connection = self._database.connect()
        connection.execute("PRAGMA query_only = ON")
        return connection
