"""
Post to a target as SparkPost does, and say what came of it.

Theory of operation
-------------------

SparkPost's webhooks are imitated as their readers know them: `User-Agent: SparkPost`, JSON, and a batch id that stays
the same when a batch is posted again.  2xx is success, everything else is not.

With OAuth 2 a token is fetched when there is none or when it is about to end, with the client's credentials in the body
like SparkPost's.  400 and 401 from the target mean, as SparkPost has it, that it is good no more: another one is
fetched and the post repeated, once, at once.  That is one attempt.

Nothing is raised for what a target does: a failure is a value with words for the operator.

What must not be known here: attempts, and how a connection is made and verified (`agents`).
"""

import json
from typing import Any
from urllib.parse import urlencode

from twisted.internet.interfaces import IReactorTime

from smtpbridge.dialect.sparkpost_event import PING
from smtpbridge.events.agents import Connections
from smtpbridge.events.faults import Came, Outcome
from smtpbridge.events.request import Answer, post
from smtpbridge.events.target import OAuth2, Target
from smtpbridge.secret import Secret

USER_AGENT = "SparkPost"
BATCH_ID_HEADER = "X-MessageSystems-Batch-ID"
# A token that ends so soon may be over when the target looks at it.
_TOKEN_MARGIN = 30.0
# RFC 6749 leaves out what a token without `expires_in` means; a refusal will say.
_TOKEN_SECONDS = 3600.0
_STALE = (400, 401)


class Poster:
    """Post to one target; one post at a time."""

    def __init__(self, target: Target, connections: Connections, clock: IReactorTime) -> None:
        """Post over `connections`."""
        self.target = target
        self._connections = connections
        self._agent = connections.agent
        self._clock = clock
        self._token: Secret | None = None
        self._token_ends = 0.0

    async def ping(self) -> Outcome:
        """Post what SparkPost posts to see whether a target answers."""
        return await self.post("", PING)

    async def post(self, batch_id: str, body: bytes) -> Outcome:
        """Post a body; without a batch id it is a trial."""
        if self.target.oauth is None:
            return await self._once(batch_id, body, None)
        had_token = self._token_is_good()
        for _ in range(2):
            token = await self._fetched(self.target.oauth)
            if isinstance(token, Outcome):
                return token
            outcome = await self._once(batch_id, body, token)
            if outcome.status not in _STALE:
                return outcome
            self._token = None
            if not had_token:
                return outcome  # the token was new: it is not that
            had_token = False
        return outcome

    async def close(self) -> None:
        """Close what is kept open."""
        await self._connections.close()

    async def _once(self, batch_id: str, body: bytes, token: Secret | None) -> Outcome:
        headers: list[tuple[str, Secret | str]] = [("User-Agent", USER_AGENT), ("Content-Type", "application/json")]
        if batch_id:
            headers.append((BATCH_ID_HEADER, batch_id))
        headers += self.target.headers
        if token is not None:
            headers.append(("Authorization", Secret(b"Bearer " + token.reveal())))
        target = self.target
        answer = await post(self._agent, self._clock, target.url, tuple(headers), body, target.timeout_seconds)
        return answer.outcome() if isinstance(answer, Answer) else answer

    def _token_is_good(self) -> bool:
        return self._token is not None and self._clock.seconds() < self._token_ends

    async def _fetched(self, oauth: OAuth2) -> Secret | Outcome:
        """Return a token, the one that is there if it is still good, or why there is none."""
        if self._token is not None and self._token_is_good():
            return self._token
        asked = {
            "grant_type": "client_credentials",
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret.reveal().decode("utf-8", "surrogateescape"),
        }
        if oauth.scope:
            asked["scope"] = oauth.scope
        headers: tuple[tuple[str, Secret | str], ...] = (
            ("User-Agent", USER_AGENT),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept", "application/json"),
        )
        body = urlencode(asked, errors="surrogateescape").encode("ascii")
        seconds = self.target.timeout_seconds
        answer = await post(self._agent, self._clock, oauth.token_url, headers, body, seconds)
        if isinstance(answer, Outcome):
            return Outcome(Came.LOGIN, f"no token: {answer.words}")
        if not 200 <= answer.status < 300:
            return Outcome(
                Came.LOGIN, f"no token: the server that gives it answered {answer.outcome().words}", answer.status
            )
        return self._learn(answer.body)

    def _learn(self, body: bytes) -> Secret | Outcome:
        """Read the answer of the server that gives tokens (RFC 6749, 5.1)."""
        try:
            said: Any = json.loads(body)
            token, seconds = said["access_token"], said.get("expires_in", _TOKEN_SECONDS)
            octets = str(token).encode("ascii")
            self._token_ends = self._clock.seconds() + max(0.0, float(seconds) - _TOKEN_MARGIN)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Outcome(Came.LOGIN, "no token: the server that gives it answered something else")
        if not octets or not isinstance(token, str) or not token.isprintable():
            return Outcome(Came.LOGIN, "no token: the server that gives it answered an unusable one")
        self._token = Secret(octets)
        return self._token
