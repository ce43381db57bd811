"""What a compiled expression computes with: the columns of one batch on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arrowstream.expressions.program import Literal
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.device import Device

if TYPE_CHECKING:
    import pylibcudf as plc
    from rmm.pylibrmm.stream import Stream


@dataclass(frozen=True, slots=True)
class Work:
    """The columns of one batch on the device, and what calls need; only for calls on the device's thread.

    Parameters
    ----------
    columns
        The columns, by name.
    rows
        The number of rows, that of every column.
    device
        The device that holds them.
    """

    columns: Mapping[str, plc.Column]
    rows: int
    device: Device
    _doubts: list[plc.Column] = field(default_factory=list)

    @property
    def stream(self) -> Stream:
        """The stream that every call must be given."""
        return self.device.compute

    def scalar(self, literal: Literal) -> plc.Scalar:
        """Return a constant on the device."""
        return self.device.scalar(literal.value, literal.dtype)

    def column(self, value: plc.Column | plc.Scalar) -> plc.Column:
        """Return a value as a column: that of a scalar is the same in every row."""
        if isinstance(value, cuda.plc.Column):
            return value
        return cuda.plc.Column.from_scalar(value, self.rows, stream=self.stream)

    def doubt(self, rows: plc.Column) -> None:
        """Say that rows where this boolean column is true need Polars: their value is another one, or an error."""
        self._doubts.append(rows)

    def in_doubt(self) -> bool:
        """Return whether any row is in doubt; waits for the device if one may be."""
        if not self._doubts:
            return False
        boolean = cuda.plc.DataType(cuda.plc.TypeId.BOOL8)
        # Together, because each answer is waited for. Null is not a doubt, and hides none.
        either = cuda.plc.binaryop.BinaryOperator.NULL_LOGICAL_OR
        together = self._doubts[0]
        for rows in self._doubts[1:]:
            together = cuda.plc.binaryop.binary_operation(together, rows, either, boolean, stream=self.stream)
        found = cuda.plc.reduce.reduce(together, cuda.plc.aggregation.any(), boolean, stream=self.stream)
        return bool(found.to_py(stream=self.stream))


Compute = Callable[[Work], "plc.Column"]
"""Computes an expression: a column with a value for every row."""
