"""
What a worker is told at its start, on its standard input: JSON, because it holds nothing but texts and numbers.
"""

import json
from dataclasses import asdict, dataclass

from smtpbridge.settings.record import Record


@dataclass(frozen=True, slots=True)
class Task:
    """Be worker `number`, from 1, of `workers`, with the configuration that `record` holds, secrets and all."""

    number: int
    workers: int
    record: Record

    def written(self) -> bytes:
        """Return what `read_task` reads."""
        return json.dumps(asdict(self)).encode()


def read_task(octets: bytes) -> Task:
    """Return what a parent has written."""
    values = json.loads(octets)
    return Task(values["number"], values["workers"], Record(**values["record"]))
