"""How often a password may be guessed (ID-4). No clock: `now` is seconds, monotonic.

Wrong passwords count for an address and a name together: after a few, each further try waits twice as long. A name by
itself, an address by itself, and all together take only so many tries a minute from strangers: addresses that have not
lately signed in to that name. So many addresses together guess no faster than a few do, and yet nobody can lock an
owner out of where she has been before.
"""

from __future__ import annotations

from collections import OrderedDict

from ..limits import Limits
from .rates import Rates

_Pair = tuple[str, str]
_FORGIVEN = 3600.0  # seconds without a try after which wrong ones are forgotten


class Attempts:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._wrong: OrderedDict[_Pair, tuple[int, float]] = OrderedDict()  # by address and name: tries; the last one
        self._known: OrderedDict[_Pair, float] = OrderedDict()  # who has signed in where, and when last
        most = limits.tracked_addresses
        self._names = Rates(limits.guesses_of_name_per_minute / 60, limits.guesses_of_name_per_minute, most)
        self._addresses = Rates(limits.guesses_of_address_per_minute / 60, limits.guesses_of_address_per_minute, most)
        self._all = Rates(limits.guesses_per_minute / 60, limits.guesses_per_minute, 1)

    def begin(self, address: str, name: str, now: float) -> float:
        """0.0: go on, and say how it went, or it counts as a wrong one (else many could be tried at once). More: the
        seconds to wait."""
        pair = (address, name)
        tries, last = self._wrong.get(pair, (0, now))
        known = self.knows(address, name, now)
        wait = last + self._backoff(tries, known) - now
        if wait <= 0 and not known:
            wait = self._take(address, name, now)
        if wait > 0:
            return wait
        self._wrong[pair] = (tries + 1, now)
        self._wrong.move_to_end(pair)
        self._trim(self._wrong, now)
        return 0.0

    def _take(self, address: str, name: str, now: float) -> float:
        """A permit of each kind, or of none and the seconds to wait."""
        taken: list[tuple[Rates, str]] = []
        for rates, key in ((self._addresses, address), (self._names, name), (self._all, "")):
            if wait := rates.take(key, now):
                for other, used in taken:
                    other.give_back(used)
                return wait
            taken.append((rates, key))
        return 0.0

    def _backoff(self, tries: int, known: bool) -> float:
        """Seconds between the last of so many wrong tries and the next."""
        beyond = tries - self._limits.guesses
        most = self._limits.known_wait_s if known else self._limits.guess_wait_s
        return 0.0 if beyond < 0 else min(most, 2.0 ** min(beyond, 32))

    def right(self, address: str, name: str, now: float) -> None:
        """It was the right password."""
        pair = (address, name)
        self._wrong.pop(pair, None)
        self._refund(address, name, now)
        self._known[pair] = now
        self._known.move_to_end(pair)
        while len(self._known) > self._limits.tracked_addresses:
            self._known.popitem(last=False)

    def undo(self, address: str, name: str, now: float) -> None:
        """It was not tried after all."""
        tries, last = self._wrong.get((address, name), (1, now))
        self._wrong[address, name] = (tries - 1, last)
        self._refund(address, name, now)

    def _refund(self, address: str, name: str, now: float) -> None:
        if not self.knows(address, name, now):
            self._addresses.give_back(address)
            self._names.give_back(name)
            self._all.give_back("")

    def knows(self, address: str, name: str, now: float) -> bool:
        """Whether somebody at this address has lately signed in to this name."""
        when = self._known.get((address, name))
        return when is not None and now - when < self._limits.known_s

    def _trim(self, wrong: OrderedDict[_Pair, tuple[int, float]], now: float) -> None:
        while wrong:
            _, last = next(iter(wrong.values()))
            if len(wrong) <= self._limits.tracked_addresses and now - last < _FORGIVEN:
                return
            wrong.popitem(last=False)

    def __len__(self) -> int:
        return len(self._wrong)
