"""A GPU for tests: `machine`, in place of the packages that reach a real one."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def packages() -> None:
    """The CUDA packages: without them there are no names and signatures that a fake could have."""
    for name in ("pylibcudf", "rmm", "cupy"):
        pytest.importorskip(
            name, reason=f"the fake GPU has the names and signatures of {name}", exc_type=ImportError
        )


@pytest.fixture
def machine(packages: None, monkeypatch: pytest.MonkeyPatch) -> Iterator["fake_gpu.Machine"]:  # noqa: F821
    """A fake GPU that arrowstream.gpu uses; at the test's end, nothing was done that a device minds."""
    from fake_gpu import Machine

    libraries = pytest.importorskip("arrowstream.gpu.libraries", exc_type=ImportError)
    machine = Machine()
    for name in ("plc", "rmm", "cupy", "cupyx"):
        monkeypatch.setattr(libraries, name, getattr(machine, name))
    yield machine
    assert machine.violations == []


@pytest.fixture
def backend(machine: "fake_gpu.Machine") -> Iterator["GpuBackend"]:  # noqa: F821
    """The GPU backend on a fake device."""
    from gpu.device_backend import fake_backend

    with fake_backend() as backend:
        yield backend
