"""The device of a process: found without CUDA, opened once, closed if it fails; and its breaker."""

from pathlib import Path
from typing import Any

import pytest

from arrowstream.gpu import presence
from arrowstream.gpu.backend import _first_device
from arrowstream.gpu.breaker import FAILURES, TRIED_AGAIN, Breaker

pytestmark = pytest.mark.once


def test_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(presence, "_DEVICES", (tmp_path / "nvidiactl",))
    assert presence.missing() == "this machine has no NVIDIA GPU, or no driver for it"


def test_a_machine_with_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(presence, "_DEVICES", (tmp_path / "none", tmp_path / "nvidiactl"))
    monkeypatch.setattr(presence, "_LIBRARIES", ("polars", "no_such_library"))
    assert presence.missing() == "no_such_library not installed: pip install 'arrowstream[gpu]'"
    monkeypatch.setattr(presence, "_LIBRARIES", ("polars",))
    assert presence.missing() is None


def test_the_device_of_a_process_is_opened_once(machine: Any) -> None:
    from arrowstream.gpu.device import device_of_process

    device_of_process.cache_clear()
    try:
        device = _first_device()
        assert _first_device() is device
        assert device.number == 0
        device.close()
    finally:
        device_of_process.cache_clear()


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
