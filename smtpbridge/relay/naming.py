"""
Name recipients in the log: all of them, in as many lines as it takes.
"""

from collections.abc import Sequence

# In characters: what a field of a log line holds (`ops.log_text`).
_FIELD = 1000


def listed(addresses: Sequence[str]) -> str:
    """Return addresses as one text."""
    return " ".join(f"<{address}>" for address in addresses)


def in_groups(addresses: Sequence[str]) -> list[str]:
    """List addresses for as many lines as it takes, so that nobody is cut off."""
    groups: list[list[str]] = []
    room = 0
    for address in addresses:
        room -= len(address) + 3
        if room < 0:
            groups.append([])
            room = _FIELD - len(address) - 3
        groups[-1].append(address)
    return [listed(group) for group in groups]
