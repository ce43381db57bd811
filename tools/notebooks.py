"""Execute the notebooks in `notebooks/` and keep what their cells show: ``python -m tools.notebooks [NAME ...]``.

A cell with the tag ``varies`` shows times or other figures that differ from run to run: it keeps the outputs that it
has, as long as its source is the same.
"""

from __future__ import annotations

import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
VARIES = "varies"

_NEEDED = (".data", "examples")
"""What the notebooks read outside of their folder."""

_KEPT = {"text/plain", "text/html", "image/svg+xml"}
"""The forms of an output that are kept, if they need no script: widgets need an editor."""

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(path: Path) -> NotebookNode:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call,no-any-return]


def executed(notebook: NotebookNode) -> NotebookNode:
    """Run all cells of a copy, in a new folder like the checkout's; a cell that fails raises its error."""
    copy = deepcopy(notebook)
    with tempfile.TemporaryDirectory() as folder:
        for name in _NEEDED:
            Path(folder, name).symlink_to((ROOT / name).resolve())
        place = Path(folder, NOTEBOOKS.name)
        place.mkdir()
        # Sockets in a folder of its own: kernels that start at the same time never want the same port.
        config = Config(ConnectionFileMixin={"transport": "ipc", "ip": f"{folder}/kernel"})
        client = NotebookClient(
            copy, config=config, kernel_name="python3", timeout=120, coalesce_streams=True
        )
        client.execute(cwd=str(place))
    return normal(copy)


def normal(notebook: NotebookNode) -> NotebookNode:
    """Keep of a notebook what is the same on every machine."""
    notebook.metadata = nbformat.from_dict(_METADATA)  # type: ignore[no-untyped-call]
    for number, cell in enumerate(code_cells(notebook), 1):
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.get("tags", [])})  # type: ignore[no-untyped-call]
        cell.execution_count = number
        cell.outputs = [kept for output in cell.outputs if (kept := _kept(output, number)) is not None]
    return notebook


def _kept(output: NotebookNode, number: int) -> NotebookNode | None:
    if output.output_type == "stream":
        return output
    output.metadata = {}
    output.data = {
        kind: text for kind, text in output.data.items() if kind in _KEPT and "<script" not in text
    }
    if output.output_type == "execute_result":
        output.execution_count = number
    return output


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells with code, in their order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def varies(cell: NotebookNode) -> bool:
    """Return True if a cell shows something else in each run."""
    return VARIES in cell.metadata.get("tags", [])


def shown(cell: NotebookNode) -> list[str]:
    """Return what a cell has printed and shown, as text."""
    return [output.text if "text" in output else output.data["text/plain"] for output in cell.outputs]


def with_stored(notebook: NotebookNode, stored: NotebookNode) -> NotebookNode:
    """Put the stored outputs of cells that vary into an executed notebook, for the cells that are as they were."""
    before: dict[str, Any] = {cell.source: cell.outputs for cell in code_cells(stored) if cell.outputs}
    for cell in code_cells(notebook):
        if varies(cell):
            cell.outputs = before.get(cell.source, cell.outputs)
    return notebook


def main(names: list[str]) -> None:
    """Execute the notebooks of these names, or all."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        print(path.name, flush=True)
        stored = read(path)
        notebook = with_stored(executed(stored), stored)
        nbformat.write(normal(notebook), path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1:])
