"""Functions whose serialised form is far from what a user writes: ``rolling_mean(3)``, ``ewm_mean(alpha=0.5)``."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"Nanoseconds": "ns", "Microseconds": "us", "Milliseconds": "ms"}
_EWM_DEFAULTS = {"adjust": True, "bias": False, "min_periods": 1, "ignore_nulls": False}


def snake_case(name: str) -> str:
    """``IsBetween`` as ``is_between``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def call_form(name: str, payload: Any) -> tuple[str, list[str]] | None:
    """A function's name as users know it, and what comes behind its inputs; None where there is nothing special.

    Parameters
    ----------
    name, payload
        As in the serialised tree, the name behind that of its namespace (``str.Extract``).
    """
    match name, payload:
        case "RollingExpr", {"function": str(function), "options": {"weights": None} as options}:
            return f"rolling_{snake_case(function)}", _rolling(function, options)
        case "EwmMean" | "EwmStd" | "EwmVar", {"options": {"alpha": alpha} as options}:
            return snake_case(name), [f"alpha={alpha!r}", *_differing(options, _EWM_DEFAULTS)]
        case "Diff", "Ignore":
            return "diff", []
        case "FillNullWithStrategy", {"Forward": limit} | {"Backward": limit}:
            (way,) = payload
            return f"{way.lower()}_fill", [] if limit is None else [str(limit)]
        case "FillNullWithStrategy", str(strategy):
            return "fill_null", [f'strategy="{strategy.lower()}"']
        case "str.Extract", int(group):
            return "str.extract", [str(group)]
        case "str.CountMatches", bool(literal):
            return "str.count_matches", ["literal=True"] if literal else []
        case "dt.TimeStamp", str(unit):
            return "dt.timestamp", [f'"{_UNITS[unit]}"']
        case _:
            return None


def _rolling(function: str, options: dict[str, Any]) -> list[str]:
    rows, least, parameters = options["window_size"], options["min_periods"], options["fn_params"]
    texts = [str(rows)]
    if function == "Quantile":
        texts = [repr(parameters["Quantile"]["prob"]), f"window_size={rows}"]
    if least != rows:
        texts.append(f"min_samples={least}")
    if options["center"]:
        texts.append("center=True")
    return texts


def _differing(options: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in options.items() if defaults.get(name, value) != value]
