"""What is distributed: all that a checkout has as source, and metadata that agrees with itself."""

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALWAYS = {"pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "arrowstream"}
"""What setuptools puts into every source distribution of this project."""

MADE = {"PKG-INFO", "setup.cfg", "build", "dist", "out", "arrowstream.egg-info"}
"""What building and running leave in the folder."""


def manifest() -> dict[str, str]:
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {target: command for command, target in pairs}


def test_a_source_distribution_holds_every_file_of_the_checkout() -> None:
    included = manifest()
    found = {entry.name for entry in ROOT.iterdir() if not entry.name.startswith(".")} - ALWAYS - MADE
    assert found == {target for target in included if "*" not in target and not target.startswith(("_", "."))}
    for name in found:
        assert included[name] == ("graft" if (ROOT / name).is_dir() else "include")
    assert included[".ci/run"] == "include"


def test_every_supported_python_has_a_classifier_and_is_tested() -> None:
    declared = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    tested = re.search(r"^PYTHONS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tested is not None
    assert [f"python{version}" for version in declared] == tested[1].split()
    assert PROJECT["requires-python"] == f">={declared[0]}"


def test_classifiers_are_sorted_and_not_repeated() -> None:
    assert PROJECT["classifiers"] == sorted(set(PROJECT["classifiers"]))


@pytest.mark.parametrize("file", ["pyproject.toml", "README.md", "Makefile"])
def test_no_address_is_made_up(file: str) -> None:
    """The project has no public address yet, so its metadata names none."""
    hosts = set(re.findall(r"https?://([\w.-]+)", (ROOT / file).read_text()))
    assert hosts <= {"arrow.apache.org", "pola.rs"}
    assert "urls" not in PROJECT


def test_every_target_of_make_that_is_named_has_a_recipe() -> None:
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert declared is not None
    recipes = set(re.findall(r"^([a-z-]+):[^\n]*\n\t", makefile, re.MULTILINE))
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {name for page in pages for name in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert "demo-kafka" in named
    assert named | set(declared[1].split()) == recipes
