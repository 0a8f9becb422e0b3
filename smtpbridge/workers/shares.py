"""
What of a configuration is one worker's share.

Bounds that protect the machine or the provider are meant for the whole, so they are divided; a rest goes
to the first workers, one each.  Nobody gets less than one, so a bound smaller than the
number of workers becomes larger by this: `notes_on` tells the operator.
"""

from collections.abc import Iterator
from dataclasses import replace

from smtpbridge.settings.values import Config


def share_of(config: Config, number: int, workers: int) -> Config:
    """Return what worker `number`, from 1, of so many obeys; the notes are the parent's to tell."""

    def part(whole: int) -> int:
        return max(1, whole // workers + (number <= whole % workers))

    return replace(
        config,
        listeners=tuple(replace(one, max_sessions=part(one.max_sessions)) for one in config.listeners),
        upstreams=tuple(
            replace(one, max_connections=part(one.max_connections), max_waiters=part(one.max_waiters))
            for one in config.upstreams
        ),
        process=replace(
            config.process,
            max_body_memory_bytes=part(config.process.max_body_memory_bytes),
            max_temporary_bytes=part(config.process.max_temporary_bytes),
        ),
        notes=(),
    )


def notes_on(config: Config, workers: int) -> tuple[str, ...]:
    """Return a sentence for every bound that cannot be divided among so many."""
    return tuple(
        f"{place} {key}: {bound} is less than the {workers} workers; each has 1, which makes {workers}"
        for place, key, bound in _divided(config)
        if bound < workers
    )


def _divided(config: Config) -> Iterator[tuple[str, str, int]]:
    for listener in config.listeners:
        yield f"[[listener]] {listener.endpoint}", "max_sessions", listener.max_sessions
    for upstream in config.upstreams:
        yield f"[upstream.{upstream.name}]", "max_connections", upstream.max_connections
        yield f"[upstream.{upstream.name}]", "max_waiters", upstream.max_waiters
