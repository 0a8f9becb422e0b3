"""Recipients in the log: however many there are, each is named, in fields that are read whole."""

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.naming import in_groups, listed


@given(st.lists(st.text("abc@.", min_size=1, max_size=320), max_size=60))
def test_everybody_is_named_once_and_in_order_in_fields_that_are_not_cut(addresses: list[str]) -> None:
    groups = in_groups(addresses)

    assert " ".join(groups) == listed(addresses)
    assert all(0 < len(group) <= 1000 for group in groups)
