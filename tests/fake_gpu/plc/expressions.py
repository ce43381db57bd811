"""Trees of expressions, for `transform.compute_column`."""

from collections.abc import Iterator

from pylibcudf.expressions import ASTOperator, TableReference

from fake_gpu.calls import Handle
from fake_gpu.memory import Memory
from fake_gpu.plc.scalar import Scalar

__all__ = [
    "ASTOperator",
    "ColumnNameReference",
    "ColumnReference",
    "Expression",
    "Literal",
    "Operation",
    "TableReference",
]


class Expression(Handle):
    """A node of a tree."""

    def __init__(self) -> None:
        raise TypeError("Cannot instantiate Expression")

    def memories(self) -> Iterator[Memory]:
        yield from ()


class Literal(Expression):
    """A scalar; it must be of the type of what it is combined with."""

    def __init__(self, value: Scalar) -> None:
        self.scalar = value

    def memories(self) -> Iterator[Memory]:
        yield from self.scalar.memories()


class ColumnReference(Expression):
    """A column of the table, by position."""

    def __init__(self, index: int, table_source: TableReference = TableReference.LEFT) -> None:
        self.index = index
        self.table_source = table_source


class ColumnNameReference(Expression):
    """A column by name: of files, and not of tables."""

    def __init__(self, name: str) -> None:
        self.name = name


class Operation(Expression):
    """An operator over one or two expressions."""

    def __init__(self, op: ASTOperator, left: Expression, right: Expression | None = None) -> None:
        binary = op in _BINARY
        if binary != (right is not None):
            raise ValueError(f"CUDF failure: {op.name} takes {1 + binary} operands")
        self.op = op
        self.operands: list[Expression] = [left] if right is None else [left, right]

    def memories(self) -> Iterator[Memory]:
        for operand in self.operands:
            yield from operand.memories()


_BINARY = {
    op
    for op in ASTOperator
    if op.name in ("ADD", "SUB", "MUL", "DIV", "TRUE_DIV", "FLOOR_DIV", "MOD", "PYMOD", "POW")
    or op.name.startswith(("BITWISE_", "LESS", "GREATER"))
    or op.name.endswith(("EQUAL", "_AND", "_OR"))
}
