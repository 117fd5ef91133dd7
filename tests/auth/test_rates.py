"""Token buckets: how often somebody may do something."""

from __future__ import annotations

import unittest
from ipaddress import ip_network

from gochatsecure.auth.rates import Distinct, Rates, Sampled, address_key, is_within


class Buckets(unittest.TestCase):
    def test_a_burst_is_let_through_and_the_next_must_wait(self) -> None:
        rates = Rates(rate=2, burst=3, most=10)
        self.assertEqual([rates.take("a", 0.0) for _ in range(4)], [0, 0, 0, 0.5])

    def test_after_the_wait_it_said_there_is_one_permit(self) -> None:
        rates = Rates(rate=2, burst=1, most=10)
        rates.take("a", 0.0)
        wait = rates.take("a", 0.0)
        self.assertEqual(rates.take("a", wait), 0)
        self.assertGreater(rates.take("a", wait), 0)

    def test_asking_while_refused_costs_nothing(self) -> None:
        rates = Rates(rate=1, burst=1, most=10)
        rates.take("a", 0.0)
        for _ in range(50):
            rates.take("a", 0.5)
        self.assertEqual(rates.take("a", 1.0), 0)

    def test_no_more_than_the_burst_is_saved_up(self) -> None:
        rates = Rates(rate=10, burst=2, most=10)
        rates.take("a", 0.0)
        self.assertEqual([rates.take("a", 1e6) > 0 for _ in range(3)], [False, False, True])

    def test_keys_do_not_share(self) -> None:
        rates = Rates(rate=1, burst=1, most=10)
        self.assertEqual([rates.take(key, 0.0) for key in "abc"], [0, 0, 0])

    def test_a_rate_of_zero_means_no_limit_and_no_memory(self) -> None:
        rates = Rates(rate=0, burst=0, most=10)
        self.assertEqual({rates.take("a", 0.0) for _ in range(1000)}, {0})
        self.assertEqual(len(rates), 0)

    def test_the_table_is_bounded_and_forgets_the_least_recent(self) -> None:
        rates = Rates(rate=0.001, burst=1, most=2)
        for key in ("a", "b", "a", "c"):
            rates.take(key, 0.0)
        self.assertEqual(len(rates), 2)
        self.assertGreater(rates.take("a", 0.0), 0)  # still known
        self.assertEqual(rates.take("b", 0.0), 0)  # forgotten, starts afresh

    def test_a_clock_that_steps_back_gives_nothing_away(self) -> None:
        rates = Rates(rate=1, burst=1, most=10)
        rates.take("a", 100.0)
        self.assertGreater(rates.take("a", 0.0), 0)
        self.assertEqual(rates.take("a", 2.0), 0)


class Addresses(unittest.TestCase):
    def test_what_one_subscriber_can_vary_counts_as_one(self) -> None:
        for left, right, same in (
            ("192.0.2.1", "192.0.2.1", True),
            ("192.0.2.1", "192.0.2.2", False),
            ("2001:db8::1", "2001:db8::ffff:1", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
            ("fe80::1%eth0", "fe80::1%eth1", True),
        ):
            with self.subTest(left=left, right=right):
                self.assertEqual(address_key(left) == address_key(right), same)

    def test_what_is_no_address_is_its_own_key(self) -> None:
        self.assertEqual(address_key("unknown"), "unknown")


class Telling(unittest.TestCase):
    def test_the_rate_is_told_and_the_others_are_counted_with_the_next(self) -> None:
        sampled = Sampled(rate=1, burst=2)
        self.assertEqual([sampled.count(now) for now in (0, 0, 0, 0.5, 1, 1.5, 2)], [1, 1, 0, 0, 3, 0, 2])


class WhatIsRemembered(unittest.TestCase):
    def test_a_bucket_that_is_full_again_is_forgotten(self) -> None:
        rates = Rates(rate=1, burst=10, most=1000)
        for number in range(100):
            rates.take(f"address {number}", 0.0)
        self.assertEqual(len(rates), 100)
        rates.take("another", 9.9)
        self.assertEqual(len(rates), 101)
        rates.take("another", 10.0)
        self.assertEqual(len(rates), 1)

    def test_a_permit_that_was_not_used_can_be_given_back(self) -> None:
        rates = Rates(rate=1, burst=1, most=10)
        for _ in range(5):
            self.assertEqual(rates.take("a", 0.0), 0)
            rates.give_back("a")
        rates.give_back("a")  # no more than the burst
        self.assertEqual([rates.take("a", 0.0) > 0 for _ in range(2)], [False, True])


class DistinctOthers(unittest.TestCase):
    def test_so_many_in_the_window_and_the_next_must_wait_until_the_oldest_is_out_of_it(self) -> None:
        distinct = Distinct(most=2, window=60, tracked=10)
        self.assertEqual(
            [distinct.take("a", other, now) for other, now in (("x", 0), ("y", 10), ("z", 20))], [0, 0, 40]
        )
        self.assertEqual(distinct.take("a", "z", 60), 0)

    def test_the_same_ones_again_are_no_more(self) -> None:
        distinct = Distinct(most=2, window=60, tracked=10)
        self.assertEqual({distinct.take("a", other, now) for now in range(100) for other in ("x", "y")}, {0})

    def test_keys_do_not_share(self) -> None:
        distinct = Distinct(most=1, window=60, tracked=10)
        self.assertEqual([distinct.take(key, key, 0) for key in "abc"], [0, 0, 0])

    def test_no_limit_remembers_nothing(self) -> None:
        distinct = Distinct(most=0, window=60, tracked=10)
        self.assertEqual({distinct.take("a", str(number), 0) for number in range(100)}, {0})
        self.assertEqual(len(distinct), 0)

    def test_what_is_remembered_is_bounded_and_expires(self) -> None:
        distinct = Distinct(most=3, window=60, tracked=5)
        for number in range(20):
            distinct.take(f"key {number}", "x", 0)
        self.assertEqual(len(distinct), 5)
        distinct.take("another", "x", 60)
        self.assertEqual(len(distinct), 1)


class Networks(unittest.TestCase):
    def test_an_address_is_within_its_own_and_no_other(self) -> None:
        networks = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1"), ip_network("fe80::/64")]
        for host in ("10.0.0.0", "10.255.255.255", "127.0.0.1", "fe80::1", "fe80::1%eth0"):
            self.assertTrue(is_within(host, networks), host)
        for host in ("11.0.0.0", "127.0.0.2", "fe80:0:0:1::1", "::1", "::ffff:10.0.0.1", "unknown", ""):
            self.assertFalse(is_within(host, networks), host)
        self.assertFalse(is_within("10.0.0.0", []))
