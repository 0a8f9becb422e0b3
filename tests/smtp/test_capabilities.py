"""What is promised of a server's capabilities: read from any sane spelling, and unmoved by an insane one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.capabilities import NOTHING, Capabilities
from smtpbridge.smtp.replies import Reply


def read(*lines: str) -> Capabilities:
    return Capabilities.read(Reply(250, "", ("mail.example.com", *lines)))


def test_what_is_offered_is_read() -> None:
    assert read("PIPELINING", "SIZE 20971520", "8BITMIME", "STARTTLS", "AUTH LOGIN PLAIN", "HELP") == Capabilities(
        starttls=True, pipelining=True, eight_bit=True, size=20_971_520, mechanisms=frozenset({"LOGIN", "PLAIN"})
    )


def test_names_are_read_in_any_case() -> None:
    assert read("pipelining", "Size 5", "Auth plain").mechanisms == {"PLAIN"}
    assert read("pipelining", "Size 5") == Capabilities(pipelining=True, size=5)


def test_the_first_line_names_the_server_and_offers_nothing() -> None:
    assert Capabilities.read(Reply(250, "", ("STARTTLS",))) == NOTHING
    assert Capabilities.read(Reply(250, "", ())) == NOTHING


@pytest.mark.parametrize(
    ("lines", "mechanisms"),
    [
        (("AUTH LOGIN PLAIN", "AUTH=LOGIN PLAIN"), {"LOGIN", "PLAIN"}),
        (("AUTH=LOGIN PLAIN",), {"LOGIN", "PLAIN"}),
        (("AUTH CRAM-MD5", "AUTH PLAIN"), {"CRAM-MD5", "PLAIN"}),
        (("AUTH",), set()),
        (("AUTHX PLAIN",), set()),
    ],
)
def test_mechanisms_are_read_from_both_spellings_and_several_lines(
    lines: tuple[str, ...], mechanisms: set[str]
) -> None:
    assert read(*lines).mechanisms == mechanisms


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("SIZE", 0),
        ("SIZE 0", 0),
        ("SIZE 10", 10),
        ("SIZE ten", 0),
        ("SIZE -1", 0),
        ("SIZE ²", 0),
        ("SIZE " + "9" * 21, 0),
    ],
)
def test_a_size_that_is_no_number_is_no_limit(line: str, size: int) -> None:
    assert read(line).size == size
    assert read("SIZES 10").size is None


@given(st.lists(st.text(max_size=20) | st.sampled_from(["AUTH", "AUTH=", "SIZE", " ", "STARTTLS x"]), max_size=5))
def test_any_lines_are_read(lines: list[str]) -> None:
    found = read(*lines)

    assert found.size is None or found.size >= 0
