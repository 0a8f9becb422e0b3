"""Who may post to the inbox."""

import base64
import hmac
from ipaddress import ip_network

import pytest

from smtpbridge.events.admission import Admission, Asked, Login, Terms
from smtpbridge.events.tallies import Taken
from smtpbridge.secret import Secret
from smtpbridge.signature import Algorithm, Encoding, Signature

PATH = Secret(b"q7Jk-secret-path")
KEY = b"signing-key"


def admission(**terms: object) -> Admission:
    return Admission(Terms(PATH, **terms), lambda: 0.0)  # type: ignore[arg-type]  # whatever a test sets


def asked(
    path: bytes = b"/infobip/" + PATH.reveal(), method: bytes = b"POST", address: str = "192.0.2.7", **headers: bytes
) -> Asked:
    return Asked(method, path, address, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("before", [b"/", b"/infobip/", b"/a/b/c/"])
def test_whatever_stands_before_the_secret_a_proxy_may_have_put_there_or_taken_away(before: bytes) -> None:
    assert admission().wanted(asked(before + PATH.reveal())) is Taken.TAKEN


@pytest.mark.parametrize(
    "path",
    [b"/", b"", b"/infobip", PATH.reveal()[:-1], PATH.reveal() + b"x", PATH.reveal() + b"/", b"*"],
    ids=["root", "empty", "front", "shorter", "longer", "slash", "star"],
)
def test_any_other_path_is_unknown_whatever_else_is_wrong(path: bytes) -> None:
    login = Login("infobip", Secret(b"infobip-pass-77"))

    assert admission(login=login).wanted(asked(path, method=b"GET")) is Taken.UNKNOWN_PATH


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"post"])
def test_a_notification_is_posted(method: bytes) -> None:
    assert admission().wanted(asked(method=method)) is Taken.NOT_POST


@pytest.mark.parametrize("scheme", [b"Basic", b"basic", b"BASIC"])
def test_the_right_login_is_let_in(scheme: bytes) -> None:
    login = Login("infobip", Secret("päss: word".encode()))

    assert (
        admission(login=login).wanted(
            asked(authorization=scheme + b" " + base64.b64encode("infobip:päss: word".encode()))
        )
        is Taken.TAKEN
    )


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Basic",
        b"Basic !!",
        b"Basic " + base64.b64encode(b"infobip:no"),
        b"Bearer " + base64.b64encode(b"infobip:infobip-pass-77"),
    ],
    ids=["none", "scheme", "nonsense", "other", "bearer"],
)
def test_a_wrong_login_is_not(given: bytes) -> None:
    assert (
        admission(login=Login("infobip", Secret(b"infobip-pass-77"))).wanted(asked(authorization=given))
        is Taken.BAD_LOGIN
    )


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("labelled", [True, False])
def test_a_right_signature_holds_and_one_of_another_body_does_not(
    algorithm: Algorithm, encoding: Encoding, labelled: bool
) -> None:
    body = b'{"results":[]}'
    digest = hmac.digest(KEY, body, algorithm.value)
    written = digest.hex().encode() if encoding is Encoding.HEX else base64.b64encode(digest)
    given = (algorithm.value.encode() + b"=" if labelled else b"") + written
    asking = admission(signature=Signature("X-Hub-Signature", Secret(KEY), algorithm, encoding))

    assert asking.signed(asked(x_hub_signature=given), body)
    assert not asking.signed(asked(x_hub_signature=given), body + b" ")
    assert not asking.signed(asked(), body)
    assert not asking.signed(asked(x_hub_signature="ä".encode()), body)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", Taken.TAKEN),
        ("::ffff:192.0.2.7", Taken.TAKEN),
        ("2001:db8::1", Taken.TAKEN),
        ("198.51.100.1", Taken.FORBIDDEN_ADDRESS),
        ("", Taken.FORBIDDEN_ADDRESS),
    ],
)
def test_where_networks_are_named_nobody_else_is_let_in(address: str, expected: Taken) -> None:
    allow = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))

    assert admission(allow=allow).wanted(asked(address=address)) is expected


def test_no_more_are_let_in_than_the_rate_allows_and_later_more_again() -> None:
    now = [0.0]
    asking = Admission(Terms(PATH, max_rate=10), lambda: now[0])

    assert [asking.wanted(asked()) for _ in range(12)] == [Taken.TAKEN] * 10 + [Taken.TOO_FAST] * 2
    now[0] = 0.55
    assert [asking.wanted(asked()) for _ in range(6)] == [Taken.TAKEN] * 5 + [Taken.TOO_FAST]


def test_who_does_not_know_the_path_takes_nothing_away_from_the_rate() -> None:
    asking = admission(max_rate=1)
    for _ in range(5):
        asking.wanted(asked(b"/no"))

    assert asking.wanted(asked()) is Taken.TAKEN


def test_a_compressed_body_is_refused_because_nobody_asked_for_one() -> None:
    assert admission().wanted(asked(content_encoding=b"gzip")) is Taken.ENCODED
    assert admission().wanted(asked(content_encoding=b"Identity")) is Taken.TAKEN


def test_what_is_secret_does_not_show() -> None:
    terms = Terms(PATH, Login("infobip", Secret(b"infobip-pass-77")), Signature("X", Secret(KEY)))

    assert not any(one in repr(terms) for one in ("q7Jk", "pass-77", "signing"))
