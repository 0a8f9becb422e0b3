"""A message's whole story is one search of the log for its id."""

from tests.relay.scripted import CUT, USUAL
from tests.relay.test_taking_over import BOUNCES, QUEUE, QUICK, TakingOverCase


class StoryTest(TakingOverCase):
    async def test_acceptance_retries_and_giving_up_are_found_by_the_id(self) -> None:
        seen = await self.upstream(
            {
                "RCPT a@rcpt.test": [b"450 4.2.1 later\r\n", USUAL],
                "RCPT b@rcpt.test": b"550 5.1.1 unknown\r\n",
                ".": [CUT, USUAL],
            }
        )
        await self.relay(listener=QUEUE, more=QUICK + BOUNCES)
        answer = await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test", "c@rcpt.test")
        await self.eventually(lambda: any(one.recipients == ["news@sender.test"] for one in seen.taken))
        await self.nothing_is_left()

        message_id = answer.rpartition(" ")[2]
        story = [line for line in self.log() if f"id={message_id} " in line]
        for part in (
            " received client=",
            f" verdict={answer}",
            " delivery taken=0 refused=2 unknown=1 attempt=1 ",
            " is sent again although an earlier attempt may have been taken: recipients=",
            " delivery taken=2 refused=0 unknown=0 attempt=2 ",
            " given_up=<b@rcpt.test> from=<news@sender.test> outcome=failed answer=550 5.1.1",
        ):
            self.assertEqual(1, len([line for line in story if part in line]), (part, story))
        # The bounce is a message of its own, whose id tells of which one.
        self.assertTrue([line for line in self.log() if f"id={message_id}R delivery taken=1" in line])
