"""
Random octets, fetched many at a time: each message wants a few, and to ask the kernel costs more than to make them.

What was given out is never given again, and nothing of it is kept.
"""

from collections.abc import Callable

_MOST = 4096


class Chance:
    """Give out random octets; `source` makes so many of them (`os.urandom`)."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        """Ask nothing yet."""
        self._source = source
        self._octets = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        """Return `count` octets."""
        end = self._at + count
        if end > len(self._octets):
            if count > _MOST:
                return self._source(count)
            self._octets, self._at, end = self._source(_MOST), 0, count
        octets = self._octets[self._at : end]
        self._at = end
        return octets
