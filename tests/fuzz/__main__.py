"""`make fuzz TARGET=http1 SECONDS=60`: atheris on one target, until time is up or an input breaks it.

Without atheris in this Python it mutates the seeds by itself: without a guide, but better than nothing, and says so.
"""

from __future__ import annotations

import importlib
import random
import sys
import time

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.support import ROOT

_SEEN = ["gochatsecure", "h11", "wsproto"]
LONGEST = 70_000  # bytes of an input: a little more than the longest message


def guided(target: str, seconds: int) -> None:
    import atheris  # not in every Python

    for name in [*sys.modules]:
        if name.partition(".")[0] in (*_SEEN, "tests"):
            del sys.modules[name]
    with atheris.instrument_imports(include=_SEEN):
        instrumented = importlib.import_module("tests.fuzz.targets").TARGETS  # again, for the fuzzer to see

    corpus = ROOT / ".venv-fuzz/corpus" / target  # what a run finds worth keeping, the next one begins from
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=1024"]
    options += [f"-artifact_prefix={corpus.parent}/{target}-", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], instrumented[target])
    atheris.Fuzz()  # ends the process


def unguided(target: str, seconds: int) -> None:
    print("SKIPPED: atheris: it is not in this Python; mutating the seeds without it")
    chance, kept, until, count = random.Random(1), seeds(target), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        count += 1
        data = mutated(chance, kept)
        try:
            TARGETS[target](data)
        except BaseException:
            print(f"{target} fails on {data!r}", file=sys.stderr)
            raise
    print(f"{target}: {count} inputs")


def mutated(chance: random.Random, kept: list[bytes]) -> bytes:
    """A seed with some bytes changed, left out, put in, or the end of another seed behind it."""
    data = bytearray(chance.choice(kept))
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[place : place + chance.randrange(1, 20)]
            case 2:
                data[place:place] = chance.randbytes(chance.randrange(1, 8))
            case 3:
                data[place:place] = data[place : place + chance.randrange(1, 60)]
            case _:
                other = chance.choice(kept)
                data[place:] = other[chance.randrange(len(other) + 1) :]
    return bytes(data[:LONGEST])


def main(arguments: list[str]) -> int:
    target, seconds = (*arguments, "60")[:2] if arguments else ("", "60")
    if target not in TARGETS:
        print(f"fuzz: name a target: {', '.join(TARGETS)}", file=sys.stderr)
        return 1
    try:
        guided(target, int(seconds))
    except ImportError:
        unguided(target, int(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
