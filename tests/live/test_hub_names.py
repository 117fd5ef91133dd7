"""Who may use a name, in how many sessions, and until when. A hub without sockets."""

from __future__ import annotations

import unittest

from gochatsecure.chat.model import Identity, Role
from tests.live.fakes import Person, World, turns

CYRILLIC_ALICE = "\u0430\u04cf\u0456\u0441\u0435"  # аӏісе: looks like alice, all of it Cyrillic


class AGuestName(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.world = World(guest_grace_s=60)
        self.alice = Identity("alice", "hers", role=Role.GUEST)
        self.another = Identity("alice", "not hers", role=Role.GUEST)

    def free(self, identity: Identity | None, name: str = "alice") -> bool:
        return self.world.hub.is_free(name, identity)

    async def test_is_free_before_anybody_uses_it(self) -> None:
        self.assertTrue(self.free(None))
        self.assertTrue(self.free(self.another))

    async def test_is_held_while_connected(self) -> None:
        self.world.arrive("alice", "hers")
        self.assertFalse(self.free(None))
        self.assertFalse(self.free(self.another))
        self.assertTrue(self.free(self.alice))

    async def test_is_held_against_names_that_look_like_it(self) -> None:
        self.world.arrive("alice", "hers")
        self.assertFalse(self.free(None, CYRILLIC_ALICE))
        self.assertFalse(self.free(Identity(CYRILLIC_ALICE, "not hers", role=Role.GUEST), CYRILLIC_ALICE))
        self.assertTrue(self.free(None, "alicia"))

    async def test_is_kept_for_its_sign_in_during_the_grace(self) -> None:
        self.world.arrive("alice", "hers").leaves()
        self.world.clock.now += 59.9
        self.assertFalse(self.free(None))
        self.assertFalse(self.free(self.another))
        self.assertFalse(self.free(None, CYRILLIC_ALICE))
        self.assertTrue(self.free(self.alice))

    async def test_is_free_again_after_the_grace(self) -> None:
        self.world.arrive("alice", "hers").leaves()
        self.world.clock.now += 60.1
        self.assertTrue(self.free(None))
        self.assertTrue(self.free(self.another))

    async def test_is_held_until_the_last_of_its_sessions_has_left(self) -> None:
        phone, laptop = self.world.arrive("alice", "hers"), self.world.arrive("alice", "hers")
        phone.leaves()
        self.world.clock.now += 1000
        self.assertFalse(self.free(None))
        laptop.leaves()
        self.world.clock.now += 59
        self.assertFalse(self.free(None))

    async def test_each_leaving_starts_the_grace_anew(self) -> None:
        for _ in range(3):
            self.world.arrive("alice", "hers").leaves()
            self.world.clock.now += 40
        self.assertFalse(self.free(None))


class AnOwnersName(unittest.IsolatedAsyncioTestCase):
    """Whose token is signed by a fronting site owns the name: no guest may stand in its way."""

    def setUp(self) -> None:
        self.world = World()
        self.owner = Identity("alice", "")

    async def test_is_free_for_its_owner_even_while_a_guest_uses_it(self) -> None:
        self.world.arrive("alice", "guest")
        self.assertTrue(self.world.hub.is_free("alice", self.owner))

    async def test_the_owner_ends_the_guests_sessions_and_nobody_elses(self) -> None:
        guests = [await self.world.enter("alice", sid="guest") for _ in range(2)]
        bob = await self.world.enter("bob")
        owner = await self.world.enter("alice", sid="owner", guest=False)
        wanted = (4401, "the owner of this name has come")
        self.assertEqual([guest.closed for guest in guests], [wanted, wanted])
        self.assertEqual((bob.closed, owner.closed), (None, None))
        self.assertEqual(bob.seen(), ["alice left the room", "alice joined the room"])

    async def test_a_guest_that_looks_like_the_owner_yields_too(self) -> None:
        guest = await self.world.enter(CYRILLIC_ALICE, sid="guest")
        await self.world.enter("alice", guest=False)
        self.assertEqual(guest.closed, (4401, "the owner of this name has come"))

    async def test_no_guest_may_use_it_meanwhile(self) -> None:
        await self.world.enter("alice", guest=False)
        for identity in (None, Identity("alice", "guest", role=Role.GUEST)):
            self.assertFalse(self.world.hub.is_free("alice", identity))

    async def test_its_own_further_sessions_are_welcome(self) -> None:
        first = await self.world.enter("alice", sid="one sign-in", guest=False)
        second = await self.world.enter("alice", sid="another", guest=False)
        self.assertEqual((first.closed, second.closed), (None, None))

    async def test_it_is_kept_a_while_after_the_owner_has_left(self) -> None:
        """Or a guest would get what is said to the owner, who is only between two connections."""
        (await self.world.enter("alice", guest=False)).leaves()
        self.assertFalse(self.world.hub.is_free("alice", None))
        self.assertFalse(self.world.hub.is_free("a1ice", None))
        self.assertTrue(self.world.hub.is_free("alice", Identity("alice", "another sign-in")))

    async def test_the_guests_private_messages_are_not_the_owners(self) -> None:
        bob = await self.world.enter("bob")
        await self.world.enter("alice", sid="guest")
        bob.types("@alice psst")
        owner = await self.world.enter("alice", guest=False)
        self.world.log.commit()
        self.assertEqual(owner.seen(), [])


class SessionsOfOneIdentity(unittest.IsolatedAsyncioTestCase):
    async def test_one_too_many_is_closed_and_the_others_stay(self) -> None:
        world = World(sessions_per_identity=2)
        first, second = await world.enter("alice"), await world.enter("alice")
        third = world.person("alice")
        self.assertFalse(world.hub.connect(third.session))
        self.assertEqual(third.closed, (4409, "too many sessions of one identity"))
        self.assertEqual((first.closed, second.closed), (None, None))
        self.assertEqual(world.hub.sessions, {first.session, second.session})

    async def test_one_that_leaves_makes_room(self) -> None:
        world = World(sessions_per_identity=2)
        first, second = await world.enter("alice"), await world.enter("alice")
        first.leaves()
        self.assertTrue(world.hub.connect(world.person("alice").session))
        self.assertIsNone(second.closed)

    async def test_leaving_twice_counts_once(self) -> None:
        world = World(sessions_per_identity=2)
        first, second = await world.enter("alice"), await world.enter("alice")
        first.leaves()
        first.leaves()
        self.assertEqual(world.hub._lobby.sessions_of("alice"), 1)
        second.leaves()
        self.assertEqual(world.remains(), {})

    async def test_a_refused_session_leaving_does_not_count(self) -> None:
        world = World(sessions_per_identity=1)
        await world.enter("alice")
        refused = world.arrive("alice")
        refused.leaves()
        self.assertEqual(world.hub._lobby.sessions_of("alice"), 1)

    async def test_the_rooms_member_goes_with_its_last_session_there(self) -> None:
        world = World()
        bob = await world.enter("bob")
        phone, laptop = await world.enter("alice"), await world.enter("alice")
        bob.seen()
        phone.leaves()
        self.assertEqual(bob.seen(), [])
        laptop.leaves()
        self.assertEqual(bob.seen(), ["alice left the room"])


class TokensExpire(unittest.IsolatedAsyncioTestCase):
    async def test_a_session_ends_when_its_token_does(self) -> None:
        world = World()
        alice = await world.enter("alice", expires=world.clock.now + 10)
        self.assertEqual(world.hub.seconds_left(alice.session), 10)
        self.assertFalse(world.hub.expire(alice.session))
        world.clock.now += 10
        self.assertTrue(world.hub.expire(alice.session))
        self.assertEqual(alice.closed, (4401, "the token has expired; sign in again"))
        self.assertEqual(world.remains(), {})


class GoingAway(unittest.IsolatedAsyncioTestCase):
    GOING = "! the server is going away; nothing was sent; try again in 2.0 s"

    async def asyncSetUp(self) -> None:
        self.world = World()
        self.alice = await self.world.enter("alice")

    async def test_no_more_commands_are_taken(self) -> None:
        self.world.hub.drain()
        for text in ("hi", "/who", "/join two", "@alice hi"):
            with self.subTest(text):
                self.assertIsNone(self.alice.types(text))
                self.assertEqual((self.alice.seen(), self.world.log.arrived), ([self.GOING], []))

    async def test_what_is_under_way_is_committed_and_shown(self) -> None:
        self.alice.types("hi")
        self.world.hub.drain()
        self.world.log.commit()
        self.assertEqual(self.alice.seen(), ["alice: hi"])

    async def test_a_command_that_waits_for_its_commit_is_refused_then(self) -> None:
        self.alice.types("hi")
        task = self.alice.types("/join two")
        await turns()
        self.world.hub.drain()
        self.world.log.commit()
        await turns()
        self.assertTrue(task and task.done())
        self.assertEqual(self.alice.seen(), ["alice: hi", self.GOING])

    async def test_whoever_connects_now_is_sent_away(self) -> None:
        self.world.hub.drain()
        bob: Person = self.world.arrive("bob")
        await self.world.hub.begin(bob.session, "default")
        self.assertEqual(bob.closed, (1013, "the server is going away; nothing was sent"))
        self.assertEqual(bob.seen(), [self.GOING])

    async def test_leaving_is_not_refused(self) -> None:
        self.world.hub.drain()
        self.alice.leaves()
        self.assertEqual(self.world.remains(), {})
