"""How much one identity may do (RATE-1): joins, distinct private targets, refusals in the long run. Without sockets."""

from __future__ import annotations

import unittest

from tests.live.fakes import Person, World, turns

TOO_FAST = "! that was too fast; nothing was sent; try again in {} s"


class Rates(unittest.IsolatedAsyncioTestCase):
    async def seen(self, person: Person, text: str) -> list[str]:
        person.types(text)
        await turns()
        person._world.log.commit()
        return person.seen()

    async def test_joins_are_refused_beyond_their_rate_with_when_to_come_back(self) -> None:
        world = World(message_rate=1000, joins_per_minute=2)
        alice = await world.enter("alice")
        for number in range(4):  # twice as many at once
            self.assertEqual(await self.seen(alice, f"/join r{number}"), ["alice joined the room"])
        self.assertEqual(await self.seen(alice, "/join r4"), [TOO_FAST.format("30.0")])
        self.assertEqual(await self.seen(alice, "hi"), ["alice: hi"])
        world.clock.now += 30.01
        self.assertEqual(await self.seen(alice, "/join r4"), ["alice joined the room"])

    async def test_the_joins_of_all_sessions_of_one_identity_count_together(self) -> None:
        world = World(message_rate=1000, joins_per_minute=1)
        phone, laptop, bob = [await world.enter(name) for name in ("alice", "alice", "bob")]
        await self.seen(phone, "/join a")
        await self.seen(laptop, "/join b")
        self.assertIn("too fast", (await self.seen(phone, "/join c"))[-1])
        self.assertNotIn("too fast", (await self.seen(bob, "/join c"))[-1])

    async def test_private_messages_go_to_so_many_different_names_a_minute(self) -> None:
        world = World(message_rate=1000, private_targets_per_minute=2)
        alice = await world.enter("alice")
        for name in ("bob", "carol", "dave"):
            await world.enter(name)
        alice.seen()
        self.assertEqual(await self.seen(alice, "@bob hi"), ["(Private) to bob: hi"])
        world.clock.now += 10
        self.assertEqual(await self.seen(alice, "@carol hi"), ["(Private) to carol: hi"])
        self.assertEqual(await self.seen(alice, "@dave hi"), [TOO_FAST.format("50.0")])
        self.assertEqual(await self.seen(alice, "@bob hi again"), ["(Private) to bob: hi again"])
        world.clock.now += 60
        self.assertEqual(await self.seen(alice, "@dave hi"), ["(Private) to dave: hi"])

    async def test_names_that_nobody_has_count_too(self) -> None:
        """Who tries one after another looks for somebody to pester."""
        world = World(message_rate=1000, private_targets_per_minute=2)
        alice = await world.enter("alice")
        for name in ("bob", "carol"):
            self.assertIn("nobody of that name", (await self.seen(alice, f"@{name} hi"))[0])
        self.assertIn("too fast", (await self.seen(alice, "@dave hi"))[0])

    async def test_a_flood_is_closed_even_if_some_of_it_is_let_through(self) -> None:
        """Each command that is let through ends a row of refusals; they are counted in the long run, too."""
        world = World(message_rate=1, message_burst_s=1, refusals=50, refusals_per_minute=60)
        alice = await world.enter("alice")
        sent = 0
        for _ in range(20):
            world.clock.now += 1
            for _ in range(20):
                sent += alice.closed is None
                await self.seen(alice, "flood")
        self.assertEqual(alice.closed, (4429, "too many refused commands"))
        self.assertLess(sent, 150)

    async def test_who_errs_now_and_then_goes_on_for_ever(self) -> None:
        world = World(message_rate=10, refusals=10, refusals_per_minute=60)
        alice = await world.enter("alice")
        for _ in range(500):
            world.clock.now += 2
            for text in ("/nonsense", "/nonsense", "/who"):
                await self.seen(alice, text)
        self.assertIsNone(alice.closed)

    async def test_who_comes_back_from_a_flood_is_not_forgiven_by_that(self) -> None:
        world = World(message_rate=1, message_burst_s=1, refusals=5, refusals_per_minute=1)
        alice = await world.enter("alice")
        for _ in range(2):
            for _ in range(12):
                await self.seen(alice, "flood")
            last = alice
            alice = await world.enter("alice")
        for _ in range(4):
            await self.seen(alice, "flood")
        self.assertEqual((last.closed, alice.closed), ((4429, "too many refused commands"),) * 2)

    async def test_a_limit_that_is_hit_is_logged_ten_times_and_then_once_a_second(self) -> None:
        world = World(message_rate=1, message_burst_s=1, refusals=1000)
        alice = await world.enter("alice")
        with self.assertLogs("gochatsecure", "INFO") as logged:
            for _ in range(100):
                await self.seen(alice, "flood")
            world.clock.now += 1
            await self.seen(alice, "let through")
            await self.seen(alice, "flood")
        lines = [record.getMessage() for record in logged.records]
        self.assertEqual(lines[0], 'limit_hit username=alice address="" count=1')
        self.assertEqual((len(lines), lines[-1]), (11, 'limit_hit username=alice address="" count=90'))

    async def test_a_client_is_told_of_them_at_once(self) -> None:
        world = World(message_rate=10, joins_per_minute=7, private_targets_per_minute=8)
        self.assertEqual(
            {name: world.hub._told[name] for name in ("joins_per_minute", "private_targets_per_minute")},
            {"joins_per_minute": 7, "private_targets_per_minute": 8},
        )

    async def test_without_a_message_rate_there_are_none(self) -> None:
        world = World(message_rate=0, joins_per_minute=1, private_targets_per_minute=1)
        alice = await world.enter("alice")
        for number in range(20):
            self.assertNotIn("too fast", (await self.seen(alice, f"/join r{number}"))[-1])
            self.assertNotIn("too fast", (await self.seen(alice, f"@bob{number} hi"))[-1])
