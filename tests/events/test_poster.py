"""One post to a target, over loopback and real TLS."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import trustme
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from smtpbridge.events.faults import Came
from smtpbridge.events.poster import Poster
from smtpbridge.events.target import OAuth2, Target
from smtpbridge.relay.tls import server_context
from smtpbridge.secret import Secret
from tests.events.hook import Hook, closed_port, hang, serve, status
from tests.events.tls import shown, trusting

reactor: Any = _reactor
BATCH = "0f8fad5b-d9cb-469f-a165-70867728950e"
BODY = b'[{"msys":{"message_event":{"type":"delivery"}}}]'


class Blurts(Protocol):
    """Says something to whoever connects, and hangs up."""

    said = b""

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(self.said)
        transport.loseConnection()


def blurting(said: bytes) -> Factory:
    """Return what makes those who say this."""
    factory = Factory.forProtocol(type("Says", (Blurts,), {"said": said}))
    factory.noisy = False
    return factory


def tokens(*seconds: float) -> Any:
    """Answer as a server that gives tokens, each for so long."""
    numbers = iter(range(1, 100))

    def answer(request: Any) -> bytes:
        number = next(numbers)
        request.setHeader("Content-Type", "application/json")
        said = {"access_token": f"token-{number}", "token_type": "bearer", "expires_in": seconds[0]}
        return json.dumps(said).encode()

    return answer


class PosterCase(TestCase):
    def setUp(self) -> None:
        self.ca = trustme.CA()
        self.clock: Any = reactor

    def poster(self, url: str, connections: Any = None, **settings: Any) -> Poster:
        connections = connections or trusting(self.ca)
        self.addCleanup(connections.close)
        return Poster(Target("crm", url, **settings), connections, self.clock)

    def to(self, hook: Hook, **settings: Any) -> Poster:
        return self.poster(f"https://localhost:{serve(self, hook, shown(self.ca))}/hook?a=b", **settings)

    async def until(self, what: Any) -> None:
        while not what():
            await deferLater(reactor, 0.001)


class PosterTest(PosterCase):
    async def test_a_batch_comes_as_sparkposts_did(self) -> None:
        hook = Hook()
        settings = {"headers": (("X-Own", Secret(b"own-header-79")), ("Authorization", Secret(b"Basic eDp5")))}
        outcome = await self.to(hook, **settings).post(BATCH, BODY)
        got = hook.got[0]

        self.assertEqual((outcome.came, outcome.status), (Came.TAKEN, 200))
        self.assertEqual((got.method, got.path, got.body), ("POST", "/hook?a=b", BODY))
        self.assertEqual(got.headers["user-agent"], "SparkPost")
        self.assertEqual(got.headers["content-type"], "application/json")
        self.assertEqual(got.headers["x-messagesystems-batch-id"], BATCH)
        self.assertEqual(got.headers["x-own"], "own-header-79")
        self.assertEqual(got.headers["authorization"], "Basic eDp5")
        self.assertEqual(got.headers["content-length"], str(len(BODY)))

    async def test_a_trial_is_sparkposts_ping(self) -> None:
        hook = Hook()
        outcome = await self.to(hook).ping()

        self.assertEqual(outcome.came, Came.TAKEN)
        self.assertEqual(hook.got[0].body, b'[{"msys":{}}]')

    async def test_any_2xx_is_success_and_nothing_else_is(self) -> None:
        hook = Hook(*[status(code) for code in (200, 202, 204, 299, 400, 401, 404, 410, 429, 500, 503)])
        poster = self.to(hook)
        came = [(await poster.post(BATCH, BODY)).came for _ in range(11)]

        self.assertEqual(came, [Came.TAKEN] * 4 + [Came.REFUSED] * 7)
        self.assertEqual(len(hook.got), 11)

    async def test_a_redirection_is_a_failure_and_is_not_followed(self) -> None:
        elsewhere = Hook()
        port = serve(self, elsewhere)
        hook = Hook(*[status(code, ("Location", f"http://localhost:{port}/")) for code in (301, 302, 303, 307, 308)])
        poster = self.to(hook)
        came = {(await poster.post(BATCH, BODY)).came for _ in range(5)}

        self.assertEqual((came, elsewhere.got), ({Came.REDIRECTED}, []))

    async def test_a_target_that_hangs_is_given_up_in_time_with_its_connection(self) -> None:
        self.clock = Clock()
        hook = Hook(hang)
        posting = Deferred.fromCoroutine(self.to(hook).post(BATCH, BODY))
        await self.until(lambda: hook.open)
        self.clock.advance(9.9)
        self.assertFalse(posting.called)
        self.clock.advance(0.2)
        outcome = await posting
        await self.until(lambda: not hook.open)

        self.assertEqual((outcome.came, outcome.words), (Came.TIMEOUT, "no answer within 10 seconds"))

    async def test_an_answer_that_does_not_end_is_given_up_in_time_too(self) -> None:
        self.clock = Clock()

        def drip(request: Any) -> int:
            request.write(b"x")
            return hang(request)

        hook = Hook(drip)
        posting = Deferred.fromCoroutine(self.to(hook).post(BATCH, BODY))
        await self.until(lambda: hook.open)
        await deferLater(reactor, 0.02)
        self.clock.advance(10)

        self.assertEqual((await posting).came, Came.TIMEOUT)
        await self.until(lambda: not hook.open)

    async def test_a_huge_answer_is_not_read_to_its_end_and_its_status_counts(self) -> None:
        def flood(request: Any) -> int:
            request.write(b"x" * 10_000_000)
            return hang(request)

        hook = Hook(flood)
        outcome = await self.to(hook).post(BATCH, BODY)
        await self.until(lambda: not hook.open)

        self.assertEqual(outcome.came, Came.TAKEN)

    async def test_a_certificate_that_does_not_hold_is_seen_before_anything_is_said(self) -> None:
        hook = Hook()
        late = self.ca.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
        chain = b"".join(one.bytes() for one in late.cert_chain_pems)
        expired = server_context(chain, Secret(late.private_key_pem.bytes()))
        shows = {"issuer": shown(trustme.CA()), "for": shown(self.ca, "other.test"), "expired": expired}
        for word, tls in shows.items():
            outcome = await self.poster(f"https://localhost:{serve(self, hook, tls)}/").post(BATCH, BODY)
            self.assertEqual(outcome.came, Came.TLS)
            self.assertIn(word, outcome.words)

        self.assertEqual(hook.got, [])

    async def test_a_target_that_is_not_there_is_told_from_one_that_speaks_no_tls_or_hangs_up(self) -> None:
        outcome = await self.poster(f"https://localhost:{await closed_port()}/").post(BATCH, BODY)
        self.assertEqual((outcome.came, outcome.words[:18]), (Came.UNREACHABLE, "connection refused"))
        plain = reactor.listenTCP(0, blurting(b"HTTP/1.1 400 Bad Request\r\n\r\n"), interface="127.0.0.1")
        self.addCleanup(plain.stopListening)
        outcome = await self.poster(f"https://localhost:{plain.getHost().port}/").post(BATCH, BODY)
        self.assertEqual(outcome.came, Came.TLS)
        for said in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"SSH-2.0-x\r\n\r\n"):
            port = reactor.listenSSL(0, blurting(said), shown(self.ca), interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            outcome = await self.poster(f"https://localhost:{port.getHost().port}/").post(BATCH, BODY)
            self.assertEqual(outcome.came, Came.LOST, said)

    async def test_a_connection_is_used_again_and_one_that_was_closed_meanwhile_is_not_missed(self) -> None:
        hook = Hook(status(200), status(200), status(200, ("Connection", "close")), status(200))
        poster = self.to(hook)

        self.assertEqual([(await poster.post(BATCH, BODY)).came for _ in range(4)], [Came.TAKEN] * 4)

    async def test_plain_http_works_for_this_machine(self) -> None:
        hook = Hook()

        self.assertEqual(
            (await self.poster(f"http://localhost:{serve(self, hook)}/").post(BATCH, BODY)).came, Came.TAKEN
        )


class OAuthTest(PosterCase):
    def with_tokens(self, hook: Hook, giver: Hook) -> Poster:
        self.clock = Clock()
        url = f"https://localhost:{serve(self, giver, shown(self.ca))}/token"
        return self.to(hook, oauth=OAuth2(url, "bridge", Secret(b"s&cret=1"), "events:write"))

    async def test_a_token_is_fetched_once_and_used_until_it_is_about_to_end(self) -> None:
        hook, giver = Hook(), Hook(tokens(3600))
        poster = self.with_tokens(hook, giver)
        for _ in range(3):
            await poster.post(BATCH, BODY)
        self.clock.advance(3580)
        await poster.post(BATCH, BODY)

        self.assertEqual(
            [got.headers["authorization"] for got in hook.got], ["Bearer token-1"] * 3 + ["Bearer token-2"]
        )
        asked = giver.got[0]
        self.assertEqual(
            parse_qs(asked.body.decode()),
            {
                "grant_type": ["client_credentials"],
                "client_id": ["bridge"],
                "client_secret": ["s&cret=1"],
                "scope": ["events:write"],
            },
        )
        self.assertEqual(asked.headers["content-type"], "application/x-www-form-urlencoded")

    async def test_400_and_401_bring_a_new_token_and_the_post_again_at_once(self) -> None:
        for refusal in (400, 401):
            hook, giver = Hook(status(200), status(refusal), status(200)), Hook(tokens(3600))
            poster = self.with_tokens(hook, giver)
            came = [(await poster.post(BATCH, BODY)).came for _ in range(2)]

            self.assertEqual(came, [Came.TAKEN] * 2)
            self.assertEqual([got.headers["authorization"][-1] for got in hook.got], ["1", "1", "2"])
            self.assertEqual({got.headers["x-messagesystems-batch-id"] for got in hook.got}, {BATCH})

    async def test_a_new_token_that_is_refused_too_is_a_failure_and_no_endless_search(self) -> None:
        hook, giver = Hook(status(200), status(401)), Hook(tokens(3600))
        poster = self.with_tokens(hook, giver)
        came = [(await poster.post(BATCH, BODY)).came for _ in range(3)]

        self.assertEqual(came, [Came.TAKEN, Came.REFUSED, Came.REFUSED])
        self.assertEqual((len(hook.got), len(giver.got)), (4, 3))

    async def test_without_a_token_nothing_is_posted_and_it_is_said_why(self) -> None:
        for answer in (
            status(500),
            status(200),
            lambda _: b'{"access_token":"a\\nb"}',
            lambda _: b"[]",
            lambda _: b'"x"',
        ):
            hook = Hook()
            outcome = await self.with_tokens(hook, Hook(answer)).post(BATCH, BODY)
            self.assertEqual((outcome.came, hook.got), (Came.LOGIN, []))
            self.assertIn("no token", outcome.words)
            self.assertNotIn("s&cret", outcome.words)
