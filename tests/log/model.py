"""A log so plain that it is plainly right, and a test that every engine does what it does."""

from __future__ import annotations

import asyncio
import unittest
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gochatsecure.chat.chain import follows, genesis
from gochatsecure.chat.model import Content, Draft, Entry, Posted, Stream, Told
from gochatsecure.log.port import Failed, Log, Outcome, Sink

from .contract import ALICE, BOB, OTHER, ROOM, Shown, append, bare, entries

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError:
    hypothesis = None  # type: ignore[assignment]

if TYPE_CHECKING:
    Base = unittest.TestCase
else:
    Base = object

STREAMS = (ROOM, OTHER, ALICE, BOB)


@dataclass
class Model:
    """The contract in its fewest words."""

    streams: dict[Stream, list[Entry]] = field(default_factory=lambda: {stream: [] for stream in STREAMS})

    def append(self, draft: Draft) -> tuple[str, list[Entry]]:
        """What becomes of the draft, and its entries."""
        if draft.cid is not None:
            for stream, kept in self.streams.items():
                for entry in kept:
                    if (entry.sender, entry.cid) == (draft.sender, draft.cid):
                        same = (stream, entry.content) == draft.parts[0]
                        return ("dup", [entry]) if same else ("cid_reused", [])
        made = []
        for number, (stream, content) in enumerate(draft.parts):
            cid = None if number else draft.cid
            made.append(Entry(stream, len(self.streams[stream]) + 1, draft.ts, draft.sender, cid, content))
            self.streams[stream].append(made[-1])
        return "new", made


def told_of(outcome: Outcome) -> tuple[str, list[Entry]]:
    """An outcome in the model's words."""
    if isinstance(outcome, Failed):
        return outcome.refusal.code, []
    return "dup" if outcome.dup else "new", [bare(entry) for entry in outcome.entries]


class ModelContract(Base):
    """Mixed into a test case that says how to make the engine, and how to make it again upon what it stored."""

    examples = 100

    async def make(self, sink: Sink) -> Log:
        """An empty log, open."""
        raise NotImplementedError

    async def reopen(self, log: Log, sink: Sink) -> Log:
        """The same log after its server's restart, for an engine that survives one."""
        return log

    def check(self, property_: Any, **given: Any) -> None:
        if hypothesis is None:
            self.skipTest("hypothesis is not installed")
        settings = hypothesis.settings(
            deadline=None,
            database=None,
            derandomize=True,
            max_examples=self.examples,
            print_blob=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        settings(hypothesis.given(**given)(property_))()

    def test_any_drafts_in_any_split_do_what_the_model_does(self) -> None:
        if hypothesis is None:
            self.skipTest("hypothesis is not installed")
        few = st.sampled_from(["", "a", "b"])
        contents = st.builds(Posted, few, st.booleans()) | st.builds(Told, st.just("bob"), few)
        parts = st.lists(st.tuples(st.sampled_from(STREAMS), contents), min_size=1, max_size=2).map(tuple)
        cids = st.none() | st.sampled_from(["1", "2", "3"])
        drafts = st.builds(Draft, st.sampled_from(["alice", "bob"]), st.integers(0, 2**53), parts, cids)
        steps = st.lists(drafts | st.sampled_from(["turn", "settle", "reopen"]), max_size=40)

        def holds(steps: list[Draft | str]) -> None:
            asyncio.run(self._follow(steps))

        self.check(holds, steps=steps)

    async def _follow(self, steps: list[Draft | str]) -> None:
        model, shown = Model(), Shown()
        log = await self.make(shown)
        try:
            expected = []
            for step in steps:
                if isinstance(step, Draft):
                    log.append(step)
                    expected.append((step, *model.append(step)))
                elif step == "turn":
                    await asyncio.sleep(0)
                elif step == "settle":
                    await shown.first(len(expected))
                else:
                    log = await self.reopen(log, shown)
            await shown.first(len(expected))
            self.assertEqual([(outcome.draft, *told_of(outcome)) for outcome in shown.outcomes], expected)
            for stream, kept in model.streams.items():
                opening = await log.look(stream, 3)
                found = await log.read(stream, 0, 100)
                self.assertEqual([bare(entry) for entry in found], kept)
                self.assertEqual(await log.read(stream, 2, 3), found[2:5])
                self.assertEqual(opening.tail, found[-3:])
                head = genesis(stream, opening.position.epoch)
                for entry in found:
                    self.assertTrue(follows(entry, head))
                    head = entry.head
                self.assertEqual((opening.position.last, opening.position.head), (len(kept), head))
        finally:
            await log.close()

    def test_any_text_comes_back_as_it_was(self) -> None:
        if hypothesis is None:
            self.skipTest("hypothesis is not installed")
        text = st.text(st.characters(exclude_categories=["Cs"]))

        def holds(texts: list[tuple[str, str, bool]]) -> None:
            asyncio.run(self._store(texts))

        self.check(holds, texts=st.lists(st.tuples(text, text, st.booleans()), min_size=1, max_size=20))

    async def _store(self, texts: list[tuple[str, str, bool]]) -> None:
        shown = Shown()
        log = await self.make(shown)
        try:
            contents: list[Content] = [Posted(text, flag) for text, _, flag in texts]
            contents += [Told(other, text) for text, other, _ in texts]
            drafts = [Draft(texts[0][1], 1, ((ROOM, content),)) for content in contents]
            outcomes = await append(log, shown, *drafts)
            kept = await log.read(ROOM, 0, len(drafts))
            self.assertEqual([entry.content for entry in kept], contents)
            self.assertEqual(kept, [entry for outcome in outcomes for entry in entries(outcome)])
        finally:
            await log.close()
