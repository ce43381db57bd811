"""What a machine was asked to do."""

from typing import NamedTuple


class Transfer(NamedTuple):
    """One copy between host and device."""

    columns: tuple[str, ...]
    bytes: int


class Log:
    """What was asked of the machine, in this order.

    Attributes
    ----------
    uploads, downloads
        Copies of tables and columns from and to the host: names of the columns (empty where the call is given
        none), and bytes on the device.
    calls
        Names of the functions of pylibcudf, such as "binaryop.binary_operation".
    launches
        Kernels of CuPy: (name, grid, block, arguments).
    """

    def __init__(self) -> None:
        self.uploads: list[Transfer] = []
        self.downloads: list[Transfer] = []
        self.calls: list[str] = []
        self.launches: list[tuple[str, tuple[int, ...], tuple[int, ...], tuple]] = []

    def clear(self) -> None:
        for entries in (self.uploads, self.downloads, self.calls, self.launches):
            entries.clear()
