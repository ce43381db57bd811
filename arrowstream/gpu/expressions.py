"""A program's expressions as calls of libcudf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from arrowstream.expressions.program import Call, Cast, Column, Expression, Literal, is_constant
from arrowstream.gpu.fused import FusedCall, FusedGroup, groups
from arrowstream.gpu.kernels.conversion import convert
from arrowstream.gpu.kernels.registry import KERNELS, REFUSED
from arrowstream.gpu.kernels.tree import Constant, InputColumn, Node, OperationFunction
from arrowstream.gpu.operations import single
from arrowstream.gpu.types import device_type
from arrowstream.gpu.work import Compute, Work

if TYPE_CHECKING:
    import pylibcudf as plc


class ExpressionCompiler:
    """The compilation of the expressions of one step.

    Parameters
    ----------
    reasons
        A list to which every reason is added why an expression cannot be computed with Polars' exact result.
    """

    def __init__(self, reasons: list[str]) -> None:
        self._reasons = reasons

    def expression(self, expression: Expression) -> Compute:
        """Compile an expression; a refused one becomes a function that must not be called."""
        before = len(self._reasons)
        root = self.tree(expression)
        refused = len(self._reasons) > before
        if not refused and isinstance(root, Constant) and device_type(root.dtype) is None:
            self._refuse(expression, f"a constant of {root.dtype} has no form on the GPU")
        return scheduled(root)

    def tree(self, expression: Expression) -> Node:
        """Return the operations that compute an expression; a null in place of what is refused."""
        match expression:
            case Column(name, dtype):
                if device_type(dtype) is None:
                    return self._refuse(expression, f"column {name!r}: {dtype} has no form on the GPU")
                return InputColumn(name, dtype)
            case Literal():
                return self._literal(expression)
            case Cast(input, dtype, strict):
                return self._answer(expression, convert(self.tree(input), dtype, strict))
        return self._call(expression)

    def _literal(self, literal: Literal) -> Node:
        value, dtype = literal.value, literal.dtype
        # Types that the device has not are those of options, such as the members of `is_in`.
        if device_type(dtype) is not None:
            try:
                pa.scalar(value, dtype)
            except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
                return self._refuse(literal, f"the constant {value!r} has no exact form as {dtype}: {error}")
        return Constant(value, dtype)

    def _call(self, call: Call) -> Node:
        name = call.function
        kernel = KERNELS.get(name)
        if kernel is None:
            reason = REFUSED.get(name)
            return self._refuse(call, f"{name}: {reason}" if reason else f"{name} is not offered by the GPU")
        if is_constant(call):
            return self._refuse(call, f"{name} of constants only")
        before = len(self._reasons)
        arguments = [self.tree(argument) for argument in call.arguments]
        if len(self._reasons) > before:
            return Constant(None, call.dtype)
        found = kernel(call, *arguments)
        return self._answer(call, f"{name}: {found}" if isinstance(found, str) else found)

    def _answer(self, expression: Expression, found: Node | str) -> Node:
        if isinstance(found, str):
            return self._refuse(expression, found)
        if device_type(expression.dtype) is None:
            return self._refuse(expression, f"{expression.dtype} has no form on the GPU")
        return found

    def _refuse(self, expression: Expression, reason: str) -> Node:
        self._reasons.append(reason)
        return Constant(None, expression.dtype)


@dataclass(frozen=True, slots=True)
class _Instruction:
    """One call: what it computes, from which values, and which of those are not needed any more after it."""

    result: Node
    run: OperationFunction
    operands: tuple[Node, ...]
    last_used: tuple[Node, ...]


def scheduled(root: Node) -> Compute:
    """Return a function that computes a tree by as few calls as it can, and keeps no result longer than it must."""
    instructions = _instructions(groups(root))

    def compute(work: Work) -> plc.Column:
        values: dict[Node, Any] = {}
        for instruction in instructions:
            operands = [_value(work, node, values) for node in instruction.operands]
            values[instruction.result] = instruction.run(work, *operands)
            for node in instruction.last_used:
                del values[node]
        return work.column(_value(work, root, values))

    return compute


def _instructions(found: list[FusedGroup]) -> list[_Instruction]:
    seen: set[Node] = set()
    instructions = []
    for group in reversed(found):
        fused = len(group.members) > 1
        run = FusedCall(group) if fused else single(group.root)
        operands = group.inputs if fused else group.root.operands
        computed = {node for node in operands if not isinstance(node, InputColumn | Constant)}
        instructions.append(_Instruction(group.root, run, operands, tuple(computed - seen)))
        seen |= computed
    return instructions[::-1]


def _value(work: Work, node: Node, values: dict[Node, Any]) -> Any:
    match node:
        case InputColumn(name):
            return work.columns[name]
        case Constant():
            return work.scalar(node.literal)
    return values[node]
