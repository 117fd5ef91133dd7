"""The chain, held against what its page says in so many bytes: heads that other programs compute, too."""

from __future__ import annotations

import unittest
from hashlib import sha256

from gochatsecure.chat.chain import SALT, advance, base64url, commitment, erased, follows, genesis, is_erased
from gochatsecure.chat.model import (
    KINDS,
    Banned,
    Content,
    Deleted,
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
    inbox_stream,
    room_stream,
    text_of,
)

DEN = room_stream("den")
SALTED = bytes(range(16))
TEXT = 'Grüße 🙂\n"\u2028'
SEALED = "zDJvrtb_nKJJ14SCYSOw3aUNfxsGsiPV-huwt-nWwIY"
GENESIS = "19ff7d9551dc8c25982e92cd45573651149d1f14dac8fa066c7e551c0a246d9b"
LAST = "99198a52c68a7c21a685ec12d6c909e4276de67dd51e52da9f97df800f88afd9"
VECTORS: tuple[tuple[int, str, str | None, Content, str], ...] = (
    (1_700_000_000_123, "alice", "c1", Posted(TEXT), f'"alice","c1","message","{SEALED}",false,null'),
    (1_700_000_000_124, "bob~s1", None, Posted(TEXT, True, 1), f'"bob",null,"message","{SEALED}",true,1'),
    (5, "alice", "é", Edited(1, TEXT), f'"alice","é","edited",1,"{SEALED}"'),
    (6, "alice", None, Deleted(1), '"alice",null,"deleted",1'),
    (7, "bob", None, Reacted(2, "🙂"), '"bob",null,"reacted",2,"🙂",true'),
    (7, "bob", None, Reacted(2, "🙂", False), '"bob",null,"reacted",2,"🙂",false'),
    (8, "alice", None, Titled(TEXT), f'"alice",null,"topic","{SEALED}"'),
    (9, "alice", None, Told("bob~s1", TEXT), f'"alice",null,"private","bob","{SEALED}"'),
    (10, "alice", None, Ranked("bob", "owner"), '"alice",null,"role","bob","owner"'),
    (11, "alice", None, Invited("bob~s1", "den"), '"alice",null,"invited","bob","den"'),
    (12, "alice", None, Kicked("bob~s1", 'a "b"'), '"alice",null,"kicked","bob","a \\"b\\""'),
    (13, "alice", None, Banned("bob~s1", 99, ""), '"alice",null,"banned","bob",99,""'),
    (14, "alice", None, Unbanned("bob"), '"alice",null,"unbanned","bob"'),
    (15, "alice", None, Muted("bob~s1", None, "é"), '"alice",null,"muted","bob",null,"é"'),
    (16, "alice", None, Unmuted("bob"), '"alice",null,"unmuted","bob"'),
    (17, "alice", None, Slowed(5), '"alice",null,"slow",5'),
    (18, "alice", None, Opened("private"), '"alice",null,"visibility","private"'),
)
"""Of each entry: what it is made of, and its canonical form behind `[seq,ts,`."""


def chained() -> list[Entry]:
    head, entries = genesis(DEN, "0123"), []
    for seq, (ts, sender, cid, content, _) in enumerate(VECTORS, start=1):
        seal = b"" if text_of(content) is None else SALTED
        head = advance(head, seq, ts, sender, cid, content, seal)
        entries.append(Entry(DEN, seq, ts, sender, cid, content, head, seal))
    return entries


class Vectors(unittest.TestCase):
    def test_a_chain_begins_with_its_streams_kind_name_and_epoch(self) -> None:
        self.assertEqual(genesis(DEN, "0123"), sha256(b'["gochatsecure.v1","room","den","0123"]').digest())
        self.assertEqual(genesis(DEN, "0123").hex(), GENESIS)
        self.assertEqual(
            genesis(inbox_stream("alice"), "0123"), sha256(b'["gochatsecure.v1","inbox","alice","0123"]').digest()
        )
        odd = genesis(Stream('room/a/b"é'), "e")
        self.assertEqual(odd, sha256('["gochatsecure.v1","room","a/b\\"é","e"]'.encode()).digest())

    def test_a_guests_inbox_goes_by_the_name_that_people_see(self) -> None:
        self.assertEqual(genesis(inbox_stream("alice~s1"), "e"), genesis(inbox_stream("alice"), "e"))

    def test_no_two_streams_begin_alike(self) -> None:
        streams = [("room/a", "e"), ("inbox/a", "e"), ("room/b", "e"), ("room/a", "f"), ("room/ae", ""), ("room/", "e")]
        self.assertEqual(len({genesis(Stream(name), epoch) for name, epoch in streams}), len(streams))

    def test_a_commitment_is_of_the_salt_and_then_the_text_in_utf_8(self) -> None:
        self.assertEqual(commitment(SALTED, TEXT), sha256(SALTED + TEXT.encode("utf-8")).digest())
        self.assertEqual(base64url(commitment(SALTED, TEXT)), SEALED)
        self.assertEqual(commitment(SALTED, ""), sha256(SALTED).digest())

    def test_half_of_a_surrogate_pair_has_no_commitment(self) -> None:
        with self.assertRaises(UnicodeEncodeError):
            commitment(SALTED, "\ud83d")

    def test_every_kind_of_entry_carries_the_chain_on_by_its_canonical_form(self) -> None:
        self.assertEqual({type(content) for *_, content, _ in VECTORS}, set(KINDS.values()))
        head = bytes.fromhex(GENESIS)
        for seq, (entry, (ts, *_, canonical)) in enumerate(zip(chained(), VECTORS, strict=True), start=1):
            with self.subTest(canonical):
                head = sha256(head + f"[{seq},{ts},{canonical}]".encode()).digest()
                self.assertEqual(entry.head.hex(), head.hex())
        self.assertEqual(head.hex(), LAST)

    def test_texts_are_escaped_as_rfc_8785_has_it(self) -> None:
        emoji = '\x00\x1f\x7f\b\t\n\f\r"\\/é\u2028\U0010ffff'
        written = '\\u0000\\u001f\x7f\\b\\t\\n\\f\\r\\"\\\\/é\u2028\U0010ffff'
        head = advance(b"", 1, 2, "a", None, Reacted(3, emoji), b"")
        self.assertEqual(head, sha256(f'[1,2,"a",null,"reacted",3,"{written}",true]'.encode()).digest())

    def test_base64url_is_without_padding(self) -> None:
        for value, written in ((b"", ""), (b"\xfb", "-w"), (b"\xff\xff", "__8"), (b"\x00\x10\x83", "ABCD")):
            self.assertEqual(base64url(value), written)


class Erasing(unittest.TestCase):
    def test_an_erased_entry_follows_as_it_did_before(self) -> None:
        head = genesis(DEN, "0123")
        for entry in chained():
            with self.subTest(entry.content):
                bare = erased(entry)
                self.assertTrue(follows(entry, head) and follows(bare, head))
                self.assertEqual(bare.head, entry.head)
                head = bare.head

    def test_nothing_but_the_text_and_its_salt_goes(self) -> None:
        entry = chained()[1]
        bare = erased(entry)
        self.assertEqual(bare, entry._replace(content=Posted("", True, 1), seal=commitment(SALTED, TEXT)))
        self.assertEqual((is_erased(entry), is_erased(bare)), (False, True))

    def test_an_empty_text_is_erased_as_any_other(self) -> None:
        """Else it would be seen which of the erased texts were empty."""
        content = Titled("")
        entry = Entry(DEN, 1, 2, "a", None, content, advance(b"", 1, 2, "a", None, content, SALTED), SALTED)
        self.assertTrue(is_erased(erased(entry)) and follows(erased(entry), b""))

    def test_erasing_twice_is_erasing_once(self) -> None:
        for entry in chained():
            self.assertEqual(erased(erased(entry)), erased(entry))

    def test_what_has_no_text_is_left_as_it_is(self) -> None:
        for entry in (entry for entry in chained() if text_of(entry.content) is None):
            self.assertIs(erased(entry), entry)
            self.assertFalse(is_erased(entry))


class Tampering(unittest.TestCase):
    def test_an_entry_follows_only_as_it_was_and_only_from_the_one_before(self) -> None:
        entry, head = chained()[0], genesis(DEN, "0123")
        self.assertTrue(follows(entry, head))
        for change in (
            {"seq": 2},
            {"ts": 0},
            {"sender": "bob"},
            {"cid": None},
            {"cid": "c2"},
            {"content": Posted(TEXT + " ")},
            {"content": Posted(TEXT, True)},
            {"content": Posted(TEXT, reply_to=1)},
            {"content": Titled(TEXT)},
            {"seal": bytes(SALT)},
            {"seal": bytes(32)},
            {"head": bytes(32)},
        ):
            with self.subTest(change):
                self.assertFalse(follows(entry._replace(**change), head))
        self.assertFalse(follows(entry, bytes(32)))

    def test_a_text_that_is_put_into_an_erased_entry_is_not_seen_by_the_chain(self) -> None:
        """Its commitment stands for it, whatever is written there: such a text is not to be shown."""
        bare, head = erased(chained()[0]), genesis(DEN, "0123")
        self.assertTrue(follows(bare._replace(content=Posted("put in")), head))
        self.assertFalse(follows(bare._replace(content=Posted("put in"), seal=SALTED), head))
