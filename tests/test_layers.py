"""Who may import whom: layers run downward only, and each folder has its list of outside libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "arrowstream"

LAYERS = {
    "ground": 0,
    "operators": 1,
    "io": 1,
    "backends": 1,
    "gpu": 1,
    "plan": 2,
    "runtime": 3,
    "surface": 4,
}
SURFACE = {
    *("__init__", "__main__", "pipeline", "steps", "splitting", "connect", "testing", "display", "doctor"),
    "metrics_server",
    *("cli", "commands", "interrupts", "job", "job_ends", "job_handlers", "job_parts", "job_steps"),
    "job_values",
}

OUTSIDE = {
    "ground": {"polars", "pyarrow", "numpy"},
    "operators": {"polars", "pyarrow", "numpy"},
    "io": {"polars", "pyarrow", "numpy"},
    "backends": {"polars", "pyarrow", "numpy"},
    "gpu": {"polars", "pyarrow", "numpy", "pylibcudf", "rmm", "cupy"},
    "plan": {"polars", "pyarrow"},
    "runtime": {"polars", "pyarrow"},
    "surface": {"polars", "pyarrow", "typer", "click", "rich", "numpy"},
}
ALSO = {
    "prometheus": {"prometheus_client"},
    "metrics_server": {"prometheus_client"},
    "settings": {"msgspec"},
}
"""Libraries that one module may import beside those of its folder."""

NO_OUTSIDE = {"channel", "clock", "errors", "duration"}
"""Ground modules that need nothing but Python."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer(module: str) -> str:
    """The layer of a dotted module name such as ``arrowstream.io.source``."""
    parts = module.split(".")[1:]
    if not parts:
        return "surface"
    if parts[0] in LAYERS:
        return parts[0]
    return "surface" if parts[0] in SURFACE else "ground"


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_run_downward_only(path: Path) -> None:
    own = dotted(path)
    for target in imports(path):
        if target.split(".")[0] != "arrowstream" or own == "arrowstream":
            continue
        theirs, mine = layer(target), layer(own)
        downward = LAYERS[theirs] < LAYERS[mine] or theirs == mine
        assert downward, f"{own} ({mine}) imports {target} ({theirs})"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_outside_libraries_stay_where_they_belong(path: Path) -> None:
    own = dotted(path)
    name = own.split(".")[-1]
    allowed = set() if name in NO_OUTSIDE else OUTSIDE[layer(own)] | ALSO.get(name, set())
    outside = {
        name.split(".")[0]
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and name.split(".")[0] != "arrowstream"
    }
    assert outside <= allowed, f"{own} imports {outside - allowed}"


CONTRACTS = {"operators.base", "io.source", "io.sink", "backends.base"}


def test_runtime_knows_contracts_only() -> None:
    """The runtime imports no concrete operator, connector or backend."""
    for path in (PACKAGE / "runtime").glob("*.py"):
        for target in imports(path):
            module = target.removeprefix("arrowstream.")
            if module.split(".")[0] in ("operators", "io", "backends", "gpu"):
                assert module in CONTRACTS, f"{path.name} imports {target}"


def test_no_cycles() -> None:
    graph = {
        dotted(path): {target for target in imports(path) if target.startswith("arrowstream.")}
        for path in modules()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for target in graph.get(module, ()):
                visit(target, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_importing_loads_no_optional_library() -> None:
    code = "import sys, arrowstream; print(' '.join(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in out.stdout.split()}
    optional = {
        "typer",
        "rich",
        "pandas",
        "duckdb",
        "pylibcudf",
        "rmm",
        "cupy",
        "aiokafka",
        "prometheus_client",
        "msgspec",
    }
    assert not loaded & optional


def test_no_file_is_two_rooms() -> None:
    for path in modules():
        assert len(path.read_text().splitlines()) <= 400, path
