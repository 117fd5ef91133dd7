"""Decided, appended, committed, shown: in that order, and nothing of it twice. A hub without sockets."""

from __future__ import annotations

import asyncio
import gc
import unittest
import warnings

from gochatsecure.chat.events import Event
from gochatsecure.chat.model import room_stream
from gochatsecure.log.port import Committed, Failed, busy, unavailable
from gochatsecure.wire.lines import LINES, Lines
from tests.live.fakes import HeldLog, Person, World, turns

UNSTORED = f"! {unavailable().message}; try again in 2.0 s"
BUSY = f"! {busy().message}; try again in 1.0 s"


class WhatIsCommittedIsShown(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.world = World()
        self.alice = await self.world.enter("alice")
        self.bob = await self.world.enter("bob")
        self.alice.seen()

    async def test_nothing_is_shown_before_its_commit(self) -> None:
        self.alice.types("hi")
        self.assertEqual(len(self.world.log.arrived), 1)
        self.assertEqual((self.alice.seen(), self.bob.seen()), ([], []))
        self.world.log.commit()
        self.assertEqual((self.alice.seen(), self.bob.seen()), (["alice: hi"], ["alice: hi"]))

    async def test_it_is_shown_in_the_order_of_the_log(self) -> None:
        self.alice.types("one")
        self.bob.types("two")
        self.alice.types("three")
        self.world.log.commit(2)
        self.world.log.commit()
        wanted = ["alice: one", "bob: two", "alice: three"]
        self.assertEqual((self.alice.seen(), self.bob.seen()), (wanted, wanted))

    async def test_everybody_gets_the_same_bytes(self) -> None:
        """Formatted once: of a thousand members each is shown the same object."""
        self.alice.types("hi")
        self.world.log.commit()
        frames = [person.session.outbox._frames for person in (self.alice, self.bob)]
        self.assertIs(frames[0][0], frames[1][0])

    async def test_a_failed_commit_is_told_to_its_sender_alone(self) -> None:
        self.alice.types("lost")
        self.world.log.fail()
        self.assertEqual((self.alice.seen(), self.bob.seen()), ([UNSTORED], []))

    async def test_of_one_commit_what_was_stored_is_shown_before_what_was_lost_is_told(self) -> None:
        for text in ("lost", "stored"):
            self.alice.types(text)
        lost, stored = self.world.log.arrived
        self.world.hub.committed([Failed(lost, unavailable()), self.world.log.store(stored)])
        self.assertEqual((self.alice.seen(), self.bob.seen()), (["alice: stored", UNSTORED], ["alice: stored"]))

    async def test_after_a_failed_commit_the_session_goes_on(self) -> None:
        self.alice.types("lost")
        self.world.log.fail()
        self.alice.types("again")
        self.world.log.commit()
        self.assertEqual(self.bob.seen(), ["alice: again"])
        self.assertIsNone(self.alice.closed)

    async def test_a_full_queue_refuses_and_the_session_stays(self) -> None:
        world = World(HeldLog(queue=1))
        alice = await world.enter("alice")
        alice.types("one")
        refused = alice.types("two")
        assert refused is not None
        await turns()
        world.log.commit()
        await refused
        self.assertEqual((alice.seen(), alice.closed), (["alice: one", BUSY], None))
        alice.leaves()
        self.assertEqual(world.remains(), {})

    async def test_what_is_refused_never_reaches_the_log(self) -> None:
        for text in ("", "   ", "x" * 4097, "@nobody hi", "@bob", "/nonsense", "@no:name hi"):
            with self.subTest(text[:20]):
                await (self.alice.types(text) or turns())
                self.assertEqual((self.world.log.arrived, self.bob.seen()), ([], []))
                (answer,) = self.alice.seen()
                self.assertTrue(answer.startswith("! "), answer)

    async def test_what_a_session_said_is_shown_even_if_it_has_left(self) -> None:
        self.alice.types("my last words")
        self.alice.leaves()
        self.world.log.commit()
        self.assertEqual(self.bob.seen(), ["alice left the room", "alice: my last words"])
        self.assertEqual(self.alice.seen(), [])

    async def test_a_failure_is_not_told_to_a_session_that_has_left(self) -> None:
        self.alice.types("lost")
        self.alice.close(1000, "bye")
        self.alice.seen()
        self.world.log.fail()
        self.assertEqual((self.alice.seen(), self.alice.after_close), ([], []))

    async def test_what_was_committed_before_is_not_shown_again(self) -> None:
        self.alice.types("hi")
        (draft,) = self.world.log.arrived
        self.world.log.commit()
        self.bob.seen()
        room = self.world.hub._lobby.rooms["default"]
        room.pending += 1
        self.alice.session.pending += 1
        self.world.hub.committed([Committed(draft, self.world.said(), dup=True)])
        self.assertEqual((self.bob.seen(), list(room.tail)), ([], self.world.said()))

    async def test_each_device_of_an_identity_is_shown_it_once(self) -> None:
        other = await self.world.enter("bob")
        self.alice.types("hi")
        self.world.log.commit()
        self.assertEqual((self.bob.seen(), other.seen()), (["alice: hi"], ["alice: hi"]))

    async def test_a_message_stays_in_its_room(self) -> None:
        carol = await self.world.enter("carol", "elsewhere")
        self.alice.types("hi")
        self.world.log.commit()
        self.assertEqual(carol.seen(), [])

    async def test_an_event_that_cannot_be_formatted_is_our_bug_and_ends_its_viewers_only(self) -> None:
        class Broken(Lines):
            def frames(self, event: Event) -> bytes:
                if getattr(event, "stream", None) == room_stream("default"):
                    raise ValueError("a bug in a wire format")
                return LINES.frames(event)

        carol = Person(self.world, self.world.person("carol").session.identity, Broken())
        self.world.hub.connect(carol.session)
        await self.world.hub.begin(carol.session, "default")
        self.bob.seen()
        self.alice.types("hi")
        with self.assertLogs("gochatsecure", "ERROR"):
            self.world.log.commit()
            await asyncio.sleep(0)
        self.assertEqual(carol.closed, (1011, "server error"))
        self.assertEqual(self.alice.closed or self.bob.closed, None)
        self.assertIn("alice: hi", self.bob.seen())
        self.assertEqual(self.alice.session.pending, 0)


class PrivateMessages(unittest.IsolatedAsyncioTestCase):
    async def test_one_is_shown_after_its_commit_to_every_device_of_both_and_nobody_else(self) -> None:
        world = World()
        alice, tablet = await world.enter("alice"), await world.enter("alice", "two")
        self.assertIsNone(tablet.closed)
        bob, phone = await world.enter("bob", "elsewhere"), await world.enter("bob", "third")
        carol = await world.enter("carol")
        everybody = (alice, bob, phone, carol)
        for person in everybody:
            person.seen()
        alice.types("@bob psst")
        self.assertEqual([person.seen() for person in everybody], [[], [], [], []])
        world.log.commit()
        self.assertEqual(alice.seen(), ["(Private) to bob: psst"])
        self.assertEqual([bob.seen(), phone.seen()], [["(Private) alice: psst"]] * 2)
        self.assertEqual(carol.seen(), [])

    async def test_to_oneself_is_shown_once(self) -> None:
        world = World()
        alice = await world.enter("alice")
        alice.types("@alice note")
        world.log.commit()
        self.assertEqual(alice.seen(), ["(Private) to alice: note"])

    async def test_a_failed_one_is_shown_to_nobody(self) -> None:
        world = World()
        alice, bob = await world.enter("alice"), await world.enter("bob")
        alice.seen()
        alice.types("@bob psst")
        world.log.fail()
        self.assertEqual((alice.seen(), bob.seen()), ([UNSTORED], []))

    async def test_whoever_takes_the_name_later_is_not_shown_it(self) -> None:
        """The addressee's inbox is that of its sign-in, not of its name."""
        world = World(guest_grace_s=0)
        alice, bob = await world.enter("alice"), await world.enter("bob", sid="first")
        alice.types("@bob psst")
        bob.leaves()
        heir = await world.enter("bob", sid="second")
        world.log.commit()
        self.assertEqual(heir.seen(), [])
        self.assertIn("(Private) to bob: psst", alice.seen())


class CommandsKeepTheirOrder(unittest.IsolatedAsyncioTestCase):
    """What a session asks behind its own messages is answered as if each had been committed at once."""

    async def asyncSetUp(self) -> None:
        self.world = World()
        self.alice = await self.world.enter("alice")

    async def behind_a_message(self, command: str) -> list[str]:
        """What alice sees of `hi` and this command, once the one is committed."""
        self.alice.types("hi")
        task = self.alice.types(command)
        assert task is not None
        await turns()
        self.assertEqual(self.alice.seen(), [])
        self.world.log.commit()
        await turns()
        self.assertTrue(task.done())
        return self.alice.seen()

    async def test_a_question_is_answered_after_the_message_before_it_is_shown(self) -> None:
        self.assertEqual(await self.behind_a_message("/who"), ["alice: hi", "# in default: alice"])

    async def test_the_history_has_the_message_before_it(self) -> None:
        self.assertEqual(await self.behind_a_message("/history 5"), ["alice: hi", "alice: hi"])

    async def test_one_goes_to_another_room_after_the_message_before_it_is_shown(self) -> None:
        self.assertEqual(await self.behind_a_message("/join two"), ["alice: hi", "alice joined the room"])
        self.assertEqual(self.alice.session.room, "two")

    async def test_one_quits_after_the_message_before_it_is_shown(self) -> None:
        """The close itself sends what is queued."""
        self.alice.types("hi")
        task = self.alice.types("/quit")
        await turns()
        self.assertIsNone(self.alice.closed)
        self.world.log.commit()
        await turns()
        self.assertTrue(task and task.done())
        self.assertEqual((self.alice.seen(), self.alice.closed), (["alice: hi"], (1000, "bye")))

    async def test_it_waits_for_all_of_them(self) -> None:
        for text in ("one", "two", "three"):
            self.alice.types(text)
        task = self.alice.types("/who")
        assert task is not None
        for _ in range(2):
            self.world.log.commit(1)
            await turns()
            self.assertFalse(task.done())
        self.world.log.commit()
        await turns()
        self.assertTrue(task.done())
        self.assertEqual(self.alice.seen(), ["alice: one", "alice: two", "alice: three", "# in default: alice"])

    async def test_a_failed_commit_releases_it_too(self) -> None:
        self.alice.types("lost")
        task = self.alice.types("/who")
        await turns()
        self.world.log.fail()
        await turns()
        self.assertTrue(task and task.done())
        self.assertEqual(self.alice.seen(), [UNSTORED, "# in default: alice"])

    async def test_the_commit_may_come_before_its_task_has_begun(self) -> None:
        """The memory engine does so always: it commits at the end of the turn that appends."""
        self.alice.types("hi")
        task = self.alice.types("/who")
        self.world.log.commit()
        await turns()
        self.addCleanup(task.cancel if task else lambda: None)
        self.assertEqual(self.alice.seen(), ["alice: hi", "# in default: alice"])

    async def test_one_that_leaves_while_a_command_waits_is_asked_nothing_more(self) -> None:
        self.alice.types("hi")
        task = self.alice.types("/join two")
        await turns()
        self.alice.leaves()
        self.world.log.commit()
        await turns()
        self.assertTrue(task and task.done())
        self.assertEqual(self.world.remains(), {})

    async def test_a_command_that_is_cancelled_before_it_begins_is_no_cause_for_a_warning(self) -> None:
        """As when the peer goes in the same turn of the loop."""
        for _ in range(2):  # first with nothing pending, then behind a message
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                task = self.alice.types("/join two")
                assert task is not None
                task.cancel()
                await turns()
                del task
                gc.collect()
            self.assertEqual([str(warning.message) for warning in warned], [])
            self.alice.types("hi")

    async def test_a_cancelled_command_leaves_nothing_behind(self) -> None:
        self.alice.types("hi")
        task = self.alice.types("/who")
        assert task is not None
        await turns()
        task.cancel()
        await turns()
        self.world.log.commit()
        self.assertEqual(self.alice.seen(), ["alice: hi"])
        self.alice.leaves()
        self.assertEqual(self.world.remains(), {})

    async def test_a_refusal_too_comes_after_the_message_before_it(self) -> None:
        """`! nothing was sent` is about the last command: before `alice: hi` it reads as if that one was lost."""
        self.alice.types("hi")
        task = self.alice.types("/nonsense")
        await turns()
        self.world.log.commit()
        await turns()
        self.assertTrue(task is None or task.done())
        self.assertEqual([line[:5] for line in self.alice.seen()], ["alice", "! no "])

    async def test_a_private_message_between_two_public_ones_is_seen_between_them(self) -> None:
        await self.world.enter("bob")
        self.alice.seen()
        for text in ("one", "@bob two", "three"):
            self.alice.types(text)
        self.world.log.commit()
        self.assertEqual(self.alice.seen(), ["alice: one", "(Private) to bob: two", "alice: three"])


class TooManyRefusals(unittest.IsolatedAsyncioTestCase):
    async def test_so_many_in_a_row_end_the_session(self) -> None:
        world = World(refusals=3)
        alice = await world.enter("alice")
        for _ in range(3):
            alice.types("/nonsense")
        self.assertIsNone(alice.closed)
        alice.types("/nonsense")
        self.assertEqual(alice.closed, (4429, "too many refused commands"))
        self.assertEqual(world.remains(), {})

    async def test_a_command_that_succeeds_starts_the_count_anew(self) -> None:
        world = World(refusals=3)
        alice = await world.enter("alice")
        for _ in range(5):
            alice.types("/nonsense")
            alice.types("/nonsense")
            alice.types("/who")
        self.assertIsNone(alice.closed)

    async def test_too_fast_is_refused_with_the_wait_until_it_is_not(self) -> None:
        world = World(message_rate=1, message_burst_s=2)
        alice = await world.enter("alice")
        for text in ("one", "two"):
            alice.types(text)
            world.log.commit()
        alice.types("three")
        too_fast = "! that was too fast; nothing was sent; try again in 1.0 s"
        self.assertEqual(alice.seen(), ["alice: one", "alice: two", too_fast])
        world.clock.now += 1.01
        alice.types("four")
        world.log.commit()
        self.assertEqual(alice.seen(), ["alice: four"])

    async def test_the_identities_of_one_address_share_a_rate(self) -> None:
        world = World(message_rate=1, message_burst_s=1, identities_per_address=2)
        crowd = [await world.enter(f"guest{number}", address="2001:db8::1") for number in range(3)]
        other = await world.enter("other", address="2001:db8:0:1::1")
        for person in (*crowd, other):
            person.types("hi")
        world.log.commit()
        said = [entry.sender.partition("~")[0] for entry in world.said()]
        self.assertEqual(said, ["guest0", "guest1", "other"])

    async def test_the_rate_is_the_identitys_not_the_sessions(self) -> None:
        world = World(message_rate=1, message_burst_s=2)
        phone, laptop, bob = [await world.enter(name) for name in ("alice", "alice", "bob")]
        for person in (phone, laptop):
            person.types("hi")
        laptop.types("too much")
        bob.types("hi")
        world.log.commit()
        self.assertEqual([entry.content[0] for entry in world.said()], ["hi", "hi", "hi"])
