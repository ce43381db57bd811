"""Expressions as stable, readable text: ``eur = price * 0.908`` rather than Polars' debug form.

Polars' text of an expression changes from version to version; its serialised tree hardly does. So the
common nodes are written here from that tree, close to what a user would type, with ``pl.col("x")``
shortened to ``x``. An expression with any other node is shown whole in Polars' text.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import polars as pl

from arrowstream.expressions.calls import call_form, one_input_form, quote
from arrowstream.expressions.names import COMPARISON, OPERATORS, snake_case
from arrowstream.expressions.rebuild import NotRebuilt, cast_type, rebuild
from arrowstream.expressions.tree import parsed, serialised, sum_of_sql, tree_of

# The operators of SQL, which round and divide by other rules.
_SQL = {"Mul": "Multiply", "Div": "TrueDivide", "IntDiv": "FloorDivide", "Rem": "Modulus"}
# Precedence in Python of everything but binary operators, whose precedences are 1 to 6.
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

# Options that Polars writes into the tree if the user gave none; they are not shown.
_DEFAULTS: dict[str, Any] = {
    "literal": False, "strict": True, "n": 1, "decimals": 0, "mode": "HalfToEven", "closed": "Both",
    "nulls_equal": False, "ignore_nulls": True, "fractional": False, "delimiter": "", "dtype": "Int64",
    "has_min": True, "has_max": True, "return_dtype": None, "reverse": False, "descending": False,
    "nulls_last": False, "multithreaded": True, "maintain_order": False, "limit": None,
}  # fmt: skip


_NO_PARTS = {"Literal", "function", "options", "dtype"}
"""The keys under which a node holds something other than expressions."""

_SHORT = 4096
"""Length up to which a serialised expression is remembered with its text, in characters."""

_SHOWN = 10
"""Number of a list's values that are shown; the rest is counted."""


class _NoShortForm(Exception):
    """The tree has a node that this module cannot write."""


def expression_text(expr: pl.Expr) -> str:
    """Return the expression in one line; an alias comes first, as in ``eur = price * 0.908``."""
    try:
        text = serialised(expr)
        return _known_text(text) if len(text) <= _SHORT else _top(parsed(text))
    except (_NoShortForm, NotRebuilt, pl.exceptions.PolarsError):
        return " ".join(str(expr).split())


@lru_cache(maxsize=256)
def _known_text(text: str) -> str:
    """Return the text of a serialised expression: a build asks for that of each step some four times."""
    return _top(parsed(text))


def tree_text(tree: Any) -> str:
    """Return the `expression_text` of a part of an expression's serialised tree."""
    try:
        return _top(tree)
    except (_NoShortForm, NotRebuilt, pl.exceptions.PolarsError):
        return _polars_text(tree)


def _polars_text(tree: Any) -> str:
    try:
        return " ".join(str(rebuild(tree)).split())
    except NotRebuilt:
        return json.dumps(tree)[:80]  # a node of another version, or NaN: 80 characters are enough to find it


def conjunction_text(predicate: pl.Expr) -> str:
    """Return a predicate in one line, its parts joined by ``&`` in alphabetical order: Polars' order varies.

    Examples
    --------
    >>> conjunction_text((pl.col("price") > 110) & (pl.col("bidder") == 7))
    'bidder == 7 & price > 110'
    """
    try:
        parts = list(_conjuncts(tree_of(predicate)))
        return " & ".join(sorted(_conjunct_text(part, alone=len(parts) == 1) for part in parts))
    except (NotRebuilt, pl.exceptions.PolarsError):
        return " ".join(str(predicate).split())


def _conjunct_text(tree: Any, *, alone: bool) -> str:
    try:
        text, binding = _Writer(tree).written()
    except _NoShortForm:
        return " ".join(str(rebuild(tree)).split())
    looser = binding in (OPERATORS["Or"].binding, OPERATORS["Xor"].binding)
    return f"({text})" if looser and not alone else text


def _conjuncts(tree: Any) -> Iterator[Any]:
    parts = [tree]
    while parts:
        match parts.pop():
            case {"BinaryExpr": {"left": left, "op": "And", "right": right}}:
                parts += [right, left]
            case part:
                yield part


def name_text(name: str) -> str:
    """Return a column's name as it stands in an expression: ``col("...")`` unless it is an identifier."""
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"col({quote(name)})"


def columns_text(columns: Iterable[str | pl.Expr]) -> str:
    """Return names and selectors in one line, separated by commas."""
    return ", ".join(
        name_text(column) if isinstance(column, str) else expression_text(column) for column in columns
    )


def _top(tree: Any) -> str:
    match tree:
        case {"Alias": [inner, str(name)]}:
            return f"{name_text(name)} = {_Writer(inner).written()[0]}"
        case _:
            return _Writer(tree).written()[0]


class _Writer:
    """The text of a tree, written from the innermost nodes outwards, so that no depth overflows Python's stack."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._known: dict[int, tuple[str, int] | None] = {}
        within, nodes = [tree], []
        while within:
            node = within.pop()
            if isinstance(node, list):
                within += node
            elif isinstance(node, dict):
                nodes.append(node)
                within += [part for kind, part in node.items() if kind not in _NO_PARTS]
        for node in reversed(nodes):
            try:
                self._known[id(node)] = self._node(node)
            except _NoShortForm:
                self._known[id(node)] = None

    def written(self) -> tuple[str, int]:
        """Return the text of the whole tree, and its precedence."""
        return self._write(self._tree)

    def _operand(self, tree: Any, binding: int) -> str:
        """Return the node's text, in brackets if its precedence is below `binding`."""
        text, own = self._write(tree)
        return text if own >= binding and not (binding == _CALL and text[:1] == "-") else f"({text})"

    def _write(self, tree: Any) -> tuple[str, int]:
        """Return the text of a node, and its precedence."""
        known = self._known[id(tree)] if isinstance(tree, dict) else self._node(tree)
        if known is None:
            raise _NoShortForm
        return known

    def _node(self, tree: Any) -> tuple[str, int]:
        match tree:
            case {"BinaryExpr": {"left": left, "op": str(op), "right": right}}:
                return self._binary(left, op, right)
            case {"Function": {"input": [first, *rest], "function": function}}:
                return self._function(function, [first, *rest])
            case {"Ternary": {"truthy": {"Agg": {"Sum": summed}}}} if sum_of_sql(tree) is not None:
                return f"SUM({self._write(summed)[0]})", _CALL
            case {"Ternary": {"predicate": predicate, "truthy": truthy, "falsy": falsy}}:
                parts = [self._write(part)[0] for part in (predicate, truthy, falsy)]
                return "when({}).then({}).otherwise({})".format(*parts), _CALL
            case {"Literal": _} | {"Cast": {"expr": {"Literal": _}}}:
                return _constant(tree), _CALL
            case {"Cast": {"expr": inner, "options": str(options)}}:
                how = {"NonStrict": ", strict=False", "Overflowing": ", wrap_numerical=True"}.get(options, "")
                return self._method(inner, f"cast({cast_type(tree)}{how})")
            case {"Agg": dict(aggregate)}:
                return self._aggregate(*next(iter(aggregate.items())))
            case _:
                return (_leaf(tree), _CALL) if _is_leaf(tree) else self._renamed(tree)

    def _renamed(self, tree: Any) -> tuple[str, int]:
        match tree:
            case {"Alias": [inner, str(name)]}:
                return self._method(inner, f"alias({quote(name)})")
            case {"KeepName": inner}:
                return self._method(inner, "name.keep()")
            case {"RenameAlias": {"function": {"Prefix": str(text)}, "expr": inner}}:
                return self._method(inner, f"name.prefix({quote(text)})")
            case {"RenameAlias": {"function": {"Suffix": str(text)}, "expr": inner}}:
                return self._method(inner, f"name.suffix({quote(text)})")
            case {"Eval": {"expr": inner, "evaluation": evaluation, "variant": "List"}}:
                return self._method(inner, f"list.eval({self._write(evaluation)[0]})")
            case {"Filter": {"input": inner, "by": predicate}}:
                return self._method(inner, f"filter({self._write(predicate)[0]})")
            case _:
                raise _NoShortForm

    def _aggregate(self, kind: str, payload: Any) -> tuple[str, int]:
        match payload:
            case {"input": inner, "include_nulls": True}:
                return self._method(inner, "len()")
            case {"input": inner} | [inner, _]:
                payload = inner
        return self._call(kind, [payload], [])

    def _function(self, function: Any, inputs: list[Any]) -> tuple[str, int]:
        match function, inputs:
            case {"Sql": {"Binary": str(sign)}}, [left, right] if sign in _SQL:
                return self._binary(left, _SQL[sign], right)
            case {"Sql": "ToFloat"}, [inner]:
                return self._write(inner)
        name, payload = _name_of(function)
        match name, payload, inputs:
            case "Not", _, [inner]:
                return f"~{self._operand(inner, _UNARY)}", _UNARY
            case "Negate", _, [inner]:
                return f"-{self._operand(inner, _UNARY)}", _UNARY
            case "Generic", _, [base, power]:
                return f"{self._operand(base, _CALL)} ** {self._operand(power, _UNARY)}", _POWER
            case "str.Split" | "list.Get" | "list.Join", False, _:
                return self._call(name, inputs, [])
            case "str.Replace", {"n": -1, "literal": bool(literal)}, _:
                return self._call("str.ReplaceAll", inputs, _options({"literal": literal}))
        if (form := one_input_form(name, payload)) is not None:
            return self._method(inputs[0], form)
        if (called := call_form(name, payload)) is not None:
            return self._call(called[0], inputs, called[1])
        if payload is not None and not isinstance(payload, dict):
            raise _NoShortForm
        return self._call(name, inputs, _options(payload))

    def _method(self, inner: Any, call: str) -> tuple[str, int]:
        return f"{self._operand(inner, _CALL)}.{call}", _CALL

    def _call(self, name: str, inputs: list[Any], options: list[str]) -> tuple[str, int]:
        name = snake_case(_NAMES.get(name, name))
        arguments = [self._write(part)[0] for part in inputs[1:]]
        while arguments and arguments[-1] == "None":
            arguments.pop()
        if name.endswith(("horizontal", "concat_str", "coalesce")) or name == "struct":
            return f"{name}({', '.join([self._write(inputs[0])[0], *arguments, *options])})", _CALL
        return self._method(inputs[0], f"{name}({', '.join(arguments + options)})")

    def _binary(self, left: Any, op: str, right: Any) -> tuple[str, int]:
        operator = OPERATORS.get(op)
        if operator is None or operator.symbol is None:
            return self._call(op, [left, right], [])
        # Comparisons do not chain, so one inside another needs brackets on either side.
        before = self._operand(left, operator.binding + (operator.binding == COMPARISON))
        return f"{before} {operator.symbol} {self._operand(right, operator.binding + 1)}", operator.binding


def _is_leaf(tree: Any) -> bool:
    return isinstance(tree, str) or (isinstance(tree, dict) and not {"Column", "Selector"}.isdisjoint(tree))


def _leaf(tree: Any) -> str:
    match tree:
        # For the element of a list some versions of Polars write "Element", others a column without a name.
        case "Element" | {"Column": ""}:
            return "element()"
        case {"Column": str(name)}:
            return name_text(name)
        case "Len":
            return "len()"
        case {"Selector": {"ByName": {"names": [*names], "strict": True}}}:
            return ", ".join(map(name_text, names))
        case {"Selector": "Wildcard"}:
            return "all()"
        case _:
            raise _NoShortForm


def _name_of(function: Any) -> tuple[str, Any]:
    """Return a function's name, after that of its namespace, and its options."""
    prefix, payload = "", None
    if isinstance(function, dict):
        ((function, payload),) = function.items()
        if function in _NAMESPACES:
            prefix, function, payload = _NAMESPACES[function], payload, None
            if isinstance(function, dict):
                ((function, payload),) = function.items()
    if not isinstance(function, str):
        raise _NoShortForm
    return prefix + function, payload


def _options(payload: Any) -> list[str]:
    """Return the options among a function's payload that differ from Polars' defaults."""
    if not isinstance(payload, dict):
        return []
    shown = {key: value for key, value in payload.items() if _DEFAULTS.get(key, payload) != value}
    if any(isinstance(value, list | dict) for value in shown.values()):
        raise _NoShortForm
    return [f"{key}={_value(value)}" for key, value in shown.items()]


def _constant(tree: Any) -> str:
    match tree:
        case {"Literal": {"Dyn": {"Int": int(number)}}}:
            return str(number)
    # Polars has two forms for some literals, and reads both; only the value matters.
    series = pl.select(rebuild(tree)).to_series()
    values = series.to_list()
    literal = tree["Literal"] if "Literal" in tree else tree["Cast"]["expr"]["Literal"]
    # The list that SQL's IN takes is a Series of one list.
    one = "Series" not in literal or (len(values) == 1 and isinstance(series.dtype, pl.List))
    return _value(values[0] if one else values)


def _value(value: Any) -> str:
    match value:
        case str():
            return quote(value)
        case list():
            rest = [f"... {len(value) - _SHOWN:,} more"] if len(value) > _SHOWN + 1 else []
            return f"[{', '.join([*map(_value, value[:_SHOWN] if rest else value), *rest])}]"
        case None | bool() | int() | float() | bytes() | dict():
            return repr(value)
        case _:
            return str(value)
