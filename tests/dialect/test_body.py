"""What is promised of bodies: what concerns us is changed in its own encoding, all else stays octet for octet."""

import base64
import binascii
import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.body import Rework, rework
from smtpbridge.dialect.inline_css import can_inline
from smtpbridge.dialect.plan import Kept, New
from smtpbridge.mail.headers import HeaderBlock, end_of_header
from smtpbridge.mail.parts import BLOCK

_LINK = '<a href="http://x.example/" data-msys-clicktrack="0">x</a>'
_OUT = '<a href="http://x.example/" clicktracking=off>x</a>'
_HTML = b"Content-Type: text/html; charset=utf-8\r\n"
_MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n"


def _rework(header: bytes, body: bytes, *, inline_css: bool = False, clicks_tracked: bool = False) -> Rework:
    return rework(HeaderBlock.parse(header), body, inline_css=inline_css, clicks_tracked=clicks_tracked)


def _body(reworked: Rework, body: bytes) -> bytes:
    if reworked.pieces is None:
        return body
    return b"".join(one.octets if isinstance(one, New) else body[one.start : one.end] for one in reworked.pieces)


def _after(header: bytes, body: bytes) -> bytes:
    return _body(_rework(header, body), body)


def _kinds(reworked: Rework) -> list[str]:
    return [remark.kind for remark in (*reworked.warnings, *reworked.notes)]


def test_a_body_without_marks_is_left_alone() -> None:
    assert _rework(_HTML, b'<a href="http://x.example/">x</a>\r\n', clicks_tracked=True) == Rework()


def test_a_single_html_part_is_rewritten() -> None:
    assert _after(_HTML, f"<p>\r\n{_LINK}\r\n".encode()) == f"<p>\r\n{_OUT}\r\n".encode()


def test_a_message_without_mime_fields_loses_the_markers_of_text() -> None:
    reworked = _rework(b"", b'http://x.example/[[data-msys-clicktrack="0"]]\r\n')

    assert reworked.pieces == (New(b"http://x.example/\r\n"),)
    assert _kinds(reworked) == ["untracked-link"]


def test_notes_on_links_count_them_in_words_that_fit() -> None:
    def said(links: int) -> list[str]:
        marks = "".join(f' data-msys-{mark}="1"' for mark in ("linkname", "unsubscribe", "misspelt"))
        html = f'<a href="http://x.example/" data-msys-clicktrack="0">x</a><a href="http://y.example/"{marks}>y</a>'
        reworked = _rework(_HTML, html.encode() * links + b"\r\n")
        return [remark.text.split(":")[0] for remark in (*reworked.warnings, *reworked.notes)]

    assert said(1) == [
        "data-msys-unsubscribe was taken off 1 link",
        "1 link is not tracked, as data-msys-clicktrack asks",
        "data-msys-linkname was taken off 1 link",
        "1 unknown data-msys- attribute was taken off",
    ]
    assert said(2) == [
        "data-msys-unsubscribe was taken off 2 links",
        "2 links are not tracked, as data-msys-clicktrack asks",
        "data-msys-linkname was taken off 2 links",
        "2 unknown data-msys- attributes were taken off",
    ]


def test_only_the_part_that_changes_is_new() -> None:
    html = b"--b\r\nContent-Type: text/html\r\n\r\n"
    before = b"--b\r\nContent-Type: image/png\r\n\r\ndata-msys-clicktrack\r\n" + html
    body = before + _LINK.encode() + b"\r\n--b--\r\nepilogue [[data-msys-unsubscribe]]\r\n"

    reworked = _rework(_MIXED, body)

    end = len(before) + len(_LINK)
    assert reworked.pieces == (Kept(0, len(before)), New(_OUT.encode()), Kept(end, len(body)))


def _message(cte: str) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content('Grüße http://x.example/[[data-msys-clicktrack="0"]]\n.dots\n', cte=cte)
    message.add_alternative(f"<p>Grüße</p>\n{_LINK}\n.dots\n", subtype="html", cte=cte)
    message.add_attachment(b"\x00data-msys-", maintype="application", subtype="pdf", filename="a.pdf")
    message.add_attachment(_LINK, subtype="html", filename="a.html", cte=cte)
    return message


def _stuffed(octets: bytes) -> bytes:
    return octets.replace(b"\r\n.", b"\r\n..")


def _read(header: bytes, body: bytes) -> EmailMessage:
    octets = header + b"\r\n" + (b"\r\n" + body).replace(b"\r\n..", b"\r\n.")[2:]
    return email.message_from_bytes(octets, policy=email.policy.SMTP)


@pytest.mark.parametrize("cte", ["8bit", "quoted-printable", "base64"])
def test_parts_are_rewritten_in_their_own_transfer_encoding(cte: str) -> None:
    octets = _message(cte).as_bytes()
    length, start = end_of_header(octets)
    header, body = octets[:length], _stuffed(octets[start:])

    after = _read(header, _after(header, body))

    alternative, pdf, page = after.iter_parts()
    text, html = alternative.iter_parts()
    assert text.get_content().replace("\r\n", "\n") == "Grüße http://x.example/\n.dots\n"
    assert html.get_content().replace("\r\n", "\n") == f"<p>Grüße</p>\n{_OUT}\n.dots\n"
    assert {text["content-transfer-encoding"], html["content-transfer-encoding"]} == {cte}
    assert pdf.get_content() == b"\x00data-msys-"
    assert page.get_content().strip() == _LINK


@pytest.mark.parametrize("cut", range(1, len("data-msys-clicktrack")))
def test_a_mark_that_quoted_printable_breaks_is_seen(cut: int) -> None:
    mark = b"data-msys-clicktrack"
    body = b"<a " + mark[:cut] + b"=\r\n" + mark[cut:] + b'=3D"0">\r\n'

    after = _after(_HTML + b"Content-Transfer-Encoding: quoted-printable\r\n", body)

    assert after == b"<a clicktracking=3Doff>\r\n"


@pytest.mark.parametrize("shift", range(-24, 4))
def test_a_mark_at_the_end_of_a_block_is_seen(shift: int) -> None:
    body = b"x" * (BLOCK + shift) + b"[[data-msys-=\r\nlinkname]]\r\n"
    header = b"Content-Transfer-Encoding: quoted-printable\r\n"

    assert _rework(header, body).pieces is not None


def test_a_text_in_base64_is_decoded_to_be_looked_at_and_left_as_it_was_without_marks() -> None:
    body = (
        b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: BASE64\r\n\r\nPHA+\r\nPC9w\r\nPg==\r\n--b--\r\n"
    )

    assert _rework(_MIXED, body) == Rework()


def test_a_dot_that_comes_to_begin_a_line_is_doubled_and_a_doubled_one_stays() -> None:
    body = b"[[data-msys-linkname]].a\r\n..b\r\n"

    assert _after(b"", body) == b"..a\r\n..b\r\n"


def test_a_part_in_which_nothing_changes_is_kept() -> None:
    assert _rework(_HTML, b"<p>data-msys-clicktrack</p>\r\n").pieces is None


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (b"Content-Type: text/html\r\nContent-Disposition: attachment\r\n", _LINK.encode()),
        (b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html\r\n\r\n" + _LINK.encode()),
        (b"Content-Type: text/x-amp-html\r\n", _LINK.encode()),
        (b"Content-Type: text/calendar\r\n", b"[[data-msys-linkname]]"),
    ],
)
def test_what_is_no_text_of_the_message_is_left_alone(header: bytes, part: bytes) -> None:
    assert _rework(_MIXED, b"--b\r\n" + header + b"\r\n" + part + b"\r\n--b--\r\n") == Rework()


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (b"Content-Type: text/html\r\nContent-Transfer-Encoding: x-uue\r\n", _LINK.encode()),
        (b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n", b"-msys-"),
        (
            b"Content-Type: text/html; charset=UTF-16LE\r\nContent-Transfer-Encoding: base64\r\n",
            base64.b64encode(_LINK.encode("utf-16-le")),
        ),
        (
            b"Content-Type: multipart/signed; boundary=s\r\n",
            b"--s\r\n" + _HTML + b"\r\n" + _LINK.encode() + b"\r\n--s--",
        ),
    ],
)
def test_a_part_that_cannot_be_rewritten_stays_with_a_warning(header: bytes, part: bytes) -> None:
    reworked = _rework(_MIXED, b"--b\r\n" + header + b"\r\n" + part + b"\r\n--b--\r\n")

    assert reworked.pieces is None
    assert _kinds(reworked) == ["link-marks"]


@pytest.mark.parametrize(
    ("encoding", "part"),
    [(b"7bit", b"a\r\n--[[data-msys-linkname]]b"), (b"quoted-printable", b"=2D-b[[data-msys-linkname]]")],
)
def test_no_rewriting_makes_a_delimiter(encoding: bytes, part: bytes) -> None:
    body = b"--b\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + part + b"\r\n--b--\r\n"

    reworked = _rework(_MIXED, body)

    assert reworked.pieces is None
    assert [remark.kind for remark in reworked.warnings] == ["link-marks"]


def test_what_has_no_counterpart_is_told() -> None:
    body = b'<a data-msys-unsubscribe="1" data-msys-linkname="n" href=x><a data-msys-sublink=s>\r\n'

    reworked = _rework(_HTML, body)

    assert [remark.kind for remark in reworked.warnings] == ["unsubscribe-link"]
    assert [remark.kind for remark in reworked.notes] == ["link-name", "link-attribute"]
    assert _body(reworked, body) == b"<a href=x><a>\r\n"


# Links


def _links(count: int, attributes: str = "") -> bytes:
    return "".join(f'<a href="http://x.example/{n}"{attributes}>{n}</a>\r\n' for n in range(count)).encode()


@pytest.mark.parametrize(("count", "too_many"), [(150, False), (151, True)])
def test_more_links_than_infobip_takes_are_told_where_clicks_are_tracked(count: int, too_many: bool) -> None:
    reworked = _rework(_HTML, _links(count), clicks_tracked=True)

    assert reworked.too_many_links is too_many
    assert _kinds(reworked) == ["too-many-links"] * too_many
    assert _rework(_HTML, _links(count)) == Rework()


def test_links_are_counted_over_all_html_parts_in_any_encoding() -> None:
    encoded = binascii.b2a_base64(_links(80)).replace(b"\n", b"\r\n")
    part = b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded
    plain = b"--b\r\nContent-Type: text/html\r\n\r\n" + _links(80)

    assert _rework(_MIXED, part + plain + b"--b--\r\n", clicks_tracked=True).too_many_links
    assert _rework(_MIXED, part + part + b"--b--\r\n", clicks_tracked=True).too_many_links
    assert not _rework(_MIXED, part + b"--b--\r\n", clicks_tracked=True).too_many_links


def test_a_part_too_large_to_be_counted_is_not_tracked() -> None:
    reworked = _rework(_HTML, b"x" * 9_000_000 + _links(151), clicks_tracked=True)

    assert reworked.too_many_links
    assert _kinds(reworked) == ["link-marks", "too-many-links"]


def test_links_that_are_opted_out_do_not_count() -> None:
    body = _links(100) + _links(100, ' data-msys-clicktrack="0"')

    assert not _rework(_HTML, body, clicks_tracked=True).too_many_links


def test_links_in_text_and_addresses_that_are_no_links_do_not_count() -> None:
    text = b"http://x.example/\r\n" * 200
    images = b'<img src="http://x.example/">\r\n' * 200

    assert _rework(b"", text, clicks_tracked=True) == Rework()
    assert _rework(_HTML, images, clicks_tracked=True) == Rework()


# CSS

needs_css = pytest.mark.skipif(not can_inline(), reason="css-inline is an extra")
_STYLED = f"<html><head><style>a{{color:red}}</style></head><body>{_LINK}</body></html>\r\n"


@needs_css
def test_css_is_inlined_before_links_are_opted_out() -> None:
    reworked = _rework(_HTML, _STYLED.encode(), inline_css=True)

    after = _body(reworked, b"")
    assert b'<a href="http://x.example/" clicktracking=off style="color: red;">x</a>' in after
    assert after.endswith(b"\r\n")
    assert _kinds(reworked) == ["untracked-link"]


@needs_css
@pytest.mark.parametrize("cte", ["7bit", "quoted-printable", "base64"])
def test_css_is_inlined_in_html_parts_only_and_in_their_encoding(cte: str) -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content("<style>p{a:b}</style>\n")
    page = "<html><head><style>p{color:red}</style></head><body><p>x&eacute;</p></body></html>\n"
    message.add_alternative(page, subtype="html", cte=cte)
    octets = message.as_bytes()
    length, start = end_of_header(octets)

    body = _body(_rework(octets[:length], octets[start:], inline_css=True), octets[start:])

    assert body.isascii()
    text, html = _read(octets[:length], body).iter_parts()
    assert text.get_content() == "<style>p{a:b}</style>\r\n"
    assert '<p style="color: red;">xé</p>' in html.get_content().replace("&#233;", "é")
    assert html["content-transfer-encoding"] == cte


@needs_css
def test_html_without_a_style_element_is_left_as_it_was() -> None:
    assert _rework(_HTML, b"<P>unclosed\r\n", inline_css=True) == Rework()


@needs_css
@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"Content-Type: text/html; charset=us-ascii\r\n", b"<style>p{a:b}</style>\xff\r\n"),
        (_HTML, b"<style>p{a:b}</style>" + b"<div>" * 5_000 + b"\r\n"),
        (_HTML, b"<style>p{a:b}</style>" + b"x" * 1_000 + b"\r\n"),
    ],
)
def test_css_that_cannot_be_inlined_is_a_warning_and_the_part_stays(header: bytes, body: bytes) -> None:
    reworked = _rework(header, body, inline_css=True)

    assert reworked.pieces is None
    assert _kinds(reworked) == ["inline-css"]


# Anything

_LINES = st.sampled_from(
    [b"--b", b"--b--", b"", b"..x", b"Content-Type: text/html", b"Content-Transfer-Encoding: base64", _LINK.encode(),
     b"Content-Transfer-Encoding: quoted-printable", b"[[data-msys-linkname]]", b"PGEgZGF0YS1tc3lzLWxpbmtuYW1lPg==",
     b"<style>a{b:c}</style>", b"Content-Type: multipart/mixed; boundary=c", b"--c", b"data=\r\n-msys-", b"\xff=3D"]
)  # fmt: skip
_HEADERS = st.sampled_from([b"", _HTML, _MIXED, _HTML + b"Content-Transfer-Encoding: base64\r\n"])


@given(_HEADERS, st.lists(_LINES), st.booleans(), st.booleans())
def test_whatever_the_lines_the_result_is_wire_form_made_of_ordered_pieces(
    header: bytes, lines: list[bytes], inline_css: bool, clicks_tracked: bool
) -> None:
    body = b"".join(line + b"\r\n" for line in lines)
    reworked = _rework(header, body, inline_css=inline_css, clicks_tracked=clicks_tracked)

    at = 0
    for piece in reworked.pieces or ():
        if isinstance(piece, Kept):
            assert at <= piece.start < piece.end <= len(body)
            at = piece.end
    after = _body(reworked, body)
    assert not after or after.endswith(b"\r\n")
    assert after.count(b"\r\n") == after.count(b"\r") == after.count(b"\n")
    wire = b"\r\n" + after
    assert wire.count(b"\r\n.") == wire.count(b"\r\n..")


_BEGINNINGS = st.sampled_from([b"-", b"-m", b"-ms-", b"-encoding", b": b", b"x" * 700, b"- - " * 40, b"x\r\n"])


@given(st.lists(_BEGINNINGS), st.sampled_from([_LINK, _LINK.upper(), _LINK.replace("msys", "m=\r\nsys"), "x"]))
def test_marks_are_seen_however_often_something_begins_like_them(beginnings: list[bytes], last: str) -> None:
    header = _HTML + b"Content-Transfer-Encoding: quoted-printable\r\n"
    body = b"".join(beginnings) + last.replace('"', "").replace("=0", "=3D0").encode() + b"\r\n"

    assert bool(_kinds(_rework(header, body))) == (last != "x")


@given(st.lists(_BEGINNINGS), st.sampled_from([b"base64", b"BASE64", b"Base64", b"7bit"]))
def test_base64_is_seen_however_often_something_begins_like_it(beginnings: list[bytes], encoding: bytes) -> None:
    html = base64.b64encode(_LINK.encode()) + b"\r\n"
    field = b"Content-Type: text/html\r\nContent-Transfer-Encoding: " + encoding
    body = b"".join(beginnings) + b"\r\n--b\r\n" + field + b"\r\n\r\n" + html + b"--b--\r\n"

    assert bool(_kinds(_rework(_MIXED, body))) == (encoding != b"7bit")


@pytest.mark.parametrize("blanks", [b" ", b"\r\n" + b" " * 40])
def test_base64_is_seen_where_two_blocks_meet(blanks: bytes) -> None:
    html = base64.b64encode(_LINK.encode()) + b"\r\n"
    part = b"\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding:" + blanks + b"base64\r\n\r\n" + html
    for before in range(BLOCK - 90, BLOCK, 7):
        assert _rework(_MIXED, b"x" * before + part + b"--b--\r\n").pieces is not None


@given(_HEADERS, st.binary(), st.booleans(), st.booleans())
def test_any_octets_give_a_result(header: bytes, body: bytes, inline_css: bool, clicks_tracked: bool) -> None:
    reworked = _rework(header, b"-msys-" + body, inline_css=inline_css, clicks_tracked=clicks_tracked)

    assert isinstance(_body(reworked, body), bytes)


@given(_HEADERS, st.lists(_LINES))
def test_what_was_rewritten_once_needs_no_rewriting(header: bytes, lines: list[bytes]) -> None:
    once = _after(header, b"".join(line + b"\r\n" for line in lines))

    assert _after(header, once) == once
