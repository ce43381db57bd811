"""Runs a command whose processes import modules with probes."""

import ast
import marshal
import os
import subprocess
from collections.abc import Set
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import arrowstream
import arrowstream.io
from arrowstream.io.compiled import Compiled
from tools.probes.instrument import Fact, instrument

START = Path(__file__).parent / "start"


def plain_functions() -> set[tuple[str, int]]:
    """The functions that numba compiles, which would refuse their probes: their files and first lines."""
    modules = [
        import_module(found.name) for found in walk_packages(arrowstream.io.__path__, "arrowstream.io.")
    ]
    loops = {each for module in modules for each in vars(module).values() if isinstance(each, Compiled)}
    functions = {function for loop in loops for function in (loop.py_func, *loop._helpers)}
    return {(function.__code__.co_filename, function.__code__.co_firstlineno) for function in functions}


def write(folder: Path, root: Path, plain: Set[tuple[str, int]]) -> dict[Path, list[list[Fact]]]:
    """Write all modules of a package with probes, and the memory for what they note; return what each one says.

    Parameters
    ----------
    folder
        Where to write.
    root
        The folder of the package.
    plain
        The functions that get no probes.
    """
    count = 0
    facts: dict[Path, list[list[Fact]]] = {}
    for path in sorted(root.rglob("*.py")):
        own = {line for name, line in plain if name == str(path)}
        tree, facts[path] = instrument(ast.parse(path.read_bytes()), count, own)
        count += len(facts[path])
        module = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
        (folder / module).write_bytes(marshal.dumps(compile(tree, str(path), "exec", dont_inherit=True)))
    (folder / "reached").write_bytes(bytes(count))
    return facts


def run(command: list[str], folder: Path) -> tuple[int, bytes]:
    """Run a command and the processes that it starts with the modules that `write` left.

    Parameters
    ----------
    command
        What to run.
    folder
        The folder with the modules.

    Returns
    -------
    tuple[int, bytes]
        Its exit status, and a byte for each probe: 1 if it was reached.
    """
    path = os.pathsep.join(filter(None, [str(START), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "ARROWSTREAM_PROBES": str(folder), "PYTHONPATH": path}
    status = subprocess.run(command, env=environment, check=False).returncode
    return status, (folder / "reached").read_bytes()
