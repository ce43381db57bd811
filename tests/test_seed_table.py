"""Every row of docs/seed.md names a test that exists, and every test of tests/test_seed.py is named by a row."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def rows() -> list[list[str]]:
    """The cells of the rows of all tables, without their heads."""
    lines = (ROOT / "docs" / "seed.md").read_text().splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")
    ]
    return [row for row in cells if row[0] != "the ancestor" and not row[0].startswith("---")]


def shown() -> set[str]:
    tree = ast.parse((ROOT / "tests" / "test_seed.py").read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_row_says_what_shows_it() -> None:
    assert len(rows()) > 50
    for row in rows():
        assert len(row) == 3, row
        assert re.search(r"`test_\w+`|not yet|benchmarks", row[2]), row


def test_rows_and_tests_are_the_same() -> None:
    named = {name for row in rows() for name in re.findall(r"`(test_\w+)`", row[2])}
    assert named == shown()
