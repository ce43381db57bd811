"""The refusal, at build, of expressions that look at other rows.

The source decides where the stream is cut into batches, and results must not depend on it. So every
expression is checked against a whitelist (`arrowstream.expressions.row_wise`): each of its nodes must be known
to look at one row only. Any other node is refused, with a hint what to write instead.

The check reads the expression's tree, serialised as JSON, rather than Polars' typed plan: the
serialised tree shows every node in the oldest and the newest Polars supported, while the plan's visitor
refuses whole families, such as list functions, in some versions. Polars is asked for a type only where it matters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions.rebuild import cast_type, column_types
from arrowstream.expressions.row_wise import ORDER, PYTHON, RANDOM, REASONS, ROW_WISE, SCAN, WITHIN_A_LIST
from arrowstream.expressions.text import expression_text, tree_text
from arrowstream.expressions.tree import (
    DEEPEST,
    function_name,
    is_literal,
    is_shallow,
    kind_of,
    levels,
    parsed,
    parts_of,
    serialised,
    sum_of_sql,
    within_list_parts_of,
)
from arrowstream.operators.base import Expressions
from arrowstream.plan.checks.exact import adds_in_two_ways, has_lists, misplaces_values
from arrowstream.plan.checks.step_schema import check_on_no_rows, check_on_nulls, outgoing_schema
from arrowstream.plan.checks.types import can_cast, exposes_codes, has_categories, parts_of_type


def check(step: Expressions, schema: pl.Schema, stage: str) -> pl.Schema:
    """Check that `step` looks at one row at a time, and return the schema after it.

    Parameters
    ----------
    schema
        The schema of the rows that come in.
    stage
        The stage that errors name.

    Raises
    ------
    PlanError
        An expression looks at other rows, is random, or calls a Python function; or no column is left.
    SchemaError
        A column is missing, or types do not fit.
    """
    pieces = step.pieces()
    if pieces != (step,):
        for piece in pieces:
            schema = check(piece, schema, stage)
        return schema
    trees = [(expr, _tree(expr, stage)) for expr in step.expressions()]
    outgoing = outgoing_schema(step, schema, stage)
    for expr, tree in trees:
        _Check(schema, stage, expression_text(expr)).visit(tree)
    check_on_no_rows(step, schema, outgoing, stage)
    if any(has_lists(tree) for _, tree in trees):
        check_on_nulls(step, schema, outgoing, stage)
    return outgoing


def _tree(expr: pl.Expr, stage: str) -> Any:
    try:
        text = _without_names(expr)
    except pl.exceptions.PolarsError:
        raise PlanError(
            "an expression holds a Python function",
            stage=stage,
            expected="Polars expressions",
            found=expression_text(expr),
            hint=PYTHON,
        ) from None
    tree = parsed(text)
    if not is_shallow(text) and levels(tree) > DEEPEST:
        raise PlanError(
            "an expression is nested too deeply",
            stage=stage,
            expected=f"at most {DEEPEST} levels of functions and operators, some 50 joined terms",
            found=f"{levels(tree)} levels",
            hint="compute parts of it in with_columns(...) before this step",
        )
    return tree


def _without_names(expr: pl.Expr) -> str:
    """Return an expression as JSON; without names if a Python function gives them, as in ``name.map``."""
    try:
        return serialised(expr)
    except pl.exceptions.PolarsError:
        return serialised(expr.meta.undo_aliases())


@dataclass(frozen=True, slots=True)
class _Check:
    """The check of one expression, inside the lists or structs it looks into."""

    schema: pl.Schema
    stage: str
    whole: str
    inside: tuple[pl.DataType, ...] = ()
    """The types of the lists or structs whose elements or fields the expression reads."""

    def visit(self, root: Any) -> None:
        """Raise unless every node looks at one row only, or inside a list at that list only."""
        pending = [(self, root, False)]
        while pending:
            check, node, within_list = pending.pop()
            pending += reversed(check.below(node, within_list))

    def below(self, node: Any, within_list: bool) -> list[tuple[_Check, Any, bool]]:
        """Check a node itself; return the nodes below it, each with its check and whether it is inside a list."""
        parts = parts_of(node)
        if parts is None and within_list:
            parts = within_list_parts_of(node)
        if parts is None:
            raise self.refusal(node, kind_of(node))
        if (total := sum_of_sql(node)) is not None and not within_list:
            raise self.refusal(total, kind_of(total))
        others: list[tuple[_Check, Any, bool]] = []
        match node:
            case {"Literal": {"Series": _}}:
                raise self.error(
                    node,
                    "a Series has rows of its own, which belong to no batch",
                    "write is_in([...]) or pl.lit([...]) for a list of constants",
                )
            case {"Cast": {"expr": inner}}:
                self.cast(node, inner, cast_type(node, self.schema))
            case {"Eval": {"evaluation": evaluation}}:
                if misplaces_values(node):
                    raise self.error(
                        node,
                        "this version of Polars gives an aggregate to another list where some are empty",
                        "use a function of lists, such as .list.sum(), or Polars 2",
                    )
                others = [(self.of(parts[0]), evaluation, True)]
            case {"StructEval": _} | {"Function": {"function": {"StructExpr": "WithFields"}}}:
                fields = self.of(parts[0])
                others = [(fields, part, within_list) for part in parts[1:]]
                parts = parts[:1]
            case {"Function": {"function": function}}:
                parts = self.function(node, *function_name(function), parts, within_list)
        return [*others, *((self, part, within_list) for part in parts)]

    def cast(self, node: Any, source: Any, target: pl.DataType) -> None:
        """Check that Polars has the cast, and that it shows no codes of a Categorical."""
        if self.shows_codes(source, target):
            raise self.codes(node)
        for dtype in self.types(source) or ():
            if not can_cast(dtype, target):
                raise SchemaError(
                    "there is no such cast",
                    stage=self.stage,
                    expected=f"a type that {dtype} can be cast to",
                    found=f"{target}, in {self.whole}",
                )

    def function(
        self, node: Any, family: str, name: str, payload: Any, inputs: list[Any], within_list: bool
    ) -> list[Any]:
        """Check a function call itself; return the inputs that must be checked as expressions."""
        known = name in ROW_WISE.get(family, ()) or (within_list and name in WITHIN_A_LIST.get(family, ()))
        if not known:
            raise self.refusal(node, name)
        conditions = _CONDITIONS.get((family, name))
        return conditions(self, node, payload, inputs, within_list) if conditions else inputs

    def is_in(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if is_literal(inputs[1]):
            return inputs[:1]
        if not within_list and not self.all_lists(inputs[1]):
            raise self.error(
                node,
                "is_in with a column looks at the whole column",
                "give the values as a list, or compare with == for the same row",
            )
        return inputs

    def mapping(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        return self.constants(node, inputs, 3)

    def patterns(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        return self.constants(node, inputs, 2)

    def patterns_of_row(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        return inputs if self.all_lists(inputs[1]) else self.constants(node, inputs, 2)

    def codes_inside(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if self.shows_codes(inputs[0], None):
            raise self.codes(node)
        return inputs

    def filling(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if payload not in ("Zero", "One") and not within_list:
            raise self.error(node, "fill_null with this strategy looks at other rows", SCAN)
        return inputs

    def business_days(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        return [part for part in inputs if not is_literal(part)]

    def bins(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if "Breaks" not in json.dumps(payload):
            raise self.error(node, "bins without given breaks look at other rows", "give the breaks")
        return inputs

    def ordered(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if payload is not True and payload != {"maintain_order": True}:
            raise self.error(
                node,
                "without maintain_order its values come in an order that differs from run to run",
                "write unique(maintain_order=True)",
            )
        return inputs

    def ranks(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if "Random" in json.dumps(payload):
            raise self.error(node, "a random rank differs from run to run", RANDOM)
        return inputs

    def windows_of_rows(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if payload["function"] == "Rank":
            raise self.error(node, "Polars cannot rank rows of a window inside of a list", ORDER)
        return inputs

    def given_format(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if payload[1]["format"] is None:
            raise self.error(
                node,
                "without a format it is guessed from the first value of every batch",
                'give the format, such as "%Y-%m-%d"',
            )
        return inputs

    def adding_lists(self, node: Any, payload: Any, inputs: list[Any], within_list: bool) -> list[Any]:
        if adds_in_two_ways(node, self.schema):
            before = ".arr.to_list()" if "ArrayExpr" in node["Function"]["function"] else ""
            raise self.error(
                node,
                "a null in any list of a batch changes the order in which the values of all are added",
                f"put {before}.list.drop_nulls() before it",
            )
        return inputs

    def constants(self, node: Any, inputs: list[Any], stop: int) -> list[Any]:
        """Check that the inputs from 1 up to `stop`, excluded, are constants; return the others."""
        if not all(is_literal(part) for part in inputs[1:stop]):
            raise self.error(
                node, "a mapping taken from columns looks at the whole column", "give its values as lists"
            )
        return [inputs[0], *inputs[stop:]]

    def refusal(self, node: Any, name: str) -> PlanError:
        aggregate = next(iter(node["Agg"])) if name == "Agg" else name
        reason = REASONS.get(aggregate) or REASONS.get(name)
        if reason is not None:
            return self.error(node, "an expression looks at other rows", reason)
        hint = f"{name} is not on the list of expressions that do; another way to write it may be"
        return self.error(node, "an expression is not known to look at one row only", hint)

    def codes(self, node: Any) -> PlanError:
        return self.error(
            node,
            "the codes of a Categorical depend on the order in which its values came",
            "cast it to String or Enum first",
        )

    def error(self, node: Any, what: str, hint: str) -> PlanError:
        part = tree_text(node)
        found = part if part == self.whole else f"{part}, in {self.whole}"
        return PlanError(
            what, stage=self.stage, expected="expressions over the values of one row", found=found, hint=hint
        )

    def all_lists(self, tree: Any) -> bool:
        types = self.types(tree)
        return types is not None and all(isinstance(dtype, pl.List | pl.Array) for dtype in types)

    def shows_codes(self, source: Any, target: pl.DataType | None) -> bool:
        """Return whether codes of a Categorical become visible in a cast to `target`; None stands for any use."""
        types = self.types(source)
        if types is None:
            # Elements and fields alone have no type: it is inside that of the list or struct.
            types = [inner for dtype in self.inside for inner in parts_of_type(dtype)]
        if target is None:
            return any(map(has_categories, types))
        return any(exposes_codes(dtype, target) for dtype in types)

    def of(self, source: Any) -> _Check:
        """Return the check of expressions over the elements or fields of the lists or structs of `source`."""
        return replace(self, inside=tuple(self.types(source) or self.inside))

    def types(self, tree: Any) -> list[pl.DataType] | None:
        """Return the types of the columns that an expression gives, or None if it cannot stand alone."""
        return column_types(tree, self.schema)


_Condition = Callable[[_Check, Any, Any, list[Any], bool], list[Any]]
_CONDITIONS: dict[tuple[str, str], _Condition] = {
    ("Boolean", "IsIn"): _Check.is_in,
    ("Sql", "IsIn"): _Check.is_in,
    ("", "Replace"): _Check.mapping,
    ("", "ReplaceStrict"): _Check.mapping,
    ("StringExpr", "ReplaceMany"): _Check.mapping,
    ("StringExpr", "ContainsAny"): _Check.patterns,
    ("StringExpr", "ExtractMany"): _Check.patterns_of_row,
    ("StringExpr", "FindMany"): _Check.patterns_of_row,
    ("", "Hash"): _Check.codes_inside,
    ("", "ToPhysical"): _Check.codes_inside,
    ("", "FillNullWithStrategy"): _Check.filling,
    **{("Business", name): _Check.business_days for name in ROW_WISE["Business"]},
    ("", "Bin"): _Check.bins,
    ("", "Mode"): _Check.ordered,
    ("", "Unique"): _Check.ordered,
    ("ListExpr", "Unique"): _Check.ordered,
    ("ArrayExpr", "Unique"): _Check.ordered,
    ("", "Rank"): _Check.ranks,
    ("", "RollingExpr"): _Check.windows_of_rows,
    ("StringExpr", "Strptime"): _Check.given_format,
    ("ListExpr", "Sum"): _Check.adding_lists,
    ("ListExpr", "Mean"): _Check.adding_lists,
    ("ArrayExpr", "Sum"): _Check.adding_lists,
}
"""The check of each function that looks at one row only with some of its possible arguments."""
