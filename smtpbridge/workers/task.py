"""
What a worker is told, at its start on its standard input and when the configuration has changed: JSON, because it holds
nothing but texts and numbers.
"""

import json
from dataclasses import asdict, dataclass

from smtpbridge.settings.record import Record


@dataclass(frozen=True, slots=True)
class Task:
    """
    Be worker `number`, from 1, of `workers`, with the configuration that `record` holds, secrets and all.

    `doors` are the endpoints in the order by which the parent counts them; the file may have another one by now.
    """

    number: int
    workers: int
    record: Record
    doors: tuple[str, ...]
    # What its lines look like, a `logbook.Shape`.
    log: str = "text"

    def written(self) -> bytes:
        """Return what `read_task` reads."""
        return json.dumps(asdict(self)).encode()


def read_task(octets: bytes) -> Task:
    """Return what a parent has written."""
    values = json.loads(octets)
    record, doors = Record(**values["record"]), tuple(values["doors"])
    return Task(values["number"], values["workers"], record, doors, values["log"])
