"""Polars' optimised, typed plan of a query, as far as its visitor shows it.

cuDF's Polars engine reads the same visitor. It is not a public interface, so it has a version, and only versions
known to mean the same things by the same names are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from arrowstream.core.rows.empty_frames import nulls

KNOWN_VERSIONS = range(11, 17)
"""Major versions of the visitor; 11 is Polars 1.35, 16 is Polars 2.1, and those between were tried as well."""

_MARK = 3
"""Height in rows of the frame that is planned for: the optimiser replaces what it folds by frames of 0 or 1 rows."""

Visitor = Any
"""Polars' `NodeTraverser`: it stands at one step of the plan and shows that step and its expressions."""


class Unreadable(Exception):
    """The plan cannot be read; the message is the reason."""


class TypedPlan:
    """The numbers of a plan's steps in order, from the one that reads the source.

    Parameters
    ----------
    query
        The query to plan.
    schema
        Schema of the frame it is applied to.
    optimizations
        Polars' optimisations to apply.

    Raises
    ------
    Unreadable
        This version of the plan is unknown, or the plan is not a chain of steps over the one frame.
    """

    def __init__(
        self,
        query: Callable[[pl.LazyFrame], pl.LazyFrame],
        schema: pl.Schema,
        optimizations: pl.QueryOptFlags,
    ) -> None:
        lazy = query(nulls(schema, _MARK).lazy())
        try:
            self.visitor: Visitor = lazy._ldf.with_optimizations(optimizations._pyoptflags).visit()
            version = self.visitor.version()
        except AttributeError as error:
            raise Unreadable(f"this version of Polars does not show its plan ({error})") from error
        if version[0] not in KNOWN_VERSIONS:
            raise Unreadable(f"version {'.'.join(map(str, version))} of Polars' plan is not known")
        self.steps = self._chain()
        self._check_source(schema)

    def at(self, step: int) -> Any:
        """Move the visitor to a step and return its node; raise `Unreadable` if Polars does not show it."""
        self.visitor.set_node(step)
        try:
            return self.visitor.view_current_node()
        except NotImplementedError as error:
            raise Unreadable(f"Polars does not show a step of the plan: {error}") from error

    def schema(self, step: int) -> pl.Schema:
        """Return the schema after a step."""
        self.visitor.set_node(step)
        return pl.Schema(self.visitor.get_schema())

    def _chain(self) -> list[int]:
        steps = [self.visitor.get_node()]
        while inputs := self.visitor.get_inputs():
            if len(inputs) != 1:
                raise Unreadable("the plan joins several inputs")
            steps.append(inputs[0])
            self.visitor.set_node(inputs[0])
        return steps[::-1]

    def _check_source(self, schema: pl.Schema) -> None:
        scan = self.at(self.steps[0])
        kind = type(scan).__name__
        if kind != "DataFrameScan":
            raise Unreadable(f"the plan starts with {kind}")
        frame = pl.DataFrame._from_pydf(scan.df)
        # Of columns that no step reads, the optimiser may keep the name only.
        read = schema if scan.projection is None else scan.projection
        found = frame.schema
        same = found.names() == schema.names() and all(found[name] == schema[name] for name in read)
        if frame.height != _MARK or not same:
            raise Unreadable("the result does not depend on the rows that come in")
        if scan.selection is not None:
            raise Unreadable("the plan filters inside its scan")
