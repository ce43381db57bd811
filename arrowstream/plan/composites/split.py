"""`split`: each row takes one of several branches, which end in sinks or meet again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl

from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.expressions.text import expression_text
from arrowstream.plan.checks.row_local import check
from arrowstream.plan.checks.split_schema import merged_schema
from arrowstream.plan.composites.router import Router
from arrowstream.plan.graph import Child, Composite, Graph, LineCompiler
from arrowstream.plan.physical import Route, SplitStage
from arrowstream.plan.segment import Segment
from arrowstream.plan.segment_stage import general, segment_stage


@dataclass(frozen=True, slots=True, eq=False)
class Split(Composite):
    """A step in which each row takes the branch that `selector` names; the rows after the branches are merged.

    Parameters
    ----------
    selector
        An expression that gives each row the name of its branch.
    branches
        The branches with names.
    otherwise
        The branch of rows with any other name or null; without it, such a row is an error.
    """

    name: ClassVar[str] = "split"
    selector: pl.Expr
    branches: tuple[Child, ...]
    otherwise: Child | None = None

    @property
    def children(self) -> tuple[Child, ...]:
        return self.branches if self.otherwise is None else (*self.branches, self.otherwise)

    def with_children(self, graphs: Sequence[Graph]) -> Split:
        found = [replace(child, graph=graph) for child, graph in zip(self.children, graphs, strict=True)]
        rest = None if self.otherwise is None else found.pop()
        return replace(self, branches=tuple(found), otherwise=rest)

    @property
    def ended(self) -> bool:
        return not any(child.graph.has_output for child in self.children)

    def describe(self) -> str:
        return f"split({expression_text(self.selector)})"

    def compile(self, compiler: LineCompiler, name: str, schema: pl.Schema) -> SplitStage:
        router = Router(
            self.selector, tuple(branch.name for branch in self.branches), self.otherwise is not None
        )
        check(router, schema, name)
        router.check(schema)
        lines = tuple(compiler.branch(name, child, schema) for child in self.children)
        output = merged_schema(name, {line.name: line.output for line in lines if not line.ended})
        return SplitStage(name, self.describe(), _route(compiler, name, router, schema), lines, output)


def _route(compiler: LineCompiler, name: str, router: Router, schema: pl.Schema) -> Route:
    """Return the route of batches, with branch names computed by a backend.

    A backend computes a single row as it does among others; plain Polars may not.
    """
    names = Segment((router,), schema, router.apply(no_rows(schema)).schema)
    backend = general(compiler.backends)
    evaluate = segment_stage(name, names, compiler.backends, pin=backend).evaluators[backend]
    return lambda batch: router.route(batch, evaluate(batch))
