"""A GPU for tests: `machine`, in place of the packages that reach a real one."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def packages() -> None:
    """The CUDA packages: without them there are no names and signatures that a fake could have."""
    for name in ("pylibcudf", "rmm", "cupy"):
        try:
            import_module(name)
        # A package may be there without the CUDA libraries that it loads.
        except (ImportError, OSError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            pytest.skip(
                f"the fake GPU has the names and signatures of {name}, which cannot be imported: {reason}"
            )


@pytest.fixture(params=["fake-gpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def bench(request: pytest.FixtureRequest, packages: None) -> "Bench":  # noqa: F821
    """A GPU with streams: the fake one, and this machine's, which must compute the same."""
    from gpu.fake_machines import Bench

    if request.param == "gpu" and not Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has no NVIDIA GPU, or no driver for it")
    return Bench(real=request.param == "gpu")


@pytest.fixture
def machine(packages: None, monkeypatch: pytest.MonkeyPatch) -> Iterator["fake_gpu.Machine"]:  # noqa: F821
    """A fake GPU that arrowstream.gpu uses; at the test's end, nothing was done that a device minds."""
    from fake_gpu import Machine

    from arrowstream.gpu import libraries

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
