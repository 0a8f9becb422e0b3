"""What is promised of inlining CSS: the styles are put on, the text keeps its charset, and nothing harmful is begun."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.inline_css import CannotInline, can_inline, has_style, inlined

pytestmark = pytest.mark.skipif(not can_inline(), reason="css-inline is an extra")


def _page(body: str, css: str = "p{color:red}") -> str:
    return f"<html><head><style>{css}</style></head><body>{body}</body></html>"


def test_rules_come_to_stand_on_the_elements_and_the_style_element_stays() -> None:
    html = inlined(_page("<p>x</p>", "p{color:red} @media print{p{color:blue}}").encode(), b"utf-8")

    assert b'<p style="color: red;">x</p>' in html
    assert b"@media print" in html


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252", "koi8-r"])
def test_the_text_stays_in_its_charset(charset: str) -> None:
    word = "Привет" if charset == "koi8-r" else "Grüße"

    html = inlined(_page(f"<p>{word}</p>").encode(charset), charset.encode())

    assert f'<p style="color: red;">{word}</p>' in html.decode(charset)


def test_a_character_that_does_not_fit_the_charset_becomes_a_reference() -> None:
    assert b"&#8364;" in inlined(_page("<p>\xfc&euro;</p>").encode("iso-8859-1"), b"iso-8859-1")


def test_what_was_ascii_stays_ascii() -> None:
    html = inlined(_page("<p>&eacute;</p>").encode(), b"utf-8")

    assert html.isascii()
    assert b"&#233;" in html


def test_a_text_without_a_charset_is_read_as_utf_8() -> None:
    assert '<p style="color: red;">ü' in inlined(_page("<p>ü</p>").encode(), b"").decode()


def test_lines_end_with_crlf() -> None:
    html = inlined(_page("<p>a</p>\r\n<p>b</p>\n<p>c</p>").encode(), b"utf-8")

    assert html.count(b"\n") == html.count(b"\r\n") == html.count(b"\r") == 2


def test_a_style_sheet_in_a_file_is_not_read(tmp_path: Path) -> None:
    sheet = tmp_path / "x.css"
    sheet.write_text("p{color:green}")
    links = f'<link rel="stylesheet" href="{sheet}"><link rel="stylesheet" href="file://{sheet}">'

    html = inlined(f"<html><head>{links}<style>p{{color:red}}</style></head><p>x</p></html>".encode(), b"utf-8")

    assert b"green" not in html
    assert b"color: red" in html


@pytest.mark.parametrize(
    ("html", "charset", "why"),
    [
        (_page("<p>x</p>").encode("utf-16"), b"utf-16", "does not extend ASCII"),
        (_page("<p>ü</p>").encode("iso-8859-1"), b"utf-8", "cannot be read"),
        (_page("<p>x</p>").encode(), b"x-no-such-charset", "cannot be read"),
        (_page("<p>x</p>").encode(), b"base64", "cannot be read"),
        (_page("<p>x</p>").encode(), b"\xff", "cannot be read"),
        (_page("<div>" * 30_000).encode(), b"utf-8", "30,004 tags"),
        (_page("<p></p>" * 3_000, "p{}" * 5_000).encode(), b"utf-8", "5,000 rules"),
        (_page("x" * 2_200_000).encode(), b"utf-8", "larger"),
        (_page("".join(f"<b id=x{n}><p>" for n in range(1_500))).encode(), b"utf-8", "grew"),
    ],
)
def test_what_cannot_be_inlined_says_why(html: bytes, charset: bytes, why: str) -> None:
    with pytest.raises(CannotInline, match=why):
        inlined(html, charset)


def test_the_deepest_nesting_that_is_let_pass_does_no_harm() -> None:
    assert inlined(_page("<table><td>" * 1_990).encode(), b"utf-8")


@given(st.lists(st.sampled_from(["<p>", "</p>", "<style>", "</style>", "p{", "}", "a:b", "<!--", "\0", "<b ", "'"])))
def test_any_pieces_are_inlined_or_refused(pieces: list[str]) -> None:
    try:
        assert inlined("".join(pieces).encode(), b"utf-8").isascii()
    except CannotInline:
        pass


@pytest.mark.parametrize(("html", "there"), [(b"<STYLE type=x>", True), (b"<style>", True), (b"<styled>", False)])
def test_a_text_with_css_is_told_by_its_style_element(html: bytes, there: bool) -> None:
    assert has_style(html) is there
