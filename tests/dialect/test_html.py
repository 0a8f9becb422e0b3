"""What is promised of links: SparkPost's marks go, Infobip's opt-out comes, all else stays octet for octet."""

from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.html import Mark, short_lines, tracked_links, unmarked_html, unmarked_text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'<a href="x" data-msys-clicktrack="0">', b'<a href="x" clicktracking=off>'),
        (b"<A DATA-MSYS-CLICKTRACK=0 HREF=x>", b"<A clicktracking=off HREF=x>"),
        (b"<a\r\n\tdata-msys-clicktrack = '0'\r\n\thref=x>", b"<a clicktracking=off\r\n\thref=x>"),
        (b'<a data-msys-clicktrack="0"href="x">', b'<a clicktracking=off href="x">'),
        (b'<a href="x" data-msys-clicktrack="0"/>', b'<a href="x" clicktracking=off />'),
        (b'<a href="a>b" data-msys-clicktrack="0">', b'<a href="a>b" clicktracking=off>'),
        (b'<area data-msys-clicktrack="0">', b"<area clicktracking=off>"),
        (b'<a data-msys-clicktrack="1" href="x">', b'<a href="x">'),
        (b'<a data-msys-clicktrack="0" clicktracking=off>', b"<a clicktracking=off>"),
        (b'<a data-msys-clicktrack="0" data-msys-clicktrack="0">', b"<a clicktracking=off>"),
        (b'<td data-msys-clicktrack="0" width=3>', b"<td width=3>"),
        (b'<a data-msys-unsubscribe="1" href="x">', b'<a href="x">'),
        (b'<a data-msys-linkname="a > b" href="x">', b'<a href="x">'),
        (b"<a data-msys-linkname>", b"<a>"),
        (b'<a data-msys-sublink="s" href="x">', b'<a href="x">'),
        (b'<!--[if mso]><a data-msys-clicktrack="0"><![endif]-->', b"<!--[if mso]><a clicktracking=off><![endif]-->"),
        (b'<a title="data-msys-clicktrack=0" href=x>', b'<a title="data-msys-clicktrack=0" href=x>'),
        (b'data-msys-clicktrack="0"', b'data-msys-clicktrack="0"'),
        (b'<a data-msys-clicktrack="0"', b'<a data-msys-clicktrack="0"'),
        (b'a < b "<a data-msys-linkname=n>"', b'a < b "<a>"'),
        (b"<p it's><a data-msys-linkname=n title=it's>", b"<p it's><a title=it's>"),
    ],
)
def test_the_attributes_of_links_are_rewritten(before: bytes, after: bytes) -> None:
    assert unmarked_html(before).octets == after


def test_marks_are_counted_by_what_they_ask_for() -> None:
    html = (
        b'<a data-msys-clicktrack="0" data-msys-linkname="n"><a data-msys-unsubscribe="1"><a data-msys-clicktrack="1">'
        b"<a data-msys-sublink=s>"
    )

    assert unmarked_html(html).marks == Counter({Mark.UNTRACKED: 1, Mark.NAME: 1, Mark.UNSUBSCRIBE: 1, Mark.OTHER: 1})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'See http://x.example/[[data-msys-clicktrack="0"]].\r\n', b"See http://x.example/.\r\n"),
        (b'http://x.example/[[DATA-MSYS-unsubscribe="1"]]\r\n', b"http://x.example/\r\n"),
        (b'[[data-msys-linkname="a"]][[ data-msys-clicktrack="0" ]]', b""),
        (b"[[data-msys-clicktrack=\r\n0]]", b""),
        (b"[[data-other]] [data-msys-clicktrack] [[data-msys-", b"[[data-other]] [data-msys-clicktrack] [[data-msys-"),
    ],
)
def test_markers_are_taken_out_of_text(before: bytes, after: bytes) -> None:
    assert unmarked_text(before).octets == after


def test_markers_are_counted_by_what_they_ask_for() -> None:
    text = b'a[[data-msys-unsubscribe="1"]] b[[data-msys-clicktrack="0"]] c[[data-msys-clicktrack="0"]]'

    assert unmarked_text(text).marks == Counter({Mark.UNSUBSCRIBE: 1, Mark.UNTRACKED: 2})


@pytest.mark.parametrize(
    ("html", "links"),
    [
        (b'<a href="http://x"><A\r\nHREF = https://x><a title=">" href=\' HTTPS://x\'>', 3),
        (b'<a href="https:&#x2F;&#x2F;x">', 1),
        (b'<a href="mailto:x"><a name=http://x><a><abbr href="http://x"><img src="http://x"><a href="#http:">', 0),
        (
            b"<a href=http://x clicktracking=off><a clicktracking='OFF' href=http://x><a clicktracking=on href=http://x>",
            1,
        ),
    ],
)
def test_links_that_would_be_tracked_are_counted(html: bytes, links: int) -> None:
    assert tracked_links(html) == links


def test_long_lines_are_broken_within_tags() -> None:
    html = b"<p>short</p>\r\n" + b'<td class="x">a b</td>' * 60 + b"\r\n"

    short = short_lines(html)

    assert short is not None
    assert short.startswith(b'<p>short</p>\r\n<td\r\nclass="x">a b</td><td\r\n')
    assert max(map(len, short.split(b"\r\n"))) <= 998


def test_a_long_line_without_a_place_to_break_is_not_broken() -> None:
    assert short_lines(b"x" * 999) is None
    assert short_lines(b"x" * 998) == b"x" * 998


class _Reader(HTMLParser):
    """What a reader that is not ours finds: the start tags with their attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[object] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        ours = [(name, value) for name, value in attrs if not name.startswith(("data-msys-", "clicktracking"))]
        self.found.append((tag, ours, ("clicktracking", "off") in attrs or ("data-msys-clicktrack", "0") in attrs))

    def handle_data(self, data: str) -> None:
        self.found.append(data)


_names = st.sampled_from(["href", "data-msys-clicktrack", "data-msys-linkname", "title", "DATA-MSYS-UNSUBSCRIBE"])
_values = st.sampled_from(['="0"', "='0'", "=0", "", '="a > b"', "='\"'", " = x"])
_tag = st.lists(st.tuples(_names, _values), max_size=4, unique_by=lambda one: one[0]).map(
    lambda attributes: "<a" + "".join(f" {name}{value}" for name, value in attributes) + ">"
)


@given(st.lists(st.one_of(_tag, st.sampled_from(["text", "</a>", "\r\n", "<br>", "<p class=x>"]))).map("".join))
def test_another_reader_sees_the_same_document_less_the_marks(html: str) -> None:
    after = unmarked_html(html.encode()).octets.decode()

    assert "data-msys-" not in after.lower()
    assert _Reader(after).found == _Reader(html).found


_PIECES = [b"<a ", b"data-msys-clicktrack", b'="0"', b"=", b'"', b"'", b">", b"<", b" ", b"/", b"href", b"[[", b"]]"]


@given(st.lists(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=3))).map(b"".join))
def test_any_octets_are_rewritten_to_something_that_needs_no_rewriting(octets: bytes) -> None:
    once = unmarked_text(unmarked_html(octets).octets).octets

    assert unmarked_html(once).octets == unmarked_html(unmarked_html(once).octets).octets
    assert tracked_links(octets) >= 0


@given(st.binary())
def test_octets_without_marks_stay_as_they_are(octets: bytes) -> None:
    octets = octets.replace(b"-", b"")

    assert unmarked_html(octets).octets == octets
    assert unmarked_text(octets).octets == octets
