"""Every CUDA source in the repository compiles for sm_90, without a GPU: in code, docs, examples and notebooks."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_compilers import nvrtc

from arrowstream.gpu.custom.compiled import HOPPER, CompileTarget
from arrowstream.gpu.custom.cuda_source import _compile, _mistake, entries_of
from arrowstream.gpu.custom.declaration import kernels

nvrtc()
pytestmark = [pytest.mark.once, pytest.mark.untraced]

ROOT = Path(__file__).parents[2]
FOLDERS = ("arrowstream", "benchmarks", "docs", "examples", "notebooks", "tests", "tools")
HERE = ROOT / "tests" / "gpu"

WRONG_ON_PURPOSE = {
    HERE / "test_kernel_sources.py",
    HERE / "test_cuda_sources.py",
    HERE / "test_processor.py",
}
"""Tests of what does not compile, and of sources that are only named."""

_KERNEL = re.compile(r"__global__\s")
_COMMAND = re.compile(r"^[%!].*", re.MULTILINE)
"""What IPython runs, and Python cannot read."""
_EXAMPLE = re.compile(r"^\s*(?:>>>|\.\.\.) ?", re.MULTILINE)
_BLOCK = re.compile(r"^( *)```(?:python|py|cuda|cpp|c\+\+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def sources() -> Iterator[tuple[str, str]]:
    """Where a source is, and its text."""
    for path in sorted(
        [*ROOT.glob("*.md"), *(each for folder in FOLDERS for each in (ROOT / folder).rglob("*"))]
    ):
        if path.suffix not in (".py", ".md", ".ipynb", ".cu", ".cuh") or path in WRONG_ON_PURPOSE:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if not _KERNEL.search(text):
            continue
        for place, source in enumerate(dict.fromkeys(_found(path, text))):
            yield f"{path.relative_to(ROOT).as_posix()}-{place}", source


def _found(path: Path, text: str) -> Iterator[str]:
    if path.suffix == ".py":
        yield from _strings(text)
    elif path.suffix == ".ipynb":
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "code":
                code = "".join(cell["source"])
                yield from _strings(_COMMAND.sub("", code))
    elif path.suffix == ".md":
        for block in _BLOCK.finditer(text):
            yield from _in_block(block[2])
    else:
        yield text


def _in_block(block: str) -> Iterator[str]:
    """The sources in a block of a page: strings of Python, or CUDA C++ itself."""
    code = _EXAMPLE.sub("", block) if ">>> " in block else block
    try:
        yield from _strings(code)
    except SyntaxError:
        without_answers = "\n".join(
            line[4:] for line in block.splitlines() if line.startswith((">>> ", "... "))
        )
        if without_answers:
            yield from _strings(without_answers)
        elif _KERNEL.search(block):
            yield block


def _strings(code: str) -> Iterator[str]:
    """The constant strings of Python code that define a kernel; of docstrings, those of their examples."""
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if ">>> " in node.value:
            lines = (line.strip() for line in node.value.splitlines())
            examples = "\n".join(line[4:] for line in lines if line.startswith((">>> ", "... ")))
            if examples and _KERNEL.search(examples):
                yield from _strings(examples)
        elif _KERNEL.search(node.value) and kernels(node.value) and "{" in node.value:
            yield node.value


FOUND = dict(sources())


def test_they_are_found() -> None:
    places = {place.rpartition("-")[0] for place in FOUND}
    assert {
        "arrowstream/builder/processors.py",
        "arrowstream/gpu/custom/processor.py",
        "docs/operators/process_gpu.md",
        "tests/gpu/test_launches.py",
        "tests/test_seed.py",
    } <= places


@pytest.mark.parametrize("place", FOUND)
def test_it_compiles(place: str) -> None:
    source = FOUND[place]
    code, ptx = _compile(source, CompileTarget(HOPPER, 256), lambda log: _mistake(log, place, source))
    assert code.startswith(b"\x7fELF")
    assert set(kernels(source)) <= set(entries_of(ptx)), 'extern "C" is missing'
