"""The fake GPU, and arrowstream's calls, have the signatures of the packages that are installed."""

import ast
import importlib
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from gpu import library_signatures as real
from gpu.library_calls import chains, problems, sources

import arrowstream

pytestmark = [pytest.mark.once, pytest.mark.untraced, pytest.mark.usefixtures("packages")]

GPU = Path(arrowstream.__file__).parent / "gpu"
FAKE = Path(__file__).parents[1] / "fake_gpu"

OWN = {"array", "memories", "made", "upload", "download", "mask_of", "packed", "unpacked"}
"""What the fake's modules share with each other, and pylibcudf does not have."""

RETURNS = {
    ("Array", "ArrowLike"),
    ("Table", "ArrowLike"),
    ("Scalar", "PaScalar"),
    ("Any", "ColumnOrTable"),
    ("list[Any]", "list[ColumnOrTable]"),
    ("dict[str, Any]", "Mapping[str, Any]"),
    ("Any", "None | int | float | str | bool"),
    ("gpumemoryview | None", "Span | None"),
}
"""Return types of the fake, and those of the stubs for which they stand."""


def modules_of_the_fake() -> list[str]:
    """Return the names of the fake's modules that stand for some of pylibcudf."""
    paths = (FAKE / "plc").rglob("*.py")
    return sorted(
        ".".join(path.relative_to(FAKE).with_suffix("").parts) for path in paths if path.stem != "__init__"
    )


def functions(name: str) -> Iterator[tuple[tuple[str, ...], ast.FunctionDef]]:
    """Return the functions and methods of a module of the fake, with the names by which they are reached."""
    path = tuple(name.split("."))
    for node in ast.parse((FAKE / (name.replace(".", "/") + ".py")).read_text()).body:
        if isinstance(node, ast.FunctionDef) and _is_public(node.name):
            yield (*path, node.name), node
        elif isinstance(node, ast.ClassDef) and node.name != "DeviceBuffer":
            members = [
                each for each in node.body if isinstance(each, ast.FunctionDef) and _is_public(each.name)
            ]
            # pylibcudf's module of this class cannot be reached: the class has its name.
            home = path if path[-1] == node.name else (*path, node.name)
            yield from (((*home, member.name), member) for member in members)


def _is_public(name: str) -> bool:
    return name == "__init__" or (not name.startswith("_") and name not in OWN)


@pytest.mark.parametrize("name", modules_of_the_fake())
def test_the_functions_of_the_fake_have_the_signatures_of_the_package(name: str) -> None:
    found = list(functions(name))
    assert found
    assert [difference for chain, node in found for difference in differences(chain, node)] == []


def differences(chain: tuple[str, ...], node: ast.FunctionDef) -> Iterator[str]:
    """Return how a function of the fake differs: parameters' names, order and defaults, static or not, the return."""
    label = ".".join(chain)
    try:
        owner = real.resolved(chain[:-1])
        known = real.signatures(chain[:-1] if node.name == "__init__" else chain)
    except AttributeError as error:
        yield f"{label} does not exist: {error}"
        return
    decorators = {ast.unparse(each) for each in node.decorator_list}
    if "property" in decorators:
        # Python tells a property from a method; of those that Cython makes, no more is known.
        if callable(inspect.getattr_static(owner, node.name)):
            yield f"{label} is not a property"
        return
    bound = isinstance(owner, type) and "staticmethod" not in decorators
    ours = tuple(real.of_arguments(node.args))[bound:]
    names = [each.name for each in ours]
    # A stub may lack a parameter that the function has, or call it otherwise.
    alike = [each for each in known if [parameter.name for parameter in each.parameters] == names]
    if not alike:
        yield f"{label} has {names}, not {[[each.name for each in one.parameters] for one in known]}"
        return
    if not any(_defaults(ours, owner) == _defaults(each.parameters, owner) for each in alike):
        yield f"{label} has other defaults: {ours} instead of {alike[0].parameters}"
    mine, theirs = ast.unparse(node.returns or ast.Constant(None)), known[0].returns
    mine = mine.replace("'", "").replace("pa.", "")
    if node.name != "__init__" and theirs and mine != theirs and (mine, theirs) not in RETURNS:
        yield f"{label} returns {mine}, not {theirs}"


def _defaults(parameters: tuple[real.Parameter, ...], owner: object) -> list[str | None]:
    """Return the defaults in one way of writing; those that a stub leaves out as "..."."""
    module = owner if isinstance(owner, ModuleType) else importlib.import_module(owner.__module__)
    packages = real.package("plc")
    names = vars(packages.types) | vars(packages.strings) | vars(module)
    return [repr(eval(each.default, dict(names))) if each.default else None for each in parameters]


OTHERS = [
    ("rmm_package.py", "Stream", ("rmm", "pylibrmm", "stream", "Stream")),
    ("rmm_package.py", "CudaMemoryResource", ("rmm", "mr", "CudaMemoryResource")),
    ("rmm_package.py", "CudaAsyncMemoryResource", ("rmm", "mr", "CudaAsyncMemoryResource")),
    ("rmm_package.py", "LimitingResourceAdaptor", ("rmm", "mr", "LimitingResourceAdaptor")),
    ("rmm_package.py", "StatisticsResourceAdaptor", ("rmm", "mr", "StatisticsResourceAdaptor")),
    ("cupy_package.py", "Event", ("cupy", "cuda", "Event")),
    ("cupy_package.py", "Device", ("cupy", "cuda", "Device")),
    ("cupy_arrays.py", "RawKernel", ("cupy", "RawKernel")),
    ("cupy_arrays.py", "RawModule", ("cupy", "RawModule")),
]
"""Classes of the fake for other packages."""


@pytest.mark.parametrize(("file", "name", "chain"), OTHERS, ids=[name for _, name, _ in OTHERS])
def test_the_classes_of_the_fake_take_what_those_of_the_packages_take(
    file: str, name: str, chain: tuple[str, ...]
) -> None:
    tree = ast.parse((FAKE / file).read_text())
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    start = next(node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    ours = [each.name for each in real.of_arguments(start.args)[1:]]
    assert ours in [[each.name for each in one.parameters] for one in real.signatures(chain)]
    for node in found.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            assert hasattr(real.resolved(chain), node.name), node.name


@pytest.mark.parametrize("path", [path.relative_to(GPU) for path in sources(GPU)], ids=str)
def test_the_source_calls_the_packages_by_their_signatures(path: Path) -> None:
    assert problems(ast.parse((GPU / path).read_text())) == []


def test_the_fake_has_what_the_source_uses() -> None:
    from fake_gpu import Machine

    machine = Machine()
    missing = set()
    for path in sources(GPU):
        for _, chain in chains(ast.parse(path.read_text())):
            found: object = machine
            for name in chain:
                found = getattr(found, name, None)
            if found is None:
                missing.add(".".join(chain))
    assert missing == set()


WRONG = {
    "cuda.plc.unary.cast(column, dtype)": "2: plc.unary.cast: is not given stream=",
    "cuda.plc.unary.cast(column, stream=s)": "2: plc.unary.cast: is not given 'data_type'",
    "cuda.plc.unary.cast(column, dtype, s)": "2: plc.unary.cast: is not given stream=",
    "cuda.plc.unary.cast(column, dtype, type=1, stream=s)": "2: plc.unary.cast: has no parameter 'type'",
    "cuda.plc.unary.cast(column, dtype, input=column, stream=s)": "2: plc.unary.cast: is given 'input' twice",
    "cuda.plc.unary.is_null(1, 2, 3, 4)": "2: plc.unary.is_null: takes 3 positional arguments, and is given 4",
    "cuda.plc.unary.casts(column)": "2: plc.unary.casts does not exist",
    "cuda.plc.Scalar.from_py(1)": "2: plc.Scalar.from_py: is not given stream=",
    "cuda.plc.TypeId.FLOAT16": "2: plc.TypeId.FLOAT16 does not exist",
    # The stub's name of the parameter, not the function's.
    "cuda.plc.Table.from_arrow(arrow_like=batch, stream=s)": "2: plc.Table.from_arrow: has no parameter 'arrow_like'",
    "cuda.plc.interop.ColumnMetadata(zone='UTC')": "2: plc.interop.ColumnMetadata: has no parameter 'zone'",
    "partial(cuda.plc.unary.cast, typ=1)": "2: plc.unary.cast: has no parameter 'typ'",
    "cuda.rmm.mr.LimitingResourceAdaptor(pool)": "2: rmm.mr.LimitingResourceAdaptor: is not given 'allocation_limit'",
    "cuda.cupy.cuda.Event(timing=False)": "2: cupy.cuda.Event: has no parameter 'timing'",
    "cuda.cupy.RawKernel(code)": "2: cupy.RawKernel: is not given 'name'",
    "cuda.cupyx.empty_pinned((1,), kind='u1')": "2: cupyx.empty_pinned: has no parameter 'kind'",
    "import pylibcudf": "2: pylibcudf is imported by arrowstream.gpu.libraries only",
    "from rmm.mr import CudaMemoryResource": "2: rmm.mr is imported by arrowstream.gpu.libraries only",
}


@pytest.mark.parametrize(("line", "problem"), WRONG.items(), ids=WRONG)
def test_a_wrong_call_is_found(line: str, problem: str) -> None:
    found = problems(ast.parse(f"from arrowstream.gpu import libraries as cuda\n{line}\n"))
    assert any(each.startswith(problem) for each in found), found


RIGHT = """
from typing import TYPE_CHECKING
from arrowstream.gpu import libraries as cuda
if TYPE_CHECKING:
    import pylibcudf as plc
    from rmm.pylibrmm.stream import Stream
def upload(batch, stream: "Stream", columns: "list[plc.Column]", *more, **options) -> plc.Table:
    table = cuda.plc.Table.from_arrow(batch, stream=stream)
    cast = partial(cuda.plc.unary.cast, table.columns()[0])
    cuda.plc.copying.slice(*more, stream=stream)
    cuda.plc.unary.is_null(**options)
    kind = cuda.plc.TypeId["INT64"]
    return cast(cuda.plc.DataType(kind), stream=stream)
"""


def test_right_calls_are_not_blamed() -> None:
    assert problems(ast.parse(RIGHT)) == []


@pytest.mark.parametrize("path", [path.relative_to(GPU) for path in sources(GPU)], ids=str)
def test_each_call_of_the_source_is_looked_at(path: Path) -> None:
    """If all are given one argument more, and lose their streams, all are found."""
    tree = ast.parse((GPU / path).read_text())
    expected: list[str] = []
    for call in _calls(tree):
        chain = tuple(ast.unparse(call.func).split(".")[1:])
        for known in real.signatures(chain):
            expected += [f"{call.lineno}: {'.'.join(chain)}: has no parameter 'unheard_of'"]
            if "stream" in {each.name for each in known.parameters}:
                expected += [f"{call.lineno}: {'.'.join(chain)}: is not given stream="]
        call.keywords = [each for each in call.keywords if each.arg not in ("stream", None)]
        call.keywords.append(ast.keyword("unheard_of", ast.Constant(1)))
    assert Counter(expected) <= Counter(problems(tree))


def _calls(tree: ast.Module) -> list[ast.Call]:
    named = {id(node) for node, _ in chains(tree)}
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node.func) in named]
