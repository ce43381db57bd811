"""``python -m benchmarks.gpu [--quick]``: test and measure the GPU, and keep the figures in gpu-results.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from arrowstream.gpu.presence import missing
from benchmarks.harness import Scale, as_markdown, as_text
from benchmarks.machine import ROOT
from benchmarks.machine import description as of_machine

RESULTS = ROOT / "benchmarks" / "gpu-results.md"
HASH = "code "
"""What stands before the hash of the measured code in its line."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tests that need a device, and all measurements."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="smaller sizes and fewer rounds; nothing is kept"
    )
    quick = parser.parse_args(arguments).quick
    if (reason := missing()) is not None:
        sys.exit(f"nothing is measured: {reason}")
    # Imported here: these import CUDA's libraries.
    from arrowstream.gpu.device import device_of_process
    from benchmarks.gpu import chains, choice, contract, transfers
    from benchmarks.gpu.subject import Subject, description, source_hash

    scale: Scale = "quick" if quick else "full"
    tests = contract.run()
    subject = Subject("gpu", device_of_process(0))
    subject.device.limit_memory(16_384)
    moved, bare = transfers.run(subject, scale)
    sections = [tests, moved, chains.run(subject, scale, bare), choice.run(subject, scale)]
    print("\n" + as_text(sections))
    if not quick:
        header = [*description(subject.device), *of_machine(), f"{HASH}{source_hash()}"]
        RESULTS.write_text(as_markdown(sections, header).replace("# Benchmark results", "# GPU results"))
        print(f"\nkept in {RESULTS}")


if __name__ == "__main__":
    main()
