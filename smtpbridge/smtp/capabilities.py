"""What a server offers in its answer to EHLO (RFC 5321, 4.1.1.1).  Read anew on each connection, after TLS."""

from dataclasses import dataclass

from smtpbridge.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The extensions that matter here; `size` is `None` when SIZE is not offered, 0 when it names no limit."""

    starttls: bool = False
    pipelining: bool = False
    eight_bit: bool = False
    size: int | None = None
    mechanisms: frozenset[str] = frozenset()

    @classmethod
    def read(cls, answer: Reply) -> "Capabilities":
        """Read the keywords of the lines behind the first; unknown ones and odd values are passed over."""
        words = [line.upper().split() for line in answer.lines[1:]]
        keywords = {word[0]: word[1:] for word in words if word}
        mechanisms = {name for word in words if word and word[0] == "AUTH" for name in word[1:]}
        # The spelling from before RFC 2554, on a line of its own.
        legacy = [line.upper()[5:].split() for line in answer.lines[1:] if line.upper().startswith("AUTH=")]
        size = keywords.get("SIZE")
        return cls(
            starttls="STARTTLS" in keywords,
            pipelining="PIPELINING" in keywords,
            eight_bit="8BITMIME" in keywords,
            size=None if size is None else int(size[0]) if size and _is_number(size[0]) else 0,
            mechanisms=frozenset(mechanisms.union(*legacy)),
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


NOTHING = Capabilities()
