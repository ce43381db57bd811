"""``python -m benchmarks [NAME ...] [--quick] [--keep]``: measure, print, and keep a complete run in results.md."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    bare_loop,
    checkpoints,
    databases,
    etl,
    imports,
    kafka,
    keyed,
    latency,
    live_page,
    memory,
    metrics,
    record_batches,
    records,
    small_files,
    text,
    throughput,
    windows,
)
from benchmarks.harness import Scale, Section, as_markdown, as_text, with_sections
from benchmarks.machine import description
from benchmarks.nexmark import stateless, timing

BENCHMARKS: dict[str, Callable[[Scale], Section]] = {
    "bare_loop": bare_loop.run,
    "throughput": throughput.run,
    "latency": latency.run,
    "records": records.run,
    "memory": memory.run,
    "metrics": metrics.run,
    "live_page": live_page.run,
    "keyed": keyed.run,
    "etl": etl.run,
    "text": text.run,
    "nexmark": timing.run,
    "nexmark_stateless": stateless.run,
    "small_files": small_files.run,
    "windows": windows.run,
    "record_batches": record_batches.run,
    "kafka": kafka.run,
    "checkpoints": checkpoints.run,
    "databases": databases.run,
    "imports": imports.run,
}
RESULTS = Path(__file__).with_name("results.md")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that are asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all without one"
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller sizes and fewer rounds; nothing is kept"
    )
    parser.add_argument(
        "--keep", action="store_true", help="put the sections that were asked for into results.md, dated"
    )
    chosen = parser.parse_args(arguments)
    if unknown := sorted(set(chosen.names) - set(BENCHMARKS)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    header = description()
    print("\n".join(header), end="\n\n", flush=True)
    names = chosen.names or list(BENCHMARKS)
    sections = []
    for name in names:
        print(f"measuring {name} ...", flush=True)
        sections.append(BENCHMARKS[name]("quick" if chosen.quick else "full"))
    print("\n" + as_text(sections))
    if chosen.names and chosen.keep and not chosen.quick:
        RESULTS.write_text(with_sections(RESULTS.read_text(), sections, ", ".join(header[:2])))
        print(f"\nput into {RESULTS}")
    if not chosen.quick and not chosen.names:
        RESULTS.write_text(as_markdown(sections, header))
        print(f"\nkept in {RESULTS}")


if __name__ == "__main__":
    main()
