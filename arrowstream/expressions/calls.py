"""Printing of functions whose serialised form is far from what a user writes, such as ``rolling_mean(3)``."""

from __future__ import annotations

import json
from typing import Any

from arrowstream.expressions.names import snake_case
from arrowstream.expressions.rebuild import cast_type

_UNITS = {"Nanoseconds": "ns", "Microseconds": "us", "Milliseconds": "ms"}
_EWM_DEFAULTS = {"adjust": True, "bias": False, "min_periods": 1, "ignore_nulls": False}


def quote(text: str) -> str:
    """Return text in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def one_input_form(name: str, payload: Any) -> str | None:
    """Return the call of a function with one input, such as ``dt.to_string("%Y")``; None for any other function.

    Parameters
    ----------
    name
        The function's name in the serialised tree, after its namespace (``dt.ToString``).
    payload
        The function's options in the serialised tree.
    """
    match name, payload:
        case "str.Strptime", [dict(dtype), {"format": None | str() as form}]:
            how = "" if form is None else f", {quote(form)}"
            return f"str.strptime({cast_type({'Cast': {'dtype': dtype, 'options': 'Strict'}})}{how})"
        case "struct.FieldByName", str(field):
            return f"struct.field({quote(field)})"
        case "dt.ToString", str(form):
            return f"dt.to_string({quote(form)})"
        case "dt.ConvertTimeZone", {"inner": str(zone)}:
            return f"dt.convert_time_zone({quote(zone)})"
        case "dt.ReplaceTimeZone", [{"inner": str(zone)}, "Raise"]:
            return f"dt.replace_time_zone({quote(zone)})"
        case _:
            return None


def call_form(name: str, payload: Any) -> tuple[str, list[str]] | None:
    """Return a function's name as users write it, and the arguments after its inputs; None for any other function.

    Parameters
    ----------
    name
        The function's name in the serialised tree, after its namespace (``str.Extract``).
    payload
        The function's options in the serialised tree.
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
