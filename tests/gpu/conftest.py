"""A GPU for tests: `machine`, in place of the packages that reach a real one."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator["fake_gpu.Machine"]:  # noqa: F821
    """A fake GPU that arrowstream.gpu uses; at the test's end, nothing was done that a device minds."""
    pytest.importorskip(
        "pylibcudf", reason="the fake takes names and signatures from pylibcudf", exc_type=ImportError
    )
    pytest.importorskip("rmm", reason="the fake takes names and signatures from rmm", exc_type=ImportError)
    fake_gpu = pytest.importorskip("fake_gpu")
    libraries = pytest.importorskip("arrowstream.gpu.libraries", exc_type=ImportError)
    machine = fake_gpu.Machine()
    for name in ("plc", "rmm", "cupy", "cupyx"):
        if hasattr(libraries, name):
            monkeypatch.setattr(libraries, name, getattr(machine, name))
    yield machine
    assert machine.violations == []


@pytest.fixture
def backend(machine: "fake_gpu.Machine") -> Iterator["GpuBackend"]:  # noqa: F821
    """The GPU backend on a fake device."""
    from gpu.device_backend import fake_backend

    with fake_backend() as backend:
        yield backend
