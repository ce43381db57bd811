"""The page of results, tests/mutation.md."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from tools.mutation.mutants import FOLDERS, Mutant
from tools.mutation.remarks import equivalents, mark
from tools.mutation.results import Result, latest, mended
from tools.mutation.sample import Census

TRIED = ("killed", "timeout", "survived")
COLUMNS = ("killed", "mended", "timeout", "survived")
LIBRARIES = ("cosmic-ray", "polars", "pyarrow", "pytest", "hypothesis")
PARTS = {f"{folder}/": f"arrowstream/{folder}/" for folder in FOLDERS}

CARE = """
*Killed* are those that a test noticed when they were first tried, *mended* those that one notices now that more tests
were written or chosen for them. The rate is of killed among all that were tried, with its 95 % interval (Wilson): an
estimate for all mutants, which the mended ones are left out of. The last column leaves out those that are equivalent,
as said below. Of these, some change what a step costs, such as how often it tidies up, and not what comes out.\
"""
INTRODUCTION = """\
# Mutation testing

Made by `make mutation` (`tools/mutation`, where its README says how it works); do not edit. arrowstream is changed
in one place, by one of cosmic-ray's operators, and the tests that run the changed line are run until one fails: then
the mutant is *killed*. One that makes the tests hang, or take far longer, is a *timeout*, and not counted as killed.\
"""


def write(root: Path, folder: Path, counted: Census, drawn: list[Mutant], seed: int) -> None:
    """Write the section of the parts that were counted from the results there are; sections of others stay."""
    done = latest(folder)
    sources = {path: (root / path).read_text() for path in counted.places}
    found = [done.get(mutant.key(sources[mutant.path])) for mutant in drawn]
    results = [result for result in found if result is not None and result.outcome != "not made"]
    odd = Counter(result.outcome for result in results if result.outcome not in TRIED)
    assert not odd, f"trials that came to nothing: {odd}"
    parts = [name for name, start in PARTS.items() if any(path.startswith(start) for path in counted.places)]
    pages = (
        ["", f"## {', '.join(parts)}"],
        figures(counted, results, len(found), seed),
        left_out(counted),
        table(results, parts, mended(folder)),
        survivors(results),
    )
    section = "\n".join(line for page in pages for line in page)
    page = root / "tests" / "mutation.md"
    kept = [other for other in sections(page.read_text()) if not {*titles(other)} & {*parts}]
    page.write_text("\n".join([INTRODUCTION, section, *kept]) + "\n")


def sections(page: str) -> list[str]:
    """The sections of a page, each with the empty line before its title."""
    return [f"\n## {text.rstrip()}" for text in page.split("\n## ")[1:]]


def titles(section: str) -> list[str]:
    """The parts that a section is about."""
    return section.splitlines()[1].removeprefix("## ").split(", ")


def figures(counted: Census, results: list[Result], drawn: int, seed: int) -> Iterator[str]:
    """When, with what, how much."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    places = sum(map(len, counted.places.values()))
    yield ""
    yield f"{datetime.date.today()}, Python {python_version()}, {versions}."
    yield f"{counted.mutants:,} mutants at {places:,} places. Of those at one place, which differ only in what is put"
    yield f"in, one is drawn, and of the places {drawn:,}, the same share of each file (seed {seed});"
    yield f"{len(results):,} of these were tried."


def left_out(counted: Census) -> Iterator[str]:
    """What is not mutated."""
    yield from ("", "Left out before the draw:", "", "| mutants | what |", "|--:|---|")
    for reason, count in counted.left_out.most_common():
        yield f"| {count:,} | {reason} |"


def table(results: list[Result], parts: list[str], later: set[str]) -> Iterator[str]:
    """Rates by folder; `later` has the keys of those that are killed only since tests were written for them."""
    remarks = equivalents()
    yield CARE
    yield from (
        "",
        "| part | tried | killed | mended | timeout | survived | rate | equivalent | rate without |",
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for name, start in {**{part: PARTS[part] for part in parts}, "all": ""}.items():
        part = [result for result in results if result.path.startswith(start)]
        count = Counter("mended" if result.key in later else result.outcome for result in part)
        same = sum(1 for result in part if result.outcome != "killed" and mark(result) in remarks)
        rates = rate(count["killed"], len(part)), str(same), rate(count["killed"], len(part) - same)
        yield f"| {' | '.join([name, f'{len(part):,}', *(f'{count[each]:,}' for each in COLUMNS), *rates])} |"


def rate(killed: int, tried: int) -> str:
    """A share in per cent with its interval."""
    if not tried:
        return "none"
    z = 1.96
    share = killed / tried
    middle = (share + z * z / (2 * tried)) / (1 + z * z / tried)
    half = z / (1 + z * z / tried) * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    return f"{share:.1%} ({middle - half:.1%} to {middle + half:.1%})"


def survivors(results: list[Result]) -> Iterator[str]:
    """Every mutant that no test failed for, with what is known about it."""
    remarks = equivalents()
    yield from ("", "### Not killed", "", "| where | before | after | |", "|---|---|---|---|")
    for result in sorted(results, key=lambda each: (each.path, each.line, each.operator)):
        if result.outcome != "killed":
            why = remarks.get(mark(result))
            kind = f"equivalent: {why}" if why else "open" if result.outcome == "survived" else "timeout"
            where = f"{result.path.removeprefix('arrowstream/')}:{result.line}"
            yield f"| {where} | {code(result.before)} | {code(result.after)} | {kind} |"


def code(text: str) -> str:
    """Text in a table's cell."""
    return "`" + text.replace("|", "\\|") + "`" if text else "(nothing)"
