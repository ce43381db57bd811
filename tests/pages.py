"""Pages of the documentation that run: their blocks, in order, in one folder."""

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from arrowstream.cli.commands import app
from arrowstream.jobs.job import Job

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("pip", "make", "python3", "systemctl", "docker", "kubectl", "curl")
"""Commands of a page that other tests run, or that set the environment up."""

READ_ELSEWHERE = {"ini", "dockerfile", "yaml", "sql"}
"""Languages of blocks that other tests read."""

KAFKA = "localhost:9092"
"""The address of a broker on a page."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run_page(page: Path, kafka: str = KAFKA) -> tuple[dict[str, Any], str]:
    """Run every block in the current folder; return the names that Python defined, and what commands printed.

    A block of TOML is a file, whose name is in its first line, and a job unless it is the file of settings. The
    broker of the blocks is at the address `kafka`. A block of text is what the block of Python before it has printed.
    """
    namespace: dict[str, Any] = {}
    printed = written = ""
    for language, block in blocks(page):
        text = block.replace(KAFKA, kafka)
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(text, page.name, "exec"), namespace)
            written = out.getvalue()
            print(written, end="")
        elif language == "text":
            assert _trimmed(written) == _trimmed(text), written
        elif language == "toml":
            name = text.splitlines()[0].removeprefix("# ")
            Path(name).write_text(text)
            if name != "arrowstream.toml":
                Job.load(name).pipeline()
        elif language not in READ_ELSEWHERE:
            assert language == "sh", f"a block of {language!r} does not run"
            printed += "".join(map(_run, text.splitlines()))
    return namespace, printed


def _trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _run(line: str) -> str:
    command, *arguments = shlex.split(line, comments=True)
    if Path(command).name in ELSEWHERE:
        return ""
    assert command == "arrowstream", line
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output
