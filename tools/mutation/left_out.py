"""What is not mutated, because no test could or should notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Place = tuple[int, int]
Reach = tuple[Place, Place]

TYPE = "a type: an annotation, an alias, or code for type checkers only"
MESSAGE = "the text of an error"
DATACLASS = "`frozen` and `slots` of a dataclass, which keep mistakes out and compute nothing"
MARKER = "a decorator that says something to readers and type checkers, or keeps results only for speed"
NO_FIELDS = "`@dataclass` over a class that adds no field to those of its parent"
SYNTAX = "no operator: the `*` of a signature or the `**` of a dictionary"

MARKERS = {"abstractmethod", "overload", "override", "final", "cache", "lru_cache"}


class Excuses:
    """The parts of one module that are left out."""

    def __init__(self, tree: ast.Module) -> None:
        self._parts = [*parts(tree)]
        self._gaps = [
            (end(node.left), start(node.right)) for node in ast.walk(tree) if isinstance(node, ast.BinOp)
        ]

    def reason(self, family: str, place: Place) -> str | None:
        """Why a change there is left out, or None."""
        for reach, reason in self._parts:
            if within(place, reach):
                return reason
        if family == "ReplaceBinaryOperator" and not any(within(place, gap) for gap in self._gaps):
            return SYNTAX
        return None


def parts(tree: ast.Module) -> Iterator[tuple[Reach, str]]:
    """Everything in a module that is left out, with the reason."""
    for node in ast.walk(tree):
        for typed in types(node):
            yield reach(typed), TYPE
        for text in texts(node):
            yield reach(text), MESSAGE
        for decorator in getattr(node, "decorator_list", ()):
            name = named(decorator)
            for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
                if name == "dataclass" and keyword.arg in {"frozen", "slots"}:
                    yield reach(keyword), DATACLASS
            if name == "dataclass" and isinstance(node, ast.ClassDef) and not any(fields(node)):
                yield whole(decorator), NO_FIELDS
            elif name in MARKERS:
                yield whole(decorator), MARKER


def types(node: ast.AST) -> Iterator[ast.AST]:
    """What of a node is only read by type checkers."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from filter(None, (node.returns,))
        case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
            yield annotation
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            yield node
        case ast.Assign(value=ast.BinOp(op=ast.BitOr()) as value) if node.col_offset == 0:
            yield value


def texts(node: ast.AST) -> Iterator[ast.AST]:
    """The formatted texts of an error that a node makes."""
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and named(node).endswith("Error")):
        yield from (child for child in ast.walk(node) if isinstance(child, ast.JoinedStr))


def named(node: ast.expr) -> str:
    """The last part of the name of what is called or referred to."""
    match node:
        case ast.Call():
            return named(node.func)
        case ast.Attribute():
            return node.attr
        case ast.Name():
            return node.id
    return ""


def fields(node: ast.ClassDef) -> Iterator[ast.AnnAssign]:
    """What a dataclass declares as fields of its own."""
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and "ClassVar" not in ast.unparse(part.annotation):
            yield part


def whole(decorator: ast.expr) -> Reach:
    """The whole line, beginning at the `@`: removing a decorator begins there."""
    return (decorator.lineno, 0), end(decorator)


def reach(node: ast.AST) -> Reach:
    return start(node), end(node)


def start(node: ast.AST) -> Place:
    assert isinstance(node, ast.stmt | ast.expr | ast.keyword)
    return node.lineno, node.col_offset


def end(node: ast.AST) -> Place:
    assert isinstance(node, ast.stmt | ast.expr | ast.keyword)
    return node.end_lineno or node.lineno, node.end_col_offset or 0


def within(place: Place, reach: Reach) -> bool:
    return reach[0] <= place < reach[1]
