"""Probes in the syntax tree of a module: where they are, and what each of them says."""

import ast
from collections.abc import Collection, Iterable
from typing import Final

PROBES: Final = "_probes"
"""The name of the shared memory among the builtins."""

OTHER: Final = 0
"""Stands for the line after a statement whose condition does not hold: coverage.py's parser knows which it is."""

Fact = tuple[int, int]
"""A line as (line, line), or a branch as the lines from which and to which it goes."""


def instrument(
    tree: ast.Module, first: int, plain: Collection[int] = ()
) -> tuple[ast.Module, list[list[Fact]]]:
    """Put a probe before each statement.

    Parameters
    ----------
    tree
        The module; it is changed.
    first
        The place of its first probe in the shared memory.
    plain
        The lines at which functions begin, with their decorators, whose bodies stay as they are.

    Returns
    -------
    tuple[ast.Module, list[list[Fact]]]
        The module, and what each of its probes says if it is reached.
    """
    inserted = _Inserted(first, frozenset(plain))
    tree.body = inserted.block(tree.body, documented=True)
    return ast.fix_missing_locations(tree), inserted.facts


class _Inserted:
    """The probes of a module, in the order of their places."""

    def __init__(self, first: int, plain: frozenset[int]) -> None:
        self.facts: list[list[Fact]] = []
        self._first, self._plain = first, plain

    def block(
        self, statements: list[ast.stmt], facts: Iterable[Fact] = (), documented: bool = False
    ) -> list[ast.stmt]:
        """Statements that run one after the other, with their probes; the first of them says `facts`, too."""
        pending, probed = list(facts), list[ast.stmt]()
        for place, statement in enumerate(statements):
            if isinstance(statement, ast.Global | ast.Nonlocal) or (
                documented and place == 0 and _is_text(statement)
            ):
                probed.append(statement)
                continue
            pending += [(line, line) for line in lines_of(statement)]
            if not _is_future(statement):  # nothing may come before it
                probed.append(self.probe(pending, statement.lineno))
                pending = []
            self.enter(statement)
            probed.append(statement)
        if pending:
            probed.append(self.probe(pending, statements[-1].lineno))
        return probed

    def probe(self, facts: list[Fact], line: int) -> ast.stmt:
        """A statement that notes that it was reached."""
        [store] = ast.parse(f"{PROBES}[{self._first + len(self.facts)}] = 1").body
        for node in ast.walk(store):
            if isinstance(node, ast.stmt | ast.expr):
                node.lineno = node.end_lineno = line  # of the statement after it, for tracebacks
        self.facts.append(facts)
        return store

    def enter(self, statement: ast.stmt) -> None:
        """Put probes into the blocks of a statement."""
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if lines_of(statement)[0] not in self._plain:
                    statement.body = self.block(statement.body, documented=True)
            case ast.ClassDef():
                statement.body = self.block(statement.body, documented=True)
            case ast.If() | ast.For() | ast.AsyncFor() | ast.While():
                line = statement.lineno
                if statement.orelse:
                    statement.orelse = self.block(statement.orelse, [_to(line, statement.orelse)])
                else:
                    statement.orelse = [self.probe([(line, OTHER)], line)]
                statement.body = self.block(statement.body, [_to(line, statement.body)])
            case ast.With() | ast.AsyncWith():
                statement.body = self.block(statement.body)
            case ast.Try() | ast.TryStar():
                statement.body = self.block(statement.body)
                starts = [each.lineno for each in statement.handlers]
                for place, handler in enumerate(statement.handlers):
                    handler.body = self.block(
                        handler.body, [*_passed(starts, place), _to(handler.lineno, handler.body)]
                    )
                statement.orelse = self.block(statement.orelse)
                statement.finalbody = self.block(statement.finalbody)
            case ast.Match():
                self._cases(statement)

    def _cases(self, statement: ast.Match) -> None:
        starts = [each.pattern.lineno for each in statement.cases]
        for place, case in enumerate(statement.cases):
            case.body = self.block(case.body, [*_passed(starts, place), _to(starts[place], case.body)])
        last = statement.cases[-1]
        # Python refuses a case after one that takes everything.
        if last.guard is not None or not _takes_everything(last.pattern):
            facts = [*_passed(starts, len(starts) - 1), (starts[-1], OTHER)]
            statement.cases.append(ast.match_case(ast.MatchAs(), body=[self.probe(facts, statement.lineno)]))


def lines_of(statement: ast.stmt) -> list[int]:
    """The lines that a statement begins on: those of its decorators, too."""
    decorators = getattr(statement, "decorator_list", [])
    return [*(each.lineno for each in decorators), statement.lineno]


def _to(line: int, block: list[ast.stmt]) -> Fact:
    return line, lines_of(block[0])[0]


def _passed(starts: list[int], place: int) -> list[Fact]:
    """What is known once one of several alternatives is taken: those before it were tried in vain."""
    lines = [(line, line) for line in starts[: place + 1]]
    return lines + [(starts[each], starts[each + 1]) for each in range(place)]


def _takes_everything(pattern: ast.pattern) -> bool:
    match pattern:
        case ast.MatchAs(pattern=None):
            return True
        case ast.MatchAs(pattern=inner):
            return inner is not None and _takes_everything(inner)
        case ast.MatchOr(patterns=patterns):
            return _takes_everything(patterns[-1])
    return False


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
