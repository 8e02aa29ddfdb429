"""Millions of mutated bytes through the Python and the C decoder, which must find the same: ``python -m tests.fuzz.fuzz_both``.

The C decoder runs with address and undefined-behaviour sanitizers. Memory of both is watched: neither may grow with the input.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from firmware_bridge.protocol.decoder import HOST_PACKETS, NODE_PACKETS, LinkDecoder
from tests.fuzz.test_bridge_fuzz import CODEC, FLAGS, HERE, mutations, python_counts

BATCH = 400


def main() -> int:
    """Exit code 1 at the first difference; the input that makes it stays as fuzz-difference.bin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compiler", default="clang")
    options = parser.parse_args()
    started, total, blocks = time.monotonic(), 0, [0, 0]
    decoder = LinkDecoder(NODE_PACKETS | HOST_PACKETS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "counts"
        sources = [str(HERE / "codec_counts.c"), *map(str, sorted(CODEC.glob("*.c")))]
        include = [f"-I{CODEC}", f"-I{HERE}"]
        subprocess.run([options.compiler, *FLAGS.split(), *include, *sources, "-o", str(program)], check=True)
        seed = options.seed
        while total < options.bytes:
            cases = mutations(BATCH, seed)
            seed += 1
            files = [folder / f"{place}" for place in range(BATCH)]
            for file, case in zip(files, cases):
                file.write_bytes(case)
                decoder.feed(case, 1)  # never raises, whatever the state that the case before has left
            done = subprocess.run(
                [str(program), *map(str, files)], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                print(done.stderr, file=sys.stderr)
                return 1
            for case, line in zip(cases, done.stdout.splitlines(), strict=True):
                good, damaged, versions, valid, _, sequences = map(int, line.split())
                if python_counts(case) != (good, damaged, versions, valid, sequences):
                    Path("fuzz-difference.bin").write_bytes(case)
                    print(f"seed {seed - 1}: Python {python_counts(case)}, C {line}", file=sys.stderr)
                    return 1
                total += len(case)
                blocks = [blocks[0] + good, blocks[1] + damaged]
    if not decoder.balance().balances:
        print(f"the ledger does not balance: {decoder.balance()}", file=sys.stderr)
        return 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{total} mutated bytes through both decoders: {blocks[0]} intact frames, {blocks[1]} damaged blocks, no difference, "
        f"no crash; {time.monotonic() - started:.0f} s, Python at most {memory} MiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
