"""Secrets that print as nothing, and the hashes that stand for them in a configuration."""

import pickle
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpbridge.secret import USUAL_COST, KeyedHash, ScryptCost, ScryptHash, Secret, Sha256Hash, fits, read_hash

QUICK_TO_TEST = ScryptCost(ln=2, r=1, p=1)
KEY, SALT = b"k" * 32, b"s" * 16
KEPT = [
    Sha256Hash(sha256(b"right").digest()),
    KeyedHash.make(b"right", KEY),
    ScryptHash.make(b"right", SALT, QUICK_TO_TEST),
]


@pytest.mark.parametrize("known", KEPT, ids=lambda known: known.kind)
def test_a_hash_fits_its_secret_and_no_other(known: Sha256Hash | KeyedHash | ScryptHash) -> None:
    assert fits(known, b"right")
    assert not any(fits(known, wrong) for wrong in (b"", b"righ", b"right ", b"Right", known.digest))


@pytest.mark.parametrize("known", KEPT, ids=lambda known: known.kind)
def test_no_text_of_a_hash_shows_what_it_is_made_of(known: Sha256Hash | KeyedHash | ScryptHash) -> None:
    said = f"{known} {known!r} {[known]}"

    assert "***" in said
    assert not any(octets.hex() in said or repr(octets)[2:-1] in said for octets in (known.digest, KEY, SALT))


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(b"right"))


@given(st.binary(max_size=80), st.binary(min_size=16, max_size=64))
def test_a_keyed_hash_is_read_as_it_was_written(secret: bytes, key: bytes) -> None:
    known = KeyedHash.make(secret, key)

    assert read_hash(known.written()) == known
    assert fits(known, secret)


@given(
    st.binary(min_size=8, max_size=64), st.binary(min_size=16, max_size=64), st.sampled_from([(14, 8, 1), (17, 8, 4)])
)
def test_a_scrypt_hash_is_read_as_it_was_written(salt: bytes, digest: bytes, cost: tuple[int, int, int]) -> None:
    known = ScryptHash(ScryptCost(*cost), salt, digest)

    assert read_hash(known.written()) == known


def test_a_scrypt_hash_that_passlib_wrote_is_read() -> None:
    # From the documentation of passlib.hash.scrypt; the password is "password".
    written = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
    known = read_hash(written)

    assert isinstance(known, ScryptHash)
    assert fits(known, b"password")
    assert known.written() == written


def test_scrypt_gives_what_rfc_7914_says() -> None:
    # RFC 7914, 12: the second vector, N = 1024.
    digest = bytes.fromhex(
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d"
        "8360cbdfa2cc0640"
    )

    assert fits(ScryptHash(ScryptCost(ln=10, r=8, p=16), b"NaCl", digest), b"password")


@pytest.mark.parametrize("ln", [14, 15, 16, 17])
def test_each_cost_that_is_let_through_can_be_computed(ln: int) -> None:
    cost = ScryptCost(ln, 8, 1)

    assert cost.fault() is None
    assert len(ScryptHash.make(b"secret", SALT, cost).digest) == 32
    assert USUAL_COST.fault() is None


@pytest.mark.parametrize(
    ("cost", "fault"),
    [
        ("ln=18,r=8,p=1", "takes 256 MiB for one login; 128 MiB is the most"),
        ("ln=99,r=9999,p=9999", "MiB for one login; 128 MiB is the most"),
        ("ln=17,r=8,p=5", "takes seconds for one login"),
        ("ln=1,r=9999,p=9999", "takes seconds for one login"),
        ("ln=13,r=8,p=1", "is too quick to protect a password"),
        ("ln=17,r=1,p=1", "has r=1, with which ln is less than 16"),
    ],
)
def test_a_cost_that_the_daemon_could_not_bear_or_that_protects_nothing_is_refused(cost: str, fault: str) -> None:
    found = read_hash(f"$scrypt${cost}${'A' * 22}${'A' * 43}")

    assert isinstance(found, str)
    assert fault in found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "sha256:" + "a" * 63,
        "sha256:" + "g" * 64,
        "hmac-sha256:" + "a" * 64,
        f"hmac-sha256:{'a' * 30}:{'b' * 64}",
        f"hmac-sha256:{'a' * 33}:{'b' * 64}",
        f"hmac-sha256:{'a' * 64}:{'b' * 63}",
        f"$scrypt$ln=15,r=8,p=3${'A' * 22}",
        f"$scrypt$ln=15,r=8,p=3$AAAA${'A' * 43}",
        f"$scrypt$ln=15,r=8,p=3${'A' * 22}$AAAA",
        f"$scrypt$ln=15,r=8,p=3${'A' * 21}${'A' * 43}",
        f"$scrypt$ln=0,r=8,p=3${'A' * 22}${'A' * 43}",
        f"$scrypt$r=8,ln=15,p=3${'A' * 22}${'A' * 43}",
        f"$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${'A' * 43}",
        f"sha256:{'a' * 64}\n",
    ],
)
def test_what_is_no_hash_is_told_how_to_make_one_or_what_is_wrong(text: str) -> None:
    found = read_hash(text)

    assert isinstance(found, str)
    assert found.startswith("is ")


@given(
    st.text()
    | st.from_regex(r"\$scrypt\$ln=[0-9]{1,4},r=[0-9]{1,5},p=[0-9]{1,5}\$[A-Za-z0-9+/]{0,90}\$[A-Za-z0-9+/]{0,90}")
)
@settings(max_examples=200)
def test_any_text_is_a_hash_or_has_a_fault(text: str) -> None:
    found = read_hash(text)

    assert isinstance(found, str | Sha256Hash | KeyedHash | ScryptHash)
