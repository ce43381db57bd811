"""Signatures of the CUDA libraries as they are installed: of their stubs, and of the functions themselves."""

import ast
import dataclasses
import enum
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter: kind as `inspect` has it; the default as Python text, None if there is none."""

    name: str
    kind: Any
    default: str | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a function takes, `self` and `cls` left out, and what it says it returns."""

    parameters: tuple[Parameter, ...]
    returns: str | None = None


_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


def package(name: str) -> ModuleType:
    """Return a package as `arrowstream.gpu.libraries` imports it."""
    import cupy
    import cupyx
    import pylibcudf
    import rmm.pylibrmm.stream

    return {"plc": pylibcudf, "rmm": rmm, "cupy": cupy, "cupyx": cupyx}[name]


def resolved(chain: tuple[str, ...]) -> Any:
    """Return what a chain of names, such as ("plc", "unary", "cast"), stands for.

    Raises
    ------
    AttributeError
        A name is not there.
    """
    found: Any = package(chain[0])
    for name in chain[1:]:
        found = getattr(found, name)
    return found


def signatures(chain: tuple[str, ...]) -> list[Signature]:
    """Return the signatures of a function or class: the stub's and the package's own, which may differ.

    Empty if nothing is known, or if it cannot be called.
    """
    found = resolved(chain)
    if isinstance(found, type) and issubclass(found, enum.Enum):
        return [Signature((Parameter("value", _POSITIONAL, None),))]
    owner = resolved(chain[:-1]) if len(chain) > 1 else None
    return [each for each in (of_stub(found, owner, chain[-1]), of_runtime(found)) if each is not None]


def of_stub(found: Any, owner: Any, name: str) -> Signature | None:
    """Return the signature in the stub next to a module, None if there is none."""
    home = owner if isinstance(owner, type) else found
    module = getattr(home, "__module__", None)
    tree = _stub(module) if isinstance(module, str) else None
    if tree is None:
        return None
    if isinstance(owner, type):
        return _of_node(_member(_member(tree, owner.__name__), name), bound=True)
    node = _member(tree, getattr(found, "__name__", name))
    if not isinstance(node, ast.ClassDef):
        return _of_node(node, bound=False)
    start = _member(node, "__init__")
    if start is not None:
        return _of_node(start, bound=True)
    if any(ast.unparse(decorator) == "dataclass" for decorator in node.decorator_list):
        return Signature(
            tuple(
                Parameter(field.target.id, _POSITIONAL, ast.unparse(field.value) if field.value else None)
                for field in node.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            )
        )
    return Signature(())


@cache
def _stub(module: str) -> ast.Module | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    path = Path(file).parent / f"{module.rpartition('.')[2]}.pyi" if file else None
    if path is None or not path.exists():
        return None
    # Type parameters are syntax of Python 3.12.
    return ast.parse(re.sub(r"(def \w+)\[[^\]]*\]\(", r"\1(", path.read_text()))


def _member(tree: ast.AST | None, name: str) -> ast.AST | None:
    if not isinstance(tree, ast.Module | ast.ClassDef):
        return None
    kinds = (ast.ClassDef, ast.FunctionDef)
    return next((node for node in tree.body if isinstance(node, kinds) and node.name == name), None)


def _of_node(node: ast.AST | None, bound: bool) -> Signature | None:
    if not isinstance(node, ast.FunctionDef):
        return None
    found = of_arguments(node.args)
    static = any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list)
    if bound and not static:
        found = found[1:]
    returns = ast.unparse(node.returns).replace("'", "") if node.returns else None
    return Signature(tuple(found), returns)


def of_arguments(args: ast.arguments) -> list[Parameter]:
    """Return the parameters of a function's syntax."""
    plain = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(plain) - len(args.defaults)) + [
        ast.unparse(default) for default in args.defaults
    ]
    found = [Parameter(arg.arg, _POSITIONAL, default) for arg, default in zip(plain, defaults, strict=True)]
    if args.vararg:
        found.append(Parameter(args.vararg.arg, inspect.Parameter.VAR_POSITIONAL, None))
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        text = None if default is None else ast.unparse(default)
        found.append(Parameter(arg.arg, inspect.Parameter.KEYWORD_ONLY, text))
    if args.kwarg:
        found.append(Parameter(args.kwarg.arg, inspect.Parameter.VAR_KEYWORD, None))
    return found


def of_runtime(found: Any) -> Signature | None:
    """Return the signature that a function or class has itself, or writes into its documentation, as Cython does."""
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (ValueError, TypeError):
        return _of_documentation(found)
    if [each.name for each in parameters] == ["args", "kwargs"]:
        return _of_documentation(found)
    return Signature(
        tuple(
            Parameter(each.name, each.kind, None if each.default is each.empty else repr(each.default))
            for each in parameters
            if each.name != "self"
        )
    )


def _of_documentation(found: Any) -> Signature | None:
    first = (getattr(found, "__doc__", None) or "").split("\n")[0]
    match = re.fullmatch(r"[\w.]+\((.*)\)(?: -> .*)?", first)
    if match is None:
        return None
    # "str name='x'" is C's way to write a type.
    names = re.sub(r"\b\w+ (?=\w+\s*[=,)])", "", match[1] + ")")[:-1]
    try:
        arguments = ast.parse(f"def f({names}): pass").body[0].args  # type: ignore[attr-defined]
    except SyntaxError:
        return None
    return Signature(tuple(each for each in of_arguments(arguments) if each.name != "self"))
