"""``python -m tools.probes COMMAND``: fails if the command fails, or leaves lines or branches out."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import coverage

from tools.probes.arcs import arcs
from tools.probes.run import plain_functions, run, write

PACKAGE = Path(__file__).parents[2] / "arrowstream"


def main() -> int:
    """Run a command, and report what it left out of the package."""
    settings = coverage.Coverage()
    with TemporaryDirectory(prefix="arrowstream-probes-") as name:
        folder = Path(name)
        facts = write(folder, PACKAGE, plain_functions())
        status, reached = run(sys.argv[1:], folder)
        settings.combine([name]) if any(folder.glob(".coverage.*")) else settings.erase()
    bits = iter(reached)
    noted = {path: {fact for each in own if next(bits) for fact in each} for path, own in facts.items()}
    settings.get_data().add_arcs(
        {
            str(path): arcs(path, found, [fact for each in facts[path] for fact in each], settings)
            for path, found in noted.items()
        }
    )
    settings.get_data().touch_files([str(path) for path in facts])  # those, too, that nobody imported
    settings.save()
    covered = settings.report()
    return status or int(covered < 100)


if __name__ == "__main__":
    sys.exit(main())
