"""Calls of the CUDA libraries in arrowstream's source, held against the packages that are installed."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from gpu.library_signatures import Signature, resolved, signatures

LIBRARIES = "arrowstream.gpu.libraries"
"""The module through which all others reach the packages."""

PACKAGES = {"pylibcudf": "plc", "rmm": "rmm", "cupy": "cupy", "cupyx": "cupyx"}


def sources(folder: Path) -> Iterator[Path]:
    """Return the modules that may call the libraries."""
    yield from sorted(path for path in folder.rglob("*.py") if path.name != "libraries.py")


def problems(tree: ast.Module) -> list[str]:
    """Return what is wrong with the calls of a module, in words, each with its line.

    Names that the packages do not have, arguments that a signature does not take or lacks, calls without
    ``stream=`` of what takes one, packages imported by others than `arrowstream.gpu.libraries`.
    """
    return [*_wrong_imports(tree), *_missing_names(tree), *_wrong_calls(tree)]


def chains(tree: ast.Module) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """Return the names of the packages that a module uses, as ("plc", "unary", "cast"): the longest ones."""
    roots = _roots(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            chain = _chain(node, roots)
            if chain:
                yield node, chain


def _roots(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Return what stands for the libraries: the module of them all, and packages imported for types only."""
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "arrowstream.gpu":
            found |= {alias.asname or alias.name: () for alias in node.names if alias.name == "libraries"}
        elif isinstance(node, ast.Import):
            found |= {
                alias.asname or alias.name: (PACKAGES[alias.name],)
                for alias in node.names
                if alias.name in PACKAGES
            }
    return found


def _chain(node: ast.AST, roots: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in roots:
        return None
    return (*roots[node.id], *reversed(names))


def _wrong_imports(tree: ast.Module) -> Iterator[str]:
    typed = {id(node) for branch in ast.walk(tree) if _is_for_types(branch) for node in ast.walk(branch)}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] in PACKAGES and id(node) not in typed:
                yield f"{node.lineno}: {name} is imported by {LIBRARIES} only"


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _missing_names(tree: ast.Module) -> Iterator[str]:
    for node, chain in chains(tree):
        try:
            resolved(chain)
        except (AttributeError, KeyError) as error:
            yield f"{node.lineno}: {'.'.join(chain)} does not exist: {error}"  # type: ignore[attr-defined]


def _wrong_calls(tree: ast.Module) -> Iterator[str]:
    roots = _roots(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        arguments, partial = node.args, False
        chain = _chain(node.func, roots)
        if ast.unparse(node.func) in ("partial", "functools.partial") and node.args:
            chain, arguments, partial = _chain(node.args[0], roots), node.args[1:], True
        if not chain:
            continue
        try:
            known = signatures(chain)
        except (AttributeError, KeyError):
            continue  # said by _missing_names
        for each in known:
            for problem in misfits(each, arguments, node.keywords, partial):
                yield f"{node.lineno}: {'.'.join(chain)}: {problem}"


def misfits(
    signature: Signature, arguments: list[ast.expr], keywords: list[ast.keyword], partial: bool
) -> Iterator[str]:
    """Return how a call does not fit a signature."""
    kinds = inspect.Parameter
    named = [
        each
        for each in signature.parameters
        if each.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    ]
    positional = [each.name for each in named if each.kind == kinds.POSITIONAL_OR_KEYWORD]
    any_name = any(each.kind == kinds.VAR_KEYWORD for each in signature.parameters)
    any_number = any(each.kind == kinds.VAR_POSITIONAL for each in signature.parameters)
    starred = any(isinstance(argument, ast.Starred) for argument in arguments)
    given = {keyword.arg for keyword in keywords}
    if len(arguments) > len(positional) and not any_number and not starred:
        yield f"takes {len(positional)} positional arguments, and is given {len(arguments)}"
    filled = set(positional[: len(arguments)])
    for name in sorted(each for each in given if each is not None):
        if name not in {each.name for each in named} and not any_name:
            yield f"has no parameter {name!r}"
        elif name in filled and not starred:
            yield f"is given {name!r} twice"
    if partial or None in given:
        return
    for each in named:
        if each.default is None and each.name not in filled | given and not starred:
            yield f"is not given {each.name!r}"
    if "stream" in {each.name for each in named} and "stream" not in given:
        yield "is not given stream="
