"""
Every fuzz target over its seeds, over arbitrary octets, and over seeds that were taken apart and put together anew.

The same functions run under atheris, for longer (`make fuzz`).  Here they keep
what was found once from coming back, and the targets from rotting.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.catalogue import SEEDS, names, seeds, target, tokens
from tests.fuzz.checks import check_header, check_path, commands_in, replies_in

_NAMES = names()
_TARGETS = {name: target(name) for name in _NAMES}
_SEEDS = {name: seeds(name) for name in _NAMES}
_TOKENS = {name: tokens(name) for name in _NAMES}


@st.composite
def _mutated(draw: st.DrawFn, name: str) -> bytes:
    """Return a seed with pieces left out, doubled, exchanged for words or other seeds' pieces, and octets changed."""
    octets = draw(st.sampled_from(_SEEDS[name]))
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted((draw(st.integers(0, len(octets))), draw(st.integers(0, len(octets)))))
        other = draw(st.sampled_from(_SEEDS[name]))
        piece = draw(
            st.sampled_from(_TOKENS[name])
            | st.just(octets[start:end] * 2)
            | st.binary(max_size=3)
            | st.integers(0, len(other)).map(lambda at, other=other: other[at:])  # type: ignore[misc] # a default argument
        )
        octets = octets[:start] + piece + octets[end:]
    return octets


@pytest.mark.parametrize("name", _NAMES)
def test_every_seed_keeps_the_promises(name: str) -> None:
    assert _SEEDS[name], "a target without seeds"

    for octets in _SEEDS[name]:
        _TARGETS[name](octets)


@pytest.mark.parametrize("name", _NAMES)
@given(octets=st.binary(max_size=300))
def test_arbitrary_octets_keep_the_promises(name: str, octets: bytes) -> None:
    _TARGETS[name](octets)


@pytest.mark.parametrize("name", _NAMES)
@settings(max_examples=200)
@given(data=st.data())
def test_changed_seeds_keep_the_promises(name: str, data: st.DataObject) -> None:
    _TARGETS[name](data.draw(_mutated(name)))


def test_seeds_stand_only_where_a_target_is() -> None:
    assert sorted(path.name for path in SEEDS.iterdir()) == _NAMES


@pytest.mark.parametrize(
    "octets", [b"250 ok", b"250 ok\n", b"250 a\x00b\r\n", b"250-a\r\n251 b\r\n", b"250-a\r\n", b"ok\r\n"]
)
def test_what_is_no_reply_is_noticed(octets: bytes) -> None:
    with pytest.raises(AssertionError):
        replies_in(octets)


@pytest.mark.parametrize("octets", [b"DATA\n", b"RCPT TO:<a\x00>\r\n", b"DATA\r\nevil\r\n"])
def test_what_is_no_command_is_noticed(octets: bytes) -> None:
    with pytest.raises(AssertionError):
        commands_in(octets)


@pytest.mark.parametrize("octets", [b"A: b\n", b"A: b\r\n\r\n", b"A: b\r\nC: d", b"A: b\rc\r\n"])
def test_a_broken_header_is_noticed(octets: bytes) -> None:
    with pytest.raises(AssertionError):
        check_header(octets)


@pytest.mark.parametrize(
    "address", ["a@b>", "a b@c", '"a@b', "a@b\r\n", "a@", "@b", "a", "\u00fc@b", 'a"b"@c', "a@[1>2]", "<a@b>"]
)
def test_an_address_that_could_leave_its_brackets_is_noticed(address: str) -> None:
    with pytest.raises(AssertionError):
        check_path(address)
