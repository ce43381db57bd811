"""The device of a process: found without CUDA, opened once, closed if it fails; and its breaker."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arrowstream.core.batch import Batch
from arrowstream.gpu import presence
from arrowstream.gpu.backend import _first_device
from arrowstream.gpu.breaker import FAILURES, TRIED_AGAIN, Breaker
from arrowstream.operators.with_columns import WithColumns

pytestmark = pytest.mark.once


def test_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(presence, "_DEVICES", (tmp_path / "nvidiactl",))
    assert presence.missing() == "this machine has no NVIDIA GPU, or no driver for it"


def test_a_machine_with_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(presence, "_DEVICES", (tmp_path / "none", tmp_path / "nvidiactl"))
    monkeypatch.setattr(presence, "_LIBRARIES", ("polars", "no_such_library"))
    extras = "'arrowstream[gpu]', or 'arrowstream[gpu12]' for CUDA 12"
    assert presence.missing() == f"no_such_library not installed: pip install {extras}"
    monkeypatch.setattr(presence, "_LIBRARIES", ("polars",))
    assert presence.missing() is None


def test_the_device_of_a_process_is_opened_once(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from arrowstream.gpu import device as module

    monkeypatch.setattr(module, "_OPENED", {})
    together = Barrier(4)

    def ask(number: int) -> Any:
        together.wait(60)
        return _first_device()

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(ask, range(4)))
    for device in found:
        device.close()
    assert [device.number for device in found] == [0]


def test_a_device_that_cannot_be_opened_leaves_no_threads(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arrowstream.gpu import device as module

    def insufficient(*arguments: object, **options: object) -> None:
        raise RuntimeError("cudaErrorInsufficientDriver")

    opened: list[Any] = []
    close = module.Device.close
    monkeypatch.setattr(module.Device, "close", lambda device: (opened.append(device), close(device)))
    monkeypatch.setattr(machine.rmm.mr, "CudaAsyncMemoryResource", insufficient)
    with pytest.raises(RuntimeError, match="cudaErrorInsufficientDriver"):
        module.Device()
    (device,) = opened
    with pytest.raises(RuntimeError, match="after shutdown"):
        device.run(lambda: None)


def test_an_open_breaker_tries_the_device_again(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.lets_through()
        breaker.failed(MemoryError("full"))
    assert [breaker.lets_through() for _ in range(2 * TRIED_AGAIN)] == [
        *(False,) * (TRIED_AGAIN - 1),
        True,
    ] * 2
    breaker.failed(MemoryError("still full"))
    assert breaker.is_open
    assert not breaker.lets_through()
    breaker.worked()
    assert breaker.lets_through()
    assert breaker.reason is None
    assert "the GPU computes again" in caplog.text


def test_memory_is_counted_on_when_limits_take_turns(backend: Any, machine: Any) -> None:
    device = backend._device()
    taken = {}
    for limit in (1, 2, 1, 2):
        device.limit_memory(limit)
        taken.setdefault(limit, machine.resource)
        assert machine.resource is taken[limit]
    assert taken[1] is not taken[2]


def test_records_of_many_columns_are_uploaded(backend: Any) -> None:
    from gpu.device_backend import batch, prepared

    wide = pl.DataFrame({f"a column whose name is rather long {number}": [number] for number in range(1_000)})
    total = prepared(backend, wide, WithColumns.of(total=pl.sum_horizontal(pl.all())))
    found: Batch = total(batch(wide))
    assert found.has("gpu")
    assert found.polars()["total"].to_list() == [sum(range(1_000))]


def test_constants_of_all_pipelines_are_not_kept_for_ever(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arrowstream.gpu import device as module

    monkeypatch.setattr(module, "MOST_CONSTANTS", 3)
    device = module.Device()
    try:
        first = device.run(lambda: device.scalar(1, pa.int64()))
        assert device.run(lambda: device.scalar(1, pa.int64())) is first
        for number in range(2, 5):
            device.run(lambda number=number: device.scalar(number, pa.int64()))
        assert device.run(lambda: device.scalar(1, pa.int64())) is not first
    finally:
        device.run(device.synchronize)
        device.close()
