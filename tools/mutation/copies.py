"""A private copy of the project in memory, for one worker to change."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """Everything that git knows or would add, with changes that are not committed."""
    folder = Path(tempfile.mkdtemp(prefix="arrowstream-mutation-", dir=MEMORY if MEMORY.is_dir() else None))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    try:
        for name in filter(None, listed.stdout.split("\0")):
            if (root / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        yield folder
    finally:
        shutil.rmtree(folder)
