"""What every engine promises of accounts."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING

from gochatsecure.chat.model import Role
from gochatsecure.log.accounts import Account, Accounts, Revocation, Seen

ALICE = Account("alice", "a record", Role.MEMBER, 1_700_000_000, 77)
NOW = 1_700_000_000.5

if TYPE_CHECKING:
    Base = unittest.IsolatedAsyncioTestCase
else:
    Base = object


class AccountsContract(Base):
    async def make(self) -> Accounts:
        """An open engine, that is closed when the test ends."""
        raise NotImplementedError

    async def test_what_is_added_is_there(self) -> None:
        accounts = await self.make()
        self.assertEqual(await accounts.changes(Seen()), ([], [], Seen()))
        self.assertTrue(await accounts.add(ALICE))
        changes = await accounts.changes(Seen())
        self.assertEqual((list(changes.accounts), list(changes.revocations)), ([ALICE], []))

    async def test_a_name_and_what_looks_like_it_is_added_once(self) -> None:
        accounts = await self.make()
        await accounts.add(ALICE)
        for name in ("alice", "a1ice", "\u0430\u04cf\u0456\u0441\u0435"):
            self.assertFalse(await accounts.add(ALICE._replace(name=name, password="another")))
        self.assertEqual(list((await accounts.changes(Seen())).accounts), [ALICE])
        self.assertTrue(await accounts.add(ALICE._replace(name="alicia")))

    async def test_everything_of_an_account_but_its_name_can_be_changed(self) -> None:
        accounts = await self.make()
        await accounts.add(ALICE)
        newer = Account("alice", "newer", Role.OWNER, ALICE.created, 78, True)
        self.assertTrue(await accounts.replace(newer, ALICE))
        self.assertEqual(list((await accounts.changes(Seen())).accounts), [newer])

    async def test_who_knows_an_older_account_changes_nothing(self) -> None:
        accounts = await self.make()
        await accounts.add(ALICE)
        newer = ALICE._replace(generation=78)
        await accounts.replace(newer, ALICE)
        self.assertFalse(await accounts.replace(ALICE._replace(disabled=True), ALICE))
        self.assertFalse(await accounts.replace(ALICE._replace(name="bob"), ALICE._replace(name="bob")))
        self.assertEqual(list((await accounts.changes(Seen())).accounts), [newer])

    async def test_who_watches_is_told_what_is_new_and_once(self) -> None:
        accounts = await self.make()
        bob = ALICE._replace(name="bob")
        for account in (ALICE, bob):
            await accounts.add(account)
        seen = (await accounts.changes(Seen())).seen
        self.assertEqual(await accounts.changes(seen), ([], [], seen))
        newer = ALICE._replace(generation=78)
        await accounts.replace(newer, ALICE)
        await accounts.revoke(Revocation("bob", "s", 2_000_000_000), NOW)
        accounts_, revocations, later = await accounts.changes(seen)
        self.assertEqual((list(accounts_), list(revocations)), ([newer], [Revocation("bob", "s", 2_000_000_000)]))
        self.assertEqual(await accounts.changes(later), ([], [], later))

    async def test_a_revocation_is_kept_until_its_tokens_have_expired(self) -> None:
        accounts = await self.make()
        short, long = Revocation("a", "s", int(NOW) + 10), Revocation("a", "t", int(NOW) + 100)
        await accounts.revoke(short, NOW)
        await accounts.revoke(long, NOW + 5)
        self.assertEqual(list((await accounts.changes(Seen())).revocations), [short, long])
        newest = Revocation("a", "u", int(NOW) + 100)
        await accounts.revoke(newest, NOW + 11)
        self.assertEqual(list((await accounts.changes(Seen())).revocations), [long, newest])

    async def test_one_that_comes_after_others_were_forgotten_is_seen(self) -> None:
        """Numbers are not given twice: who watches would take it for one that is known."""
        accounts = await self.make()
        for number in range(3):
            await accounts.revoke(Revocation("a", f"s{number}", int(NOW) + 10), NOW)
        seen = (await accounts.changes(Seen())).seen
        newest = Revocation("a", "t", int(NOW) + 1000)
        await accounts.revoke(newest, NOW + 100)
        self.assertEqual(list((await accounts.changes(seen)).revocations), [newest])
