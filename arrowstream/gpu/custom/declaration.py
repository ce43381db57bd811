"""The declared parameters of a kernel, read from CUDA C++ source."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMENT_OR_TEXT = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)
_NAME = re.compile(r"(\w+)\s*(?:\[\s*\d*\s*\])?\s*$")


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter as it stands in the source.

    Parameters
    ----------
    name
        Its name; empty if it has none.
    text
        All of it.
    """

    name: str
    text: str


def parameters(source: str, name: str) -> list[Declared] | None:
    """Return the parameters of the first kernel of this name; None if there is none that can be read.

    A preprocessor is not run: what macros declare cannot be read.

    Examples
    --------
    >>> source = 'extern "C" __global__ void scale(const double* x, /* out */ double *z, long long n) {}'
    >>> [parameter.name for parameter in parameters(source, "scale")]
    ['x', 'z', 'n']
    """
    text = _without_comments(source)
    head = re.search(rf"\b__global__\b[^;{{}}]*?\b{name}\s*\(", text)
    if head is None:
        return None
    depth, end = 1, head.end()
    while depth and end < len(text):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    if depth:
        return None
    inside = text[head.end() : end - 1].strip()
    return [_declared(part) for part in inside.split(",")] if inside not in ("", "void") else []


def kernels(source: str) -> list[str]:
    """Return the names of all kernels, for hints.

    Examples
    --------
    >>> kernels('extern "C" { __global__ void a(int n) {} __global__ void __launch_bounds__(128) b() {} }')
    ['a', 'b']
    """
    text = re.sub(r"__launch_bounds__\s*\([^)]*\)", "", _without_comments(source))
    return re.findall(r"\b__global__\b[^;{}()]*?\b(\w+)\s*\(", text)


def _without_comments(source: str) -> str:
    return _COMMENT_OR_TEXT.sub(" ", source)


def _declared(part: str) -> Declared:
    text = " ".join(part.split())
    found = _NAME.search(text)
    return Declared(found[1] if found else "", text)
