"""The status page in a real browser, with the policy that it is served with."""

from twisted.internet.defer import Deferred

from tests.ops.chromium import PROGRAM, Chromium
from tests.ops.looking import LookingCase
from tests.relay.world import message

# Whatever is laid out beyond the edge of the screen, apart from what scrolls by itself.
_TOO_WIDE = """
Array.from(document.querySelectorAll('body *')).filter(one => !one.closest('.wide > *') && !one.closest('details')
&& one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80)).join('\\n')
"""
_NASTY = '"><img src=x onerror=alert(1)>'


class InChromium(LookingCase):
    timeout = 120

    if not PROGRAM:
        skip = "chromium is not installed (package chromium)"

    async def browser(self) -> Chromium:
        chromium = Chromium()
        self.addCleanup(chromium.end)
        await chromium.begin()
        return chromium

    def test_a_message_appears_without_a_reload_and_nothing_is_complained_of(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            chromium = await self.browser()
            await chromium.go(self.url)
            await chromium.until("document.getElementById('live').textContent === 'live'")
            await chromium.script("window.same = true")
            caller = await self.caller()
            await caller.mail("ada@rcpt.test")
            await caller.mail("bob@rcpt.test", data=message({"campaign_id": 5, _NASTY: _NASTY}))
            await caller.mail("bob@rcpt.test", data=message({"cc": [_NASTY]}))

            await chromium.until("document.getElementById('verdicts').innerText.includes('<ada@rcpt.test>')")
            await chromium.until("document.getElementById('refused').innerText.includes('campaign_id')")
            self.assertTrue(await chromium.script("window.same"), "it was not loaded anew")
            self.assertEqual(await chromium.script("document.querySelectorAll('img').length"), 0)
            self.assertEqual(chromium.complaints, [])

        return Deferred.fromCoroutine(look())

    def test_on_a_phone_nothing_is_wider_than_the_screen_in_light_and_in_dark(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            await (await self.caller()).mail(*(f"someone-with-a-long-name-{n}@customer.test" for n in range(9)))
            await self.shown("<someone-with-a-long-name-0@customer.test>")
            chromium = await self.browser()
            grounds = set()
            for path in ("/", "/search?q=someone"):
                for dark in (False, True):
                    await chromium.go(self.url + path, width=360, height=740, dark=dark)
                    self.assertEqual(await chromium.script(_TOO_WIDE), "")
                    self.assertEqual(await chromium.script("document.documentElement.scrollWidth"), 360)
                    grounds.add(await chromium.script("getComputedStyle(document.body).backgroundColor"))
            self.assertEqual(grounds, {"rgb(255, 255, 255)", "rgb(13, 17, 23)"})
            self.assertEqual(chromium.complaints, [])

        return Deferred.fromCoroutine(look())

    def test_updates_can_be_paused_and_a_lost_connection_is_said(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            chromium = await self.browser()
            await chromium.go(self.url)
            await chromium.until("document.getElementById('live').textContent === 'live'")
            await chromium.script("document.getElementById('pause').click()")
            self.assertEqual(await chromium.script("document.getElementById('live').textContent"), "paused")
            await (await self.caller()).mail("ada@rcpt.test")
            await chromium.script("let seen = 0; new EventSource('events').addEventListener('page', () => seen++)")
            await chromium.until("seen >= 2")
            self.assertFalse(await chromium.script("document.body.innerText.includes('ada@rcpt.test')"))

            await chromium.script("document.getElementById('pause').click()")
            await chromium.until("document.body.innerText.includes('ada@rcpt.test')")
            await self.admin.stopService()
            await chromium.until("document.getElementById('live').textContent.startsWith('no connection')")

        return Deferred.fromCoroutine(look())

    def test_what_somebody_scrolled_and_focused_stays_so_when_the_section_changes(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            chromium = await self.browser()
            caller = await self.caller()
            await caller.mail("ada@rcpt.test")
            await self.shown("<ada@rcpt.test>")
            await chromium.go(self.url, width=360, height=740)
            await chromium.until("document.getElementById('live').textContent === 'live'")
            await chromium.script(
                "t = () => document.querySelector('#verdicts .wide'); t().scrollLeft = 50; t().focus()"
            )
            await caller.mail("bob@rcpt.test")

            await chromium.until("t().innerText.includes('bob@rcpt.test')")
            self.assertEqual(await chromium.script("t().scrollLeft"), 50)
            self.assertTrue(await chromium.script("document.activeElement === t()"))

        return Deferred.fromCoroutine(look())

    def test_without_scripts_the_page_is_whole_and_loads_itself_anew(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            chromium = await self.browser()
            await chromium.call("Emulation.setScriptExecutionDisabled", value=True)
            await chromium.go(self.url)
            await (await self.caller()).mail("ada@rcpt.test")

            # What DevTools runs is not the page's.
            await chromium.until("document.body.innerText.includes('<ada@rcpt.test>')")
            self.assertTrue(await chromium.script("document.getElementById('pause').hidden"))
            self.assertEqual(chromium.complaints, [])

        return Deferred.fromCoroutine(look())

    def test_the_browsers_own_inspector_finds_no_script_or_style_without_its_hash(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            chromium = await self.browser()
            await chromium.go(self.url)
            await chromium.script("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\" id=x>x</p>')")

            await self.eventually(lambda: any("Content Security Policy" in one for one in chromium.complaints))
            self.assertNotEqual(
                await chromium.script("getComputedStyle(document.getElementById('x')).color"), "rgb(255, 0, 0)"
            )

        return Deferred.fromCoroutine(look())
