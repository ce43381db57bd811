"""`flat_map`: one batch to many, by a function or by a list column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars.selectors as cs

from arrowstream.core.schemas import SchemaLike
from arrowstream.errors import PlanError
from arrowstream.operators.explode import Explode
from arrowstream.operators.functions.frame_forms import FrameForm
from arrowstream.operators.functions.step import FunctionStep


@dataclass(frozen=True, slots=True, eq=False)
class FlatMap(FunctionStep):
    """All frames that ``fn(batch)`` gives, in order: an iterable of frames, or a single frame.

    Parameters, and the errors raised, are those of ``map(fn)``; `fn` may also be a generator, plain or async. All
    its frames must have the same schema. Where `fn` gives no frame for a batch without rows, pass ``schema=``.
    """

    name: ClassVar[str] = "flat_map"

    @staticmethod
    def frames(result: Any) -> Iterable[Any]:
        # A frame is iterable, too, over its columns: any other iterable stands for several frames.
        return result if isinstance(result, Iterable) and not is_frame(result) else (result,)


def is_frame(value: Any) -> bool:
    """Return whether `value` is one frame, or a text, bytes or dict, which also stand for one value."""
    return (
        hasattr(value, "__arrow_c_stream__")
        or hasattr(value, "__arrow_c_array__")
        or hasattr(value, "columns")  # pandas before 2.2, and cuDF
        or isinstance(value, str | bytes | dict)
    )


def flat_mapping(
    what: Any, frame: FrameForm | None = None, schema: SchemaLike | None = None
) -> FlatMap | Explode:
    """Make the step for `flat_map`: a column's name or a selector explodes, a function is called.

    Raises
    ------
    PlanError
        A column is given with an argument for functions.
    """
    if not isinstance(what, str | cs.Selector):
        return FlatMap(what, frame or "arrow", schema)
    if frame is not None or schema is not None:
        raise PlanError("flat_map() of a column has no frame and no schema", hint="they are for functions")
    return Explode.of(what)
