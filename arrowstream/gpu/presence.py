"""Whether this machine has a GPU that can be used, found out without importing CUDA."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Files that NVIDIA's driver makes, on Linux and in the Linux of Windows."""

_LIBRARIES = ("pylibcudf", "rmm", "cupy")


def missing() -> str | None:
    """Return why the GPU backend cannot be used here, or None if it can.

    Examples
    --------
    >>> reason = missing()
    >>> reason is None or "GPU" in reason or "pip install" in reason
    True
    """
    if not any(path.exists() for path in _DEVICES):
        return "this machine has no NVIDIA GPU, or no driver for it"
    lacking = [name for name in _LIBRARIES if find_spec(name) is None]
    if lacking:
        which = "'arrowstream[gpu]', or 'arrowstream[gpu12]' for CUDA 12"
        return f"{', '.join(lacking)} not installed: pip install {which}"
    return None
