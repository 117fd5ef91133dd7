"""TLS records in and out of a TLSServer, against Python's own client on memory BIOs."""

from __future__ import annotations

import ssl
import unittest

from gochatsecure.wire.tls import TLSFailure, TLSServer
from tests.support import certificate
from tests.wire.support import pieces
from tests.wire.tls_pair import CLOSED, Pair, our_contexts, read_all, version_context


class Handshake(unittest.TestCase):
    def test_it_goes_on_byte_by_byte(self) -> None:
        pair = Pair()
        for _ in range(3):
            pair.step()
            for byte in pieces(pair.from_client(), 1):
                self.assertFalse(pair.server.established)
                self.assertIs(pair.server.handshake(), pair.server.established)
                pair.server.feed(byte)
            pair.server.handshake()
            pair.to_client()
        self.assertTrue(pair.server.handshake())
        pair.server.write(b"hello")
        pair.to_client()
        self.assertEqual(pair.client_reads(), b"hello")

    def test_both_versions_that_we_speak_come_with_forward_secrecy(self) -> None:
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            with self.subTest(name):
                pair = Pair(version_context(version)).shaken()
                self.assertEqual(pair.client.version(), name)
                cipher = pair.client.cipher()
                assert cipher is not None
                self.assertRegex(cipher[0], r"\A(ECDHE-.*(GCM|CHACHA20)|TLS_(AES|CHACHA20))")
                self.assertIsNone(pair.client.compression())

    def test_plaintext_that_comes_with_the_end_of_the_handshake_is_read(self) -> None:
        pair = Pair()
        pair.step()
        pair.to_server()
        pair.server.handshake()
        pair.to_client()
        pair.step()
        pair.client.write(b"at once")
        pair.to_server()
        self.assertTrue(pair.server.handshake())
        self.assertEqual(pair.server.read(100), b"at once")

    def test_alpn_agrees_on_http_1_1_or_on_nothing(self) -> None:
        for offers, agreed in (
            (["h2", "http/1.1"], "http/1.1"),
            (["http/1.1"], "http/1.1"),
            (["h2"], None),
            ([], None),
        ):
            with self.subTest(offers=offers):
                context = ssl.create_default_context(cafile=certificate().ca)
                if offers:
                    context.set_alpn_protocols(offers)
                self.assertEqual(Pair(context).shaken().client.selected_alpn_protocol(), agreed)

    def test_a_client_that_does_not_trust_us_makes_it_fail(self) -> None:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # knows no CA at all
                context.minimum_version = context.maximum_version = version
                pair = Pair(context)
                pair.step()
                pair.to_server()
                pair.server.handshake()
                pair.to_client()
                with self.assertRaises(ssl.SSLCertVerificationError):
                    pair.client.do_handshake()
                pair.to_server()
                with self.assertRaisesRegex(TLSFailure, "UNKNOWN_CA"):
                    pair.server.handshake()
                self.assertFalse(pair.server.established)

    def test_after_a_failure_it_fails_again(self) -> None:
        server = TLSServer(our_contexts())
        server.feed(b"GET / HTTP/1.1\r\n\r\n")
        for _ in range(3):
            with self.assertRaises(TLSFailure):
                server.handshake()


class Data(unittest.TestCase):
    def test_it_goes_both_ways(self) -> None:
        pair = Pair().shaken()
        for turn in range(3):
            asked, answer = b"question %d" % turn, b"answer %d" % turn
            pair.client.write(asked)
            pair.to_server()
            self.assertEqual(pair.server.read(100), asked)
            self.assertIsNone(pair.server.read(100))
            pair.server.write(answer)
            pair.to_client()
            self.assertEqual(pair.client_reads(), answer)
            self.assertEqual(pair.server.take(), b"")

    def test_it_comes_whole_when_its_records_come_byte_by_byte(self) -> None:
        pair = Pair().shaken()
        pair.client.write(b"one")
        pair.client.write(b"two")
        read = b""
        for byte in pieces(pair.from_client(), 1):
            pair.server.feed(byte)
            read += read_all(pair.server)
        self.assertEqual(read, b"onetwo")

    def test_a_mebibyte_goes_both_ways(self) -> None:
        whole = bytes(range(256)) * 4096
        pair = Pair().shaken()
        pair.server.write(whole)
        pair.to_client()
        self.assertEqual(pair.client_reads(), whole)
        sent = 0
        while sent < len(whole):
            sent += pair.client.write(whole[sent:])
        pair.to_server()
        self.assertEqual(read_all(pair.server), whole)

    def test_no_more_is_read_than_asked_for(self) -> None:
        pair = Pair().shaken()
        pair.client.write(b"abcdef")
        pair.to_server()
        self.assertEqual([pair.server.read(4), pair.server.read(4), pair.server.read(4)], [b"abcd", b"ef", None])

    def test_a_view_of_a_buffer_may_be_fed_and_the_buffer_used_again(self) -> None:
        pair = Pair().shaken()
        pair.client.write(b"kept")
        records = pair.from_client()
        buffer = bytearray(4096)
        buffer[: len(records)] = records
        pair.server.feed(memoryview(buffer)[: len(records)])
        buffer[:] = bytes(4096)
        self.assertEqual(pair.server.read(100), b"kept")

    def test_nothing_written_is_nothing_sent(self) -> None:
        pair = Pair().shaken()
        pair.server.write(b"")
        self.assertEqual(pair.server.take(), b"")

    def test_nothing_can_be_written_before_the_handshake(self) -> None:
        server = TLSServer(our_contexts())
        with self.assertRaises(TLSFailure):
            server.write(b"too early")
        self.assertEqual(server.take(), b"")


class Close(unittest.TestCase):
    def test_the_peers_close_comes_after_its_data_and_stays(self) -> None:
        pair = Pair().shaken()
        pair.client.write(b"last words")
        pair.client_closes()
        self.assertEqual([pair.server.read(100) for _ in range(3)], [b"last words", b"", b""])

    def test_an_answer_may_still_follow_the_peers_close(self) -> None:
        """RFC 8446 6.1: each side closes its own direction."""
        pair = Pair().shaken()
        pair.client_closes()
        self.assertEqual(pair.server.read(100), b"")
        pair.server.write(b"an answer")
        pair.server.close()
        self.assertGreater(len(pair.server.take()), len(b"an answer"))

    def test_ours_comes_after_our_data(self) -> None:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                pair = Pair(version_context(version)).shaken()
                pair.server.write(b"last words")
                pair.server.close()
                pair.to_client()
                self.assertEqual([pair.client_reads(), pair.client_reads()], [b"last words", CLOSED])

    def test_it_is_said_once(self) -> None:
        pair = Pair().shaken()
        pair.server.close()
        self.assertNotEqual(pair.server.take(), b"")
        pair.server.close()
        self.assertEqual(pair.server.take(), b"")

    def test_it_says_nothing_before_the_handshake_is_done(self) -> None:
        server = TLSServer(our_contexts())
        server.close()
        self.assertEqual(server.take(), b"")

    def test_it_is_said_even_if_the_peer_has_more_to_say(self) -> None:
        pair = Pair().shaken()
        pair.client.write(b"unread")
        pair.to_server()
        pair.server.close()
        pair.to_client()
        self.assertEqual(pair.client_reads(), CLOSED)

    def test_what_the_peer_says_after_it_may_be_read(self) -> None:
        pair = Pair().shaken()
        pair.server.close()
        pair.client.write(b"one more thing")
        pair.client_closes()
        self.assertEqual([pair.server.read(100), pair.server.read(100)], [b"one more thing", b""])

    def test_nothing_can_be_written_after_it(self) -> None:
        pair = Pair().shaken()
        pair.server.close()
        pair.server.take()
        with self.assertRaises(TLSFailure):
            pair.server.write(b"too late")
        self.assertEqual(pair.server.take(), b"")
