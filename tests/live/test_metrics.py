"""Numbers about a running server: in a format for strict readers, of what happened, for whom they are."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import time
import unittest
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from gochatsecure import ChatServer, Limits
from gochatsecure.auth.keyfile import rotate
from gochatsecure.live import metrics
from gochatsecure.live.certificates import expiry
from gochatsecure.live.counts import Counts
from gochatsecure.version import __version__
from gochatsecure.wire.exposition import MEDIA_TYPE
from tests.live.fakes import HeldLog
from tests.live.support import CLOSE, eventually, frame
from tests.live.test_accounts import PASSWORD, post
from tests.live.test_watch import WatchTestCase, make_certificate
from tests.support import Answer, Raw, certificate, request, temporary_folder, token

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)")


class Read(NamedTuple):
    """A text of numbers: by name and labels as they stand there; by name, what it is."""

    samples: Mapping[str, float]
    kinds: Mapping[str, str]


def read(text: str) -> Read:
    """What the text exposition format 0.0.4 allows, in the stricter way that `promtool check metrics` asks for.

    Raises ValueError: each family is in one piece, begins with HELP and TYPE, and has samples, each there once."""
    samples: dict[str, float] = {}
    kinds: dict[str, str] = {}
    told, name = "", ""
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    for line in text[:-1].split("\n"):
        if found := re.fullmatch(rf"# HELP ({_NAME}) \S.*[^.:,]\.", line):
            told = found[1]
        elif found := re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge)", line):
            if found[1] != told or told in kinds or (name and not any(_of(name, one) for one in samples)):
                raise ValueError(f"not the type of what was just told of, or said twice: {line}")
            name = told
            kinds[name] = found[2]
            if (found[2] == "counter") != name.endswith("_total"):
                raise ValueError(f"a counter ends with _total, and nothing else: {line}")
        elif found := _SAMPLE.fullmatch(line):
            key = line.rpartition(" ")[0]
            if found[1] != name or key in samples:
                raise ValueError(f"not of its family, or there twice: {line}")
            samples[key] = float(found[3])
        else:
            raise ValueError(f"no line of this format: {line}")
    if not any(_of(name, one) for one in samples):
        raise ValueError("the last family has no sample")
    return Read(samples, kinds)


def _of(name: str, sample: str) -> bool:
    return sample.partition("{")[0] == name


class MetricsTestCase(WatchTestCase):
    async def start(self, **fields: Any) -> ChatServer:
        return await super().start(**({"metrics": "127.0.0.1"} | fields))

    async def tcp(self, server: ChatServer) -> Raw:
        """Connected, but without a byte of TLS."""
        raw = Raw(*await asyncio.open_connection("127.0.0.1", server.port))
        self.addAsyncCleanup(raw.abort)
        return raw

    def now(self, server: ChatServer) -> Mapping[str, float]:
        return read(server.metrics()).samples

    async def assertRises(self, server: ChatServer, name: str, before: float, by: float = 1) -> None:
        """It does so soon, and no further."""
        await eventually(lambda: self.now(server).get(f"gochatsecure_{name}", 0) >= before + by)
        self.assertEqual(self.now(server)[f"gochatsecure_{name}"], before + by)


class TheFormat(MetricsTestCase):
    def test_a_reader_that_is_strict_refuses_what_is_not_of_it(self) -> None:
        fine = "# HELP up Whether.\n# TYPE up gauge\nup 1\n"
        self.assertEqual(read(fine).samples, {"up": 1})
        for bad in (fine[:-1], fine + "up 2\n", fine * 2, fine.replace("gauge", "counter"), fine.replace("# HELP", "#"),
                    "up 1\n", fine[:-5], fine.replace("up 1", "up{a=1} 1"), fine.replace("up 1", 'up{a="\n"} 1'),
                    fine.replace("1", "one"), fine + "# TYPE down gauge\ndown 1\n"):  # fmt: skip
            with self.assertRaises(ValueError, msg=bad):
                read(bad)

    async def test_is_prometheus_text(self) -> None:
        server = await self.start()
        answer = await request(server, "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        found = read(answer.body.decode())
        self.assertEqual(found.kinds.keys(), read(server.metrics()).kinds.keys() - {"gochatsecure_http_answers_total"})
        for name in found.kinds:
            self.assertRegex(name, "^(gochatsecure|process)_[a-z_]+$")

    async def test_head_is_get_without_its_body(self) -> None:
        answer = await request(await self.start(), "/metrics", method="HEAD")
        self.assertEqual((answer.status, answer.headers["content-type"], answer.body), (200, MEDIA_TYPE, b""))

    async def test_says_which_server_this_is(self) -> None:
        found = self.now(await self.start())
        self.assertEqual(found[f'gochatsecure_build_info{{version="{__version__}"}}'], 1)
        self.assertEqual(found[f'gochatsecure_python_info{{version="{platform.python_version()}"}}'], 1)

    async def test_has_no_name_room_or_address_in_it(self) -> None:
        server = await self.start(sign_in_rate=1000, message_rate=1000, max_connections_per_address=100)
        alice = await self.connect(server, "alice", "den")
        await self.connect(server, "bob", "den")
        alice.send("@bob secret")
        await alice.until("(Private) to bob: secret")
        text = server.metrics()
        self.assertGreater(read(text).samples['gochatsecure_rates_tracked{table="private targets"}'], 0)
        for word in ("alice", "bob", "den", "secret", "127.0.0.1", "localhost"):
            self.assertNotRegex(text, rf"\b{re.escape(word)}\b")

    def test_a_peer_cannot_make_up_labels(self) -> None:
        """A Close frame may carry any of some 3,000 codes."""
        counts = Counts()
        before = len(counts.closed)
        for code in range(1000, 5000):
            counts.session_closed(code)
        self.assertEqual(len(counts.closed), before + 1)
        self.assertEqual(counts.closed.total(), 4000)

    async def test_a_server_that_is_not_running_has_none(self) -> None:
        server = await self.start()
        await server.close(1)
        with self.assertRaises(RuntimeError):
            server.metrics()


class WhoMayReadThem(MetricsTestCase):
    def undated(self, answer: Answer) -> Answer:
        return answer._replace(headers={**answer.headers, "date": ""})

    async def assertHidden(self, server: ChatServer) -> None:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            for query in ("", "?x=1"):
                hidden = await request(server, "/metrics" + query, method=method)
                nothing = await request(server, "/nowhere" + query, method=method)
                self.assertEqual(hidden.status, 404)
                self.assertEqual(self.undated(hidden), self.undated(nothing))

    async def test_nobody_unless_the_operator_says_who(self) -> None:
        await self.assertHidden(await super().start(metrics=()))

    async def test_to_others_there_is_nothing_of_the_kind(self) -> None:
        await self.assertHidden(await self.start(metrics="10.0.0.0/8,::1,127.0.0.2"))

    async def test_an_address_and_a_network(self) -> None:
        for networks in ("127.0.0.1", "::1,127.0.0.0/8", "0.0.0.0/0"):
            server = await self.start(metrics=networks)
            self.assertEqual((await request(server, "/metrics")).status, 200)

    async def test_what_somebody_says_of_their_address_counts_for_nothing(self) -> None:
        server = await self.start(metrics="10.0.0.1")
        headers = ["X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "X-Real-IP: 10.0.0.1"]
        self.assertEqual((await request(server, "/metrics", headers=headers)).status, 404)

    async def test_they_get_it_by_get_alone(self) -> None:
        answer = await request(await self.start(), "/metrics", method="POST")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))


class WhatHappened(MetricsTestCase):
    async def test_at_first_there_is_nothing(self) -> None:
        found = self.now(await self.start())
        for name in ("connections", "connections_accepted_total", "sessions", "rooms_open", "log_queue_drafts"):
            self.assertEqual(found[f"gochatsecure_{name}"], 0)
        self.assertEqual(found["gochatsecure_ready"], 1)

    async def test_connections(self) -> None:
        server = await self.start()
        raw = await self.raw(server)
        await eventually(lambda: self.now(server)["gochatsecure_connections"] == 1)
        await self.assertRises(server, "connections_accepted_total", 0)
        await raw.abort()
        await eventually(lambda: self.now(server)["gochatsecure_connections"] == 0)
        self.assertEqual(self.now(server)["gochatsecure_tls_handshakes_failed_total"], 0)

    async def test_handshakes_that_come_to_nothing(self) -> None:
        server = await self.start()
        for number, said in enumerate((b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00")):
            raw = await self.tcp(server)
            raw.send(said)
            await raw.writer.drain()
            raw.writer.close()
            await self.assertRises(server, "tls_handshakes_failed_total", number)
        self.assertEqual(self.now(server)["gochatsecure_connections_accepted_total"], 3)

    async def test_connections_that_are_refused(self) -> None:
        slow = Limits(connections_per_minute=1, connections_at_once=1)
        for reason, fields in (
            ("server full", {"max_connections": 1}),
            ("address full", {"max_connections_per_address": 1}),
            ("address too fast", {"max_connections_per_address": 9, "limits": slow}),
        ):
            server = await self.start(**fields)
            first = await self.tcp(server)
            await eventually(lambda: self.now(server)["gochatsecure_connections"] == 1)  # noqa: B023
            self.assertEqual(await (await self.tcp(server)).read(), b"")
            await self.assertRises(server, f'connections_refused_total{{reason="{reason}"}}', 0)
            self.assertEqual(self.now(server)["gochatsecure_connections_accepted_total"], 1)
            await first.abort()

    async def test_answers(self) -> None:
        server = await self.start()
        for target in ("/healthz", "/healthz", "/nowhere", "//", "/auth?username=a:b"):
            await request(server, target)
        found = self.now(server)
        for status, count in (("200", 2), ("404", 1), ("400", 2)):
            self.assertEqual(found[f'gochatsecure_http_answers_total{{status="{status}"}}'], count)

    async def test_sign_ins(self) -> None:
        server = await self.start()
        await token(server, "guest")
        await post(server, "/register", username="dave", password=PASSWORD)
        for _ in range(2):
            await post(server, "/auth", username="dave", password=PASSWORD)
        for _ in range(6):
            await post(server, "/auth", username="dave", password="wrong horse")
        found = self.now(server)
        for outcome, count in (
            ("guest", 1),
            ("registered", 1),
            ("owner", 2),
            ("bad_credentials", 5),
            ("rate_limited", 1),
        ):
            self.assertEqual(found[f'gochatsecure_sign_ins_total{{outcome="{outcome}"}}'], count, outcome)
        self.assertEqual(found["gochatsecure_accounts"], 1)

    async def test_sessions_and_how_they_end(self) -> None:
        server = await self.start()
        alice, bob = await self.connect(server, "alice"), await self.connect(server, "bob", "den")
        found = self.now(server)
        self.assertEqual((found["gochatsecure_sessions"], found["gochatsecure_rooms_open"]), (2, 2))
        alice.send("/quit")
        await alice.until_closed()
        bob.raw.send(frame((3999).to_bytes(2, "big") + b"a code of its own", CLOSE))
        await bob.raw.rest()
        lost = await self.connect(server, "carol")
        await lost.raw.abort()
        for code in ("1000", "other", "1006"):
            await self.assertRises(server, f'sessions_closed_total{{code="{code}"}}', 0)
        found = self.now(server)
        self.assertEqual((found["gochatsecure_sessions"], found["gochatsecure_rooms_open"]), (0, 0))
        self.assertEqual(found["gochatsecure_sessions_opened_total"], 3)

    async def test_commands_that_are_refused(self) -> None:
        server = await self.start(limits=Limits(text=5, look_s=3600))
        alice = await self.connect(server, "alice")
        for _ in range(2):
            self.assertIn("5 bytes are the most", await alice.ask("too long a text"))
        alice.send("short")
        await alice.until("alice: short")
        refused = {key: count for key, count in self.now(server).items() if "commands_refused" in key}
        self.assertEqual(refused, {'gochatsecure_commands_refused_total{code="text_too_long"}': 2})

    async def test_what_is_stored(self) -> None:
        server = await self.start(store=f"sqlite:{temporary_folder() / 'chat.db'}")
        alice = await self.connect(server, "alice")
        for text in ("one", "two", "@alice three"):
            alice.send(text)
        await alice.until("(Private) to alice: three")
        found = self.now(server)
        self.assertEqual(found["gochatsecure_log_entries_committed_total"], 3)
        self.assertTrue(1 <= found["gochatsecure_log_commits_total"] <= 3)
        self.assertGreater(found["gochatsecure_log_commit_seconds_total"], 0)
        self.assertEqual(found["gochatsecure_log_commits_failed_total"], 0)

    async def test_what_waits_to_be_stored(self) -> None:
        log = HeldLog()
        server = ChatServer(**self.plain(), log=log)
        await server.start()
        self.addAsyncCleanup(server.close, 1)
        alice = await self.connect(server, "alice")
        alice.send("one")
        await eventually(lambda: self.now(server)["gochatsecure_log_queue_drafts"] == 1)
        log.commit()
        self.assertEqual(self.now(server)["gochatsecure_log_queue_drafts"], 0)

    def plain(self) -> dict[str, Any]:
        pair = certificate()
        data = temporary_folder() / "data"
        return {"addr": "localhost:0", "cert": pair.cert, "key": pair.key, "data": data, "store": "memory:"}

    async def test_keys(self) -> None:
        server = await self.watched()
        rotate(server.settings.key_path()[0])
        self.assertEqual(self.now(server)["gochatsecure_signing_keys"], 1)
        await server.reload()
        self.assertEqual(self.now(server)["gochatsecure_signing_keys"], 2)

    async def test_whether_it_takes_sessions(self) -> None:
        server = await self.start()
        assert server._routes is not None
        server._routes.ready = False
        self.assertEqual(self.now(server)["gochatsecure_ready"], 0)


class WhenTheCertificateExpires(MetricsTestCase):
    NAME = "gochatsecure_certificate_expires_timestamp_seconds"

    async def test_is_what_the_certificate_says_from_the_start(self) -> None:
        server = await self.watched()
        self.assertEqual(self.now(server)[self.NAME], expiry(self.cert))

    async def test_changes_with_the_certificate(self) -> None:
        server = await self.watched()
        cert, key = make_certificate(temporary_folder(), days=7)
        shutil.copy(key, self.key)
        shutil.copy(cert, self.cert)
        await server.reload()
        self.assertEqual(self.now(server)[self.NAME], expiry(cert))
        self.assertNotEqual(expiry(cert), expiry(certificate().cert))

    async def test_stays_that_of_the_one_that_is_shown(self) -> None:
        """A pair that does not fit is not used, however long it would be good for."""
        server = await self.watched()
        before = expiry(self.cert)
        shutil.copy(make_certificate(temporary_folder(), days=7)[0], self.cert)
        with self.assertLogs("gochatsecure", "ERROR"):
            await server.reload()
        server._watch._warned -= 24 * 3600  # type: ignore[union-attr]
        await server._watch.look()  # type: ignore[union-attr]
        self.assertEqual(self.now(server)[self.NAME], before)

    async def test_is_left_out_where_it_cannot_be_read(self) -> None:
        folder = temporary_folder()
        cert, key = make_certificate(folder)
        unreadable = mock.patch("gochatsecure.live.certificates._der", side_effect=ValueError("odd"))
        with unreadable, self.assertLogs("gochatsecure", "WARNING") as logged:
            server = await self.start(cert=cert, key=key, limits=Limits(look_s=3600))
            await eventually(lambda: "certificate_unread" in self.lines(logged))
        self.assertNotIn(self.NAME, self.now(server))


def _of_this_process(name: str) -> str:
    path = Path("/proc/self") / name
    if not path.exists():
        raise unittest.SkipTest("there is no /proc")
    return path.read_text()


class TheProcess(MetricsTestCase):
    async def test_is_told_of_as_everybody_does(self) -> None:
        found = self.now(await self.start())
        resident = int(_of_this_process("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.assertLess(abs(found["process_resident_memory_bytes"] - resident), 64 * 1024 * 1024)
        self.assertGreater(found["process_virtual_memory_bytes"], found["process_resident_memory_bytes"])
        self.assertTrue(0 < found["process_cpu_seconds_total"] <= sum(os.times()[:2]))
        age = time.time() - found["process_start_time_seconds"]
        self.assertTrue(0 <= age < 24 * 3600, age)

    async def test_where_there_is_no_proc_its_time_alone(self) -> None:
        server = await self.start()
        with mock.patch.object(metrics, "_PROCESS", Path("/nowhere")):
            found = [name for name in self.now(server) if name.startswith("process_")]
        self.assertEqual(found, ["process_cpu_seconds_total"])

    async def test_a_name_with_parentheses_is_no_field(self) -> None:
        server = await self.start()
        fields = _of_this_process("stat").rpartition(")")[2].split()
        odd = temporary_folder() / "stat"
        odd.write_text(f"1 (a) b) ({') ' + ' '.join(fields)}")
        with mock.patch.object(metrics, "_PROCESS", odd):
            self.assertEqual(self.now(server)["process_virtual_memory_bytes"], int(fields[20]))
