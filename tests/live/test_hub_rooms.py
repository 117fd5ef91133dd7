"""Joining, opening and forgetting rooms, whatever happens meanwhile. A hub without sockets."""

from __future__ import annotations

import asyncio
import random
import unittest

from gochatsecure.chat.commands import Join
from gochatsecure.chat.model import Entry, Identity, Posted, Stream, room_stream
from gochatsecure.log.port import Opening
from tests.live.fakes import HeldLog, Person, World, turns


def remember(log: HeldLog, count: int, room: str = "default") -> None:
    """That many messages in the room's log, from before the server's start."""
    stream = room_stream(room)
    log.kept[stream] = [Entry(stream, seq, 0, "old", None, Posted(str(seq))) for seq in range(1, count + 1)]


class EnteringARoom(unittest.IsolatedAsyncioTestCase):
    async def test_the_backlog_comes_before_ones_own_joining(self) -> None:
        world = World(history=2)
        remember(world.log, 5)
        alice = world.arrive("alice")
        await world.hub.begin(alice.session, "default")
        self.assertEqual(alice.seen(), ["old: 4", "old: 5", "alice joined the room"])

    async def test_a_server_without_history_shows_none(self) -> None:
        world = World(history=0)
        remember(world.log, 5)
        alice = world.arrive("alice")
        await world.hub.begin(alice.session, "default")
        self.assertEqual(alice.seen(), ["alice joined the room"])

    async def test_an_open_room_is_entered_without_reading_its_log(self) -> None:
        world = World()
        remember(world.log, 3)
        await world.enter("alice")
        bob = world.arrive("bob")
        await world.hub.begin(bob.session, "default")
        self.assertEqual(bob.seen(), ["old: 1", "old: 2", "old: 3", "bob joined the room"])
        self.assertEqual(world.log.reads, 1)

    async def test_an_open_rooms_backlog_has_what_was_said_since(self) -> None:
        world = World(history=3)
        remember(world.log, 2)
        alice = await world.enter("alice")
        alice.types("three")
        alice.types("four")
        world.log.commit()
        bob = world.arrive("bob")
        await world.hub.begin(bob.session, "default")
        self.assertEqual(bob.seen(), ["old: 2", "alice: three", "alice: four", "bob joined the room"])

    async def test_only_the_first_session_of_an_identity_is_announced(self) -> None:
        world = World()
        alice = await world.enter("alice")
        await world.enter("bob")
        phone = await world.enter("bob")
        phone.leaves()
        self.assertEqual(alice.seen(), ["bob joined the room"])

    async def test_one_leaves_the_room_that_one_was_in(self) -> None:
        world = World()
        alice, bob = await world.enter("alice"), await world.enter("bob")
        alice.seen()
        await (bob.types("/join Two") or turns())
        self.assertEqual((alice.seen(), bob.seen()), (["bob left the room"], ["bob joined the room"]))
        alice.types("alone")
        world.log.commit()
        self.assertEqual(bob.seen(), [])

    async def test_what_cannot_be_joined_leaves_one_where_one_is(self) -> None:
        world = World()
        alice = await world.enter("alice", rooms=("default", "team-*"))
        for typed in ("/join default", "/join a:b", "/join secret"):
            with self.subTest(typed):
                await (alice.types(typed) or turns())
                (answer,) = alice.seen()
                self.assertTrue(answer.startswith("! "), answer)
                self.assertEqual(alice.session.room, "default")
        await (alice.types("/join team-1") or turns())
        self.assertEqual(alice.seen(), ["alice joined the room"])

    async def test_a_session_that_can_enter_no_room_is_closed(self) -> None:
        world = World()
        world.log.broken = True
        alice = world.arrive("alice")
        await world.hub.begin(alice.session, "default")
        self.assertEqual(alice.seen(), ["! the history could not be read; try again in 2.0 s"])
        self.assertEqual(alice.closed, (1013, "the history could not be read"))
        self.assertEqual(world.remains(), {})


class WhileARoomOpens(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.world = World()
        remember(self.world.log, 2)
        self.world.log.readable.clear()

    def joins(self, person: Person, room: str = "default") -> asyncio.Task[None]:
        return asyncio.create_task(self.world.hub.begin(person.session, room))

    async def test_all_who_wait_for_it_enter_one_room(self) -> None:
        people = [self.world.arrive(name) for name in ("alice", "bob", "carol")]
        joining = [self.joins(person) for person in people]
        await turns()
        self.world.log.readable.set()
        await asyncio.gather(*joining)
        self.assertEqual(people[0].seen()[2:], [f"{name} joined the room" for name in ("alice", "bob", "carol")])
        people[2].types("hi")
        self.world.log.commit()
        self.assertEqual([person.seen()[-1] for person in people], ["carol: hi"] * 3)
        for person in people:
            person.leaves()
        self.assertEqual(self.world.remains(), {})

    async def test_a_cancelled_join_leaves_nothing_behind(self) -> None:
        alice = self.world.arrive("alice")
        joining = self.joins(alice)
        await turns()
        joining.cancel()
        await turns()
        alice.leaves()
        self.assertTrue(joining.cancelled())
        self.assertEqual(self.world.remains(), {})

    async def test_one_cancelled_join_does_not_disturb_another(self) -> None:
        alice, bob = self.world.arrive("alice"), self.world.arrive("bob")
        first, second = self.joins(alice), self.joins(bob)
        await turns()
        first.cancel()
        alice.leaves()
        self.world.log.readable.set()
        await second
        self.assertEqual(bob.seen(), ["old: 1", "old: 2", "bob joined the room"])
        bob.leaves()
        self.assertEqual(self.world.remains(), {})

    async def test_one_that_leaves_meanwhile_does_not_enter(self) -> None:
        alice = self.world.arrive("alice")
        joining = self.joins(alice)
        await turns()
        alice.leaves()
        self.world.log.readable.set()
        await joining
        self.assertEqual((alice.seen(), self.world.remains()), ([], {}))

    async def test_one_stays_in_the_old_room_until_the_new_one_is_open(self) -> None:
        self.world.log.readable.set()
        alice, bob = await self.world.enter("alice", "old"), await self.world.enter("bob", "old")
        alice.seen()
        self.world.log.readable.clear()
        joining = asyncio.create_task(self.world.hub._doors.join(bob.session, Join("new")))
        await turns()
        alice.types("still here?")
        self.world.log.commit()
        self.assertEqual((alice.seen(), bob.seen()), (["alice: still here?"], ["alice: still here?"]))
        self.world.log.readable.set()
        await joining
        self.assertEqual(alice.seen(), ["bob left the room"])

    async def test_a_room_that_is_left_while_another_opens_it_is_kept_for_that_one(self) -> None:
        """Else its reader would come back with an end of the log that has been written on since."""
        alice, bob = self.world.arrive("alice"), self.world.arrive("bob")
        slow = self.joins(alice)
        await turns()
        old = list(self.world.said())
        self.world.log.readable.set()
        await self.world.hub.begin(bob.session, "default")
        bob.types("three")
        self.world.log.commit()
        bob.leaves()
        self.assertEqual(len(old), 2)
        await slow
        self.assertEqual(alice.seen()[:3], ["old: 1", "old: 2", "bob: three"])

    async def test_the_answer_to_history_is_not_shown_in_another_room(self) -> None:
        self.world.log.readable.set()
        alice = await self.world.enter("alice")
        remember(self.world.log, 50)
        room = self.world.hub._lobby.rooms["default"]
        room.position = room.position._replace(last=50)
        self.world.log.readable.clear()
        asking = alice.types("/history 40")
        assert asking is not None
        await turns()
        alice.leaves()
        self.world.log.readable.set()
        await asking
        self.assertEqual(alice.seen(), [])

    async def test_nothing_is_shown_after_the_close(self) -> None:
        """Data behind a Close frame is against RFC 6455 5.5.1."""
        alice = self.world.arrive("alice")
        joining = self.joins(alice)
        await turns()
        self.world.log.broken = True
        alice.close(4401, "the token has expired; sign in again")
        self.world.log.readable.set()
        await joining
        self.assertEqual((alice.seen(), alice.after_close), ([], []))


class LookingBack(unittest.IsolatedAsyncioTestCase):
    async def looks_back(self, person: Person, typed: str) -> list[str]:
        await (person.types(typed) or turns())
        return person.seen()

    async def test_shows_what_is_at_hand_without_reading_the_log(self) -> None:
        world = World(history=3)
        remember(world.log, 10)
        alice = await world.enter("alice")
        self.assertEqual(await self.looks_back(alice, "/history 2"), ["old: 9", "old: 10"])
        self.assertEqual(await self.looks_back(alice, "/history"), ["old: 8", "old: 9", "old: 10"])
        self.assertEqual(world.log.reads, 1)

    async def test_reads_what_is_not_at_hand_but_no_more_than_a_page(self) -> None:
        world = World(history=3, history_page=5)
        remember(world.log, 10)
        alice = await world.enter("alice")
        self.assertEqual(await self.looks_back(alice, "/history 4"), [f"old: {n}" for n in range(7, 11)])
        self.assertEqual(await self.looks_back(alice, "/history 9"), [f"old: {n}" for n in range(6, 11)])

    async def test_shows_no_more_than_one_answer_may_hold_and_of_that_the_newest(self) -> None:
        world = World(history=20, backlog=10)
        remember(world.log, 20)
        alice = world.arrive("alice")
        await world.hub.begin(alice.session, "default")
        entered = alice.seen()[:-1]
        self.assertEqual(entered, await self.looks_back(alice, "/history 20"))
        self.assertEqual(entered[-1], "old: 20")
        self.assertIn(len(entered), range(5, 8))

    async def test_shows_nothing_that_is_stored_but_not_handed_back_yet(self) -> None:
        """It comes as it is committed; else it would be seen twice, and before what others are shown."""
        world = World(history=1)
        remember(world.log, 3)
        alice, bob = await world.enter("alice"), await world.enter("bob")
        alice.seen()
        bob.types("new")
        outcome = world.log.store(world.log.arrived.pop())
        self.assertEqual(await self.looks_back(alice, "/history 3"), ["old: 1", "old: 2", "old: 3"])
        world.hub.committed([outcome])
        self.assertEqual(alice.seen(), ["bob: new"])

    async def test_that_fails_is_told(self) -> None:
        world = World(history=1)
        remember(world.log, 3)
        alice = await world.enter("alice")
        world.log.broken = True
        self.assertEqual(
            await self.looks_back(alice, "/history 3"), ["! the history could not be read; try again in 2.0 s"]
        )
        self.assertIsNone(alice.closed)


class IdleRoomsAreForgotten(unittest.IsolatedAsyncioTestCase):
    async def test_when_the_last_member_has_left(self) -> None:
        world = World()
        for number in range(100):
            alice = await world.enter("alice", f"room{number}")
            alice.leaves()
        self.assertEqual(world.remains(), {})

    async def test_but_not_while_something_is_under_way(self) -> None:
        world = World()
        alice = await world.enter("alice")
        alice.types("hi")
        alice.leaves()
        self.assertEqual(list(world.hub._lobby.rooms), ["default"])
        bob = world.arrive("bob")
        await world.hub.begin(bob.session, "default")
        world.log.commit()
        self.assertEqual(bob.seen(), ["bob joined the room", "alice: hi"])

    async def test_as_soon_as_it_is_no_more_committed_or_not(self) -> None:
        for end in (HeldLog.commit, HeldLog.fail):
            with self.subTest(end.__name__):
                world = World()
                alice = await world.enter("alice")
                alice.types("hi")
                alice.types("@alice hi")
                alice.leaves()
                end(world.log)
                self.assertEqual(world.remains(), {})

    async def test_their_history_is_read_again(self) -> None:
        world = World()
        alice = await world.enter("alice")
        alice.types("hi")
        world.log.commit()
        alice.leaves()
        bob = world.arrive("bob")
        await world.hub.begin(bob.session, "default")
        self.assertEqual(bob.seen(), ["alice: hi", "bob joined the room"])


class RandomLog(HeldLog):
    """Commits, hands back and reads after random numbers of turns; stored entries can be read before they come back."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.working = True

    async def work(self) -> None:
        while self.working or self.arrived:
            await turns(self.chance.randrange(4))
            outcomes = [self.store(draft) for draft in self._taken(self.chance.randrange(1, 5))]
            await turns(self.chance.randrange(4))
            if outcomes:
                self._sink(outcomes)
            await asyncio.sleep(0)

    async def look(self, stream: Stream, limit: int) -> Opening:
        await turns(self.chance.randrange(6))
        found = await super().look(stream, limit)
        await turns(self.chance.randrange(6))
        return found


class BacklogAndLiveStreamMeet(unittest.IsolatedAsyncioTestCase):
    """Whoever enters sees one unbroken piece of the room's log: no gap, no overlap, whatever interleaves."""

    async def visit(self, world: World, number: int, chance: random.Random) -> None:
        """One person enters, talks, and leaves, perhaps before it is in; then what was seen is held to the log."""
        person = world.arrive(f"guest{number}")
        joining = asyncio.create_task(world.hub.begin(person.session, "default"))
        if chance.random() < 0.2:
            await turns(chance.randrange(8))
            joining.cancel()
            await turns(1)
        else:
            await joining
        seen: list[str] = []
        for word in range(chance.randrange(6)):
            if person.session.room:
                person.types(f"word{word}")
            seen += person.seen()
            await turns(chance.randrange(8))
        seen += person.seen()
        person.leaves()
        self.visits.append([line for line in seen if ": " in line])

    async def one_run(self, seed: int) -> None:
        chance = random.Random(seed)
        log = RandomLog(chance)
        world = World(log, history=5)
        self.visits: list[list[str]] = []
        work = asyncio.create_task(log.work())
        people = []
        for number in range(25):
            people.append(asyncio.create_task(self.visit(world, number, chance)))
            await turns(chance.randrange(12))
        await asyncio.gather(*people)
        log.working = False
        await work
        self.hold_to_the_log(world)
        self.assertEqual(world.remains(), {})

    def hold_to_the_log(self, world: World) -> None:
        whole = [f"{entry.sender.partition('~')[0]}: {entry.content[0]}" for entry in world.said()]
        self.assertEqual(len(whole), len(set(whole)))
        for seen in filter(None, self.visits):
            start = whole.index(seen[0])
            self.assertEqual(seen, whole[start : start + len(seen)])

    async def test_under_many_random_interleavings(self) -> None:
        visited = 0
        for seed in range(60):
            with self.subTest(seed=seed):
                await self.one_run(seed)
                visited += sum(map(bool, self.visits))
        self.assertGreater(visited, 400, "hardly anybody saw anything: the test tests nothing")


class WhoMaySpeakWhere(unittest.IsolatedAsyncioTestCase):
    async def test_a_session_speaks_in_the_room_that_it_is_in(self) -> None:
        world = World()
        alice = await world.enter("alice", "one")
        await (alice.types("/join two") or turns())
        alice.seen()
        alice.types("hi")
        world.log.commit()
        self.assertEqual((len(world.said("one")), len(world.said("two"))), (0, 1))

    async def test_an_identity_is_what_its_token_says(self) -> None:
        world = World()
        alice = await world.enter("alice", guest=False)
        alice.types("hi")
        world.log.commit()
        self.assertEqual(world.said()[0].sender, Identity("alice", "").key)
