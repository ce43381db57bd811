"""The compilers of kernels, without which tests are skipped."""

from typing import Any

import pytest


def nvrtc() -> Any:
    """NVRTC's binding, loaded with its library; skips where either is missing."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"NVRTC is not installed: {error}", allow_module_level=True)
    return nvrtc


def numba_cuda() -> Any:
    """The module `numba.cuda` of numba-cuda, with the libraries that it loads; skips where one is missing."""
    try:
        import numba_cuda  # noqa: F401  # without it, numba has a module of that name of its own
        from cuda.bindings import nvjitlink
        from numba import cuda

        nvjitlink.version()
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"numba-cuda is not installed: {error}", allow_module_level=True)
    return cuda
