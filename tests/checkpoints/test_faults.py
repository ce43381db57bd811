"""Disks that fail, disks that are full, and clocks that jump: no run shows a row twice, and none is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from checkpoints.jumping_clock import FILES, HOUR
from checkpoints.recovery_pipeline import pipeline, shown
from polars.testing import assert_frame_equal

from arrowstream.errors import ArrowstreamError

pytestmark = [pytest.mark.once, pytest.mark.untraced]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The rows of every sink after a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    pipeline(folder).run_sync(checkpoint=folder / "state")
    return shown(folder)


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Returns the environment of a process into which a library of this folder is loaded before all others."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed to make the operating system fail")
    folder = tmp_path_factory.mktemp("libraries")

    def environment(name: str, **options: str) -> dict[str, str]:
        library = folder / f"{name}.so"
        if not library.exists():
            source = str(HERE / f"{name}.c")
            subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
        found = {"LD_PRELOAD": str(library), "PYTHONPATH": f"{HERE.parents[1]}:{HERE.parent}"}
        return os.environ | found | options

    return environment


WORK = "import sys; from checkpoints.recovery_pipeline import work; work(sys.argv[1], None, 0)"


# The first one counts the run, the others flush states, outputs, folders and manifests.
@pytest.mark.parametrize("number", [1, 4, 9, 30])
def test_a_failed_fsync_ends_the_run_and_is_never_repeated(
    number: int,
    expected: dict[str, pl.DataFrame],
    preloaded: Callable[..., dict[str, str]],
    tmp_path: Path,
) -> None:
    environment = preloaded("failing_fsync", FAIL_FSYNC=str(number))
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1 and "Input/output error" in done.stderr
    pipeline(tmp_path).run_sync(checkpoint=tmp_path / "state")
    for name, rows in shown(tmp_path).items():
        assert_frame_equal(rows, expected[name])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("free_kib", [4, 24, 80])
def test_a_full_disk_ends_the_run_without_a_partial_file(
    free_kib: int, expected: dict[str, pl.DataFrame], small_disk: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes((1024 - free_kib) << 10))
    with pytest.raises(ArrowstreamError, match="No space left on device"):
        pipeline(small_disk, an_epoch=6).run_sync(checkpoint=small_disk / "state", every="1ms")
    shown(small_disk)  # every file with a final name is whole
    filler.unlink()
    pipeline(small_disk, an_epoch=6).run_sync(checkpoint=small_disk / "state", every="1ms")
    for name, rows in shown(small_disk).items():
        assert_frame_equal(rows, expected[name])


@pytest.mark.thorough
def test_a_wall_clock_that_jumps_an_hour_back_and_forth_moves_no_window(
    expected: dict[str, pl.DataFrame], preloaded: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """In runs with checkpoints, one killed and one that continues an hour before it; and in one that waits."""
    environment = preloaded("jumping_clock")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "checkpoints.jumping_clock", *map(str, arguments)]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    assert run(tmp_path, HOUR, "MANIFEST_NAMED", 3).returncode == -signal.SIGKILL
    continued = run(tmp_path, -HOUR)
    assert continued.returncode == 0, continued.stderr
    for name, rows in shown(tmp_path).items():
        assert_frame_equal(rows, expected[name])
    waiting = run(tmp_path / "in", "watch")
    assert waiting.returncode == 0, waiting.stderr
    rows = pl.select(t=pl.int_range(FILES) * 700_000 // 1_000_000, n=pl.int_range(FILES) + 1)
    sums = rows.group_by("t").agg(pl.col("n").sum()).sort("t")["n"].to_list()
    assert list(json.loads(waiting.stdout).values()) == sums
