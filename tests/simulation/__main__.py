"""`python -m tests.simulation SEED` repeats one run; with `-seeds N` this one and those after it, until one fails."""

from __future__ import annotations

import argparse
import sys
import time

from .run import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("-seeds", type=int, default=1, help="how many")
    parser.add_argument("-trace", action="store_true", help="print what everybody was shown")
    options = parser.parse_args()
    began = time.process_time()
    steps = 0
    for seed in range(options.seed, options.seed + options.seeds):
        run = Run(seed)
        run.go()
        steps += run.loop.steps
        if options.trace:
            for wire in run.process.wires:
                print(*(f"{wire._name}< {text}" for text in wire.trace), sep="\n")
        if run.violation is not None:
            print(f"seed {seed}: {run.violation.check}: {run.violation.what}")
            print(f"once more: python -m tests.simulation {seed}")
            return 1
    seconds = time.process_time() - began
    print(f"{options.seeds} seeds, {steps} steps, {seconds:.1f} s of this processor: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
