"""`python -m gochatsecure.conformance https://HOST:PORT`: play the transcripts against a server, say which it keeps."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Sequence

from .runner import Failed, Target, play, transcripts
from .transcript import Transcript


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every promise is kept, 1 if one is not, 2 if there is nothing to try."""
    known = {transcript.name: transcript for transcript in transcripts()}
    parser = argparse.ArgumentParser(
        prog="python -m gochatsecure.conformance",
        description="Play transcripts of the JSON protocol against a server. It is left as it is, but for new rooms.",
        epilog=f"transcripts: {', '.join(known)}",
    )
    parser.add_argument("url", metavar="https://HOST:PORT", help="the server")
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these transcripts")
    parser.add_argument("--cacert", metavar="FILE", help="the authority that has signed the server's certificate")
    parser.add_argument("--timeout", metavar="S", type=float, default=10.0, help="how long to wait for a frame")
    parser.add_argument("--strict", action="store_true", help="what the tables do not know is a fault, too")
    given = parser.parse_intermixed_args(arguments)
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"there is no such transcript: {', '.join(unknown)}")
    if not given.url.startswith("https://"):
        parser.error("the server's address begins with https://")
    try:
        target = Target(given.url, ssl.create_default_context(cafile=given.cacert), given.timeout, given.strict)
    except OSError as error:
        parser.error(f"--cacert: {error}")
    try:
        return asyncio.run(_play_all([known[name] for name in given.names or known], target))
    except OSError as error:
        print(f"{given.url}: {error}", file=sys.stderr)
        return 2


async def _play_all(wanted: Sequence[Transcript], target: Target) -> int:
    failed, met = 0, False
    for transcript in wanted:
        try:
            await play(transcript, target)
        except (Failed, OSError) as failure:
            if isinstance(failure, OSError) and not met:
                raise  # there is no server
            failed += 1
            print(f"failed  {transcript.name}: {transcript.promise}\n    {failure}", flush=True)
        else:
            print(f"ok      {transcript.name}", flush=True)
        met = True
    print(f"{len(wanted) - failed} of {len(wanted)} promises are kept")
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
