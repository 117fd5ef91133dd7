"""Rooms that people run: what each rule does to those who are there, at once and in the log's order."""

from __future__ import annotations

import asyncio
from typing import Any

from gochatsecure.chat.model import Identity, Role
from gochatsecure.wire.json_v1 import JSON
from gochatsecure.wire.websocket import FORBIDDEN
from tests.live.fakes import EPOCH, turns
from tests.live.test_hub_json import JSONTestCase, Program


class RulesTestCase(JSONTestCase):
    """olga owns the den, mona moderates it, gus is a guest there."""

    async def asyncSetUp(self) -> None:
        self.olga = await self.enter("olga", guest=False)
        self.assertEqual((await self.rule(self.olga, "role", name="olga", role="owner"))["seq"], 1)
        self.mona = await self.enter("mona", guest=False)
        await self.rule(self.olga, "role", name="mona", role="moderator")
        self.gus = await self.enter("gus")
        for program in (self.olga, self.mona, self.gus):
            program.hears()

    cids = 0

    async def rule(self, program: Program, op: str, **fields: Any) -> Any:
        self.cids += 1
        return await self.committed(program, op, room="den", cid=f"c{self.cids}", **fields)

    async def again(self, name: str, sid: str | None = None, **fields: Any) -> Any:
        """Coming into the den: the answer, or the code of the refusal."""
        return await (await self.begin(name, sid, **fields)).asks("join", room="den")


class TakingOut(RulesTestCase):
    async def test_who_is_kicked_sees_that_and_nothing_after_it(self) -> None:
        await self.olga.asks("kick", room="den", name="gus", reason="spam", cid="k")
        await self.mona.asks("send", room="den", text="good", cid="m")
        self.world.log.commit()
        self.assertEqual([event["event"] for event in self.gus.hears()], ["kicked"])
        self.assertEqual([event.get("event") for event in self.mona.hears()], ["kicked", "left", "message", None])
        self.assertEqual(await self.gus.asks("send", room="den", text="hi", cid="g"), "not_a_member")
        self.assertTrue(self.gus.session.open)
        self.assertEqual((await self.again("gus", "sid-of-gus"))["room"], "den")

    async def test_a_session_of_one_room_ends_when_it_is_taken_out(self) -> None:
        lines = await self.world.enter("lina", "den")
        await self.rule(self.olga, "kick", name="lina")
        self.assertEqual(lines.seen()[-1:], ["(Room) olga took lina out"])
        self.assertEqual((lines.closed or (0,))[0], FORBIDDEN)

    async def test_who_comes_straight_into_a_room_that_bans_one_is_sent_away_for_good(self) -> None:
        await self.rule(self.olga, "ban", name="lina")
        lina = await self.world.enter("lina", "den")
        self.assertEqual((lina.closed or (0,))[0], FORBIDDEN)
        self.assertEqual(lina.session.rooms, set())

    async def test_who_is_banned_is_not_told_how_much_is_said_there(self) -> None:
        await self.gus.asks("read", room="den", seq=2)
        await self.send(self.mona, "hi", "m")
        self.assertEqual([place["unread"] for place in (await self.gus.asks("unread"))["rooms"]], [1])
        await self.rule(self.olga, "ban", name="gus")
        self.assertEqual((await self.gus.asks("unread"))["rooms"], [])

    async def test_all_sessions_of_the_name_go(self) -> None:
        second = await self.enter("gus")
        await self.rule(self.mona, "ban", name="gus")
        self.assertEqual((self.gus.session.rooms, second.session.rooms), (set(), set()))

    async def test_a_ban_holds_for_every_guest_of_the_name_until_it_ends(self) -> None:
        await self.rule(self.mona, "ban", name="gus", seconds=60, reason="spam")
        self.gus.leaves()
        self.assertEqual(await self.again("gus", "another"), "banned")
        self.world.clock.now += 60
        self.assertEqual((await self.again("gus", "another"))["room"], "den")

    async def test_what_is_under_way_about_somebody_is_not_overtaken(self) -> None:
        await self.olga.asks("ban", room="den", name="gus", cid="b")
        self.assertEqual(await self.gus.asks("send", room="den", text="hi", cid="g"), "room_busy")
        self.assertEqual(await self.again("gus", "sid-of-gus"), "room_busy")
        self.world.log.fail()
        self.assertEqual((await self.send(self.gus, "hi", "g"))["seq"], 3)

    async def test_a_ban_outlives_the_room_and_the_server(self) -> None:
        await self.rule(self.olga, "ban", name="gus")
        for program in (self.olga, self.mona, self.gus):
            program.leaves()
        self.assertEqual(self.world.remains(), {})
        self.assertEqual(await self.again("gus", "sid-of-gus"), "banned")
        self.assertEqual((await self.again("olga", guest=False))["role"], "owner")

    async def test_a_ban_that_comes_while_one_is_let_in_keeps_one_out(self) -> None:
        ines = await self.begin("ines")
        self.world.log.readable.clear()
        coming = ines.types('{"op": "join", "id": 77, "room": "den", "after": {"epoch": "' + EPOCH + '", "seq": 0}}')
        await turns()
        await self.rule(self.olga, "ban", name="ines")
        self.world.log.readable.set()
        assert coming is not None
        await coming
        self.assertEqual(ines.answer(77), "banned")
        self.assertEqual(ines.session.rooms, set())

    async def test_who_runs_the_room_sees_who_is_banned_and_nobody_else_does(self) -> None:
        await self.rule(self.mona, "ban", name="eve", seconds=5, reason="spam")
        await self.rule(self.mona, "mute", name="max")
        until = int(self.world.clock.now * 1000) + 5000
        wanted = {
            "room": "den",
            "banned": [{"name": "eve", "until": until, "reason": "spam"}],
            "muted": [{"name": "max", "until": None, "reason": ""}],
            "banned_total": 1,
            "muted_total": 1,
        }
        self.assertEqual(await self.mona.asks("bans", room="den"), wanted)
        self.assertEqual(await self.gus.asks("bans", room="den"), "not_allowed")


class Speaking(RulesTestCase):
    async def test_who_is_muted_may_read_and_take_back_but_say_nothing(self) -> None:
        await self.send(self.gus, "oops", "g1")
        await self.rule(self.mona, "mute", name="gus", reason="calm down")
        for op, fields in (
            ("send", {"text": "hi"}),
            ("edit", {"seq": 3, "text": "hi"}),
            ("react", {"seq": 3, "emoji": "x"}),
        ):
            self.assertEqual(await self.gus.asks(op, room="den", cid=op, **fields), "muted")
        self.assertEqual((await self.committed(self.gus, "delete", room="den", seq=3, cid="d"))["seq"], 5)
        await self.rule(self.mona, "unmute", name="gus")
        self.assertEqual((await self.send(self.gus, "hi", "g2"))["seq"], 7)

    async def test_who_is_muted_does_not_even_type(self) -> None:
        await self.rule(self.mona, "mute", name="gus")
        self.mona.hears()
        self.assertEqual(await self.gus.asks("typing", room="den"), "muted")
        self.assertEqual(self.mona.hears(), [])

    async def test_slow_mode_takes_one_message_in_so_many_seconds(self) -> None:
        await self.rule(self.olga, "slow", seconds=10)
        await self.send(self.gus, "one", "g1")
        self.assertEqual(await self.gus.asks("send", room="den", text="two", cid="g2"), "slow_mode")
        self.assertEqual((await self.send(self.mona, "one", "m1"))["seq"], 5)
        self.assertEqual((await self.send(self.mona, "two", "m2"))["seq"], 6)
        self.world.clock.now += 10
        self.assertEqual((await self.send(self.gus, "two", "g2"))["seq"], 7)

    async def test_a_moderator_takes_back_what_those_below_have_said(self) -> None:
        await self.send(self.gus, "spam", "g")
        await self.send(self.olga, "mine", "o")
        self.assertEqual(await self.gus.asks("delete", room="den", seq=4, cid="x"), "not_yours")
        self.assertEqual(await self.mona.asks("delete", room="den", seq=4, cid="x"), "not_yours")
        ann = await self.enter("ann")
        self.assertEqual(await ann.asks("delete", room="den", seq=3, cid="x"), "not_yours")
        self.gus.leaves()
        self.assertEqual((await self.committed(self.mona, "delete", room="den", seq=3, cid="y"))["seq"], 5)
        self.assertEqual(await self.mona.asks("edit", room="den", seq=4, text="theirs", cid="z"), "not_yours")

    async def test_nobody_else_takes_back_what_those_below_or_as_high_have_said(self) -> None:
        await self.send(self.gus, "mine", "g")
        await self.send(self.mona, "mine too", "m")
        max_, eve = await self.enter("max", guest=False), await self.enter("eve")
        await self.rule(self.olga, "role", name="max", role="moderator")
        self.assertEqual(await max_.asks("delete", room="den", seq=4, cid="x"), "not_yours")
        self.assertEqual(await eve.asks("delete", room="den", seq=3, cid="x"), "not_yours")
        mia = await self.enter("mia", guest=False)  # owns her name, which is more than a guest does, and runs nothing
        self.assertEqual(await mia.asks("delete", room="den", seq=3, cid="x"), "not_yours")
        self.assertEqual((await self.committed(max_, "delete", room="den", seq=3, cid="y"))["seq"], 6)


class Finding(RulesTestCase):
    async def test_only_public_rooms_are_listed_to_who_is_not_there(self) -> None:
        eve = await self.begin("eve")
        for visibility, found in (("public", ["den"]), ("unlisted", []), ("private", [])):
            await self.rule(self.olga, "visibility", visibility=visibility)
            self.assertEqual([room["room"] for room in (await eve.asks("rooms"))["rooms"]], found)
            self.assertEqual([room["room"] for room in (await self.gus.asks("rooms"))["rooms"]], ["den"])

    async def test_who_is_invited_is_told_so_and_may_enter(self) -> None:
        await self.rule(self.olga, "visibility", visibility="private")
        eve = await self.begin("eve")
        self.assertEqual(await eve.asks("join", room="den"), "invite_only")
        eve.hears()
        await self.rule(self.olga, "invite", name="eve")
        (told,) = eve.hears()
        self.assertEqual((told["event"], told["into"], told["whom"], "room" in told), ("invited", "den", "eve", False))
        self.assertNotIn("~", str(told))
        self.assertEqual((await eve.asks("join", room="den"))["visibility"], "private")
        await self.rule(self.olga, "kick", name="eve")
        self.assertEqual(await eve.asks("join", room="den"), "invite_only")

    async def test_an_invitation_is_nothing_to_the_next_guest_of_the_name(self) -> None:
        await self.rule(self.olga, "visibility", visibility="private")
        eve = await self.begin("eve")
        await self.rule(self.olga, "invite", name="eve")
        eve.leaves()
        self.assertEqual(await self.again("eve", "another"), "invite_only")

    async def test_nobody_is_invited_whom_nobody_knows(self) -> None:
        self.assertEqual(await self.rule(self.olga, "invite", name="nobody"), "not_connected")

    async def test_a_token_limited_to_other_rooms_opens_no_invitation(self) -> None:
        eve = await self.begin("eve", rooms=("attic",))
        await self.rule(self.olga, "invite", name="eve")
        self.assertEqual(await eve.asks("join", room="den"), "room_forbidden")


class Ranks(RulesTestCase):
    async def test_the_role_is_told_on_entering_and_to_everybody(self) -> None:
        members = (await self.gus.asks("members", room="den"))["members"]
        self.assertEqual(
            {one["name"]: one["role"] for one in members}, {"olga": "owner", "mona": "moderator", "gus": "guest"}
        )
        self.assertEqual((await self.again("mona", guest=False))["role"], "moderator")

    async def test_a_role_taken_away_is_gone_at_once(self) -> None:
        await self.olga.asks("role", room="den", name="mona", role="member", cid="r")
        self.assertEqual(await self.mona.asks("kick", room="den", name="gus", cid="k"), "room_busy")
        self.world.log.commit()
        self.assertEqual(await self.mona.asks("kick", room="den", name="gus", cid="k"), "not_allowed")

    async def test_a_token_may_make_one_an_owner_everywhere(self) -> None:
        identity = Identity("opal", "s", Role.OWNER)
        opal = Program(self.world, identity, JSON)
        self.world.hub.connect(opal.session)
        await self.world.hub.begin(opal.session, "")
        self.assertEqual((await opal.asks("join", room="den"))["role"], "owner")
        await self.enter("gina", guest=False)
        await self.rule(opal, "role", name="gina", role="owner")
        self.assertEqual(await self.rule(opal, "kick", name="olga"), "not_allowed")
        await self.rule(opal, "kick", name="mona")
        self.assertEqual(self.mona.session.rooms, set())

    async def test_nobody_is_given_a_role_whom_nobody_knows(self) -> None:
        """Else it would be whoever registers that name first."""
        self.assertEqual(await self.rule(self.olga, "role", name="nobody", role="moderator"), "not_connected")
        self.mona.leaves()
        for role in ("member", "moderator"):  # she is away, but has a role there
            await self.rule(self.olga, "role", name="mona", role=role)
            mona = await self.begin("mona", guest=False)
            self.assertEqual((await mona.asks("join", room="den"))["role"], role)
            mona.leaves()

    async def test_two_cannot_found_one_room(self) -> None:
        max_, otto = await self.enter("max", "new", guest=False), await self.enter("otto", "new", guest=False)
        first = asyncio.ensure_future(max_.asks("role", room="new", name="max", role="owner", cid="1"))
        await first
        self.assertEqual(await otto.asks("role", room="new", name="otto", role="owner", cid="2"), "room_busy")
        self.world.log.commit()
        self.assertEqual(await otto.asks("role", room="new", name="otto", role="owner", cid="2"), "not_allowed")

    async def test_a_room_in_which_somebody_has_spoken_is_nobodys_to_take(self) -> None:
        ann, otto = await self.enter("ann", "new"), await self.enter("otto", "new", guest=False)
        await self.send(ann, "hi", "1", "new")
        self.assertEqual(await otto.asks("role", room="new", name="otto", role="owner", cid="2"), "not_allowed")


class Typed(RulesTestCase):
    async def test_everything_can_be_typed(self) -> None:
        olga = await self.world.enter("olga", "den", guest=False, sid="sid-of-olga")
        typed = {
            "/topic cats": "(Topic) olga: cats",
            "/mute gus 60 too loud": "(Room) olga muted gus until 1970-01-12 13:47:40 UTC: too loud",
            "/unmute gus": "(Room) olga lets gus speak again",
            "/mute gus too loud": "(Room) olga muted gus: too loud",
            "/slow 5": "(Room) olga set one message in 5 s",
            "/slow 0": "(Room) olga took slow mode back",
            "/visibility private": "(Room) olga made this room private",
            "/invite gus": "(Room) olga invited gus to den",
            "/role mona owner": "(Room) olga made mona an owner",
            "/ban gus": "(Room) olga banned gus",
        }
        for line, wanted in typed.items():
            task = olga.types(line)
            if task is not None:
                await task
            self.world.log.commit()
            self.assertEqual(olga.seen()[:1], [wanted], line)
        olga.types("/bans")
        self.assertEqual(olga.seen(), ["# banned from den: gus", "# muted in den: gus: too loud"])
        olga.types("/unban gus")
        self.world.log.commit()
        self.assertEqual(olga.seen(), ["(Room) olga took the ban of gus back"])
        olga.types("/who")
        self.assertEqual(olga.seen(), ["# in den: mona (owner), olga (owner)"])


class Repeating(RulesTestCase):
    """What is refused now may have been stored before, under the same cid."""

    async def test_what_was_said_before_one_was_taken_out_is_acknowledged_again(self) -> None:
        first = await self.send(self.gus, "hi", "g1")
        await self.rule(self.olga, "ban", name="gus")
        self.assertEqual(await self.gus.asks("send", room="den", text="hi", cid="g1"), {**first, "dup": True})
        self.assertEqual(await self.gus.asks("send", room="den", text="ho", cid="g1"), "cid_reused")
        self.assertEqual(await self.gus.asks("send", room="den", text="hi", cid="g2"), "not_a_member")

    async def test_a_private_message_to_who_has_gone_is_acknowledged_again(self) -> None:
        first = await self.committed(self.olga, "private", to="gus", text="psst", cid="p")
        self.gus.leaves()
        again = await self.olga.asks("private", to="gus", text="psst", cid="p")
        self.assertEqual(again, {**first, "dup": True, "delivered": False})
        self.assertEqual(await self.olga.asks("private", to="gus", text="psst", cid="p2"), "not_connected")

    async def test_a_rule_that_stands_already_is_acknowledged_again(self) -> None:
        for op, fields in (("ban", {"name": "gus", "seconds": 9}), ("unban", {"name": "gus"})):
            first = await self.committed(self.olga, op, room="den", cid=op, **fields)
            self.world.clock.now += 1
            if op == "unban":
                self.assertEqual(await self.olga.asks(op, room="den", cid=op, **fields), {**first, "dup": True})
                self.assertEqual(await self.olga.asks(op, room="den", cid="ban", **fields), "cid_reused")

    async def test_what_cannot_be_looked_up_now_is_refused_for_a_while(self) -> None:
        self.world.log.broken = True
        self.assertEqual(await self.gus.asks("send", room="attic", text="hi", cid="g"), "store_unavailable")


class WhatIsLogged(RulesTestCase):
    """LOG-2: who runs a room can be asked about it, by whoever runs the server."""

    async def test_each_rule_is_one_line_with_who_where_what_and_whom_and_no_word_of_it(self) -> None:
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await self.rule(self.mona, "ban", name="gus", seconds=60, reason="a secret reason")
            await self.rule(self.mona, "topic", text="a secret topic")
            await self.rule(self.olga, "role", name="mona", role="member")
        self.assertEqual(
            [record.getMessage() for record in logged.records],
            [
                'ruled what=ban whom=gus username=mona address="" room=den seq=3',
                'ruled what=topic username=mona address="" room=den seq=4',
                'ruled what=role whom=mona username=olga address="" room=den seq=5',
            ],
        )

    async def test_what_is_refused_fails_or_is_repeated_is_no_rule(self) -> None:
        kick = {"op": "kick", "room": "den", "name": "gus", "cid": "k"}
        with self.assertNoLogs("gochatsecure", "INFO"):
            self.assertEqual(await self.gus.asks("ban", room="den", name="mona", cid="b"), "not_allowed")
            await self.mona.asks(**kick)
            self.world.log.fail()
        await self.committed(self.mona, **kick)
        with self.assertNoLogs("gochatsecure", "INFO"):
            self.assertTrue((await self.committed(self.mona, **kick))["dup"])
