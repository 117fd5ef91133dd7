"""Rooms that people run, while something is still on its way: into the log, out of it, or from another connection."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.live.fakes import turns
from tests.live.test_hub_json import Program
from tests.live.test_hub_rules import RulesTestCase


class Meanwhile(RulesTestCase):
    def begins(self, program: Program, op: str, **fields: Any) -> asyncio.Task[None]:
        """To ask something that has to wait, as number 77."""
        task = program.types(json.dumps({"op": op, "id": 77, "room": "den", **fields}))
        assert task is not None
        return task


class TheFirstTryIsOnItsWay(Meanwhile):
    """The connection is lost, and the same is asked again on another one: it would be refused there."""

    async def again_elsewhere(self) -> tuple[Program, asyncio.Task[None]]:
        await self.gus.asks("send", room="den", text="hi", cid="g")
        self.gus.leaves()
        again = await self.begin("gus", self.gus.session.identity.sid)
        task = self.begins(again, "send", text="hi", cid="g")
        await turns()
        self.assertIsNone(again.answer(77))
        return again, task

    async def test_a_refusal_waits_for_what_is_on_its_way_under_the_same_cid_and_then_is_none(self) -> None:
        again, task = await self.again_elsewhere()
        self.world.log.commit()
        await task
        answer = again.answer(77)
        self.assertEqual((answer["seq"], answer["dup"]), (3, True))

    async def test_if_that_fails_it_is_refused(self) -> None:
        again, task = await self.again_elsewhere()
        self.world.log.fail()
        await task
        self.assertEqual(again.answer(77), "not_a_member")

    async def test_who_has_gone_meanwhile_is_no_hindrance(self) -> None:
        again, task = await self.again_elsewhere()
        task.cancel()
        again.leaves()
        await turns()
        self.world.log.commit()
        self.assertEqual((self.world.hub._desk._under_way, self.world.hub._desk._awaited), ({}, {}))

    async def test_what_sets_out_while_the_log_is_asked_is_waited_for_too(self) -> None:
        eve, again = await self.begin("eve"), await self.enter("olga", guest=False)
        self.world.log.readable.clear()
        task = self.begins(again, "kick", name="eve", cid="k")
        await turns()
        await eve.asks("join", room="den")
        await self.olga.asks("kick", room="den", name="eve", cid="k")
        self.world.log.readable.set()
        await turns()
        self.world.log.commit()
        await task
        self.assertTrue(again.answer(77)["dup"])


class SomebodyIsJudged(Meanwhile):
    """What a command was decided by must still hold where it comes to stand in the log."""

    async def test_nobody_is_taken_out_who_is_just_becoming_as_much(self) -> None:
        await self.enter("max", guest=False)
        await self.olga.asks("role", room="den", name="max", role="moderator", cid="r")
        self.assertEqual(await self.mona.asks("kick", room="den", name="max", cid="k"), "room_busy")
        self.world.log.commit()
        self.assertEqual(await self.mona.asks("kick", room="den", name="max", cid="k"), "not_allowed")

    async def test_nothing_is_deleted_of_who_is_just_becoming_as_much(self) -> None:
        max_ = await self.enter("max", guest=False)
        seq = (await self.send(max_, "hi", "x"))["seq"]
        await self.olga.asks("role", room="den", name="max", role="moderator", cid="r")
        self.assertEqual(await self.mona.asks("delete", room="den", seq=seq, cid="d"), "room_busy")
        self.world.log.commit()
        self.assertEqual(await self.mona.asks("delete", room="den", seq=seq, cid="d"), "not_yours")

    async def test_the_topic_of_a_room_that_is_just_being_founded_is_its_owners(self) -> None:
        max_, gina = await self.enter("max", "new", guest=False), await self.enter("gina", "new")
        await max_.asks("role", room="new", name="max", role="owner", cid="1")
        self.assertEqual(await gina.asks("topic", room="new", text="mine", cid="2"), "room_busy")
        self.world.log.commit()
        self.assertEqual(await gina.asks("topic", room="new", text="mine", cid="2"), "not_allowed")

    async def test_a_search_finds_nothing_for_who_was_taken_out_while_it_ran(self) -> None:
        await self.send(self.olga, "secret", "s")
        self.world.log.readable.clear()
        task = self.begins(self.gus, "search", text="secret", limit=1)
        await turns()
        await self.rule(self.olga, "kick", name="gus")
        self.world.log.readable.set()
        await task
        self.assertEqual(self.gus.answer(77), "not_a_member")


class SlowMode(Meanwhile):
    async def asyncSetUp(self) -> None:
        await super().asyncSetUp()
        await self.rule(self.olga, "slow", seconds=3600)

    async def test_a_message_whose_answer_was_lost_does_not_wait_for_hours_to_be_acknowledged(self) -> None:
        first = await self.send(self.gus, "hi", "g")
        self.assertEqual(await self.gus.asks("send", room="den", text="hi", cid="g"), {**first, "dup": True})
        self.assertEqual(await self.gus.asks("send", room="den", text="ho", cid="h"), "slow_mode")

    async def test_a_clock_that_is_turned_back_makes_nobody_wait_for_longer(self) -> None:
        await self.send(self.gus, "hi", "g")
        self.world.clock.now -= 86400
        self.assertEqual((await self.send(self.gus, "ho", "h"))["seq"], 5)
