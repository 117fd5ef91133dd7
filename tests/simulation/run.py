"""One run: a server that crashes and comes back on the same store, a network, a disk and clocks that fail, and people.

All of it is decided by one seed. A run is over when all that was tried is acknowledged or refused, everybody has been
shown the same, and the server, once everybody has left, holds nothing any more.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from gochatsecure.chat.model import Cursor, Identity, Role, inbox_stream, room_stream
from gochatsecure.chat.state import Room

from .checks import check_memory, check_rules, remains
from .faults import FAULTS
from .loop import OUTSIDE, SimLoop
from .network import End
from .operations import ROOMS
from .people import Embedder, Person, Typist
from .process import KEYS, Process, simulated
from .program import INBOX, Program
from .store import Disk
from .truth import Truth

STEPS = 60_000  # callbacks in which a run has to come to its end; some 1,000 are usual
NAMES = ("ann", "ben", "cleo", "dora", "emil")


class Violation(NamedTuple):
    """What one of the checks has found."""

    check: str
    what: str


class Run:
    """`go`, then look at the `violation`. Is its people's surroundings."""

    port = 1

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.violation: Violation | None = None
        self.loop = SimLoop(Random(f"{seed} loop"), wild=self.random.random() < 0.5)  # type: ignore[abstract]
        self.loop.failed = lambda what: self.fail("bug", what)
        self.loop.connect = self._connect
        self.truth = Truth(self.fail, self.wall)
        self.disk = Disk(Random(f"{seed} disk"), self.loop, self.truth, f"simulated-{id(self)}")
        forgets = self.random.random() < 0.2
        self.process = Process(seed, self.loop, self.truth, self.disk, self.wall, forgets=forgets)
        self.people: list[Person] = []
        self.wall_ahead = 1_800_000_000.0
        self.life = self.random.choice((3, 15, 86400, 86400))  # seconds that a token lasts
        self.crashes = 0
        self._faults = [fault for fault in FAULTS if self.random.random() < 0.5]
        self._calm = False  # nothing fails any more
        self._names = 0
        self._looked_at: dict[str, tuple[Room, int]] = {}

    # What people need.

    def fail(self, check: str, what: str) -> None:
        if self.violation is None:
            self.violation = Violation(check, what)

    def later(self, seconds: float, step: Callable[[], object]) -> None:
        self.loop.at(self.loop.time() + seconds, step, context=OUTSIDE)

    def unique(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"

    def token(self, identity: Identity) -> str:
        return KEYS.issue(identity, jti=self.unique("j"), now=self.wall(), life=self.life)

    def wall(self) -> float:
        return self.wall_ahead + self.loop.time()

    def dial(self, who: Person) -> End | None:
        return self.process.dial(who.identity, greets=who.greets, room=who.room)

    async def _connect(self) -> End:
        """As the library's client connects."""
        await asyncio.sleep(self.random.choice((0, 0.01)))
        (who,) = (one for one in self.people if isinstance(one, Embedder))
        end = self.dial(who)
        if end is None:
            raise ConnectionRefusedError("nobody listens")
        return end

    # From begin to end.

    def go(self) -> None:
        with simulated(self.fail):
            try:
                self._go()
            finally:
                self.loop.end()
                self.disk.close()

    def _go(self) -> None:
        random, process = self.random, self.process
        process.start()
        if not self._until(lambda: process.hub is not None, 1000):
            self.fail("settling", "the server does not start")
            return
        self._invite()
        for who in self.people:
            self.later(0, who.begin)
        self.later(random.uniform(4, 12), self._mend)
        if self._faults:
            self.later(1 + random.random(), self._befall)
        if not self._until(lambda: self._calm and self._settled(), STEPS):
            left = [f"{who.identity.name}: {who.state}" for who in self.people if not who.settled]
            self.fail("settling", f"after {self.loop.time():.1f} s not everything is settled: {left}")
        if self.violation is None:
            self._compare()
        for who in self.people:
            self.later(0, who.leave)
        if not self._until(lambda: not remains(process), 3000):
            self.fail("memory", f"when everybody has left, there remains: {remains(process)}")

    def _until(self, holds: Callable[[], object], most: int) -> bool:
        """Steps until that holds, or something is found; False if neither comes of so many."""
        end = self.loop.steps + most
        while self.loop.steps < end and self.violation is None and not holds():
            if not self.loop.until(lambda: self.violation is not None, 20) and self.loop.idle:
                break
            if (hub := self.process.hub) is not None:
                check_memory(hub, self.fail)
                check_rules(hub, self.truth, self._looked_at)
        return self.violation is not None or bool(holds())

    def _befall(self) -> None:
        if not self._calm:
            self.random.choice(self._faults)(self)
            self.later(self.random.expovariate(1.0), self._befall)

    def _mend(self) -> None:
        self._calm = True
        self.disk.mend()
        self.life = 86400
        for end in self.process.ends:
            end.resume_reading()
        if not self.process.forgets:
            eye = Identity("auditor", "", Role.OWNER)  # is let in everywhere
            self.truth.people[eye.key] = eye
            auditor = Program(self, eye, Random(self.seed), 0, list(ROOMS))
            auditor.cursors = {room: Cursor("e1", 0) for room in ROOMS}  # it reads all there ever was
            self.people.append(auditor)
            auditor.begin()

    # Who takes part.

    def _invite(self) -> None:
        random = self.random
        names = list(NAMES[: random.randint(2, 5)])
        kinds: list[type[Person]] = [Program, Program]
        kinds += (random.choice((Program, Program, Typist)) for _ in names[2:])
        if random.random() < 0.3:
            kinds[-1] = Embedder
        for number, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            role = random.choice((Role.GUEST, Role.MEMBER, Role.MEMBER, Role.MODERATOR if number == 1 else Role.GUEST))
            patterns = random.choice((("*",), ("*",), ("den", "default", "hall")))
            identity = Identity(name, f"s{number}" if role is Role.GUEST else "", role, rooms=patterns)
            self.truth.people[identity.key] = identity
            for device in range(2 if kind is Program and random.random() < 0.5 else 1):
                own = Random(f"{self.seed} {name} {device}")
                self.people.append(self._person(kind, identity, own, names))

    def _person(self, kind: type[Person], identity: Identity, own: Random, names: list[str]) -> Person:
        count = own.randint(4, 16)
        if kind is Program:
            rooms = [room for room in ROOMS if identity.may_enter(room)]
            program = Program(self, identity, own, count, own.sample(rooms, own.randint(1, 2)))
            program.names = [*names, "nobody"]
            return program
        if kind is Typist:
            return Typist(self, identity, own, count, names)
        return Embedder(self, identity, own, count, object())

    # The end.

    def _settled(self) -> bool:
        hub = self.process.hub
        return (
            hub is not None
            and all(who.settled for who in self.people)
            and not any(session.pending for session in hub.sessions)
            and all(self._has_all(who) for who in self.people if isinstance(who, Program))
        )

    def _has_all(self, who: Program) -> bool:
        """It was shown its logs to their ends."""
        ends = {INBOX: inbox_stream(who.identity.key)} | {room: room_stream(room) for room in who.wanted}
        return all(
            place in who.cursors and who.cursors[place].seq == self.truth.last(stream) for place, stream in ends.items()
        )

    def _compare(self) -> None:
        """All agree with the store, and the store with itself."""
        if not self.process.forgets:
            self.truth.audit(self.disk.look())
            for fault in self.disk.check():
                self.fail("verify", fault)
        for who in self.people:
            if isinstance(who, Program):
                self._compare_program(who)

    def _compare_program(self, who: Program) -> None:
        name, key = who.identity.name, who.identity.key
        for cid in who.acked:
            if (key, cid) not in self.truth.by_cid and not self.process.forgets:
                self.fail("lost", f"{name}: {cid} was acknowledged, and is not there")
        for place in (INBOX, *who.wanted):
            cursor = who.cursors[place]
            entry = self.truth.at(room_stream(place) if place else inbox_stream(key), cursor.seq)
            if cursor.seq and (entry is None or cursor.head != entry.head):
                self.fail("chain", f"{name}: has another head at {cursor.seq} of {place or 'its inbox'}")

    def digest(self) -> str:
        """Of all that anybody was shown."""
        told = "\n".join(text for wire in self.process.wires for text in wire.trace)
        return hashlib.sha256(told.encode()).hexdigest()
