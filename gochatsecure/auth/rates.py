"""How often somebody may do something: token buckets in a bounded table. No clock: `now` is seconds, monotonic."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


class Rates:
    """A bucket for each key: `rate` permits a second, at most `burst` saved up. A rate of 0 means no limit."""

    __slots__ = ("_buckets", "_burst", "_most", "_rate")

    def __init__(self, rate: float, burst: float, most: int) -> None:
        """`most`: keys remembered; the one asked least recently is forgotten first, and then starts full again."""
        self._rate = rate
        self._burst = max(1.0, burst)
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key: permits, as of when

    def take(self, key: str, now: float) -> float:
        """Take one permit: 0.0 if there was one, else the seconds until there will be."""
        if not self._rate:
            return 0.0
        permits, since = self._buckets.get(key, (self._burst, now))
        permits = min(self._burst, permits + max(0.0, now - since) * self._rate)
        wait = 0.0
        if permits >= 1:
            permits -= 1
        else:
            wait = (1 - permits) / self._rate
        self._buckets[key] = (permits, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._most or self._is_full(next(iter(self._buckets.values()))[1], now):
            self._buckets.popitem(last=False)
        return wait

    def _is_full(self, since: float, now: float) -> bool:
        """Whether a bucket is as good as a new one, however empty it was then."""
        return (now - since) * self._rate >= self._burst

    def give_back(self, key: str) -> None:
        """The last permit was not used after all."""
        if key in self._buckets:
            permits, since = self._buckets[key]
            self._buckets[key] = (min(self._burst, permits + 1), since)

    def __len__(self) -> int:
        return len(self._buckets)


class Distinct:
    """With how many different others somebody may deal in `window` seconds. `most` of 0 means no limit."""

    __slots__ = ("_kept", "_most", "_tracked", "_window")

    def __init__(self, most: int, window: float, tracked: int) -> None:
        """`tracked`: keys remembered; the one asked least recently is forgotten first."""
        self._most = most
        self._window = window
        self._tracked = tracked
        self._kept: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()  # by key: the others, and when last

    def take(self, key: str, other: str, now: float) -> float:
        """0.0 if the other is one of so many, else the seconds until it may be."""
        if not self._most:
            return 0.0
        others = self._kept.setdefault(key, OrderedDict())
        self._kept.move_to_end(key)
        while others and now - next(iter(others.values())) >= self._window:
            others.popitem(last=False)
        if other not in others and len(others) >= self._most:
            return next(iter(others.values())) + self._window - now
        others[other] = now
        others.move_to_end(other)
        while len(self._kept) > self._tracked or self._is_over(next(iter(self._kept.values())), now):
            self._kept.popitem(last=False)
        return 0.0

    def _is_over(self, others: OrderedDict[str, float], now: float) -> bool:
        return not others or now - next(reversed(others.values())) >= self._window

    def __len__(self) -> int:
        return len(self._kept)


class Sampled:
    """Which of many like events are told of: as many as the rate allows; the others are counted with the next."""

    __slots__ = ("_rates", "_untold")

    def __init__(self, rate: float, burst: float) -> None:
        self._rates = Rates(rate, burst, 1)
        self._untold = 0

    def count(self, now: float) -> int:
        """One more has happened: how many there were since the last that was told of, or 0 if this one is not."""
        self._untold += 1
        if self._rates.take("", now):
            return 0
        count, self._untold = self._untold, 0
        return count


@lru_cache(maxsize=4096)  # asked several times for each connection
def address_key(host: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that one IPv6 subscriber has."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def is_within(host: str, networks: Iterable[Network]) -> bool:
    """Whether this address, as a socket names its peer, is one of theirs."""
    with suppress(ValueError):
        return any(ip_address(host.partition("%")[0]) in network for network in networks)
    return False
