"""Pages of the documentation that run: their blocks, in order, in one folder."""

import re
import shlex
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from arrowstream.cli.commands import app
from arrowstream.jobs.job import Job

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("pip", "make")
"""Commands of a page that other tests run, or that set the environment up."""

KAFKA = "localhost:9092"
"""The address of a broker on a page."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run_page(page: Path, kafka: str = KAFKA) -> tuple[dict[str, Any], str]:
    """Run every block in the current folder; return the names that Python defined, and what commands printed.

    A block of TOML is a file, whose name is in its first line, and a job unless it is the file of settings. The
    broker of the blocks is at the address `kafka`.
    """
    namespace: dict[str, Any] = {}
    printed = ""
    for language, block in blocks(page):
        text = block.replace(KAFKA, kafka)
        if language == "python":
            exec(compile(text, page.name, "exec"), namespace)
        elif language == "toml":
            name = text.splitlines()[0].removeprefix("# ")
            Path(name).write_text(text)
            if name != "arrowstream.toml":
                Job.load(name).pipeline()
        else:
            assert language == "sh", f"a block of {language!r} does not run"
            printed += "".join(map(_run, text.splitlines()))
    return namespace, printed


def _run(line: str) -> str:
    command, *arguments = shlex.split(line, comments=True)
    if command in ELSEWHERE:
        return ""
    assert command == "arrowstream", line
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output
