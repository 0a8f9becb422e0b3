"""A body that the store keeps, as an attempt wants it."""

from dataclasses import dataclass

from smtpbridge.store.interface import BodyReader


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body that the store keeps, as an attempt wants it."""

    reader: BodyReader

    @property
    def body_size(self) -> int:
        """All its octets."""
        return self.reader.size

    @property
    def in_memory(self) -> bytes | None:
        """The body, where it is in memory."""
        return self.reader.in_memory

    def read(self, at: int) -> bytes:
        """Return up to 64 KiB from that position on."""
        return self.reader.read(at)

    def is_ascii(self) -> bool:
        """Tell whether all of it is 7-bit."""
        at = 0
        while chunk := self.read(at):
            if not chunk.isascii():
                return False
            at += len(chunk)
        return True

    def close(self) -> None:
        """Give the file back."""
        self.reader.close()
