"""The layout of the package: folders, who may import whom, and which outside library belongs where."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from arrowstream import Builder

pytestmark = [pytest.mark.once, pytest.mark.untraced]

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "arrowstream"

TOP = {
    "__init__",
    "__main__",
    "errors",
    "pipeline",
    "shown",
    "terminal",
}
"""The modules outside of every folder: what users import, the text of reports on a terminal, what notebooks ask."""

LAYERS = (
    {"shown"},
    {"errors"},
    {"core"},
    {"expressions", "policies", "config", "metrics"},
    {"state"},
    {"backends"},
    {"gpu"},
    {"operators", "io", "checkpoints"},
    {"plan"},
    {"runtime"},
    {"builder", "connectors"},
    {"display"},
    {"page"},
    {"terminal", "pipeline", "__init__"},
    {"sql"},
    {"jobs", "testing"},
    {"cli"},
    {"__main__"},
)
"""From the bottom up: a folder imports from lower layers only, and never from another folder of its own layer."""

FRAMES = {"polars", "pyarrow", "numpy"}
OUTSIDE = {
    "core": {"polars", "pyarrow"},
    "expressions": {"polars", "pyarrow"},
    "policies": {"polars"},
    "config": set[str](),
    "metrics": set[str](),
    "state": FRAMES,
    "checkpoints": {"pyarrow"},
    "operators": FRAMES,
    "io": FRAMES,
    "backends": FRAMES,
    "gpu": {*FRAMES, "cupy", "cupyx", "pylibcudf", "rmm"},
    "plan": {"polars", "pyarrow"},
    "runtime": {"polars"},
    "builder": {"polars"},
    "connectors": {"polars", "pyarrow"},
    "display": {"polars"},
    "page": {"polars"},
    "sql": {"polars", "sqlglot"},
    "jobs": {"polars"},
    "testing": {"polars", "pyarrow"},
    "cli": {"typer", *FRAMES},
}
"""The libraries that the modules of a folder may import."""

OUTSIDE_OF = {
    "arrowstream/errors.py": set[str](),
    "arrowstream/shown.py": set[str](),
    "arrowstream/pipeline.py": {"polars"},
    "arrowstream/builder/results.py": {"polars", "pyarrow"},
    "arrowstream/terminal.py": {"rich"},
    "arrowstream/page/app.py": {"msgspec", "starlette"},
    "arrowstream/page/server.py": {"starlette", "uvicorn"},
    "arrowstream/page/widget.py": {"anywidget", "msgspec", "traitlets"},
    "arrowstream/page/cell.py": {"IPython"},
    "arrowstream/core/channel.py": set[str](),
    "arrowstream/core/channels/state.py": set[str](),
    "arrowstream/core/channels/sender.py": set[str](),
    "arrowstream/core/waiting.py": set[str](),
    "arrowstream/core/clock.py": set[str](),
    "arrowstream/core/messages.py": FRAMES,
    "arrowstream/core/duration.py": set[str](),
    "arrowstream/config/settings.py": {"msgspec"},
    **{
        f"arrowstream/io/delta/{name}.py": {*FRAMES, "deltalake"}
        for name in ("commits", "data_files", "failures", "location", "owner", "types")
    },
    **{
        f"arrowstream/io/iceberg/{name}.py": {*FRAMES, "pyiceberg"}
        for name in (
            "commits",
            "data_files",
            "durable_files",
            "history",
            "location",
            "owner",
            "rows",
            "target",
            "types",
            "writer",
        )
    },
    "arrowstream/io/iceberg/catalog.py": {*FRAMES, "pyiceberg", "sqlalchemy"},
    "arrowstream/io/database/systems/adbc_database.py": {*FRAMES, "adbc_driver_manager"},
    "arrowstream/io/database/systems/duckdb.py": {*FRAMES, "duckdb"},
    "arrowstream/io/database/systems/postgresql.py": {*FRAMES, "adbc_driver_postgresql"},
    "arrowstream/io/database/systems/sqlite_connection.py": {"adbc_driver_manager", "pyarrow"},
    "arrowstream/io/database/systems/sqlite_process.py": {
        "adbc_driver_manager",
        "adbc_driver_sqlite",
        "pyarrow",
    },
    "arrowstream/gpu/custom/cuda_source.py": {"cuda"},
    "arrowstream/gpu/custom/python_source.py": {"cuda", "numba"},
    "arrowstream/io/files/excel.py": {*FRAMES, "fastexcel"},
    "arrowstream/io/kafka/connection.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/writing/delivery.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/writing/producer.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/writing/marker.py": {"aiokafka"},
    "arrowstream/io/kafka/writing/transaction.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/writing/transactional.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/answers.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/client.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/consumer.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/fetch.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/server_offsets.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/ownership.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/reader.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/survey.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/token.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/kafka/reading/watch.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/messages/protobuf/descriptors.py": {"google"},
    "arrowstream/io/kafka/records/checksum.py": {*FRAMES, "aiokafka"},
    "arrowstream/io/compiled.py": {"numba"},
    "arrowstream/io/kafka/records/instructions.py": {"numba", "llvmlite", "numpy"},
    "arrowstream/runtime/background/charts.py": {"polars", "altair", "vl_convert"},
    "arrowstream/metrics/prometheus.py": {"prometheus_client"},
    "arrowstream/metrics/server.py": {"prometheus_client"},
}
"""The libraries of single modules, in place of those of their folder."""

CONTRACTS = {
    "operators.base",
    "operators.joins.loads",
    "io.open_source",
    "io.source",
    "io.sink",
    "io.writer",
    "backends.base",
}
"""What the runtime knows of operators, connectors and backends."""

AWAITS = (
    "core/channel.py",
    "core/channels/state.py",
    "core/channels/sender.py",
    "core/clock.py",
    "core/mistakes/explain.py",
    "core/step_context.py",
    "core/waiting.py",
    "io/source.py",
    "io/lake/reader.py",
    "io/database/reading/increasing.py",
    "io/writer.py",
    "io/kafka/",
    "io/memory/",
    "io/tcp/",
    "operators/base.py",
    "operators/messages/",
    "operators/process.py",
    "operators/parallel_map.py",
    "operators/parallel/",
    "operators/functions/",
    "operators/joins/loads.py",
    "operators/joins/table_joining.py",
    "runtime/",
    "page/app.py",
    "builder/results.py",
    "builder/execution/",
    "connectors/",
    "pipeline.py",
    "testing/",
)
"""Where coroutines are: the runtime, what it awaits, and the surface."""

VOCABULARY = {"__init__", "base", "arguments", "rebatch"}
"""Files of `operators/` that are not called like a step: contracts, and steps whose names are taken or shared."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def top(module: str) -> str:
    """The folder or top module of a dotted name: ``io`` for ``arrowstream.io.files.sink``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def own_imports(path: Path) -> Iterator[str]:
    return (target for target in imports(path) if target.split(".")[0] == "arrowstream")


def test_every_folder_has_a_layer_and_nothing_else_is_at_the_top() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE}
    known = [name for names in LAYERS for name in names]
    assert sorted(known) == sorted({*folders, *TOP})


def is_below(target: str, path: Path) -> bool:
    own, theirs = top(dotted(path)), top(target)
    return theirs == own or {theirs, own} <= TOP or layer(theirs) < layer(own)


def test_imports_run_downward_only() -> None:
    upward = [(dotted(path), to) for path in MODULES for to in own_imports(path) if not is_below(to, path)]
    assert not upward


def outside(path: Path) -> set[str]:
    """The libraries that a module imports and should not."""
    name = path.relative_to(ROOT).as_posix()
    allowed = OUTSIDE_OF.get(name, OUTSIDE.get(top(dotted(path)), set()))
    packages = {target.split(".")[0] for target in imports(path)}
    return packages - set(sys.stdlib_module_names) - {"arrowstream"} - allowed


def test_outside_libraries_stay_where_they_belong() -> None:
    assert not {dotted(path): found for path in MODULES if (found := outside(path))}


def test_exceptions_name_modules_that_are_there() -> None:
    assert all((ROOT / name).is_file() for name in OUTSIDE_OF)
    assert all((PACKAGE / name).exists() for name in AWAITS)
    assert all((PACKAGE / f"{name.replace('.', '/')}.py").is_file() for name in CONTRACTS)
    assert all((PACKAGE / f"operators/{name}.py").is_file() for name in VOCABULARY)


def test_runtime_knows_contracts_only() -> None:
    """The runtime imports no concrete operator, connector or backend."""
    for path in (PACKAGE / "runtime").rglob("*.py"):
        for target in own_imports(path):
            if top(target) in ("operators", "io", "backends", "gpu"):
                assert target.removeprefix("arrowstream.") in CONTRACTS, f"{path.name} imports {target}"


def test_coroutines_are_where_they_belong() -> None:
    awaits = [
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in nodes(path))
    ]
    assert [place for place in awaits if not place.startswith(AWAITS)] == []


def test_operators_shows_the_vocabulary() -> None:
    """Each file on the first floor of `operators/` is called like the builder's method it is behind."""
    names = {path.stem for path in (PACKAGE / "operators").glob("*.py")}
    steps = {name for name in dir(Builder) if not name.startswith("_")}
    assert names - steps == VOCABULARY


def test_no_cycles() -> None:
    graph = {dotted(path): set(own_imports(path)) for path in MODULES}
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
        *(
            "aiokafka",
            "altair",
            "vl_convert",
            "cupy",
            "duckdb",
            "llvmlite",
            "msgspec",
            "numba",
            "google",
            "pandas",
            "prometheus_client",
            "pylibcudf",
            "rich",
            "rmm",
        ),
        *("deltalake", "fastexcel", "pyiceberg", "sqlalchemy", "sqlglot", "typer"),
        *("adbc_driver_manager", "adbc_driver_postgresql", "adbc_driver_sqlite"),
    }
    assert not loaded & optional
    assert "arrowstream.display" not in out.stdout.split()


def test_files_have_at_most_350_lines() -> None:
    lengths = {dotted(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_folders_have_at_most_20_files_and_operators_one_for_each_step() -> None:
    folders = {path.parent for path in MODULES}
    assert {folder.name for folder in folders if len(list(folder.glob("*.py"))) > 20} <= {"operators"}
    assert len(list((PACKAGE / "operators").glob("*.py"))) <= 32


def test_the_architecture_names_every_folder() -> None:
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in MODULES} - {"."}
    rows = set(re.findall(r"^\| `([\w/]+)/` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE))
    kernels = {folder for folder in folders if "/kernels" in folder}
    assert rows == folders - kernels


def test_the_architecture_names_files_that_are_there() -> None:
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", (ROOT / "ARCHITECTURE.md").read_text())
    roots = (ROOT, PACKAGE, PACKAGE / "io" / "files", PACKAGE / "backends" / "arrow")
    missing = [path for path in paths if not any((root / path).exists() for root in roots)]
    assert not missing


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_record_has_all_parts(path: Path) -> None:
    text = path.read_text()
    if path.stem == "README":
        links = re.findall(r"\]\((\S+)\.md\)", text)
        assert sorted([*links, "README"]) == sorted(each.stem for each in DECISIONS)
        return
    parts = [text.index(part) for part in ("# ", "Date: 2", *(f"**{part}.** " for part in PARTS))]
    assert parts == sorted(parts)
    assert len(text.split()) <= 250


PARTS = ("Context", "Decision", "Figures", "Delete when")


TWICE = {
    **dict.fromkeys(("DataFile", "DataFileWriter", "Owner", "Target"), "the same for Delta Lake and Iceberg"),
    "ExpressionCompiler": "the same for two backends",
    "OutputLog": "the output of a sink by epochs, in a database and in Kafka",
    **dict.fromkeys(("Booleans", "Texts"), "columns of one type in two message formats"),
    "Runnable": "the interface that a module needs of a pipeline, declared where it is needed",
    **dict.fromkeys(("Cast", "Filter"), "a step of the builder, and the same in a lowered program"),
}
"""Names of classes that are defined twice, and what they have in common."""


def test_a_class_name_has_one_meaning() -> None:
    found: dict[str, list[str]] = {}
    for path in MODULES:
        module = nodes(path)[0]
        assert isinstance(module, ast.Module)
        for node in module.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(f"{dotted(path)}:{node.lineno}")
    assert len(found) > 800
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert {name: places for name, places in twice.items() if name not in TWICE or len(places) > 2} == {}
    assert twice.keys() == TWICE.keys()
