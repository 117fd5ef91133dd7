"""Who may speak now: keys, accounts and revocations together."""

from __future__ import annotations

import unittest
from dataclasses import replace

from gochatsecure.auth.jwt import Key, TokenError, encode
from gochatsecure.auth.tokens import KeyRing
from gochatsecure.chat.model import Identity, Role
from gochatsecure.live.authority import Authority
from gochatsecure.log.accounts import Account, Changes, Revocation, Seen
from tests.live.fakes import Clock

OLD, NEW = (Key(kid, (kid * 40).encode()) for kid in ("old", "new"))
ALICE = Account("alice", "record", Role.MEMBER, 0, 7)
OWNER = Identity("alice", "s1", ours=True, generation=7)
GUEST = Identity("alice", "s2", role=Role.GUEST, ours=True)
ELSEWHERE = Identity("alice", "s3")


class AuthorityTestCase(unittest.TestCase):
    def make(self, *accounts: Account, revoked: tuple[Revocation, ...] = (), guests: bool = True) -> Authority:
        self.clock = Clock()
        authority = Authority(KeyRing([OLD, NEW]), guests=guests, wall=self.clock)
        authority.take(Changes(accounts, revoked, Seen(1, 1)))
        return authority


class Objections(AuthorityTestCase):
    def test_there_are_none_to_an_account_as_it_is(self) -> None:
        self.assertIsNone(self.make(ALICE).objection(OWNER))

    def test_another_generation_ends_it_in_both_directions(self) -> None:
        for generation in (6, 8, 2**40):
            self.assertIsNotNone(self.make(ALICE._replace(generation=generation)).objection(OWNER))

    def test_a_disabled_account_is_nobodys_not_even_a_fronting_sites(self) -> None:
        authority = self.make(ALICE._replace(disabled=True))
        for identity in (OWNER, ELSEWHERE, replace(OWNER, generation=None)):
            self.assertEqual(authority.objection(identity), "this name has been disabled")

    def test_an_account_that_is_not_there_any_more_has_no_tokens(self) -> None:
        self.assertIsNotNone(self.make().objection(OWNER))

    def test_a_token_of_ours_from_before_the_name_was_registered_is_not_its_owners(self) -> None:
        before = Identity("alice", "s", ours=True)
        self.assertIsNone(self.make().objection(before))
        self.assertIsNotNone(self.make(ALICE).objection(before))

    def test_a_fronting_site_answers_for_its_people_itself(self) -> None:
        self.assertIsNone(self.make(ALICE).objection(ELSEWHERE))
        self.assertIsNone(self.make().objection(ELSEWHERE))

    def test_guests_yield_to_a_registered_name_and_to_what_looks_like_it(self) -> None:
        authority = self.make(ALICE)
        for name in ("alice", "a1ice", "\u0430\u04cf\u0456\u0441\u0435"):
            self.assertIsNotNone(authority.objection(replace(GUEST, name=name)))
        self.assertIsNone(authority.objection(replace(GUEST, name="alicia")))
        self.assertIsNone(self.make().objection(GUEST))

    def test_guests_may_not_be_let_in_at_all(self) -> None:
        self.assertIsNotNone(self.make(guests=False).objection(GUEST))
        self.assertIsNone(self.make(ALICE, guests=False).objection(OWNER))

    def test_a_sign_in_is_revoked_by_its_name_and_sid_together(self) -> None:
        authority = self.make(ALICE, revoked=(Revocation("alice", "s1", 2_000_000), Revocation("bob", "s3", 2_000_000)))
        self.assertIsNotNone(authority.objection(OWNER))
        self.assertIsNone(authority.objection(replace(OWNER, sid="s9")))
        self.assertIsNone(authority.objection(ELSEWHERE))

    def test_a_revocation_is_forgotten_when_its_tokens_have_expired(self) -> None:
        authority = self.make(revoked=(Revocation("alice", "s1", 1_000_010), Revocation("bob", "s", 1_000_100)))
        self.assertEqual(authority.revoked, 2)
        self.clock.now += 10
        authority.forget_expired()
        self.assertEqual(authority.revoked, 1)

    def test_what_a_retired_key_has_signed_is_good_no_more(self) -> None:
        authority = self.make()
        token = KeyRing([OLD]).issue(ELSEWHERE, jti="j", now=self.clock.now, life=100)
        identity = authority.identify(token)
        self.assertIsNone(authority.objection(identity))
        authority.keys = KeyRing([NEW])
        self.assertIsNotNone(authority.objection(identity))
        with self.assertRaises(TokenError):
            authority.identify(token)


class Identifying(AuthorityTestCase):
    def test_what_there_is_an_objection_to_is_revoked(self) -> None:
        authority = self.make(ALICE)
        good = authority.keys.issue(OWNER, jti="j", now=self.clock.now, life=100)
        self.assertEqual(authority.identify(good), replace(OWNER, expires=self.clock.now + 105))
        for claims in ({"gen": 6, "iss": "gochatsecure"}, {"gen": 6}, {"iss": "gochatsecure"}):
            token = encode({"sub": "alice", "sid": "s", "exp": int(self.clock.now) + 60, **claims}, NEW)
            with self.subTest(claims), self.assertRaises(TokenError) as caught:
                authority.identify(token)
            self.assertEqual(caught.exception.code, "token_revoked")

    def test_names_that_changed_are_told(self) -> None:
        authority = self.make()
        changes = Changes([ALICE], [Revocation("bob", "s", 2_000_000)], Seen(5, 6))
        self.assertEqual(authority.take(changes), {"alice", "bob"})
        self.assertEqual(authority.seen, Seen(5, 6))

    def test_a_name_is_taken_with_what_looks_like_it_and_has_one_account(self) -> None:
        authority = self.make(ALICE)
        self.assertEqual((authority.is_taken("a1ice"), authority.is_taken("bob")), (True, False))
        self.assertEqual((authority.account("alice"), authority.account("a1ice")), (ALICE, None))
        self.assertEqual(authority.registered, 1)
