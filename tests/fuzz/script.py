"""
Decisions taken from the input itself, so that one octet string is a whole story and stays readable.

The first line of an input is its script: each decision takes the next digit of
it, and the script begins anew when it is used up.  What follows the line is what
the peer sends, cut where the script says.
"""

from collections.abc import Iterator

# How long the pieces are that a digit asks for; 0 is everything at once, 1 is a line at a time.
_LENGTHS = (0, 0, 1, 2, 3, 5, 8, 13, 64, 500)


class Script:
    """An endless row of decisions."""

    def __init__(self, digits: bytes) -> None:
        """Begin with the first digit; no digits are a row of zeros."""
        self._digits = digits or b"0"
        self._at = 0

    def choose(self, ways: int) -> int:
        """Return a number below `ways`."""
        digit = self._digits[self._at % len(self._digits)]
        self._at += 1
        return (digit - ord("0")) % ways

    def fork(self) -> "Script":
        """Return a script that goes on from here by itself."""
        fork = Script(self._digits)
        fork._at = self._at
        return fork

    def yes(self) -> bool:
        """Decide between two ways."""
        return self.choose(2) == 1

    def cut(self, octets: bytes) -> Iterator[bytes]:
        """Yield `octets` in pieces, all cut by the one digit that is taken here."""
        way = self.choose(len(_LENGTHS))
        if way == 1:
            yield from octets.splitlines(keepends=True)
            return
        length = _LENGTHS[way] or len(octets) or 1
        for at in range(0, len(octets), length):
            yield octets[at : at + length]


def read_script(octets: bytes) -> tuple[Script, bytes]:
    """Return the script on the first line of an input, and what stands below it."""
    digits, _, rest = octets.partition(b"\n")
    return Script(digits.strip()), rest
