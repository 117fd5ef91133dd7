"""ChatServer as its embedder sees it: starting, failing to start, living beside others."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, patch

from gochatsecure import (
    AddressError,
    CertificateError,
    ChatServer,
    KeyFileError,
    OperatorError,
    Settings,
    SettingsError,
    StoreError,
)
from gochatsecure.live import listener
from tests.support import (
    PATIENCE,
    Client,
    ServerTestCase,
    certificate,
    request,
    reserved_port,
    temporary_folder,
    token,
)


def fields(**others: Any) -> dict[str, Any]:
    """What a server needs to start, with a store on disk; `others` come instead."""
    pair = certificate()
    return {
        "addr": "localhost:0",
        "cert": pair.cert,
        "key": pair.key,
        "data": temporary_folder() / "data",
        "message_rate": 0,
        "sign_in_rate": 0,
    } | others


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as trying:
            trying.bind(("::1", 0))
        return True
    except OSError:
        return False


class Starting(ServerTestCase):
    async def test_on_port_0_takes_a_free_one_and_says_where(self) -> None:
        server = ChatServer(**fields())
        self.assertEqual(server.port, 0)
        async with server:
            self.assertGreater(server.port, 0)
            self.assertEqual(server.url, f"https://localhost:{server.port}")
            self.assertEqual((await request(server, "/readyz")).status, 200)

    async def test_on_all_interfaces_gives_a_url_that_can_be_used_here(self) -> None:
        for addr in (":0", "0.0.0.0:0"):
            async with ChatServer(**fields(addr=addr)) as server:
                self.assertEqual(server.url, f"https://localhost:{server.port}")
                self.assertEqual((await request(server, "/readyz")).status, 200)

    async def test_on_port_0_takes_one_that_is_free_on_each_of_its_addresses(self) -> None:
        """One that is free on 127.0.0.1 may be a client's on ::1."""
        taken: list[object] = []
        listening = listener._listening

        def sometimes(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
            if address[0] == "127.0.0.2" and len(taken) < 2:
                taken.append(address[1])
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            return listening(family, kind, protocol, address)

        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", 0)) for last in (1, 2)]
        lookups = patch.object(asyncio.get_running_loop(), "getaddrinfo", AsyncMock(return_value=found))
        with lookups, patch.object(listener, "_listening", sometimes):
            server = ChatServer(**fields(store="memory:"))
            await server.start()
        self.assertEqual(len(taken), 2)
        for address in ("127.0.0.1", "127.0.0.2"):
            socket.create_connection((address, server.port), PATIENCE).close()
        await server.close()

    async def test_on_localhost_listens_on_each_of_its_addresses(self) -> None:
        async with ChatServer(**fields()) as server:
            families = {info[0] for info in socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)}
            addresses = ["127.0.0.1"] + ["::1"] * (socket.AF_INET6 in families and has_ipv6())
            for address in addresses:
                socket.create_connection((address, server.port), PATIENCE).close()

    async def test_on_ipv6_writes_its_url_with_brackets(self) -> None:
        if not has_ipv6():
            self.skipTest("this machine has no IPv6")
        async with ChatServer(**fields(addr="[::1]:0")) as server:
            self.assertEqual(server.url, f"https://[::1]:{server.port}")

    async def test_on_a_machine_without_ipv6_listens_on_what_there_is(self) -> None:
        """Even if /etc/hosts says that localhost is ::1, too."""

        class WithoutIPv6(socket.socket):
            def __init__(self, family: int = -1, *others: Any) -> None:
                if family == socket.AF_INET6:
                    raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
                super().__init__(family, *others)

        found = asyncio.get_running_loop().create_future()
        addresses = ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0, 0, 0)))
        found.set_result([(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses])
        asyncio.get_running_loop().getaddrinfo = lambda *_, **__: found  # type: ignore[method-assign,assignment]
        server = ChatServer(**fields(store="memory:"))
        with patch.object(socket, "socket", WithoutIPv6):
            await server.start()
        asyncio.get_running_loop().__dict__.pop("getaddrinfo")
        self.assertEqual((await request(server, "/readyz")).status, 200)
        await server.close()

    async def test_takes_settings_or_their_fields_but_not_both(self) -> None:
        settings = Settings(**fields())
        self.assertIs(ChatServer(settings).settings, settings)
        with self.assertRaises(TypeError):
            ChatServer(settings, addr="localhost:0")
        with self.assertRaises(TypeError):
            ChatServer(port=8080)
        with self.assertRaises(SettingsError):
            ChatServer(addr="nowhere")

    async def test_twice_is_an_error_and_the_first_goes_on(self) -> None:
        server = await self.start()
        with self.assertRaises(RuntimeError):
            await server.start()
        self.assertEqual((await request(server, "/readyz")).status, 200)

    async def test_again_after_the_end_is_a_new_beginning_with_the_same_past(self) -> None:
        server = ChatServer(**fields())
        for text in ("one", "two"):
            async with server:
                alice = await self.connect(server, "alice")
                self.assertEqual(await alice.ask(text), f"alice: {text}")
                await alice.abort()
        async with server:
            bob = await Client.open(server, await token(server, "bob"))
            self.assertEqual((await bob.until("bob joined the room"))[:2], ["alice: one", "alice: two"])
            await bob.abort()

    async def test_makes_its_folder_and_key_for_this_user_alone(self) -> None:
        settings = fields()
        async with ChatServer(**settings):
            modes = {path.name: path.stat().st_mode & 0o777 for path in settings["data"].iterdir()}
            self.assertEqual(settings["data"].stat().st_mode & 0o777, 0o700)
        self.assertLessEqual({"signing.key", "chat.db"}, set(modes))
        self.assertEqual({mode & 0o077 for mode in modes.values()}, {0})


class SeveralInOneProcess(ServerTestCase):
    async def test_share_neither_rooms_nor_names_nor_keys(self) -> None:
        one, two = await self.start(), await self.start()
        alice, twin = await self.connect(one, "alice"), await self.connect(two, "alice")
        self.assertEqual(await alice.ask("in one"), "alice: in one")
        self.assertEqual(await twin.ask("in two"), "alice: in two")
        self.assertEqual(await alice.ask("/who"), "# in default: alice")
        header = f"Authorization: Bearer {await token(one, 'bob')}"
        answer = await request(two, "/auth/refresh", method="POST", headers=[header])
        self.assertEqual((answer.status, answer.json()["code"]), (401, "token_invalid"))

    async def test_end_one_by_one(self) -> None:
        one, two = await self.start(), await self.start()
        alice = await self.connect(two, "alice")
        await one.close()
        self.assertEqual(await alice.ask("still here"), "alice: still here")

    async def test_may_each_have_a_thread_and_a_loop_of_their_own(self) -> None:
        server = ChatServer(**fields())
        started, ending = threading.Event(), asyncio.Event()
        loops: list[asyncio.AbstractEventLoop] = []
        failures: list[BaseException] = []

        async def serve() -> None:
            loops.append(asyncio.get_running_loop())
            async with server:
                started.set()
                await ending.wait()

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            self.assertTrue(await asyncio.to_thread(started.wait, PATIENCE), failures)
            alice = await self.connect(server, "alice")
            self.assertEqual(await alice.ask("hi"), "alice: hi")
            loops[0].call_soon_threadsafe(ending.set)
            self.assertEqual((await alice.until_closed())[0], 1001)
        finally:
            loops[0].call_soon_threadsafe(ending.set)
            await asyncio.to_thread(thread.join, PATIENCE)
        self.assertEqual(failures, [])
        self.assertFalse(thread.is_alive())


class WhatIsNotTheLibrarys(ServerTestCase):
    async def test_signals_logging_and_the_working_directory_are_left_alone(self) -> None:
        def surroundings() -> list[object]:
            loggers = [logging.getLogger(name) for name in ("", "gochatsecure", "asyncio")]
            return [
                [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
                signal.set_wakeup_fd(-1),
                [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers],
                os.getcwd(),
                os.umask(0o022),
                dict(os.environ),
            ]

        before = surroundings()
        async with ChatServer(**fields()) as server:
            alice = await self.connect(server, "alice")
            await alice.ask("hi")
            await alice.abort()
            self.assertEqual(surroundings(), before)
        self.assertEqual(surroundings(), before)


class FailingToStart(ServerTestCase):
    """One line for the operator, of the right class; and nothing is left open: the same again, mended, starts."""

    def setUp(self) -> None:
        self.folder = temporary_folder()
        self.port = self.enterContext(reserved_port())
        self.good = fields(addr=f"127.0.0.1:{self.port}", data=self.folder / "data")

    async def fails(self, kind: type[OperatorError], said: str, **bad: Any) -> None:
        with self.assertRaises(kind) as caught:
            await ChatServer(**self.good | bad).start()
        self.assertIs(type(caught.exception), kind)
        self.assertRegex(caught.exception.cause, said)
        self.assertNotIn("\n", str(caught.exception))
        await self.starts()

    async def starts(self) -> None:
        async with ChatServer(**self.good) as server:
            self.assertEqual((await request(server, "/readyz")).status, 200)

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)

    async def test_a_port_that_is_in_use(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            await self.fails(AddressError, "port is in use", addr=f"127.0.0.1:{taken.getsockname()[1]}")

    async def test_a_port_that_another_server_of_ours_uses(self) -> None:
        other = await self.start()
        await self.fails(AddressError, "port is in use", addr=f"localhost:{other.port}")

    async def test_an_address_of_another_machine(self) -> None:
        await self.fails(AddressError, "cannot be listened on", addr="192.0.2.1:0")

    async def test_a_host_name_that_nobody_knows(self) -> None:
        unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        lookups = patch.object(asyncio.get_running_loop(), "getaddrinfo", side_effect=unknown)
        with lookups, self.assertRaisesRegex(AddressError, "there is no such host"):
            await ChatServer(**self.good).start()
        await self.starts()

    async def test_a_certificate_or_key_that_is_not_there(self) -> None:
        await self.fails(CertificateError, "no such file for the certificate$", cert=self.folder / "none")
        await self.fails(CertificateError, "no such file for the certificate's key$", key=self.folder / "none")
        await self.fails(CertificateError, "no such file", cert=self.folder)

    async def test_a_certificate_that_cannot_be_looked_for(self) -> None:
        """A name too long, or a folder that may not be read."""
        await self.fails(CertificateError, "cannot be|no such file", cert=Path("x" * 300))

    async def test_a_certificate_that_is_none(self) -> None:
        (self.folder / "junk").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        (self.folder / "empty").touch()
        for name in ("junk", "empty"):
            await self.fails(CertificateError, "not a certificate and its key", cert=self.folder / name)

    async def test_a_key_of_another_certificate(self) -> None:
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "other.key")
        (self.folder / "other.key").chmod(0o600)
        await self.fails(CertificateError, "key values mismatch", key=self.folder / "other.key")

    async def test_a_key_with_a_passphrase(self) -> None:
        source = str(self.good["key"])
        self.openssl("pkey", "-in", source, "-aes256", "-passout", "pass:secret", "-out", "locked.key")
        (self.folder / "locked.key").chmod(0o600)
        await self.fails(CertificateError, "key is encrypted", key=self.folder / "locked.key")

    async def test_keys_that_others_can_read(self) -> None:
        for source, kind, field in (
            (self.good["key"].read_text(), CertificateError, "key"),
            ("0123456789abcdef" * 4, KeyFileError, "secret_file"),
        ):
            shared = self.folder / field
            shared.write_text(source)
            for mode in (0o640, 0o604):
                shared.chmod(mode)
                with self.subTest(f"{field} {mode:o}"):
                    await self.fails(kind, "other users can read it", **{field: shared})

    async def test_signing_keys_that_are_missing_or_can_be_guessed(self) -> None:
        await self.fails(KeyFileError, "no such file", secret_file=self.folder / "none")
        for text in ("", "short", "supersecretkey" * 3, "a" * 64, "one two three"):
            weak = self.folder / "weak"
            weak.write_text(text)
            weak.chmod(0o600)
            with self.subTest(text):
                await self.fails(KeyFileError, "signing key|KID SECRET", secret_file=weak)

    async def test_a_store_that_another_server_uses(self) -> None:
        async with ChatServer(**fields(data=self.folder / "other")):
            await self.fails(StoreError, "another server is using it", store=f"sqlite:{self.folder}/other/chat.db")

    async def test_a_store_that_is_no_database_of_ours(self) -> None:
        junk, foreign = self.folder / "junk.db", self.folder / "foreign.db"
        junk.write_bytes(b"this is no database, whatever its name says" * 100)
        connection = sqlite3.connect(foreign)
        connection.execute("CREATE TABLE somebody (elses TEXT)")
        connection.close()
        for path in (junk, foreign):
            path.chmod(0o600)
        await self.fails(StoreError, "cannot be used", store=f"sqlite:{junk}")
        await self.fails(StoreError, "another program's database", store=f"sqlite:{foreign}")

    async def test_a_store_that_others_can_read(self) -> None:
        shared = self.folder / "shared.db"
        shared.touch(0o644)
        shared.chmod(0o644)
        await self.fails(StoreError, "other users can read it", store=f"sqlite:{shared}")

    async def test_a_folder_that_is_none(self) -> None:
        (self.folder / "file").touch()
        await self.fails(KeyFileError, "cannot be", data=self.folder / "file" / "data")
        await self.fails(StoreError, "cannot be used", store=f"sqlite:{self.folder}/file/chat.db")


class AStartThatIsCancelled(ServerTestCase):
    """As `asyncio.wait_for(server.start(), 5)` does, or Ctrl-C. Nothing is left open then, either."""

    def setUp(self) -> None:
        self.port = self.enterContext(reserved_port())

    async def cancel(self, **others: Any) -> None:
        """Cancelled at the first turn of the loop that it needs; then the same must be able to start."""
        settings = fields(addr=f"127.0.0.1:{self.port}", **others)
        starting = asyncio.create_task(ChatServer(**settings).start())
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        self.assertTrue(starting.cancelled())
        asyncio.get_running_loop().__dict__.pop("getaddrinfo", None)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with ChatServer(**settings) as server:
                        self.assertEqual((await request(server, "/readyz")).status, 200)
                        return
                except StoreError:  # the thread that opened it is closing it
                    await asyncio.sleep(0.05)

    def answer_lookups_with(self, found: asyncio.Future[list[Any]]) -> None:
        asyncio.get_running_loop().getaddrinfo = lambda *_, **__: found  # type: ignore[method-assign,assignment]

    async def test_while_its_store_opens(self) -> None:
        await self.cancel()

    async def test_while_it_looks_up_its_address(self) -> None:
        self.answer_lookups_with(asyncio.get_running_loop().create_future())
        await self.cancel(store="memory:")

    async def test_while_it_begins_to_listen(self) -> None:
        found: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        found.set_result([(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))])
        self.answer_lookups_with(found)
        await self.cancel(store="memory:")
