"""From a call in an expression to its running function of `scan`, or a hint for calls that cannot run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.rows.number_types import NUMBERS, TIMES
from arrowstream.expressions.rebuild import rebuild
from arrowstream.operators.running.base import RunningFunction
from arrowstream.operators.running.cumulative import CUMULATIVE, Cumulative
from arrowstream.operators.running.decimal import RESUMED, Resumed
from arrowstream.operators.running.ewm import EWMS, running_ewm
from arrowstream.operators.running.forward_fill import ForwardFill
from arrowstream.operators.running.rle_id import RunIds
from arrowstream.operators.running.rolling import ROLLING, Rolling
from arrowstream.operators.running.rolling_frames import (
    SHAPES,
    SPREADS,
    RollingQuantile,
    RollingShape,
    RollingSpread,
)
from arrowstream.operators.running.shift import Diff, RowsBefore
from arrowstream.state.memory import StateMemory

POSSIBLE = (
    "cum_sum, cum_prod, cum_min, cum_max, cum_count, shift, diff, pct_change, forward_fill, rle_id, rolling_sum, "
    "rolling_mean, rolling_min, rolling_max, rolling_var, rolling_std, rolling_median, rolling_quantile, "
    "rolling_skew, rolling_kurtosis, ewm_mean, ewm_var, ewm_std, and row by row what is made of them"
)
_TYPES: dict[str, frozenset[Any]] = {
    "CumSum": NUMBERS | {pl.Boolean, pl.Duration, pl.Decimal},
    "CumProd": NUMBERS,
    "CumMin": NUMBERS | TIMES | {pl.Boolean, pl.Decimal},
    "CumMax": NUMBERS | TIMES | {pl.Boolean, pl.Decimal},
    "Diff": NUMBERS - {pl.UInt64} | {pl.Date, pl.Datetime, pl.Duration},
    "PctChange": NUMBERS,
    "RLEID": NUMBERS | TIMES | {pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Decimal, pl.Binary},
    "RollingExpr": NUMBERS,
    **dict.fromkeys(EWMS, NUMBERS | {pl.Boolean, pl.Decimal}),
}
"""Types over which a running function is exact; functions without an entry take all types."""

_LATER = "rows to come are not known yet: in window(...).agg(...) a window's rows are all there"
_BY_TIME = "windows of time go into window(size=..., every=...)"
_DISTINCT = (
    "number each value's rows with scan(by=[..., the column], n=cum_count()): the first one has n == 1"
)
_HINTS: dict[str, str] = {
    **dict.fromkeys(("PeakMax", "PeakMin", "Interpolate", "InterpolateBy"), _LATER),
    **dict.fromkeys(("RollingExprBy", "EwmMeanBy", "EwmSumBy"), _BY_TIME),
    **dict.fromkeys(("IsFirstDistinct", "IsUnique", "IsDuplicated", "IsLastDistinct"), _DISTINCT),
    "RLE": "it gives fewer rows; rle_id() numbers the runs",
    "EwmSum": "ewm_mean() is the same sum over the weights",
}
_RUNNING = CUMULATIVE | EWMS | {"Shift", "ShiftAndFill", "Diff", "PctChange", "FillNullWithStrategy"}
_RUNNING |= {"RollingExpr", "RLEID", *_HINTS}
_CONSTANT_FILLS = ("Zero", "One", "Min", "Max", "Mean")


Make = Callable[[StateMemory], RunningFunction]
"""Makes a running function whose state is in the given memory."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that cannot run, and a hint what to write instead."""

    what: str
    hint: str


def is_running(name: str, options: Any) -> bool:
    """Return whether a function depends on the order of rows; the plan's check judges all others."""
    if name == "Boolean":
        return options in _HINTS
    return name in _RUNNING and options not in _CONSTANT_FILLS


def maker(
    name: str, options: Any, arguments: list[Any], source: pl.DataType, result: pl.DataType
) -> Make | Refused:
    """Return a maker of the running function, or the reason why it cannot run.

    Parameters
    ----------
    name, options
        The function and its options, as in Polars' serialized expressions.
    arguments
        The nodes of its further inputs.
    source, result
        The types of the input column and of the result.
    """
    if name == "Boolean" or name in _HINTS:
        name = options if name == "Boolean" else name
        return Refused(name, _HINTS[name])
    if source.base_type() not in _TYPES.get(name, {source.base_type()}):
        return Refused(f"{name} over {source}", "cast the column first")
    match name, options, arguments:
        case _, {"reverse": True}, []:
            return Refused(f"{name} from the last row on", _LATER)
        case _, {"reverse": False}, []:
            return _cumulative(name, source, result)
        case "Shift" | "ShiftAndFill" | "Diff" | "PctChange", _, [number, *rest]:
            return _before(name, options, number, rest, source, result)
        case "FillNullWithStrategy", {"Forward": limit}, []:
            return lambda memory: ForwardFill(memory, source, limit)
        case "FillNullWithStrategy", {"Backward": _}, []:
            return Refused("backward_fill", _LATER)
        case "RLEID", None, []:
            return lambda memory: RunIds(memory, source)
        case "RollingExpr", {"function": function, "options": window}, []:
            return _rolling(function, window, result)
        case _:
            return lambda memory: running_ewm(memory, name, options["options"], result)


def _cumulative(name: str, source: pl.DataType, result: pl.DataType) -> Make:
    """Return a maker of a running total."""
    if name in RESUMED and isinstance(result, pl.Decimal):
        return lambda memory: Resumed(memory, name, result)
    # The sum of truth values is a count.
    counts = name == "CumCount" or (name == "CumSum" and source == pl.Boolean)
    return lambda memory: Cumulative(memory, name, result, counts)


def _before(
    name: str, options: Any, number: Any, rest: list[Any], source: pl.DataType, result: pl.DataType
) -> Make | Refused:
    """Return a maker of a function that looks back a fixed number of rows, or a refusal."""
    match number:
        case {"Literal": {"Dyn": {"Int": count}}} if count > 0:
            pass
        case {"Literal": {"Dyn": {"Int": _}}}:
            return Refused(f"{name} by no positive number of rows", _LATER)
        case _:
            return Refused(f"{name} by a number of rows that is computed", "give the number itself")
    match name, options, rest:
        case "Shift", None, []:
            return lambda memory: RowsBefore(memory, count, source)
        case "ShiftAndFill", None, [{"Literal": _} | {"Cast": {"expr": {"Literal": _}}} as constant]:
            # Computed on a column: in some versions, Polars' schema differs from the type of the result.
            filled = (
                pl.Series([None], dtype=source)
                .to_frame("x")
                .select(pl.col("x").shift(1, fill_value=rebuild(constant)))
            )
            if filled.to_series().dtype != source or result != source:
                return Refused(
                    f"{source} filled with another type", "cast the column to a type that holds both first"
                )
            return lambda memory: RowsBefore(memory, count, source, filled.to_series())
        case "ShiftAndFill", None, _:
            return Refused("shift filled with what is computed", "fill with a constant")
        case "Diff", "Ignore", []:
            return lambda memory: Diff(memory, count, source, result, relative=False)
        case "Diff", _, []:
            return Refused("diff that drops rows", 'null_behavior="ignore" keeps them')
        case _:
            return lambda memory: Diff(memory, count, source, result, relative=True)


def _rolling(function: str, window: Any, result: pl.DataType) -> Make | Refused:
    """Return a maker of a function of the last rows, or a refusal."""
    rows, least, parameters = window["window_size"], window["min_periods"], window["fn_params"]
    if window["center"]:
        return Refused("a centred window", _LATER)
    if window["weights"] is not None:
        return Refused("a window with weights", "add up shift(1), shift(2), ... with weights of your own")
    if least == 0:
        return Refused("min_samples=0", "min_samples=1 gives null where a window has no values")
    if function in ROLLING:
        return lambda memory: Rolling(memory, function, rows, least, result)
    if function in SPREADS:
        return lambda memory: RollingSpread(memory, function, rows, least, result, parameters["Var"]["ddof"])
    if function in SHAPES:
        return lambda memory: RollingShape(memory, function, rows, least, result, parameters[function])
    if function == "Quantile":
        share, method = parameters["Quantile"]["prob"], parameters["Quantile"]["method"]
        return lambda memory: RollingQuantile(memory, rows, least, result, share, method)
    return Refused(f"rolling {function}", "window(rows=...) keeps all rows of a window for any aggregation")
