"""Every extra that a text names can be installed."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_extra_that_is_named_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    places = [*(ROOT / "arrowstream").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        extra
        for path in places
        for pattern in (
            r"(?:arrowstream|\.)\[(\w+)\]'",
            r"[Ee]xtra[: ]+[\'`]+(\w+)[\'`]",
            r"\(extra: (\w+)\)",
        )
        for extra in re.findall(pattern, path.read_text())
    }
    assert named >= {"cli", "excel", "metrics", "gpu"}
    assert named <= set(project["optional-dependencies"])
