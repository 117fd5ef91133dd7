"""Many runs, each decided by its seed. A seed that fails is printed with the command that repeats it.

GOCHATSECURE_SEEDS says how many (100), GOCHATSECURE_SEED with which one they begin.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import unittest
import weakref

from tests.support import ROOT

from .run import Run

SEEDS = int(os.environ.get("GOCHATSECURE_SEEDS", "100"))
FIRST = int(os.environ.get("GOCHATSECURE_SEED", "1"))


class Simulation(unittest.TestCase):
    def test_nothing_is_lost_doubled_reordered_or_leaked_whatever_fails(self) -> None:
        for seed in range(FIRST, FIRST + SEEDS):
            run = Run(seed)
            run.go()
            self.assertIsNone(run.violation, f"once more: python -m tests.simulation {seed}")

    def test_a_seed_decides_all(self) -> None:
        digests = []
        for seed in (3, 4, 5):
            for _ in range(2):
                run = Run(seed)
                run.go()
                digests.append(run.digest())
        self.assertEqual(digests[::2], digests[1::2])
        self.assertEqual(len(set(digests)), 3)

    def test_a_run_that_is_over_leaves_nothing_in_memory(self) -> None:
        kept = []
        for seed in range(2, 8):
            run = Run(seed)
            run.go()
            kept.append(weakref.ref(run.process))
            del run
        gc.collect()
        self.assertEqual([process() for process in kept], [None] * 6)

    def test_it_decides_all_in_any_process(self) -> None:
        program = "from tests.simulation.run import Run; run = Run(3); run.go(); print(run.digest())"
        told = {
            subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": hashing},
                check=True,
                capture_output=True,
            ).stdout
            for hashing in ("1", "2", "3")
        }
        self.assertEqual(len(told), 1)
