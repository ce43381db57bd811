"""Expressions as stable, readable text: ``eur = price * 0.908`` rather than Polars' own debug form.

Polars' text of an expression changes from version to version; its serialised tree hardly does. So the
common nodes are written here from that tree, close to what a user would type, with ``pl.col("x")``
shortened to ``x``. An expression with any other node is shown whole in Polars' own words.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable
from typing import Any

import polars as pl

from arrowstream.expressions.calls import call_form, snake_case
from arrowstream.expressions.rebuild import cast_type, rebuild

_COMPARISONS = {"Eq": "==", "NotEq": "!=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_BITS = {"Or": "|", "Xor": "^", "And": "&"}
_ARITHMETIC = {
    "Plus": "+",
    "Minus": "-",
    "Multiply": "*",
    "TrueDivide": "/",
    "Divide": "/",
    "FloorDivide": "//",
    "Modulus": "%",
}
_SYMBOLS = {**_COMPARISONS, **_BITS, **_ARITHMETIC}
# Those of SQL, which round and divide by rules of their own.
_SQL = {"Mul": "Multiply", "Div": "TrueDivide", "IntDiv": "FloorDivide", "Rem": "Modulus"}
# How tightly they bind in Python; what binds tightest is a call or a name.
_BINDING = {
    **dict.fromkeys(_COMPARISONS, 1), "Or": 2, "Xor": 3, "And": 4, "Plus": 5, "Minus": 5,
    **dict.fromkeys(["Multiply", "TrueDivide", "Divide", "FloorDivide", "Modulus"], 6),
}  # fmt: skip
_UNARY, _POWER, _CALL = 7, 8, 9

_NAMESPACES = {
    "StringExpr": "str.", "TemporalExpr": "dt.", "ListExpr": "list.", "ArrayExpr": "arr.",
    "BinaryExpr": "bin.", "StructExpr": "struct.", "Boolean": "", "Pow": "", "Trigonometry": "", "Sql": "",
}  # fmt: skip

_NAMES = {
    "EqValidity": "eq_missing", "NotEqValidity": "ne_missing", "AsStruct": "struct",
    "str.ConcatHorizontal": "concat_str", "str.Uppercase": "str.to_uppercase",
    "str.Lowercase": "str.to_lowercase", "list.Length": "list.len", "str.Titlecase": "str.to_titlecase",
    "NUnique": "n_unique",
}  # fmt: skip

# What Polars writes into the tree where the user gave no option: not worth showing.
_DEFAULTS: dict[str, Any] = {
    "literal": False, "strict": True, "n": 1, "decimals": 0, "mode": "HalfToEven", "closed": "Both",
    "nulls_equal": False, "ignore_nulls": True, "fractional": False, "delimiter": "", "dtype": "Int64",
    "has_min": True, "has_max": True, "return_dtype": None, "reverse": False, "descending": False,
    "nulls_last": False, "multithreaded": True, "maintain_order": False, "limit": None,
}  # fmt: skip


_SHOWN = 10
"""Values of a list; the rest is counted."""


class _NoShortForm(Exception):
    """A node this module has no words for."""


def expression_text(expr: pl.Expr) -> str:
    """The expression in one line; an alias comes first, as in ``eur = price * 0.908``."""
    try:
        tree = json.loads(expr.meta.serialize(format="json"))
        return _top(tree)
    except (_NoShortForm, pl.exceptions.PolarsError):
        return " ".join(str(expr).split())


def tree_text(tree: Any) -> str:
    """`expression_text` of a part of an expression's serialised tree."""
    try:
        return _top(tree)
    except (_NoShortForm, pl.exceptions.PolarsError):
        return _polars_text(tree)


def _polars_text(tree: Any) -> str:
    try:
        return " ".join(str(rebuild(tree)).split())
    except pl.exceptions.PolarsError:
        return json.dumps(tree)[:80]  # a node of another version: its beginning says enough


def name_text(name: str) -> str:
    """A column's name as it stands in an expression: bare, or as ``col("...")`` where it is no identifier."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"col({_quote(name)})"


def columns_text(columns: Iterable[str | pl.Expr]) -> str:
    """Names and selectors, separated by commas."""
    return ", ".join(
        name_text(column) if isinstance(column, str) else expression_text(column) for column in columns
    )


def _top(tree: Any) -> str:
    match tree:
        case {"Alias": [inner, str(name)]}:
            return f"{name_text(name)} = {_write(inner)[0]}"
        case _:
            return _write(tree)[0]


def _write(tree: Any) -> tuple[str, int]:
    """Text of a node, and how tightly it binds."""
    match tree:
        # Inside a list one version calls the element so, the other calls it a column without a name.
        case "Element" | {"Column": ""}:
            return "element()", _CALL
        case {"Column": str(name)}:
            return name_text(name), _CALL
        # NaN and infinities, which JSON cannot hold apart.
        case {"Literal": {"Dyn": {"Float": None}} | {"Scalar": {"Float64": None} | {"Float32": None}}}:
            raise _NoShortForm
        case {"Literal": _} | {"Cast": {"expr": {"Literal": _}}}:
            return _constant(tree), _CALL
        case "Len":
            return "len()", _CALL
        case {"Alias": [inner, str(name)]}:
            return f"{_operand(inner, _CALL)}.alias({_quote(name)})", _CALL
        case {"BinaryExpr": {"left": left, "op": str(op), "right": right}}:
            return _binary(left, op, right)
        case {"Cast": {"expr": inner, "options": str(options)}}:
            how = {"NonStrict": ", strict=False", "Overflowing": ", wrap_numerical=True"}.get(options, "")
            return f"{_operand(inner, _CALL)}.cast({cast_type(tree)}{how})", _CALL
        case {"Ternary": {"predicate": predicate, "truthy": truthy, "falsy": falsy}}:
            parts = [_write(part)[0] for part in (predicate, truthy, falsy)]
            return "when({}).then({}).otherwise({})".format(*parts), _CALL
        case {"Selector": {"ByName": {"names": [*names], "strict": True}}}:
            return ", ".join(name_text(name) for name in names), _CALL
        case {"Selector": "Wildcard"}:
            return "all()", _CALL
        case {"Eval": {"expr": inner, "evaluation": evaluation, "variant": "List"}}:
            return f"{_operand(inner, _CALL)}.list.eval({_write(evaluation)[0]})", _CALL
        case {"KeepName": inner}:
            return f"{_operand(inner, _CALL)}.name.keep()", _CALL
        case {"RenameAlias": {"function": {"Prefix": str(text)}, "expr": inner}}:
            return f"{_operand(inner, _CALL)}.name.prefix({_quote(text)})", _CALL
        case {"RenameAlias": {"function": {"Suffix": str(text)}, "expr": inner}}:
            return f"{_operand(inner, _CALL)}.name.suffix({_quote(text)})", _CALL
        case {"Agg": {"Count": {"input": inner, "include_nulls": True}}}:
            return f"{_operand(inner, _CALL)}.len()", _CALL
        case {"Filter": {"input": inner, "by": predicate}}:
            return f"{_operand(inner, _CALL)}.filter({_write(predicate)[0]})", _CALL
        case {"Agg": dict(aggregate)}:
            ((kind, inner),) = aggregate.items()
            match inner:
                case {"input": inner} | [inner, _]:
                    pass
            return _call(kind, [inner], [])
        case {"Function": {"input": [first, *rest], "function": function}}:
            return _function(function, [first, *rest])
        case _:
            raise _NoShortForm


def _function(function: Any, inputs: list[Any]) -> tuple[str, int]:
    prefix, payload = "", None
    match function, inputs:
        case {"Sql": {"Binary": str(sign)}}, [left, right] if sign in _SQL:
            return _binary(left, _SQL[sign], right)
        case {"Sql": "ToFloat"}, [inner]:
            return _write(inner)
    if isinstance(function, dict):
        ((function, payload),) = function.items()
        if function in _NAMESPACES:
            prefix, function, payload = _NAMESPACES[function], payload, None
            if isinstance(function, dict):
                ((function, payload),) = function.items()
    if not isinstance(function, str):
        raise _NoShortForm
    match prefix + function, payload, inputs:
        case "Not", _, [inner]:
            return f"~{_operand(inner, _UNARY)}", _UNARY
        case "Negate", _, [inner]:
            return f"-{_operand(inner, _UNARY)}", _UNARY
        case "Generic", _, [base, power]:
            return f"{_operand(base, _CALL)} ** {_operand(power, _UNARY)}", _POWER
        case "str.Strptime", [dict(dtype), {"format": None | str() as form}], [inner, *_]:
            how = "" if form is None else f", {_quote(form)}"
            found = cast_type({"Cast": {"dtype": dtype, "options": "Strict"}})
            return f"{_operand(inner, _CALL)}.str.strptime({found}{how})", _CALL
        case "struct.FieldByName", str(name), [inner]:
            return f"{_operand(inner, _CALL)}.struct.field({_quote(name)})", _CALL
        case "dt.ToString", str(form), [inner]:
            return f"{_operand(inner, _CALL)}.dt.to_string({_quote(form)})", _CALL
        case "dt.ConvertTimeZone", {"inner": str(zone)}, [inner]:
            return f"{_operand(inner, _CALL)}.dt.convert_time_zone({_quote(zone)})", _CALL
        case "dt.ReplaceTimeZone", [{"inner": str(zone)}, "Raise"], [inner, _]:
            return f"{_operand(inner, _CALL)}.dt.replace_time_zone({_quote(zone)})", _CALL
        case "str.Split" | "list.Get" | "list.Join", False, _:
            return _call(prefix + function, inputs, [])
        case "str.Replace", {"n": -1, "literal": bool(literal)}, _:
            return _call("str.ReplaceAll", inputs, _options({"literal": literal}))
        case name, _, _ if (called := call_form(name, payload)) is not None:
            return _call(called[0], inputs, called[1])
        case name, None | dict(), _:
            return _call(name, inputs, _options(payload))
        case _:
            raise _NoShortForm


def _call(name: str, inputs: list[Any], options: list[str]) -> tuple[str, int]:
    name = _NAMES.get(name, name)
    name = snake_case(name)
    arguments = [_write(part)[0] for part in inputs[1:]]
    while arguments and arguments[-1] == "None":
        arguments.pop()
    if name.endswith(("horizontal", "concat_str", "coalesce")) or name == "struct":
        return f"{name}({', '.join([_write(inputs[0])[0], *arguments, *options])})", _CALL
    return f"{_operand(inputs[0], _CALL)}.{name}({', '.join(arguments + options)})", _CALL


def _options(payload: Any) -> list[str]:
    """The options among a function's payload that differ from Polars' defaults."""
    if not isinstance(payload, dict):
        return []
    shown = {key: value for key, value in payload.items() if _DEFAULTS.get(key, payload) != value}
    if any(isinstance(value, list | dict) for value in shown.values()):
        raise _NoShortForm
    return [f"{key}={_value(value)}" for key, value in shown.items()]


def _binary(left: Any, op: str, right: Any) -> tuple[str, int]:
    if op not in _SYMBOLS:
        return _call(op, [left, right], [])
    binding = _BINDING[op]
    # Comparisons do not chain, so one inside another needs brackets on either side.
    before = _operand(left, binding + (op in _COMPARISONS))
    return f"{before} {_SYMBOLS[op]} {_operand(right, binding + 1)}", binding


def _operand(tree: Any, binding: int) -> str:
    """The node's text, in brackets where it binds less tightly than needed."""
    text, own = _write(tree)
    return text if own >= binding and not (binding == _CALL and text[:1] == "-") else f"({text})"


def _constant(tree: Any) -> str:
    # Polars reads its own literals best, and only the value matters: it writes some of them in two ways.
    series = pl.select(rebuild(tree)).to_series()
    values = series.to_list()
    literal = tree["Literal"] if "Literal" in tree else tree["Cast"]["expr"]["Literal"]
    # The list that SQL's IN takes is a Series of one list.
    one = "Series" not in literal or (len(values) == 1 and isinstance(series.dtype, pl.List))
    return _value(values[0] if one else values)


def _value(value: Any) -> str:
    match value:
        case str():
            return _quote(value)
        case list():
            rest = [f"... {len(value) - _SHOWN:,} more"] if len(value) > _SHOWN + 1 else []
            return f"[{', '.join([*map(_value, value[:_SHOWN] if rest else value), *rest])}]"
        case None | bool() | int() | float() | bytes() | dict():
            return repr(value)
        case _:
            return str(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
