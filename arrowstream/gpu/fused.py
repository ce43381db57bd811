"""Which operations of a tree are computed together: one call of `compute_column` for many operators.

Each call reads its operands from the device's memory and writes its result there, which takes longer than the
arithmetic. So neighbouring operators that libcudf's expression trees compute exactly become one tree. A tree is
interpreted for each row, with intermediate results in the little memory of a processor: it must not be large.

Types in a tree are C++'s: a sum of two bytes is an int there. So arithmetic is fused for types of 32 and 64 bits
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.device import Device
from arrowstream.gpu.kernels.tree import Constant, InputColumn, Node, Operation
from arrowstream.gpu.types import is_fixed_width
from arrowstream.gpu.work import Work

if TYPE_CHECKING:
    import pylibcudf as plc

LARGEST = 32
"""Most operators of one tree."""

SMALL = 4
"""Most operators of a part of a tree that is computed again wherever its result is needed."""

_WHOLE = frozenset((pa.int32(), pa.int64(), pa.uint32(), pa.uint64()))
_REAL = frozenset((pa.float32(), pa.float64()))
_LOGICAL = frozenset((pa.bool_(),))

_OPERANDS = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "ABS"), _WHOLE | _REAL),
    **dict.fromkeys(("DIV", "FLOOR", "CEIL", "SQRT", "RINT"), _REAL),
    **dict.fromkeys(("FLOOR_DIV", "PYMOD"), frozenset((pa.int32(), pa.int64()))),
    **dict.fromkeys(("BITWISE_AND", "BITWISE_OR", "BITWISE_XOR", "BIT_INVERT"), _WHOLE),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR", "NULL_LOGICAL_AND", "NULL_LOGICAL_OR", "NOT"), _LOGICAL),
}
"""The operators that trees compute exactly, and the types of their operands."""

_OF_ANY_TYPE = frozenset(
    (
        "EQUAL",
        "NOT_EQUAL",
        "LESS",
        "LESS_EQUAL",
        "GREATER",
        "GREATER_EQUAL",
        "NULL_EQUAL",
        "IS_NULL",
        "IS_VALID",
    )
)
"""Those whose operands may be of any type of fixed width."""


def is_fusible(operation: Operation) -> bool:
    """Return whether an operator of a tree gives the same as one of its own."""
    dtypes = [operand.dtype for operand in operation.operands]
    if all(isinstance(operand, Constant) for operand in operation.operands):
        return False  # a tree has as many rows as the columns that it reads
    if operation.run or any(dtype != dtypes[0] for dtype in dtypes):
        return False
    if any(isinstance(operand, Constant) and operand.value is None for operand in operation.operands):
        return False
    if operation.name in _OF_ANY_TYPE:
        return is_fixed_width(dtypes[0])
    return dtypes[0] in _OPERANDS.get(operation.name, ())


@dataclass(frozen=True, slots=True, eq=False)
class FusedGroup:
    """An operation with those below it that are computed by the same call.

    Parameters
    ----------
    root
        The operation whose result the call gives.
    members
        The operations of the tree, `root` among them.
    inputs
        What the tree reads: the columns of the call.
    """

    root: Operation
    members: frozenset[Operation]
    inputs: tuple[Node, ...]


def groups(root: Node) -> list[FusedGroup]:
    """Divide a tree into groups, each after those whose results it reads."""
    order = _after_operands(root)
    uses: dict[Node, int] = {}
    for node in order:
        for operand in _operands(node):
            uses[operand] = uses.get(operand, 0) + 1
    inside: dict[Operation, list[Operation]] = {}
    weight: dict[Operation, int] = {}
    for node in order:
        if not isinstance(node, Operation):
            continue
        inside[node], weight[node] = [], 1
        if is_fusible(node):
            for operand in node.operands:
                if isinstance(operand, Operation) and is_fusible(operand):
                    heavier = weight[node] + weight[operand]
                    if heavier <= LARGEST and (uses[operand] == 1 or weight[operand] <= SMALL):
                        inside[node].append(operand)
                        weight[node] = heavier
    return _from_root(root, order, inside)


def _from_root(root: Node, order: list[Node], inside: dict[Operation, list[Operation]]) -> list[FusedGroup]:
    found: list[FusedGroup] = []
    needed: set[Node] = {root}
    for node in reversed(order):
        if node not in needed or not isinstance(node, Operation):
            continue
        members: set[Operation] = set()
        inputs: dict[Node, None] = {}
        pending = [node]
        while pending:
            member = pending.pop()
            if member in members:
                continue
            members.add(member)
            for operand in member.operands:
                if isinstance(operand, Operation) and operand in inside[member]:
                    pending.append(operand)
                else:
                    inputs[operand] = None
        needed.update(inputs)
        found.append(FusedGroup(node, frozenset(members), tuple(inputs)))
    return found[::-1]


def _operands(node: Node) -> tuple[Node, ...]:
    return node.operands if isinstance(node, Operation) else ()


def _after_operands(root: Node) -> list[Node]:
    """Return every node once, after its operands."""
    order: dict[Node, None] = {}
    pending: list[tuple[Node, bool]] = [(root, False)]
    while pending:
        node, ready = pending.pop()
        if node in order:
            continue
        if ready:
            order[node] = None
            continue
        pending.append((node, True))
        pending += [(operand, False) for operand in reversed(_operands(node))]
    return list(order)


class FusedCall:
    """The call that computes a group of several operations."""

    def __init__(self, group: FusedGroup) -> None:
        self._group = group
        self._columns = [node for node in group.inputs if not isinstance(node, Constant)]
        self._made: tuple[Device, plc.expressions.Expression] | None = None

    def __call__(self, work: Work, *values: Any) -> plc.Column:
        if self._made is None or self._made[0] is not work.device:
            self._made = (work.device, self._expression(work, self._group.root))
        columns = [
            value
            for node, value in zip(self._group.inputs, values, strict=True)
            if not isinstance(node, Constant)
        ]
        return cuda.plc.transform.compute_column(cuda.plc.Table(columns), self._made[1], stream=work.stream)

    def _expression(self, work: Work, node: Node) -> plc.expressions.Expression:
        if isinstance(node, Constant):
            return cuda.plc.expressions.Literal(work.scalar(node.literal))
        if isinstance(node, InputColumn) or node not in self._group.members:
            return cuda.plc.expressions.ColumnReference(self._columns.index(node))
        operands = [self._expression(work, operand) for operand in node.operands]
        operator = cuda.plc.expressions.ASTOperator
        if node.name == "IS_VALID":
            is_null = cuda.plc.expressions.Operation(operator.IS_NULL, operands[0])
            return cuda.plc.expressions.Operation(operator.NOT, is_null)
        return cuda.plc.expressions.Operation(operator[node.name], *operands)
