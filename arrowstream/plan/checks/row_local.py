"""Refuse, at build, expressions that look at other rows.

Batches are cut wherever the source happened to cut them, and results must never show it. So every
expression is checked against a whitelist (`arrowstream.expressions.row_wise`): each of its nodes must be known
to look at one row only. What is not known is refused, with what to write instead.

The check reads the expression's own tree, serialised as JSON, rather than Polars' typed plan: the
serialised tree shows every node in the oldest and the newest Polars supported, while the plan's visitor
refuses whole families, such as list functions, in some versions. Where a type matters it is asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions.rebuild import cast_type, column_types
from arrowstream.expressions.row_wise import PYTHON, RANDOM, REASONS, ROW_WISE, SCAN, WITHIN_A_LIST
from arrowstream.expressions.text import expression_text, tree_text
from arrowstream.expressions.tree import function_name, is_constant, kind_of, parts_of, within_list_parts_of
from arrowstream.operators.base import Expressions
from arrowstream.plan.checks.step_schema import check_on_no_rows, outgoing_schema
from arrowstream.plan.checks.types import can_cast, exposes_codes, has_categories, parts_of_type


def check(step: Expressions, schema: pl.Schema, stage: str) -> pl.Schema:
    """The schema after `step` over rows of `schema`, once it is certain that it looks at one row at a time.

    Raises
    ------
    PlanError
        An expression looks at other rows, at chance, or into a Python function; or no column is left.
    SchemaError
        A column is not there, or types do not fit.
    """
    trees = [(expr, _tree(expr, stage)) for expr in step.expressions()]
    outgoing = outgoing_schema(step, schema, stage)
    for expr, tree in trees:
        _Check(schema, stage, expression_text(expr)).visit(tree)
    check_on_no_rows(step, schema, outgoing, stage)
    return outgoing


def _tree(expr: pl.Expr, stage: str) -> Any:
    try:
        return tree_of(expr)
    except pl.exceptions.PolarsError as error:
        raise PlanError(
            "an expression holds a Python function",
            stage=stage,
            expected="Polars expressions",
            found=expression_text(expr),
            hint=PYTHON,
        ) from error


@dataclass(frozen=True, slots=True)
class _Check:
    """One expression being checked."""

    schema: pl.Schema
    stage: str
    whole: str
    inside: tuple[pl.DataType, ...] = ()
    """The types of the lists or structs whose elements or fields the expression is about."""

    def visit(self, node: Any, within_list: bool = False) -> None:
        """Raise unless every node below looks at one row only, or at one list while inside of it."""
        parts = parts_of(node)
        if parts is None and within_list:
            parts = within_list_parts_of(node)
        if parts is None:
            raise self.refusal(node, kind_of(node))
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
                self.of(parts[0]).visit(evaluation, within_list=True)
            case {"StructEval": _} | {"Function": {"function": {"StructExpr": "WithFields"}}}:
                fields = self.of(parts[0])
                for part in parts[1:]:
                    fields.visit(part, within_list)
                parts = parts[:1]
            case {"Function": {"function": function}}:
                parts = self.function(node, *function_name(function), parts, within_list)
        for part in parts:
            self.visit(part, within_list)

    def cast(self, node: Any, source: Any, target: pl.DataType) -> None:
        """Check that a cast can be done at all, and shows no codes."""
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
        """Check a function call itself; returns those inputs that are to be checked as expressions."""
        known = name in ROW_WISE.get(family, ()) or (within_list and name in WITHIN_A_LIST.get(family, ()))
        if not known:
            raise self.refusal(node, name)
        match family, name:
            case "Boolean" | "Sql", "IsIn":
                if is_constant(inputs[1]):
                    return inputs[:1]
                if not within_list and not self.all_lists(inputs[1]):
                    raise self.error(
                        node,
                        "is_in with a column looks at the whole column",
                        "give the values as a list, or compare with == for the same row",
                    )
            case ("", "Replace" | "ReplaceStrict") | ("StringExpr", "ReplaceMany"):
                return self.constants(node, inputs, 3)
            case "StringExpr", "ContainsAny" | "ExtractMany" | "FindMany":
                return self.constants(node, inputs, 2)
            case "", "Hash" | "ToPhysical" if self.shows_codes(inputs[0], None):
                raise self.codes(node)
            case "", "FillNullWithStrategy" if payload not in ("Zero", "One"):
                raise self.error(node, "fill_null with this strategy looks at other rows", SCAN)
            case "Business", _:
                return [part for part in inputs if not is_constant(part)]
            case "", "Bin" if "Breaks" not in json.dumps(payload):
                raise self.error(node, "bins without given breaks look at other rows", "give the breaks")
            case "", "Mode" | "Unique" if payload is not True and payload != {"maintain_order": True}:
                raise self.error(
                    node,
                    "without maintain_order its values come in an order that differs from run to run",
                    "write unique(maintain_order=True)",
                )
            case "", "Rank" if "Random" in json.dumps(payload):
                raise self.error(node, "a random rank differs from run to run", RANDOM)
            case "StringExpr", "Strptime" if payload[1]["format"] is None:
                raise self.error(
                    node,
                    "without a format it is guessed from the first value of every batch",
                    'give the format, such as "%Y-%m-%d"',
                )
        return inputs

    def constants(self, node: Any, inputs: list[Any], stop: int) -> list[Any]:
        """The inputs but for those from the second up to `stop`, which must be constants."""
        if not all(is_constant(part) for part in inputs[1:stop]):
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
        """Whether the codes of a Categorical become visible: in values of `target`, or (None) at all."""
        types = self.types(source)
        if types is None:
            # Elements and fields have no type on their own: what they are part of tells.
            types = [inner for dtype in self.inside for inner in parts_of_type(dtype)]
        if target is None:
            return any(map(has_categories, types))
        return any(exposes_codes(dtype, target) for dtype in types)

    def of(self, source: Any) -> _Check:
        """The check of what looks into the lists or structs that `source` gives."""
        return replace(self, inside=tuple(self.types(source) or self.inside))

    def types(self, tree: Any) -> list[pl.DataType] | None:
        """The types of what an expression gives, or None if it cannot stand alone."""
        return column_types(tree, self.schema)
