"""
A terminal that is drawn over and over, and given back as it was.

It has a screen of its own (what was there before comes back), no cursor, and hears keys one by one.
Whatever ends the block, an exception or a signal, the terminal is restored.
"""

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from types import FrameType
from typing import Any, Self

_OPEN, _CLOSE = "\033[?1049h\033[?25l", "\033[?25h\033[?1049l"
_HOME, _TO_END_OF_LINE, _TO_END_OF_SCREEN = "\033[H", "\033[K", "\033[J"


class Screen:
    """The terminal at standard input and output."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._input = sys.stdin.fileno()
        self._before: list[Any] = []
        self._handlers: dict[signal.Signals, Any] = {}
        # A signal ends the wait for a key, so that a picture fits a new size.  The interpreter itself writes there: a
        # handler in Python would not be called for a signal that comes just before the wait begins.
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._woke_before = -1

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._input)
        self._handlers = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, self._resized),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._terminated),
        }
        self._woke_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        tty.setcbreak(self._input)
        self._write(_OPEN)
        return self

    def __exit__(self, *_: object) -> None:
        self._write(_CLOSE)
        termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woke_before)
        os.close(self._woken)
        os.close(self._wake)

    @property
    def size(self) -> os.terminal_size:
        """Return the columns and lines that there are now."""
        return shutil.get_terminal_size()

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines and nothing else; those that do not fit are left out."""
        shown = lines[: self.size.lines]
        # The last line has no end: that would push the first one out.
        self._write(_HOME + f"{_TO_END_OF_LINE}\r\n".join(shown) + _TO_END_OF_LINE + _TO_END_OF_SCREEN)

    def key(self, seconds: float) -> str:
        """Return the key that was pressed within so many seconds; empty where none was, or the size changed."""
        ready, _, _ = select.select([self._input, self._woken], [], [], seconds)
        if self._woken in ready:
            os.read(self._woken, 64)
        if self._input not in ready:
            return ""
        # An end of the input is the end of whoever looked.
        return os.read(self._input, 1).decode("latin-1") or "q"

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        """The wait for a key is over by now; that is all there is to it."""

    def _terminated(self, _number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
