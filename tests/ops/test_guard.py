"""Who may look at the admin endpoint."""

import base64
from collections.abc import Mapping
from typing import cast

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.web.server import Request

from smtpbridge.ops.guard import Guard, Terms
from smtpbridge.secret import Secret

TOKEN_SECRET = "a-token-of-operators-5531"
WITH_TOKEN = Terms(Secret(TOKEN_SECRET.encode()))


class Asked:
    """A request, as far as the guard looks."""

    def __init__(self, fields: Mapping[str, str], client: IAddress) -> None:
        self._fields = fields
        self._client = client

    def getHeader(self, name: str) -> str | None:
        return self._fields.get(name)

    def getClientAddress(self) -> IAddress:
        return self._client


def code(guard: Guard, fields: Mapping[str, str], client: IAddress | None = None) -> int:
    """Return the status with which a request is refused, 0 where it is not."""
    asked = Asked(fields, client or IPv4Address("TCP", "192.0.2.1", 40_000))
    refusal = guard.refusal(cast(Request, asked))
    return refusal.code if refusal is not None else 0


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "host": "bridge.example.com"}


def basic(token: str, user: str = "admin") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode(), "host": "x"}


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:9225", "127.0.0.1:9225", "127.9.9.9", "[::1]:9225", "[::1]", "localhost.", "ops.test:80"],
)
def test_names_of_this_machine_and_those_of_the_configuration_are_answered(host: str) -> None:
    assert code(Guard(lambda: Terms(names=["Ops.test"])), {"host": host}) == 0


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:9225",
        "192.0.2.1",
        "",
        "[::1",
        "a:b:c",
        "0.0.0.0",
    ],
)
def test_a_name_that_somebody_else_points_here_is_refused(host: str) -> None:
    assert code(Guard(lambda: Terms(names=["ops.test"])), {"host": host}) == 421


def test_http_1_0_has_no_host() -> None:
    assert code(Guard(), {}) == 0


@pytest.mark.parametrize("guard", [Guard(), Guard(lambda: WITH_TOKEN)])
def test_what_a_page_of_another_site_asks_for_is_refused_and_a_link_is_followed(guard: Guard) -> None:
    own = {**bearer(TOKEN_SECRET), "host": "localhost"}

    assert code(guard, {**own, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}) == 403
    assert code(guard, {**own, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}) == 403
    assert code(guard, {**own, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}) == 0
    assert code(guard, {**own, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}) == 0


def test_the_token_opens_as_a_bearer_or_as_a_password_under_any_name_and_host() -> None:
    guard = Guard(lambda: WITH_TOKEN)

    assert code(guard, bearer(TOKEN_SECRET)) == 0
    assert code(guard, basic(TOKEN_SECRET)) == 0
    assert code(guard, basic(TOKEN_SECRET, user="prometheus")) == 0
    assert code(guard, basic(TOKEN_SECRET), UNIXAddress("/run/admin")) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"host": "localhost"},
        bearer("another-token-5531"),
        bearer(TOKEN_SECRET[:-1]),
        basic(""),
        basic("another-token-5531"),
        {"authorization": f"Basic {TOKEN_SECRET}"},
        {"authorization": f"Digest {TOKEN_SECRET}"},
        {"authorization": TOKEN_SECRET},
        {"authorization": "Bearer \udcff"},
    ],
)
def test_without_the_token_nobody_looks_not_even_this_machine(fields: Mapping[str, str]) -> None:
    assert code(Guard(lambda: WITH_TOKEN), fields) == 401


def test_who_guesses_is_put_off_and_whoever_knew_the_token_there_is_not() -> None:
    now = [0.0]
    guard = Guard(lambda: WITH_TOKEN, now=lambda: now[0])
    neighbour = IPv4Address("TCP", "192.0.2.2", 40_000)
    assert code(guard, bearer(TOKEN_SECRET)) == 0

    assert [code(guard, bearer(f"guess-{n}")) for n in range(11)] == [401] * 10 + [429]
    assert code(guard, bearer(TOKEN_SECRET)) == 0
    assert code(guard, bearer(TOKEN_SECRET), neighbour) == 0
    now[0] += 31.0
    assert code(guard, bearer("guess")) == 401


def test_a_guesser_who_is_put_off_does_not_learn_which_guess_is_right() -> None:
    guard = Guard(lambda: WITH_TOKEN)
    guesser = IPv6Address("TCP", "2001:db8::1", 40_000)
    for number in range(10):
        code(guard, bearer(f"guess-{number}"), guesser)

    assert code(guard, bearer(TOKEN_SECRET), guesser) == 429
    assert code(guard, bearer(TOKEN_SECRET), IPv6Address("TCP", "2001:db8::2", 40_000)) == 429, "the same network"


def test_another_token_counts_from_the_next_request_on() -> None:
    terms = [WITH_TOKEN]
    guard = Guard(lambda: terms[-1])
    assert code(guard, bearer(TOKEN_SECRET)) == 0

    terms.append(Terms(Secret(b"a-token-of-operators-5532")))

    assert code(guard, bearer(TOKEN_SECRET)) == 401
    assert code(guard, bearer("a-token-of-operators-5532")) == 0
