"""What people have found out about mutants that no test can notice."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tools.mutation.results import Result

REMARKS = Path(__file__).with_name("remarks.toml")


def mark(result: Result) -> tuple[str, str, str]:
    """By what a remark is found: lines move, what they say stays."""
    return result.path, result.before, result.after


def equivalents() -> dict[tuple[str, str, str], str]:
    """The remarks on mutants that no test can notice."""
    entries = tomllib.loads(REMARKS.read_text()).get("equivalent", [])
    return {(f"arrowstream/{each['path']}", each["before"], each["after"]): each["why"] for each in entries}
