"""What changes under a running server: the certificate, the signing keys, accounts; and what cannot be used."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import ssl
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from gochatsecure import CertificateError, ChatServer, Limits
from gochatsecure.auth.keyfile import rotate
from gochatsecure.live.certificates import expiry
from gochatsecure.live.watch import Watch, state_of
from tests.live.fakes import Clock
from tests.live.test_accounts import AccountsTestCase
from tests.support import PATIENCE, ROOT, Raw, certificate, request, temporary_folder, token


def make_certificate(folder: Path, days: int = 100) -> tuple[Path, Path]:
    subprocess.run([ROOT / "tools/gen_cert.sh", "--quiet", "--out", folder, "--days", str(days)], check=True)
    return folder / "server.crt", folder / "server.key"


class WatchTestCase(AccountsTestCase):
    async def watched(self, **fields: Any) -> ChatServer:
        """A server with a certificate of its own, that has looked once and looks again only when it is told to."""
        folder = temporary_folder()
        pair = certificate()
        self.cert, self.key = folder / "server.crt", folder / "server.key"
        shutil.copy(pair.cert, self.cert)
        shutil.copy(pair.key, self.key)
        fields.setdefault("limits", Limits(look_s=3600))
        looked, look = asyncio.Event(), Watch.look

        async def first(watch: Watch) -> None:
            await look(watch)
            looked.set()

        with mock.patch.object(Watch, "look", first):
            server = await self.start(cert=self.cert, key=self.key, **fields)
            await asyncio.wait_for(looked.wait(), PATIENCE)
        return server

    async def put(self, server: ChatServer, pair: tuple[Path, Path]) -> None:
        """Another certificate and its key; whoever looks sees both."""
        assert server._watch is not None

        def copy() -> None:
            for source, place in zip(pair, (self.cert, self.key), strict=True):
                shutil.copy(source, place)

        await server._watch._worker.run(copy)

    async def shown(self, server: ChatServer) -> bytes:
        """The certificate that a new connection is shown."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        raw = Raw(reader, writer)
        self.addAsyncCleanup(raw.abort)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(found, bytes)
        return found

    def lines(self, logged: Any) -> str:
        return "\n".join(record.getMessage() for record in logged.records)


class TheCertificate(WatchTestCase):
    async def test_a_new_one_is_shown_to_who_connects_and_nobody_is_disturbed(self) -> None:
        server = await self.watched()
        alice = await self.connect(server, "alice")
        before = await self.shown(server)
        cert, key = make_certificate(temporary_folder())
        await self.put(server, (cert, key))
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await server.reload()
        self.assertIn("certificate_loaded", self.lines(logged))
        after = await self.shown(server)
        self.assertNotEqual(after, before)
        self.assertEqual(after, ssl.PEM_cert_to_DER_cert(cert.read_text().partition("-----END CERTIFICATE-----")[0]
                                                         + "-----END CERTIFICATE-----"))  # fmt: skip
        alice.send("still here")
        await alice.until("alice: still here")

    async def test_a_bad_pair_keeps_the_old_one_and_is_told_of_once(self) -> None:
        server = await self.watched()
        before = await self.shown(server)
        other, _ = make_certificate(temporary_folder())
        for text in (other.read_bytes(), b"garbage", b""):
            self.cert.write_bytes(text)
            with self.assertLogs("gochatsecure", "INFO") as logged:
                await server._watch.look()  # type: ignore[union-attr]
                await server._watch.look()  # type: ignore[union-attr]
            self.assertEqual(self.lines(logged).count("certificate_refused"), 1)
            self.assertEqual(len(logged.records), 1)
            self.assertEqual(await self.shown(server), before)
        self.cert.unlink()
        with self.assertLogs("gochatsecure", "ERROR"):
            await server.reload()
        self.assertEqual(await self.shown(server), before)

    async def test_what_two_looks_at_once_find_is_told_of_once(self) -> None:
        server = await self.watched()
        watch = server._watch
        assert watch is not None
        self.cert.write_bytes(b"garbage")
        server.settings.key_path()[0].write_text("garbage")
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await asyncio.gather(watch.look(), watch.look())
        told = sorted(record.getMessage().partition(" ")[0] for record in logged.records)
        self.assertEqual(told, ["certificate_refused", "keys_refused"])

    async def test_a_key_that_others_can_read_keeps_the_old_pair(self) -> None:
        server = await self.watched()
        self.key.chmod(0o644)
        with self.assertLogs("gochatsecure", "ERROR") as logged:
            await server.reload()
        self.assertIn("other users can read it", self.lines(logged))
        await self.shown(server)

    async def test_it_is_looked_at_by_itself(self) -> None:
        server = await self.watched(limits=Limits(look_s=0.01))
        before = await self.shown(server)
        await self.put(server, make_certificate(temporary_folder()))
        async with asyncio.timeout(PATIENCE):
            while await self.shown(server) == before:  # noqa: ASYNC110 - what is waited for knows nothing of tests
                await asyncio.sleep(0.01)


class Expiring(WatchTestCase):
    async def test_it_is_said_at_the_start_and_once_a_day(self) -> None:
        days = (expiry(certificate().cert) - time.time()) / 86400
        clock = Clock(time.time() + (days - 13.5) * 86400)
        with self.assertLogs("gochatsecure", "WARNING") as logged:
            server = await self.watched(wall=clock)
            assert server._watch is not None
            for _ in range(3):
                await server._watch.look()
            self.assertRegex(self.lines(logged), r"^certificate_expires file=\S+ days=13$")
            server._watch._warned -= 24 * 3600
            clock.now += 24 * 3600
            await server._watch.look()
        self.assertEqual(self.lines(logged).count("certificate_expires"), 2)
        self.assertIn("days=12", self.lines(logged))

    async def test_it_is_not_said_before(self) -> None:
        days = (expiry(certificate().cert) - time.time()) / 86400
        with self.assertNoLogs("gochatsecure", "WARNING"):
            server = await self.watched(wall=Clock(time.time() + (days - 14.5) * 86400))
            await server._watch.look()  # type: ignore[union-attr]


class ReadingTheExpiry(unittest.TestCase):
    def test_it_is_what_openssl_says(self) -> None:
        for days in (5, 200):
            cert, _ = make_certificate(temporary_folder(), days)
            told = subprocess.run(
                ["openssl", "x509", "-enddate", "-noout", "-in", cert], capture_output=True, check=True
            )
            wanted = datetime.datetime.strptime(told.stdout.decode().strip(), "notAfter=%b %d %H:%M:%S %Y GMT")
            self.assertEqual(expiry(cert), wanted.replace(tzinfo=datetime.UTC).timestamp())

    def test_what_is_no_certificate_is_said_in_one_line(self) -> None:
        path = temporary_folder() / "x.crt"
        whole = certificate().cert.read_text()
        begin = "-----BEGIN CERTIFICATE-----\n"
        for text in ("", "nonsense", begin + "AAAA\n-----END CERTIFICATE-----\n", whole[: len(begin) + 200],
                     begin + whole[len(begin) : len(begin) + 64] + "\n-----END CERTIFICATE-----\n"):  # fmt: skip
            path.write_text(text)
            with self.assertRaises(CertificateError) as caught:
                expiry(path)
            self.assertNotIn("\n", str(caught.exception))


class TheSigningKeys(WatchTestCase):
    async def test_a_new_one_signs_within_a_look(self) -> None:
        server = await self.watched()
        kid = rotate(server.settings.key_path()[0])
        with self.assertLogs("gochatsecure", "INFO") as logged:
            await server._watch.look()  # type: ignore[union-attr]
        self.assertRegex(self.lines(logged), rf"keys_loaded kids=\w+,{kid}")
        assert server._routes is not None
        self.assertEqual(server._routes._sign_in._authority.keys.kids[-1], kid)

    async def test_a_file_that_cannot_be_used_keeps_the_old_ones_and_is_told_of_once(self) -> None:
        server = await self.watched()
        path = server.settings.key_path()[0]
        ticket = await token(server, "alice")
        alice = await self.open(server, ticket)
        await alice.until("alice joined the room")
        for text in ("k supersecretkey\n", "", "\x00"):
            path.write_text(text)
            with self.assertLogs("gochatsecure", "INFO") as logged:
                await server._watch.look()  # type: ignore[union-attr]
                await server._watch.look()  # type: ignore[union-attr]
            self.assertEqual(len(logged.records), 1)
            self.assertIn("keys_refused", self.lines(logged))
            self.assertNotIn("supersecretkey", self.lines(logged))
        path.unlink()
        with self.assertLogs("gochatsecure", "ERROR"):
            await server.reload()
        alice.send("still here")
        await alice.until("alice: still here")
        answer = await request(server, "/auth/refresh", method="POST", headers=[f"Authorization: Bearer {ticket}"])
        self.assertEqual(answer.status, 200)


class States(unittest.TestCase):
    def test_a_file_in_anothers_place_is_another_state(self) -> None:
        path, other = (temporary_folder() / name for name in ("a", "b"))
        path.write_text("same")
        before = state_of(path)
        self.assertEqual(state_of(path), before)
        shutil.copy2(path, other)
        other.replace(path)
        self.assertNotEqual(state_of(path), before)
        path.unlink()
        self.assertEqual(state_of(path), (None,))


class Reloading(WatchTestCase):
    async def test_a_server_that_is_not_running_has_nothing_to_look_at(self) -> None:
        server = await self.watched()
        await server.close(1)
        await server.reload()

    async def test_a_server_can_be_closed_while_it_looks(self) -> None:
        server = await self.watched(limits=Limits(look_s=0.001))
        await asyncio.sleep(0.01)
        await server.close(1)
