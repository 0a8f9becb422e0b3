"""Random octets in stock: each is given out once, in the order of its coming, and the source is seldom asked."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.chance import Chance


class Source:
    """Octets that can be told from each other, four by four."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._numbers = count()

    def __call__(self, number: int) -> bytes:
        self.asked.append(number)
        return b"".join(next(self._numbers).to_bytes(4, "big") for _ in range(number // 4 + 1))[:number]


@given(st.lists(st.integers(0, 12).map(lambda one: 4 * one) | st.just(8_000)))
def test_no_octet_is_given_out_twice(wants: list[int]) -> None:
    chance = Chance(Source())
    given_out = [chance(want) for want in wants]

    assert [len(one) for one in given_out] == wants
    words = [one[at : at + 4] for one in given_out for at in range(0, len(one), 4)]
    assert len(set(words)) == len(words)


def test_the_source_is_asked_for_many_at_a_time_and_not_before_they_are_wanted() -> None:
    source = Source()
    chance = Chance(source)
    assert source.asked == []

    for _ in range(1_000):
        chance(20)

    assert source.asked == [4096] * 5
