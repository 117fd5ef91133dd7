"""What goes wrong, as one table: another fault is another row. Each run chooses some of them by its seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .network import sever
from .process import LIMITS
from .store import ERRORS

if TYPE_CHECKING:
    from .run import Run


def crash(run: Run) -> None:
    if run.crashes < 3:
        run.crashes += 1
        if run.random.random() < 0.5 and not run.process.forgets:
            run.disk.crash_in_a_commit(run.process.crash)
        else:
            run.process.crash()


def restart(run: Run) -> None:
    if run.crashes < 3:
        run.crashes += 1
        run.process.restart()


def network(run: Run) -> None:
    """A connection breaks: neither end is told at once."""
    if (end := run.process.any_end(run.random)) is not None:
        sever(end, run.random, run.loop)


def impatience(run: Run) -> None:
    """Somebody gives a connection up that works, and what it has sent there arrives all the same."""
    run.random.choice(run.people).drop()


def slow_reader(run: Run) -> None:
    if (end := run.process.any_end(run.random)) is not None:
        end.pause_reading()
        run.later(run.random.uniform(0.5, 8), end.resume_reading)


def _for_a_while(run: Run, name: str, value: object) -> None:
    setattr(run.disk, name, value)
    run.later(run.random.uniform(0.1, 3), lambda: setattr(run.disk, name, 0.0 if name == "slow" else None))


def failing_writes(run: Run) -> None:
    _for_a_while(run, "writing", run.random.choice(ERRORS))


def failing_reads(run: Run) -> None:
    _for_a_while(run, "reading", run.random.choice(ERRORS))


def slow_disk(run: Run) -> None:
    _for_a_while(run, "slow", 2.0)


def clock(run: Run) -> None:
    """The wall clock jumps; the monotonic one never does."""
    run.wall_ahead += run.random.choice((-3600, -10, 10, 3600, 100_000))
    run.truth.steady_from = run.wall() + LIMITS.silence_s


FAULTS: tuple[Callable[[Run], None], ...] = (
    crash, restart, network, impatience, slow_reader, failing_writes, failing_reads, slow_disk, clock,
)  # fmt: skip
