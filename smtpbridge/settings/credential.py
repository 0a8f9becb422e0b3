"""
Read `[[credential]]` and `[logins]`: what senders present, and how often they may be wrong.

The secret of a file is hashed as it is read: from here on nobody has it in the
clear, for as long as the process lives.
"""

from collections.abc import Sequence

from smtpbridge.dialect.policy import Defaults
from smtpbridge.secret import KeyedHash, ScryptHash, SecretHash, read_hash
from smtpbridge.settings import checks
from smtpbridge.settings.surroundings import Surroundings, one_line, read_file
from smtpbridge.settings.translation import read_defaults
from smtpbridge.settings.values import Credential, LoginLimits
from smtpbridge.toml_table import Table

_DEFAULT = LoginLimits()


def read_credential(table: Table, around: Surroundings, pools: tuple[str, ...], key: bytes) -> Credential | None:
    """
    Return one credential, or `None` where its secret cannot be had.

    `pools` are those of the file; under `key`, 32 random octets, the secret of a file is hashed.
    """
    username = table.text("username", check=checks.user_name)
    if not table.has("username"):
        table.fault("username", 'is missing; SparkPost\'s senders present "SMTP_Injection"')
    written = table.text("secret_hash", check=_hash_fault, quote=False)
    given = table.has("secret_hash"), table.has("secret_file")
    file = read_file(table, "secret_file", around, private=True)
    defaults = read_own_defaults(table, pools)
    most = table.whole("max_messages_per_minute", 0, least=0)
    table.close()
    if all(given) or not any(given):
        wrong = "and secret_hash are both given" if all(given) else "is missing"
        table.fault("secret_file", f"{wrong}; write one of secret_file and secret_hash")
        return None
    if written:
        known = read_hash(written)
        assert not isinstance(known, str), "the check has let it pass"
        return Credential(username, known, defaults, most)
    if file is None:
        return None
    content = one_line(file[1])
    if isinstance(content, str):
        table.fault("secret_file", f'"{file[0]}" {content}')
        return None
    return Credential(username, KeyedHash.make(content, key), defaults, most)


def note_credentials(credentials: Sequence[Credential], around: Surroundings) -> None:
    """Note what is worth knowing of all of them together."""
    costs = {one.secret.cost for one in credentials if isinstance(one.secret, ScryptHash)}
    if len(costs) > 1:
        around.notes.append(
            "[[credential]] secret_hash: the scrypt hashes differ in cost, so how long a refusal takes may tell which "
            "user names there are; write all of them with one cost, as smtpbridge hash --password does"
        )


def read_logins(table: Table) -> LoginLimits:
    """Return how often a sender may be wrong."""
    limits = LoginLimits(
        max_failed_logins=table.whole("max_failed_logins", _DEFAULT.max_failed_logins, most=1_000_000),
        window_seconds=table.seconds("window_seconds", _DEFAULT.window_seconds),
        longest_pause_seconds=table.seconds("longest_pause_seconds", _DEFAULT.longest_pause_seconds),
        delay_seconds=table.seconds("delay_seconds", _DEFAULT.delay_seconds),
    )
    table.close()
    return limits


def read_own_defaults(table: Table, pools: tuple[str, ...]) -> Defaults:
    """Return what `table` says in a `translation` table of its own."""
    own = table.table("translation")
    defaults = read_defaults(own, pools)
    own.close()
    return defaults


def _hash_fault(text: str) -> str | None:
    known: SecretHash | str = read_hash(text)
    return known if isinstance(known, str) else None
