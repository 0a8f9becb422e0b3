"""RFC 2047 both ways: arbitrary values, our own writing, and what the writers of the standard library make."""

from email import base64mime, quoprimime

from smtpbridge.mail.words import NotUtf8, decode, decode_text, encode, encoded_words, without_words

_LONGEST_WITH_WORD, _LONGEST = 76, 998


def run(octets: bytes) -> None:
    """Decode `octets`, then write them as text and decode that."""
    _decode(octets)
    text = octets.decode("utf-8", "replace")
    assert decode_text(text) == decode(text.encode())
    _write(text)
    _read_others(text)


def _decode(octets: bytes) -> None:
    without = without_words(octets)
    assert len(without) <= len(octets)
    try:
        text = decode(octets)
    except NotUtf8 as error:
        assert 0 <= error.offset < len(octets)
        try:
            octets.decode()
        except UnicodeDecodeError:
            return
        raise AssertionError("not UTF-8, says `decode`, and Python disagrees") from error
    if b"=?" not in octets:
        assert text == octets.decode()
    # A character costs at least an octet, but for charsets that write a letter and its mark as one.
    assert len(text) <= 2 * len(octets)


def _write(text: str) -> None:
    for column in (0, 16, 60, 75, 200):
        written = encode(text, column=column)
        assert written.isascii()
        first, *others = written.split(b"\r\n")
        assert b"\r" not in first
        assert b"\n" not in first
        assert all(line[:1] == b" " and len(line) <= _LONGEST_WITH_WORD for line in others)
        assert column + len(first) <= (_LONGEST_WITH_WORD if b"=?" in first else _LONGEST)
        # Where the first word found no room, the fold before it is a blank of the field and not of the text.
        assert decode(written.removeprefix(b"\r\n ").replace(b"\r\n", b"")) == text
    for word in encoded_words(text):
        assert len(word) <= 75
        decode(word).encode()


def _read_others(text: str) -> None:
    octets = text.encode()
    if octets:
        for word in (
            quoprimime.header_encode(octets, "utf-8"),
            base64mime.header_encode(octets, "utf-8"),
        ):
            if "?" not in word[10:-2]:
                assert decode(b"{" + word.encode() + b"}") == "{" + text + "}"
