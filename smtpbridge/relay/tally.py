"""
What happened, counted, for whoever shows it.

Counting is an addition; names and help texts are the business of the metrics
page.  Each member of `Limit` is called as the key that sets it, so an operator
who sees it in a figure knows what to look up in `docs/limits.md`.

What belongs to one listener or one upstream is counted there (`tallies`).
"""

from collections import Counter
from enum import Enum

from smtpbridge.relay.tallies import QueueTally
from smtpbridge.relay.translation_tally import TranslationTally


class Limit(Enum):
    """A bound that a peer can reach; the value is its key in the configuration."""

    MAX_SESSIONS = "max_sessions"
    MAX_SESSIONS_PER_ADDRESS = "max_sessions_per_address"
    MAX_CONNECTIONS_PER_MINUTE = "max_connections_per_minute"
    MAX_MESSAGES_PER_MINUTE = "max_messages_per_minute"
    MAX_LINE_BYTES = "max_line_bytes"
    MAX_BAD_COMMANDS = "max_bad_commands"
    MAX_IDLE_COMMANDS = "max_idle_commands"
    MAX_RECIPIENTS = "max_recipients"
    MAX_MESSAGE_BYTES = "max_message_bytes"
    MAX_HEADER_BYTES = "max_header_bytes"
    MAX_HEADER_FIELDS = "max_header_fields"
    MAX_JSON_BYTES = "max_json_bytes"
    MAX_JSON_LEVELS = "max_json_levels"
    MAX_JSON_VALUES = "max_json_values"
    MAX_ENCODED_WORDS = "max_encoded_words"
    MAX_IDN_CHARACTERS = "max_idn_characters"
    MAX_BODY_MEMORY_BYTES = "max_body_memory_bytes"
    MAX_TEMPORARY_BYTES = "max_temporary_bytes"
    IDLE_SECONDS = "idle_seconds"
    HANDSHAKE_SECONDS = "handshake_seconds"
    DATA_SECONDS = "data_seconds"
    MIN_RATE_BYTES = "min_rate_bytes"
    PROXY_SECONDS = "proxy_seconds"
    VERDICT_SECONDS = "verdict_seconds"
    MAX_FAILED_LOGINS = "max_failed_logins"
    MAX_REPLY_LINES = "max_reply_lines"
    MAX_REPLY_LINE_BYTES = "max_reply_line_bytes"
    MAX_WAITERS = "max_waiters"
    WAIT_SECONDS = "wait_seconds"
    DEADLINES = "deadlines"

    # Enum's own hash is a Python function.
    __hash__ = object.__hash__


class Tally:
    """The counts of one process that belong to no listener and no upstream."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.limits: Counter[Limit] = Counter()
        self.logins: Counter[bool] = Counter()
        self.translation = TranslationTally()
        self.queue = QueueTally()

    def reached(self, limit: Limit) -> None:
        """Count a bound that was reached."""
        self.limits[limit] += 1

    def login(self, *, accepted: bool) -> None:
        """Count a login that was decided about."""
        self.logins[accepted] += 1
