"""The notebooks run, and show what is stored in them."""

import re
from pathlib import Path

import pytest
from pages import ROOT

from tools.notebooks import NOTEBOOKS, code_cells, executed, read, shown, varies, with_stored

pytestmark = [pytest.mark.once, pytest.mark.untraced]

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_is_stored_in_it(path: Path) -> None:
    stored = read(path)
    for cell, before in zip(code_cells(executed(stored)), code_cells(stored), strict=True):
        if varies(cell):
            assert [output.output_type for output in cell.outputs] == [
                output.output_type for output in before.outputs
            ], cell.source
        else:
            assert shown(cell) == shown(before), f"make notebooks, and look at: {cell.source}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_has_nothing_of_one_machine(path: Path) -> None:
    notebook, text = read(path), path.read_text()
    assert 8 <= len(notebook.cells) <= 15
    assert notebook.cells[0].source.startswith(f"# {path.name[0]}. ")
    assert all(len(cell.source.splitlines()) <= 40 for cell in notebook.cells)
    assert len(text) < 100_000
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert any("<svg" in output.get("data", {}).get("text/html", "") for output in outputs)
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    plots = {"image/svg+xml"} if ".plot()" in text else set()
    assert kinds == {"text/plain", "text/html", *plots}
    assert {output.name for output in outputs if output.output_type == "stream"} <= {"stdout"}
    assert not re.search(r"/tmp/|/home/|/root/|/work/|https?://(?!pola\.rs|www\.w3\.org|127\.0\.0\.1)", text)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_to_files(path: Path) -> None:
    prose = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", "\n".join(prose))
    assert targets
    assert [each for each in targets if "://" not in each and not (NOTEBOOKS / each).is_file()] == []


def test_there_are_nine_and_the_readme_leads_to_the_first() -> None:
    assert [path.name[:2] for path in PATHS] == [f"{number}-" for number in range(1, 10)]
    assert f"(notebooks/{PATHS[0].name})" in (ROOT / "README.md").read_text()


def test_a_cell_that_varies_keeps_its_outputs_while_its_source_is_the_same() -> None:
    stored, made = read(PATHS[0]), read(PATHS[0])
    cell = next(each for each in code_cells(made) if varies(each))
    before = cell.outputs
    cell.outputs = []
    assert with_stored(made, stored) and cell.outputs == before
    cell.source, cell.outputs = "1", []
    assert with_stored(made, stored) and cell.outputs == []
