"""Nothing that a peer wrote becomes HTML, and nothing that it wrote is invisible."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.ops.markup import Html, element, joined, visible


class Reader(HTMLParser):
    """What a browser would read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(max_size=60))
def test_any_text_is_text_inside_an_element_and_in_an_attribute(text: str) -> None:
    read = Reader(element("p", text, title=text))

    assert read.tags == [("p", {"title": visible(text)})]
    assert read.text == visible(text)
    assert read.text.isprintable()


def test_marks_that_turn_the_direction_and_controls_are_shown_as_numbers() -> None:
    assert visible("a\u202eb\u200b\x1b[2J\n\xa0\ud800") == "a\\u202eb\\u200b\\x1b[2J\\n\\xa0\\ud800"
    assert visible("grün 漢字") == "grün 漢字"


def test_a_long_text_is_cut_where_it_says_so() -> None:
    assert visible("a" * 401) == "a" * 400 + "..."


def test_html_is_left_alone_and_lists_stand_for_their_members() -> None:
    inner = element("b", "<")

    assert joined(["a", inner, None], 7) == "a<b>&lt;</b>7"
    assert isinstance(joined("a"), Html)


def test_attributes_can_be_left_out_or_have_no_value() -> None:
    assert element("input", class_="x", aria_label="y", hidden=True, checked=False, title=None) == (
        '<input class="x" aria-label="y" hidden>'
    )
