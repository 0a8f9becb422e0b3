"""What parent and worker say to each other, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.workers.words import Kind, Nonsense, connections, counts, packet, read


@given(st.binary(max_size=64))
def test_connections_are_told_with_their_doors(doors: bytes) -> None:
    assert read(connections(doors)) == (Kind.CONNECTIONS, doors)


@given(
    st.sampled_from([kind for kind in Kind if kind is not Kind.CONNECTIONS]),
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)
def test_what_is_written_is_read(kind: Kind, content: object) -> None:
    assert read(packet(kind, content)) == (kind, content)


@given(st.binary())
def test_any_octets_are_a_packet_or_nonsense(octets: bytes) -> None:
    try:
        kind, _ = read(octets)
    except Nonsense:
        return
    assert octets[0] == kind


def test_counts_are_read() -> None:
    assert counts([7, [1, 0], [["login", "why", "main"]]]) == (7, [1, 0], [["login", "why", "main"]])


@pytest.mark.parametrize(
    "content", [None, 1, [], [1], [1, [2]], ["1", [], []], [1, ["2"], []], [1, [2], "x"], [1, 2, 3, 4]]
)
def test_counts_that_are_none_are_nonsense(content: object) -> None:
    with pytest.raises(Nonsense):
        counts(content)
