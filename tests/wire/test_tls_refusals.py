"""What a TLSServer refuses (TLS-1, TLS-4): weak clients, and what is not TLS."""

from __future__ import annotations

import contextlib
import ssl
import unittest
from unittest import mock

from gochatsecure.wire.tls import TLSFailure, TLSServer
from tests.support import certificate
from tests.wire.support import pieces
from tests.wire.tls_pair import Pair, our_contexts, read_all, version_context

ALERT, FATAL = 21, 2  # RFC 8446 5.1, 6
ALERT_RECORD = bytes([ALERT, 3, 3, 0, 2, FATAL, 40])
HANDSHAKE_FAILURE, PROTOCOL_VERSION = 40, 70


class RefusedClients(unittest.TestCase):
    """TLS-1. What a refused client gets is an alert, and is still there to be taken after the failure."""

    def refused(self, context: ssl.SSLContext) -> bytes:
        pair = Pair(context)
        pair.step()
        pair.to_server()
        with self.assertRaises(TLSFailure):
            pair.server.handshake()
        alert = pair.to_client()
        with self.assertRaises(ssl.SSLError):
            pair.client.do_handshake()
        return alert

    def assertAlert(self, record: bytes, description: int) -> None:
        self.assertEqual((record[0], record[5:]), (ALERT, bytes([FATAL, description])))

    def tls_1_1(self) -> ssl.SSLContext:
        if not ssl.HAS_TLSv1_1:
            self.skipTest("this OpenSSL speaks no TLS 1.1")
        context = version_context(ssl.TLSVersion.TLSv1_1)
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def tls_1_2(self, ciphers: str) -> ssl.SSLContext:
        context = version_context(ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(ciphers)
        return context

    def defaults(self) -> ssl.SSLContext:
        """A server's context as Python makes it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate().cert, certificate().key)
        return context

    def finite_field(self) -> ssl.SSLContext:
        """A client that offers nothing but a slow group."""
        context = ssl.create_default_context(cafile=certificate().ca)
        try:
            context.set_ecdh_curve("ffdhe2048")
        except (ValueError, ssl.SSLError):
            self.skipTest("this OpenSSL has no finite fields in TLS 1.3")
        return context

    def test_tls_1_1_is_refused_with_an_alert(self) -> None:
        self.assertAlert(self.refused(self.tls_1_1()), PROTOCOL_VERSION)

    def test_cbc_is_refused_with_an_alert(self) -> None:
        ciphers = "ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA"
        self.assertAlert(self.refused(self.tls_1_2(ciphers)), HANDSHAKE_FAILURE)

    def test_a_key_exchange_without_forward_secrecy_is_refused_with_an_alert(self) -> None:
        self.assertAlert(self.refused(self.tls_1_2("AES128-GCM-SHA256:AES256-GCM-SHA384")), HANDSHAKE_FAILURE)

    def test_cve_2022_40735_a_slow_group_is_refused_with_an_alert(self) -> None:
        """It would cost us milliseconds a handshake, and the peer, which can send any number as its share, nothing."""
        self.assertAlert(self.refused(self.finite_field()), HANDSHAKE_FAILURE)

    def test_a_context_of_pythons_defaults_takes_a_slow_group_negative_control(self) -> None:
        self.assertTrue(Pair(self.finite_field(), self.defaults()).shaken().server.established)

    def test_a_client_without_the_first_group_is_given_the_other_one(self) -> None:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            for size in (1, 100, 10_000):
                with self.subTest(version=version, size=size):
                    context = version_context(version)
                    context.set_ecdh_curve("prime256v1")
                    pair = Pair(context)
                    pair.step()
                    for piece in pieces(pair.from_client(), size):
                        pair.server.feed(piece)
                        self.assertFalse(pair.server.handshake())
                    pair.to_client()
                    self.assertTrue(pair.shaken().server.established)

    def test_a_client_that_has_no_group_of_ours_is_refused(self) -> None:
        context = ssl.create_default_context(cafile=certificate().ca)
        context.set_ecdh_curve("secp521r1")
        self.assertAlert(self.refused(context), HANDSHAKE_FAILURE)

    def test_the_other_group_is_tried_for_no_other_reason(self) -> None:
        begun: list[ssl.SSLContext] = []

        class Counted(TLSServer):
            __slots__ = ()

            def _begin(self, context: ssl.SSLContext) -> None:
                begun.append(context)
                super()._begin(context)

        for hello in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", ALERT_RECORD):
            server = Counted(our_contexts())
            server.feed(hello)
            with self.assertRaises(TLSFailure):
                server.handshake()
        self.assertEqual(begun, [our_contexts()[0]] * 3)

    def test_a_client_hello_that_was_answered_or_is_very_long_is_not_kept(self) -> None:
        pair = Pair()
        pair.step()
        pair.to_server()
        self.assertFalse(pair.server.handshake())
        self.assertIsNone(pair.server._hello)
        server = TLSServer(our_contexts())
        server.feed(b"\x16\x03\x01\x40\x00\x01\x01\x00\x00" + bytes(16380))  # the begin of one of 64 KiB
        server.feed(b"\x16\x03\x01\x40\x00" + bytes(1000))
        with contextlib.suppress(TLSFailure):
            server.handshake()
        self.assertIsNone(server._hello)

    def test_a_context_of_pythons_defaults_takes_cbc_negative_control(self) -> None:
        ciphers = "ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256"
        self.assertTrue(Pair(self.tls_1_2(ciphers), self.defaults()).shaken().server.established)


class OurContext(unittest.TestCase):
    """TLS-1, TLS-2: what no client of Python's can try."""

    def test_it_speaks_two_versions(self) -> None:
        for context in our_contexts():
            self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)
            self.assertTrue(all("ECDHE" in one["name"] or "TLS_" in one["name"] for one in context.get_ciphers()))

    def test_it_neither_compresses_nor_renegotiates(self) -> None:
        for context in our_contexts():
            self.assertTrue(context.options & ssl.OP_NO_COMPRESSION)
            self.assertTrue(context.options & ssl.OP_NO_RENEGOTIATION)


class IdleRecords(unittest.TestCase):
    """Records that cost us work and bring no plaintext: refused before there are many, in however large a read."""

    DUMMY = b"\x14\x03\x03\x00\x01\x01"  # change_cipher_spec, which TLS 1.3 passes over (RFC 8446 D.4)

    def opened(self) -> Pair:
        """The server has answered the ClientHello."""
        pair = Pair()
        pair.step()
        pair.to_server()
        self.assertFalse(pair.server.handshake())
        pair.to_client()
        return pair

    def test_a_few_are_passed_over(self) -> None:
        pair = self.opened()
        pair.server.feed(self.DUMMY * 9)
        self.assertFalse(pair.server.handshake())
        pair.step()
        pair.to_server()
        self.assertTrue(pair.server.handshake())

    def test_many_are_refused(self) -> None:
        pair = self.opened()
        pair.server.feed(self.DUMMY * 10_000)
        with self.assertRaisesRegex(TLSFailure, "TOO_MANY_IDLE_RECORDS"):
            pair.server.handshake()

    def test_a_hello_in_records_of_one_byte_is_refused(self) -> None:
        pair = Pair()
        pair.step()
        hello = pair.from_client()[5:]
        pair.server.feed(b"".join(b"\x16\x03\x01\x00\x01" + hello[n : n + 1] for n in range(len(hello))))
        with self.assertRaisesRegex(TLSFailure, "TOO_MANY_IDLE_RECORDS"):
            pair.server.handshake()

    def test_a_flood_of_key_updates_is_refused_after_some(self) -> None:
        """No client of Python's can send them, so OpenSSL is played: it wants one record after another."""
        pair = Pair().shaken()
        seen: list[int] = []

        def read(most: int) -> bytes:
            seen.append(most)
            raise ssl.SSLWantReadError

        pair.server._object = mock.Mock(read=read, pending=lambda: 0)
        pair.server.feed((b"\x17\x03\x03\x00\x16" + bytes(22)) * 2000)
        with self.assertRaisesRegex(TLSFailure, "TOO_MANY_IDLE_RECORDS"):
            pair.server.read(4096)
        self.assertLess(len(seen), 40)

    def test_any_number_that_bring_plaintext_are_read(self) -> None:
        pair = Pair().shaken()
        for _ in range(500):
            pair.client.write(b"x")
        pair.to_server()
        self.assertEqual(read_all(pair.server), b"x" * 500)

    def test_those_that_bring_some_make_up_for_those_that_do_not(self) -> None:
        """Who sends one now and then is never refused, however long it stays."""
        pair = Pair().shaken()
        pair.server._idle = 30
        pair.client.write(b"x")
        pair.to_server()
        self.assertEqual(pair.server.read(10), b"x")
        self.assertEqual(pair.server._idle, 29)


class NotTLS(unittest.TestCase):
    """TLS-4: what is not TLS gets an alert at most, never words in the clear."""

    def assertAlertAtMost(self, records: bytes) -> None:
        self.assertIn(records[:1], (b"", bytes([ALERT])))
        self.assertLessEqual(len(records), 7)

    def test_it_is_refused(self) -> None:
        for speech in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"EHLO example.org\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
            bytes(100),
            b"\xff" * 100,
            b"\x16\x03\x01\xff\xff" + bytes(100),  # a record of 64 KiB, more than there can be
            b"\x17\x03\x03\x00\x10" + bytes(16),  # data before the handshake
            b"\x15\x03\x03\x00\x02\x02\x28",  # an alert
            b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00",  # a handshake message out of turn
            b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03",  # a ClientHello that ends too soon
        ):
            for size in (1, len(speech)):
                with self.subTest(speech=speech[:20], size=size):
                    server = TLSServer(our_contexts())
                    with self.assertRaises(TLSFailure) as caught:
                        for piece in pieces(speech, size):
                            server.feed(piece)
                            self.assertFalse(server.handshake())
                    self.assertAlertAtMost(server.take())
                    self.assertRegex(str(caught.exception), r"\A[A-Za-z0-9_]+\Z")  # a reason, for one line of log
                    server.close()
                    self.assertEqual(server.take(), b"")

    def test_a_hello_with_any_one_byte_changed_is_taken_or_refused(self) -> None:
        pair = Pair()
        pair.step()
        hello = pair.from_client()
        refused = 0
        for place in range(len(hello)):
            server = TLSServer(our_contexts())
            server.feed(hello[:place] + bytes([hello[place] ^ 0x55]) + hello[place + 1 :])
            try:
                self.assertFalse(server.handshake())
            except TLSFailure:
                refused += 1
                self.assertAlertAtMost(server.take())
        self.assertGreater(refused, 20)

    def test_a_changed_record_is_never_read(self) -> None:
        header, tag = 5, 16  # bytes
        for place in range(header, header + len(b"ten to noon") + tag):
            pair = Pair().shaken()
            pair.client.write(b"ten to noon")
            record = bytearray(pair.from_client())
            record[place] ^= 1
            pair.server.feed(bytes(record))
            with self.subTest(place=place), self.assertRaises(TLSFailure):
                pair.server.read(100)
