"""Modules that are not imported for their mark are those whose tests it leaves out, and no others."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = [pytest.mark.once, pytest.mark.untraced]

TESTS = Path(__file__).parent


def marks_of(module: Path) -> set[str]:
    """The names in the value of `pytestmark`, as Python reads the module: the last one counts."""
    found = set[str]()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            found = {part.attr for part in ast.walk(node.value) if isinstance(part, ast.Attribute)}
    return found


def left_out(request: pytest.FixtureRequest, expression: str) -> set[Path]:
    """The modules that are not imported when tests are chosen by this expression."""
    conftest = request.config.pluginmanager.get_plugin(str(TESTS / "conftest.py"))
    assert conftest is not None
    config = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    return {path for path in TESTS.rglob("*.py") if conftest.pytest_ignore_collect(path, config)}


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("not once", {"once"}),
        ("not (hypothesis or untraced or thorough)", {"hypothesis", "untraced", "thorough"}),
    ],
)
def test_a_module_is_left_out_only_for_its_mark(
    expression: str, names: set[str], request: pytest.FixtureRequest
) -> None:
    found = left_out(request, expression)
    assert Path(__file__) in found
    assert {path for path in found if not names & marks_of(path)} == set()


@pytest.mark.parametrize(
    "expression",
    ["", "once", "not gpu", "not once or hypothesis", "(hypothesis or untraced) and not thorough"],
)
def test_other_expressions_leave_no_module_out(expression: str, request: pytest.FixtureRequest) -> None:
    assert left_out(request, expression) == set()
