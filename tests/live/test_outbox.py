"""An outbox by itself: gathered over a turn, written once, bounded in bytes."""

from __future__ import annotations

import unittest
from collections.abc import Callable

from gochatsecure.live.outbox import Gatherer, Outbox


class Turn:
    """The event loop, as far as a gatherer sees it."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []
        self.later: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.asked.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def pass_some(self) -> None:
        """Enough of them that what was to be done later is done."""
        later, self.later = self.later, []
        for callback in later:
            callback()

    def end(self) -> None:
        asked, self.asked = self.asked, []
        for callback in asked:
            callback()


class Written:
    """A connection that remembers each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.overflows = 0
        self.on_write: Callable[[], None] = lambda: None

    def write_frames(self, frames: bytes) -> None:
        self.writes.append(frames)
        self.on_write()

    def overflow(self) -> None:
        self.overflows += 1


class OutboxTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.turn = Turn()
        self.gatherer = Gatherer(self.turn.call_soon, self.turn.call_later)
        self.wire = Written()
        self.outbox = Outbox(self.gatherer, self.wire, 10)


class WhatIsOfferedMayWait(OutboxTestCase):
    def test_it_waits_for_company_but_not_for_long(self) -> None:
        self.outbox.offer(b"a")
        self.turn.end()
        self.outbox.offer(b"b")
        self.assertEqual((self.wire.writes, len(self.turn.later)), ([], 1))
        self.turn.pass_some()
        self.assertEqual(self.wire.writes, [b"ab"])

    def test_it_leaves_with_what_cannot_wait_and_before_it(self) -> None:
        self.outbox.offer(b"a")
        self.outbox.put(b"b")
        self.outbox.offer(b"c")
        self.turn.end()
        self.assertEqual(self.wire.writes, [b"abc"])
        self.turn.pass_some()
        self.outbox.offer(b"d")
        self.turn.pass_some()
        self.assertEqual(self.wire.writes, [b"abc", b"d"])

    def test_it_is_left_out_where_the_peer_is_behind(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"abc")
        self.outbox.offer(b"d")
        self.outbox.resume()
        self.assertEqual(self.wire.writes, [b"abc"])

    def test_nothing_is_kept_for_a_session_that_is_gone(self) -> None:
        self.outbox.offer(b"a")
        self.outbox.end()
        self.outbox.offer(b"b")
        self.turn.pass_some()
        self.assertEqual(self.wire.writes, [])


class WhatIsPutInOneTurnLeavesAtItsEnd(OutboxTestCase):
    def test_nothing_is_written_before_the_turn_ends(self) -> None:
        self.outbox.put(b"a")
        self.assertEqual(self.wire.writes, [])

    def test_it_leaves_in_one_write_and_in_order(self) -> None:
        for frames in (b"a", b"bc", b"d"):
            self.outbox.put(frames)
        self.turn.end()
        self.assertEqual(self.wire.writes, [b"abcd"])

    def test_the_next_turn_has_a_write_of_its_own(self) -> None:
        self.outbox.put(b"a")
        self.turn.end()
        self.outbox.put(b"b")
        self.turn.end()
        self.assertEqual(self.wire.writes, [b"a", b"b"])

    def test_the_loop_is_asked_once_for_all_outboxes(self) -> None:
        others = [Outbox(self.gatherer, Written(), 10) for _ in range(3)]
        for outbox in (self.outbox, *others):
            outbox.put(b"a")
            outbox.put(b"b")
        self.assertEqual(len(self.turn.asked), 1)

    def test_what_a_write_brings_about_is_written_in_the_next_turn(self) -> None:
        """A write that fails makes its connection leave, which the others are shown."""
        other = Written()
        neighbour = Outbox(self.gatherer, other, 10)
        self.wire.on_write = lambda: neighbour.put(b"left")
        self.outbox.put(b"a")
        self.turn.end()
        self.assertEqual(other.writes, [])
        self.turn.end()
        self.assertEqual(other.writes, [b"left"])

    def test_an_empty_outbox_writes_nothing(self) -> None:
        self.outbox.flush()
        self.outbox.empty()
        self.assertEqual(self.wire.writes, [])


class TooMuchMakesASlowConsumer(OutboxTestCase):
    """Too much is what the socket does not take, not what comes at once."""

    def test_what_comes_at_once_is_written_however_much_it_is(self) -> None:
        for _ in range(5):
            self.outbox.put(b"0123456789")
        self.turn.end()
        self.assertEqual((b"".join(self.wire.writes), self.wire.overflows), (b"0123456789" * 5, 0))

    def test_the_bound_itself_is_kept(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"0123456789")
        self.turn.end()
        self.assertEqual(self.wire.overflows, 0)
        self.outbox.resume()
        self.assertEqual(self.wire.writes, [b"0123456789"])

    def test_a_byte_more_ends_it(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"0123456789")
        self.outbox.put(b"!")
        self.assertEqual(self.wire.overflows, 1)

    def test_what_was_put_before_the_socket_paused_counts(self) -> None:
        self.outbox.put(b"0123456789!")
        self.outbox.pause()
        self.turn.end()
        self.assertEqual((self.wire.writes, self.wire.overflows), ([], 1))

    def test_what_the_socket_leaves_of_a_large_write_counts(self) -> None:
        """It is written in slices of whole frames, so that one that pauses is noticed."""
        outbox = Outbox(self.gatherer, self.wire, 300_000)
        self.wire.on_write = outbox.pause
        for frames in (b"a" * 100_000, b"b" * 100_000, b"c" * 300_000):
            outbox.put(frames)
        self.turn.end()
        self.assertEqual((self.wire.writes, self.wire.overflows), ([b"a" * 100_000 + b"b" * 100_000], 0))
        outbox.put(b"d")
        self.assertEqual(self.wire.overflows, 1)

    def test_what_the_socket_takes_slice_by_slice_is_whole_and_in_order(self) -> None:
        outbox = Outbox(self.gatherer, self.wire, 1000)
        frames = [bytes([number]) * 10_000 for number in range(100)]
        for piece in frames:
            outbox.put(piece)
        self.turn.end()
        self.assertEqual((b"".join(self.wire.writes), self.wire.overflows), (b"".join(frames), 0))
        self.assertLess(max(map(len, self.wire.writes)), 200_000)

    def test_what_was_unsent_is_forgotten_and_nothing_more_is_taken(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"0123456789!")
        self.outbox.put(b"later")
        self.outbox.resume()
        self.turn.end()
        self.outbox.empty()
        self.assertEqual(self.wire.writes, [])

    def test_it_is_told_once(self) -> None:
        self.outbox.pause()
        for _ in range(3):
            self.outbox.put(b"0123456789!")
        self.turn.end()
        self.assertEqual(self.wire.overflows, 1)

    def test_what_has_been_written_does_not_count(self) -> None:
        for _ in range(5):
            self.outbox.put(b"01234567")
            self.turn.end()
        self.outbox.pause()
        self.outbox.put(b"01234567")
        self.assertEqual(self.wire.overflows, 0)

    def test_its_neighbours_are_flushed_all_the_same(self) -> None:
        other = Written()
        neighbour = Outbox(self.gatherer, other, 10)
        self.outbox.pause()
        self.outbox.put(b"0123456789!")
        neighbour.put(b"hi")
        self.turn.end()
        self.assertEqual(other.writes, [b"hi"])

    def test_one_that_ends_in_its_own_write_writes_no_more(self) -> None:
        outbox = Outbox(self.gatherer, self.wire, 10)
        self.wire.on_write = outbox.end
        for _ in range(3):
            outbox.put(b"x" * 150_000)
        self.turn.end()
        self.assertEqual((len(self.wire.writes), self.wire.overflows), (1, 0))


class APausedOutboxWaits(OutboxTestCase):
    def test_nothing_is_written_while_the_socket_takes_no_more(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"a")
        self.turn.end()
        self.outbox.put(b"b")
        self.turn.end()
        self.assertEqual(self.wire.writes, [])

    def test_all_of_it_leaves_when_the_socket_has_caught_up(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"a")
        self.turn.end()
        self.outbox.put(b"b")
        self.outbox.resume()
        self.assertEqual(self.wire.writes, [b"ab"])

    def test_nothing_is_written_twice_by_the_turn_that_was_under_way(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"a")
        self.outbox.resume()
        self.turn.end()
        self.outbox.put(b"b")
        self.turn.end()
        self.assertEqual(self.wire.writes, [b"a", b"b"])

    def test_the_bound_holds_meanwhile(self) -> None:
        self.outbox.pause()
        self.outbox.put(b"012345")
        self.turn.end()
        self.outbox.put(b"678901")
        self.assertEqual(self.wire.overflows, 1)

    def test_emptied_it_writes_even_so(self) -> None:
        """A Close frame is to follow: what comes before it must not come behind it."""
        self.outbox.pause()
        self.outbox.put(b"last words")
        self.outbox.empty()
        self.assertEqual(self.wire.writes, [b"last words"])

    def test_a_socket_that_fills_up_again_pauses_it_again(self) -> None:
        self.wire.on_write = self.outbox.pause
        self.outbox.put(b"a")
        self.turn.end()
        self.outbox.put(b"b")
        self.turn.end()
        self.assertEqual(self.wire.writes, [b"a"])
        self.outbox.resume()
        self.assertEqual(self.wire.writes, [b"a", b"b"])
