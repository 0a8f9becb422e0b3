"""
A number of JSON that stays as it was written.

In a module of its own because a subclass of `str` cannot be compiled (see `docs/compiled.md`).
"""


class Number(str):
    """A JSON number as the sender spelled it, for instance `1e400`."""

    __slots__ = ()
