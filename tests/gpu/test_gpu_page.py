"""The page about the GPU says what the code does: its functions, and the sizes from which a GPU pays."""

import re

import pytest

from docs.gpu_functions import PAGE

pytestmark = [pytest.mark.once, pytest.mark.untraced]


def test_the_functions_are_those_of_the_backend() -> None:
    pytest.importorskip("pylibcudf", exc_type=ImportError)
    from docs.gpu_functions import with_functions

    text = PAGE.read_text()
    assert with_functions(text) == text, "python -m docs.gpu_functions"


def pays_from(up: int, back: int, cpu_ns: float) -> str:
    """The rows of a batch from which the GPU is faster, as the page gives them: two digits."""
    from arrowstream.config.settings import Settings
    from arrowstream.gpu.backend import GpuBackend

    upload, download = GpuBackend.upload_cost, GpuBackend.download_cost
    fixed = GpuBackend.start_cost[0] + upload.per_batch + download.per_batch
    gpu_ns = 1e3 * (GpuBackend.start_cost[1] + up * upload.per_byte + back * download.per_byte)
    if gpu_ns >= cpu_ns:
        return "never"
    rows = fixed * 1e3 / (cpu_ns - gpu_ns)
    digits = 10 ** (len(str(int(rows))) - 2)
    return f"{max(round(rows / digits) * digits, Settings().gpu_batch_size):,}"


def test_the_sizes_from_which_it_pays_are_those_of_the_assumed_costs() -> None:
    text = PAGE.read_text()
    (head,) = re.findall(r"^\| bytes up and back, a row \|(.*)\|$", text, re.MULTILINE)
    costs = [float(number) for number in re.findall(r"(\d+) ns", head)]
    rows = re.findall(r"^\| (\d+) up, (\d+) back \(.*?\) \|(.*)\|$", text, re.MULTILINE)
    assert len(rows) == 4
    for up, back, cells in rows:
        given = [cell.strip() for cell in cells.split("|")]
        assert given == [pays_from(int(up), int(back), cost) for cost in costs], (up, back)
