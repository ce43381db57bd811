"""What a notebook has stored, in a real browser without the network."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tools.notebooks import NOTEBOOKS, code_cells, read

pytestmark = [pytest.mark.once, pytest.mark.untraced]

SHOTS = Path(os.environ.get("SCREENSHOTS", "build/screenshots"))


def stored(name: str) -> list[str]:
    """The outputs of a notebook that a browser shows, in their order."""
    outputs = [output for cell in code_cells(read(NOTEBOOKS / name)) for output in cell.outputs]
    data = [output.get("data", {}) for output in outputs]
    return [each[form] for each in data for form in ("text/html", "image/svg+xml") if form in each]


@pytest.mark.parametrize("name", ["1-first-pipeline.ipynb", "6-joins-and-sql.ipynb", "8-live.ipynb"])
def test_the_graphs_and_tables_of_a_notebook_are_seen_without_the_network(
    name: str, page: Page, tmp_path: Path
) -> None:
    shown = stored(name)
    file = tmp_path / "notebook.html"
    file.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>notebook</title><body>"
        + "".join(f"<section>{each}</section>" for each in shown)
    )
    page.goto(file.as_uri())
    graphs = page.locator("svg.as-graph")
    expect(graphs).to_have_count(sum(each.count('<svg class="as-graph"') for each in shown))
    folded = page.locator("details:has(svg.as-graph) > summary")  # that of a run, below its figures
    for number in range(folded.count()):
        folded.nth(number).click()
    for number in range(graphs.count()):
        expect(graphs.nth(number)).to_be_visible()
        size = graphs.nth(number).bounding_box()
        assert size is not None and size["width"] > 100 and size["height"] > 30
    plots = page.locator("svg.marks")
    expect(plots).to_have_count(1 if name.startswith("8") else 0)
    if plots.count():
        expect(plots).to_be_visible()
        expect(plots).to_contain_text("rows out / s")
    expect(page.get_by_role("table").first).to_be_visible()
    assert page.evaluate("document.scripts.length") == 0
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"notebook-{Path(name).stem}.png", full_page=True)
