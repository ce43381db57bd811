"""A program's expressions as calls of libcudf."""

from __future__ import annotations

from arrowstream.expressions.program import Call, Cast, Column, Expression, Literal
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.types import device_type
from arrowstream.gpu.work import Compute, Work


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
        """Compile an expression; a refused one becomes a function that is never called."""
        match expression:
            case Column(name, dtype):
                if device_type(dtype) is None:
                    return self._refuse(f"column {name!r}: {dtype} has no form on the GPU")
                return lambda work: work.columns[name]
            case Literal(_, dtype):
                if device_type(dtype) is None:
                    return self._refuse(f"a constant of {dtype} has no form on the GPU")
                return lambda work: cuda.plc.Column.from_scalar(
                    work.scalar(expression), work.rows, stream=work.stream
                )
            case Cast():
                return self._refuse(f"a cast to {expression.dtype} is not offered by the GPU")
            case Call():
                return self._refuse(f"{expression.function} is not offered by the GPU")

    def _refuse(self, reason: str) -> Compute:
        self._reasons.append(reason)
        return _never


def _never(work: Work) -> cuda.plc.Column:
    raise AssertionError(work)
