"""What every log engine promises of its chain, of erasing, and of reading back: mixed in as `contract.Contract` is."""

from __future__ import annotations

import asyncio
import json
import unittest
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING
from unittest import mock

from gochatsecure.chat.chain import SALT, genesis, is_erased
from gochatsecure.chat.errors import Refusal, Temporary
from gochatsecure.chat.fold import fold
from gochatsecure.chat.model import (
    Banned,
    Content,
    Deleted,
    Draft,
    Edited,
    Entry,
    Invited,
    Kicked,
    Muted,
    Opened,
    Posted,
    Ranked,
    Reacted,
    Slowed,
    Stream,
    Titled,
    Told,
    Unbanned,
    Unmuted,
    text_of,
)
from gochatsecure.log.port import REACTIONS, Anchor, Committed, Failed, Log, Sink

from .contract import ALICE, BOB, OTHER, ROOM, Shown, append, entries, said, told

if TYPE_CHECKING:
    Base = unittest.IsolatedAsyncioTestCase
else:
    Base = object


def drafted(content: Content, *, by: str = "alice", stream: Stream = ROOM, cid: str | None = None) -> Draft:
    return Draft(by, 1, ((stream, content),), cid)


def canonical(entry: Entry) -> bytes:
    """As `chat.chain` says in words, put together anew."""
    sealed = entry.seal
    if len(sealed) < 32:
        sealed = sha256(sealed + (text_of(entry.content) or "").encode()).digest()
    commitment = urlsafe_b64encode(sealed).decode().rstrip("=")
    forms: dict[type[Content], Callable[..., list[object]]] = {
        Posted: lambda action, reply_to, **_: ["message", commitment, action, reply_to],
        Edited: lambda target, **_: ["edited", target, commitment],
        Deleted: lambda target: ["deleted", target],
        Reacted: lambda target, emoji, on: ["reacted", target, emoji, on],
        Titled: lambda **_: ["topic", commitment],
        Told: lambda to, **_: ["private", to.split("~")[0], commitment],
    }
    kind, *fields = forms[type(entry.content)](**entry.content._asdict())
    whole = [entry.seq, entry.ts, entry.sender.split("~")[0], entry.cid, kind, *fields]
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


class ReadingContract(Base):
    """Mixed into a test case that says how to make the engine."""

    async def make(self, sink: Sink, *, queue: int) -> Log:
        """An empty log, open."""
        raise NotImplementedError

    async def started(self) -> tuple[Log, Shown]:
        shown = Shown()
        log = await self.make(shown, queue=10_000)
        self.addAsyncCleanup(log.close)
        return log, shown

    async def check_chain(self, log: Log, stream: Stream) -> list[Entry]:
        kept = await log.read(stream, 0, 10_000)
        position = (await log.look(stream, 0)).position
        head = genesis(stream, position.epoch)
        for entry in kept:
            head = sha256(head + canonical(entry)).digest()
            self.assertEqual(entry.head, head, entry.seq)
        self.assertEqual((position.floor, position.last, position.head), (1, len(kept), head))
        return kept

    # The chain.

    async def test_every_streams_chain_is_whole(self) -> None:
        log, shown = await self.started()
        for number in range(3):
            drafts = [said(f"a{number}", cid=f"c{number}"), told("b"), said("c", stream=OTHER, by="bob~s1")]
            await append(log, shown, *drafts, drafted(Titled("t")), drafted(Reacted(1, "x")))
        for stream, count in ((ROOM, 9), (OTHER, 3), (ALICE, 3), (BOB, 3), (Stream("room/never"), 0)):
            self.assertEqual(len(await self.check_chain(log, stream)), count)

    async def test_every_text_has_a_salt_of_its_own_and_nothing_else_has_one(self) -> None:
        log, shown = await self.started()
        await append(log, shown, *(said("same") for _ in range(200)), told("same"), drafted(Deleted(999)))
        kept = [entry for stream in (ROOM, ALICE, BOB) for entry in await log.read(stream, 0, 1000)]
        salts = [entry.seal for entry in kept if text_of(entry.content) is not None]
        self.assertEqual((len(salts), len(set(salts)), {len(salt) for salt in salts}), (202, 202, {SALT}))
        self.assertEqual([entry.seal for entry in kept if text_of(entry.content) is None], [b""])

    async def test_what_the_sink_is_shown_is_what_is_kept(self) -> None:
        log, shown = await self.started()
        outcomes = await append(log, shown, said("a"), said("b"), drafted(Edited(1, "c")))
        self.assertEqual(await log.read(ROOM, 0, 9), [entry for outcome in outcomes for entry in entries(outcome)])

    async def test_a_stream_that_nobody_wrote_to_has_a_position(self) -> None:
        log, shown = await self.started()
        position = (await log.look(ROOM, 5)).position
        self.assertEqual((position.floor, position.last, position.head), (1, 0, genesis(ROOM, position.epoch)))
        await append(log, shown, said("a"))
        self.assertEqual((await log.look(ROOM, 5)).position.epoch, position.epoch)
        await self.check_chain(log, ROOM)

    # Erasing.

    async def check_erasing(self, *, together: bool) -> None:
        log, shown = await self.started()
        drafts = [said("secret one"), said("kept"), drafted(Edited(1, "secret two")), drafted(Edited(2, "kept too"))]
        drafts += [said("elsewhere", stream=OTHER), drafted(Reacted(1, "x")), drafted(Deleted(1))]
        if together:
            outcomes = await append(log, shown, *drafts)
        else:
            outcomes = [outcome for draft in drafts for outcome in await append(log, shown, draft)]
        kept = await self.check_chain(log, ROOM)
        self.assertEqual([text_of(entry.content) for entry in kept], ["", "kept", "", "kept too", None, None])
        self.assertEqual([is_erased(entry) for entry in kept], [True, False, True, False, False, False])
        self.assertEqual(entries(outcomes[0])[0].head, kept[0].head)
        self.assertEqual([text_of(entry.content) for entry in await log.read(OTHER, 0, 9)], ["elsewhere"])
        await append(log, shown, said("after"))
        await self.check_chain(log, ROOM)

    async def test_a_deletion_erases_the_text_and_that_of_its_edits_and_nothing_else(self) -> None:
        await self.check_erasing(together=False)

    async def test_a_deletion_erases_what_is_committed_together_with_it(self) -> None:
        await self.check_erasing(together=True)

    async def test_a_deletion_of_what_there_is_not_is_kept_all_the_same(self) -> None:
        log, shown = await self.started()
        await append(log, shown, drafted(Deleted(99)), drafted(Deleted(1)), said("a"))
        self.assertEqual(len(await self.check_chain(log, ROOM)), 3)

    async def test_a_cid_is_known_when_its_text_is_erased(self) -> None:
        log, shown = await self.started()
        await append(log, shown, said("secret", cid="c"), drafted(Deleted(1)))
        (again,) = await append(log, shown, said("secret", cid="c"))
        self.assertTrue(isinstance(again, Committed) and again.dup)
        self.assertEqual([text_of(entry.content) for entry in entries(again)], [""])
        (other,) = await append(log, shown, drafted(Titled("secret"), cid="c"))
        self.assertIsInstance(other, Failed)

    async def test_a_repetition_is_told_as_its_first_entry_is_now(self) -> None:
        """Also when that is erased in the very commit that tells of it."""
        log, shown = await self.started()
        await append(log, shown, said("secret", cid="c"))
        _, again = await append(log, shown, drafted(Deleted(1)), said("secret", cid="c"))
        self.assertTrue(isinstance(again, Committed) and again.dup)
        self.assertEqual(entries(again), (await log.read(ROOM, 0, 9))[:1])
        drafts = [said("secret", cid="d"), drafted(Deleted(3)), said("secret", cid="d")]
        first, _, again = await append(log, shown, *drafts)
        self.assertEqual(entries(again), await log.read(ROOM, 2, 1))
        self.assertEqual([text_of(entry.content) for entry in entries(again)], [""])
        self.assertEqual([text_of(entry.content) for entry in entries(first)], ["secret"])  # as it was appended

    async def test_half_of_a_surrogate_pair_fails_its_own_draft_alone(self) -> None:
        log, shown = await self.started()
        half = "\ud83d"
        log.append(said("before"))
        for draft in (
            said(f"a{half}b"),
            said("a", by=half),
            said("a", cid=half),
            said("a", stream=Stream(f"room/{half}")),
            drafted(Edited(1, half)),
            drafted(Reacted(1, half)),
            drafted(Titled(half)),
            Draft("alice", 1, ((ALICE, Told("bob", "a")), (BOB, Told(half, "a")))),
            said("\ud83d\ude42"),
        ):
            with self.subTest(draft), self.assertRaises(Refusal) as caught:
                log.append(draft)
            self.assertEqual(caught.exception.code, "text_invalid")
            self.assertNotIsInstance(caught.exception, Temporary)
        log.append(said("after"))
        self.assertEqual([entry.seq for outcome in await shown.first(2) for entry in entries(outcome)], [1, 2])
        self.assertEqual(len(await self.check_chain(log, ROOM)), 2)
        self.assertEqual(len(await self.check_chain(log, ALICE)), 0)

    async def test_many_repetitions_among_new_drafts(self) -> None:
        log, shown = await self.started()
        await append(log, shown, *(said(f"{n}", cid=f"c{n}") for n in range(5)))
        drafts = [said(f"{n % 8}", cid=f"c{n % 8}") for n in range(16)]
        outcomes = await append(log, shown, *drafts)
        dups = [outcome.dup for outcome in outcomes if isinstance(outcome, Committed)]
        self.assertEqual(dups, [n < 5 or n >= 8 for n in range(16)])
        self.assertEqual(len(await self.check_chain(log, ROOM)), 8)

    # Reading.

    async def talk(self, log: Log, shown: Shown) -> list[Entry]:
        """Twelve entries: messages at 1, 2, 4, 5, 7, 8, 10, 11 and a reaction after each two."""
        for number in range(1, 13):
            await append(log, shown, said(str(number)) if number % 3 else drafted(Reacted(1, str(number))))
        return await log.read(ROOM, 0, 100)

    async def test_pages_are_of_messages_and_say_what_they_cover(self) -> None:
        log, shown = await self.started()
        await self.talk(log, shown)
        for anchor, limit, seqs, first, last, more in (
            (Anchor(), 3, [8, 10, 11], 8, 12, True),
            (Anchor(), 8, [1, 2, 4, 5, 7, 8, 10, 11], 1, 12, False),
            (Anchor(), 100, [1, 2, 4, 5, 7, 8, 10, 11], 1, 12, False),
            (Anchor(before=8), 3, [4, 5, 7], 4, 7, True),
            (Anchor(before=4), 3, [1, 2], 1, 3, False),
            (Anchor(before=1), 3, [], 1, 0, False),
            (Anchor(before=999), 1, [11], 11, 12, True),
            (Anchor(after=0), 3, [1, 2, 4], 1, 4, True),
            (Anchor(after=5), 3, [7, 8, 10], 6, 10, True),
            (Anchor(after=8), 3, [10, 11], 9, 12, False),
            (Anchor(after=12), 3, [], 13, 12, False),
            (Anchor(around=7), 4, [4, 5, 7, 8], 4, 8, True),
            (Anchor(around=1), 4, [1, 2], 1, 2, True),
            (Anchor(around=12), 20, [1, 2, 4, 5, 7, 8, 10, 11], 1, 12, False),
        ):
            with self.subTest(anchor, limit=limit):
                page = await log.page(ROOM, anchor, limit)
                self.assertEqual([entry.seq for entry in page.messages], seqs)
                self.assertEqual((page.first, page.last, page.more), (first, last, more))
                self.assertEqual(page.position, (await log.look(ROOM, 0)).position)

    async def test_pages_back_and_forth_meet_every_message_once(self) -> None:
        log, shown = await self.started()
        await self.talk(log, shown)
        for limit in (1, 2, 3, 5):
            back: list[int] = []
            before, more = None, True
            while more:
                page = await log.page(ROOM, Anchor(before=before), limit)
                back = [entry.seq for entry in page.messages] + back
                before, more = page.first, page.more
            onwards: list[int] = []
            after, more = 0, True
            while more:
                page = await log.page(ROOM, Anchor(after=after), limit)
                onwards += [entry.seq for entry in page.messages]
                after, more = page.last, page.more
            self.assertEqual((back, onwards), ([1, 2, 4, 5, 7, 8, 10, 11],) * 2)

    async def test_a_page_looks_through_so_many_entries_and_says_that_there_may_be_more(self) -> None:
        log, shown = await self.started()
        for number in range(1, 13):
            await append(log, shown, said("x") if number in (1, 12) else drafted(Reacted(1, str(number))))
        for bound, anchor, seqs, first, last, more in (
            (11, Anchor(), [12], 2, 12, True),
            (12, Anchor(), [1, 12], 1, 12, False),
            (5, Anchor(before=12), [], 7, 11, True),
            (5, Anchor(before=7), [], 2, 6, True),
            (5, Anchor(before=2), [1], 1, 1, False),
            (5, Anchor(after=1), [], 2, 6, True),
            (5, Anchor(after=6), [], 7, 11, True),
            (5, Anchor(after=11), [12], 12, 12, False),
            (3, Anchor(around=6), [], 3, 8, True),
            (7, Anchor(around=6), [1, 12], 1, 12, False),
        ):
            with (
                self.subTest(anchor, bound=bound),
                mock.patch("gochatsecure.log.port.SCAN", bound),
                mock.patch("gochatsecure.log.reader.SCAN", bound),
                mock.patch("gochatsecure.log.memory.SCAN", bound),
            ):
                page = await log.page(ROOM, anchor, 10)
                found = [entry.seq for entry in page.messages], page.first, page.last, page.more
                self.assertEqual(found, (seqs, first, last, more))
                counted = sum(seq in (1, 12) for seq in range(2, 2 + bound))
                self.assertEqual(await log.count(ROOM, 1, "bob", 10), counted)

    async def test_a_page_of_nothing_is_empty(self) -> None:
        log, shown = await self.started()
        for anchor in (Anchor(), Anchor(before=9), Anchor(after=0), Anchor(around=1), Anchor(peer="bob")):
            page = await log.page(OTHER, anchor, 5)
            self.assertEqual((page.messages, page.about, page.first, page.last, page.more), ([], [], 1, 0, False))
        await append(log, shown, said("x"), said("y"))
        page = await log.page(ROOM, Anchor(), 0)
        self.assertEqual((page.messages, page.first, page.last, page.more), ([], 3, 2, True))

    async def test_of_many_reactions_to_one_message_the_newest_are_told(self) -> None:
        log, shown = await self.started()
        await append(log, shown, said("a"), said("b"), drafted(Edited(1, "c")))
        await append(log, shown, *(drafted(Reacted(1, str(number))) for number in range(REACTIONS + 5)))
        about = (await log.page(ROOM, Anchor(), 5)).about
        self.assertEqual([entry.seq for entry in about], [3, *range(9, 9 + REACTIONS)])

    async def test_a_page_tells_what_became_of_its_messages(self) -> None:
        log, shown = await self.started()
        await append(log, shown, said("one"), said("two"), said("three"))
        changes: list[Content] = [
            Edited(1, "x"),
            Reacted(1, "a"),
            Edited(1, "y"),
            Deleted(2),
            Reacted(3, "b"),
            Reacted(1, "a", False),
        ]
        await append(log, shown, *(drafted(change, by="bob") for change in changes))
        page = await log.page(ROOM, Anchor(before=3), 5)
        self.assertEqual([entry.seq for entry in page.about], [5, 6, 7, 9])
        first, second = fold([*page.messages, *page.about])
        self.assertEqual((first.text, first.reactions, second.deleted is not None), ("y", {}, True))

    async def test_a_conversation_is_what_was_exchanged_with_one(self) -> None:
        log, shown = await self.started()

        def tell(sender: str, to: str, text: str) -> Draft:
            content = Told(to, text)
            parts = dict.fromkeys((Stream(f"inbox/{sender}"), Stream(f"inbox/{to}")))
            return Draft(sender, 1, tuple((stream, content) for stream in parts))

        drafts = [tell("alice", "bob", "1"), tell("carol~s", "alice", "2"), tell("bob", "alice", "3")]
        await append(log, shown, *drafts, tell("alice", "alice", "4"), tell("alice", "carol~s", "5"))
        for peer, texts in (("bob", ["1", "3"]), ("carol", ["2", "5"]), ("alice", ["4"]), ("dave", [])):
            page = await log.page(ALICE, Anchor(peer=peer), 10)
            self.assertEqual([text_of(entry.content) for entry in page.messages], texts)
        self.assertEqual(await log.count(ALICE, 0, "alice", 10, "bob"), 1)
        self.assertEqual(await log.count(ALICE, 0, "alice", 10), 2)

    async def test_unread_messages_are_counted_up_to_a_number(self) -> None:
        log, shown = await self.started()
        await self.talk(log, shown)
        await append(log, shown, said("mine", by="bob"))
        self.assertEqual(await log.count(ROOM, 0, "bob", 100), 8)
        self.assertEqual(await log.count(ROOM, 7, "bob", 100), 3)
        self.assertEqual(await log.count(ROOM, 0, "bob", 5), 5)
        self.assertEqual(await log.count(ROOM, 99, "bob", 5), 0)
        self.assertEqual(await log.count(ROOM, 10, "bob", 100), 1)
        self.assertEqual(await log.count(ROOM, 11, "bob", 100), 0)
        self.assertEqual(await log.count(ROOM, 0, "alice", 100), 1)
        self.assertEqual(await log.count(ROOM, 0, "bob", 0), 0)
        self.assertEqual(await log.count(OTHER, 0, "bob", 100), 0)

    async def test_the_last_topic_is_told_however_long_ago_it_was_set(self) -> None:
        log, shown = await self.started()
        self.assertEqual((await log.look(ROOM, 1)).rules, [])
        await append(log, shown, drafted(Titled("old")), drafted(Titled("new")), *(said("x") for _ in range(50)))
        (topic,) = (await log.look(ROOM, 1)).rules
        self.assertEqual((topic.seq, topic.content), (2, Titled("new")))

    async def test_the_last_rule_of_each_kind_and_about_each_is_told_in_the_logs_order(self) -> None:
        log, shown = await self.started()
        rules: list[Content] = [
            Banned("bob", 5, "spam"),
            Banned("eve~s", None, ""),
            Ranked("carol", "owner"),
            Opened("private"),
            Unbanned("bob"),
            Banned("bob", None, "again"),
            Slowed(5),
            Ranked("carol", "moderator"),
        ]
        await append(log, shown, *(drafted(rule) for rule in rules), *(said("x") for _ in range(50)))
        told = (await log.look(ROOM, 1)).rules
        self.assertEqual([entry.content for entry in told], [rules[number] for number in (1, 3, 5, 6, 7)])
        self.assertEqual([entry.seq for entry in told], [2, 4, 6, 7, 8])

    async def test_rules_that_count_no_more_are_not_kept_however_many_there_were(self) -> None:
        log, shown = await self.started()
        rules: list[Content] = [Ranked("carol", "owner"), Invited("carol", "general"), Muted("carol", None, "")]
        for number in range(20):
            name = f"bob{number}"
            rules += [Banned(name + "~s1", None, ""), Unbanned(name + "~s2"), Muted(name, None, ""), Unmuted(name)]
            rules += [Kicked(name, ""), Ranked(name, "member"), Invited(name, "general"), Kicked(name, "")]
            rules += [Banned(name, number, ""), Muted(name, number, "")]  # such have ended when the next is made
        await append(log, shown, *(drafted(rule)._replace(ts=ts) for ts, rule in enumerate(rules)))
        told = (await log.look(ROOM, 1)).rules
        self.assertEqual([entry.content for entry in told], [*rules[:3], *rules[-2:]])

    async def test_an_invitation_is_a_rule_of_its_room_and_none_of_an_inbox(self) -> None:
        log, shown = await self.started()
        invited = Invited("bob", "general")
        await append(log, shown, Draft("alice", 1, ((ROOM, invited), (BOB, invited)), None))
        self.assertEqual([entry.content for entry in (await log.look(ROOM, 1)).rules], [invited])
        self.assertEqual((await log.look(BOB, 1)).rules, [])

    async def test_an_entry_is_found_under_its_cid(self) -> None:
        log, shown = await self.started()
        self.assertIsNone(await log.find("alice", "c1"))
        (outcome,) = await append(log, shown, said("one", cid="c1"))
        self.assertEqual([await log.find("alice", "c1")], entries(outcome))
        self.assertIsNone(await log.find("bob", "c1"))

    # Marks.

    async def test_a_mark_never_goes_back(self) -> None:
        log, _ = await self.started()
        self.assertEqual([await log.mark("alice", "room/a", seq) for seq in (3, 1, 5, 5)], [3, 3, 5, 5])
        self.assertEqual((await log.marks("alice", 9), await log.marks("bob", 9)), ({"room/a": 5}, {}))

    async def test_marks_are_told_the_last_set_first(self) -> None:
        log, _ = await self.started()
        for place in ("a", "b", "c", "a"):
            await log.mark("alice", place, 1)
        self.assertEqual(list(await log.marks("alice", 2)), ["a", "c"])
        self.assertEqual(await log.marks("alice", 0), {})

    async def test_marks_of_one_turn_are_all_answered_with_the_furthest(self) -> None:
        log, shown = await self.started()
        log.append(said("together"))
        places = [("a", 2), ("b", 1), ("a", 7), ("a", 3)]
        answers = await asyncio.gather(*(log.mark("alice", place, seq) for place, seq in places))
        self.assertEqual((max(answers), answers[1]), (7, 1))
        self.assertEqual(await log.marks("alice", 9), {"a": 7, "b": 1})
        await shown.first(1)

    async def test_no_mark_is_taken_after_close(self) -> None:
        log, _ = await self.started()
        await log.close()
        with self.assertRaises(Temporary) as caught:
            await log.mark("alice", "a", 1)
        self.assertEqual(caught.exception.code, "store_unavailable")

    async def test_what_is_no_message_is_no_page(self) -> None:
        log, shown = await self.started()
        await append(log, shown, drafted(Titled("t")), drafted(Posted("", True)))
        self.assertEqual([entry.seq for entry in (await log.page(ROOM, Anchor(), 9)).messages], [2])
