"""Whatever bytes come: targets that hold for all of them, seeds to begin from, and a fuzzer to run them."""
