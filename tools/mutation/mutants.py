"""All mutants of a module, by cosmic-ray's operators."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

from tools.mutation.left_out import Excuses

FOLDERS = ("operators", "state", "plan", "policies", "runtime", "io")
"""The folders of `arrowstream/` whose modules are mutated: where rows are computed, held, moved and written."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one module: the `occurrence`-th place where `operator` can change it."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int

    @property
    def family(self) -> str:
        """What kind of change it is: ``ReplaceComparisonOperator``, whichever of them is put in."""
        return self.operator.partition("_")[0]

    @property
    def place(self) -> tuple[str, int, int, str]:
        """What mutants have in common that differ only in what is put in."""
        return self.path, self.line, self.column, self.family

    def key(self, source: str) -> str:
        """A name that stays as long as the module's text does."""
        digest = hashlib.sha256(source.encode()).hexdigest()[:8]
        return f"{self.path}:{digest}:{self.operator}:{self.occurrence}"


def operators() -> dict[str, Operator]:
    """Cosmic-ray's operators, but those that must be told the name of a variable."""
    kinds = {name.partition("/")[2]: plugins.get_operator(name) for name in plugins.operator_names()}
    return {name: kind() for name, kind in sorted(kinds.items()) if not list(kind.arguments())}


def mutants(path: str, source: str, kinds: dict[str, Operator]) -> Iterator[tuple[Mutant, str | None]]:
    """Each mutant of a module, with the reason for leaving it out, if there is one."""
    nodes = list(ast_nodes(get_ast(source)))
    excuses = Excuses(ast.parse(source))
    for name, operator in kinds.items():
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, (line, column) in enumerate(starts):
            mutant = Mutant(path, line, column, name, occurrence)
            yield mutant, excuses.reason(mutant.family, (line, column))


def run_with(source: str, line: int) -> int | None:
    """Return the line whose tests notice a change of this one: for decorators and defaults, the function's first.

    None for what runs when the module is imported: no test notices that more than others, whichever imports it first.
    """
    found = None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min(each.lineno for each in (node, *node.decorator_list))
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and first <= line <= (node.end_lineno or first):
                found = max(line, body[0].lineno)
    return found


def mutated(source: str, operator: Operator, occurrence: int) -> str | None:
    """The module's text with one change, or None where cosmic-ray offers it and cannot make it."""
    try:
        text = mutate_code(source, operator, occurrence)
        ast.parse(text or "")
    except (AttributeError, SyntaxError):
        # It takes `except pl.exceptions.PolarsError` for a plain name, makes `not x := 1` of `x := 1`,
        # and does not find every place again that it has counted.
        return None
    return text if isinstance(text, str) else None


def change(source: str, text: str) -> tuple[str, str]:
    """The lines that differ, before and after."""
    before, after = source.splitlines(), text.splitlines()
    while before and after and before[0] == after[0]:
        del before[0], after[0]
    while before and after and before[-1] == after[-1]:
        del before[-1], after[-1]
    return " ".join(line.strip() for line in before).strip(), " ".join(line.strip() for line in after).strip()


def targets(root: Path) -> list[str]:
    """The modules under test, relative to the root."""
    found = [path for folder in FOLDERS for path in (root / "arrowstream" / folder).glob("**/*.py")]
    return sorted(str(path.relative_to(root)) for path in found)
