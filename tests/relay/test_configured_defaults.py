"""What an operator writes for a listener, a credential and a subaccount is what the provider sees."""

import base64

from tests.relay.world import RelayCase

LISTENER = "[listener.translation]\nopen_tracking = true\n"
MORE = """
[[credential]]
username = "SMTP_Injection"
secret_hash = "sha256:b79cfc2bd65f4d6e0c89141114096aababa039bbb14acaf85bbe76c1b6eb9a23"
[credential.translation]
open_tracking = false
click_tracking = true
[subaccounts]
7 = { transactional = true }
"""


class ConfiguredDefaultsTest(RelayCase):
    async def test_each_place_has_its_say_and_the_nearest_wins(self) -> None:
        upstream = await self.upstream()
        await self.relay(listener=LISTENER, more=MORE)
        stranger, known = await self.caller(), await self.caller()
        await known.say(
            "AUTH PLAIN " + base64.b64encode(b"\0SMTP_Injection:X-MSYS-SUBACCOUNT=7\0sender-secret-55").decode()
        )

        await stranger.mail("a@rcpt.test")
        await known.mail("a@rcpt.test")

        first, second = (
            [line for line in one.data.split(b"\r\n") if line.startswith((b"X-IB-Track", b"X-IB-Client"))]
            for one in upstream.taken
        )
        self.assertEqual(first, [b"X-IB-Track-Opens: true", b"X-IB-Track-Clicks: false"])
        self.assertEqual(
            second, [b"X-IB-Track-Opens: false", b"X-IB-Track-Clicks: true", b"X-IB-Client-Priority: HIGH"]
        )
