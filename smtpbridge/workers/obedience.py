"""
What a worker does with another configuration: builds what is new, and waits for the word to put it in force.
"""

from collections.abc import Callable
from typing import Any

from smtpbridge.config import load_record
from smtpbridge.relay.service import RelayService
from smtpbridge.renewal import renewal_for
from smtpbridge.settings.changes import in_order
from smtpbridge.settings.values import Config
from smtpbridge.workers.shares import share_of
from smtpbridge.workers.task import Task, read_task


def config_of(task: Task, whole: Config) -> Config:
    """Return a worker's share of what its parent has read, with the listeners in the order of the parent's doors."""
    return share_of(in_order(whole, task.doors), task.number, task.workers)


class Obedience:
    """The configuration that a worker obeys."""

    def __init__(self, relay: RelayService, config: Config, reactor: Any, follow: Callable[[Config], None]) -> None:
        """`relay` obeys `config`, and so does what hears of another one by `follow`."""
        self._follow = follow
        self._relay = relay
        self._config = config
        self._reactor = reactor

    def prepare(self, written: bytes) -> Callable[[], None]:
        """Read a task; return what puts it in force, or raise an error that says why not.  Changes nothing."""
        task = read_task(written)
        config = config_of(task, load_record(task.record))
        renewal = renewal_for(self._relay, self._config, config, self._reactor)

        def put_in_force() -> None:
            self._relay.renew(renewal)
            self._config = config
            self._follow(config)

        return put_in_force
