"""The probes that measure what tests reach, beside the tracer of coverage.py."""

import ast
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import coverage
import pytest

from tools.probes.arcs import arcs
from tools.probes.instrument import PROBES, instrument
from tools.probes.run import run, write

pytestmark = [pytest.mark.once, pytest.mark.untraced]

SOURCE = '''
"""A module with every kind of statement that has statements in it."""
from __future__ import annotations

import contextlib
import functools


@functools.cache
def branches(x: int) -> str:
    """Which of them."""
    global seen
    if x > 5:
        found = "large"
    elif (
        x > 3
        and x != 17
    ):
        found = "middle"
    else:
        if x < 0:
            found = "negative"
        found = "small"
    if x == 4:
        found += "!"
    seen = x
    return found


def loops(n: int) -> int:
    total = 0
    for i in range(n):
        if i == 3:
            continue
        total += i
        if total > 20:
            break
    else:
        total = -total
    while n > 2:
        n -= 1
        with contextlib.suppress(KeyError):
            if n == 3:
                raise KeyError
            total += 1
    while True:
        total += 1
        if total > 0:
            return total


def cases(value: object) -> str:
    match value:
        case int() if value > 3:
            kind = "large"
        case int():
            kind = "int"
        case [first, *_]:
            kind = f"list of {first}"
    match value:
        case str() | bytes():
            return "text"
        case everything:
            return f"{kind} {everything}"


def handlers(error: Exception | None) -> str:
    try:
        if error:
            raise error
    except KeyError:
        return "key"
    except (ValueError, TypeError) as found:
        name = type(found).__name__
    else:
        name = "none"
    finally:
        last = 1
    return name


class Values:
    """A class."""

    text = "a"
    if text == "b":
        other = 1

    def each(self, n):
        with contextlib.nullcontext():
            for i in range(n):
                yield i if n > 1 else -i


async def later(n):
    async def inner():
        return n

    async with contextlib.AsyncExitStack():
        if n > 1:
            return await inner()
'''

CALLS = {
    "nothing": (),
    "large": ("branches(9)",),
    "all branches": tuple(f"branches({x})" for x in (9, 5, 4, 17, 0, -1)),
    "no loop": ("loops(0)",),
    "a short loop": ("loops(3)",),
    "loops": ("loops(0)", "loops(2)", "loops(5)", "loops(30)"),
    "the last case": ("cases([1])",),
    "the first case": ("cases(5)",),
    "cases": ("cases(5)", "cases(1)", "cases([])", "cases('s')"),
    "no error": ("handlers(None)",),
    "the second handler": ("handlers(ValueError())",),
    "both handlers": ("handlers(KeyError())", "handlers(TypeError())"),
    "a generator": ("list(Values().each(2))",),
    "one that is left": ("next(Values().each(3))", "next(Values().each(0), None)"),
    "a coroutine": ("asyncio.run(later(2))",),
    "coroutines": ("asyncio.run(later(2))", "asyncio.run(later(1))"),
}


def report(settings: coverage.Coverage, path: Path) -> tuple[Any, ...]:
    settings.json_report(outfile=str(path.with_suffix(".json")))
    [found] = json.loads(path.with_suffix(".json").read_text())["files"].values()
    return tuple(found[name] for name in ("executed_lines", "missing_lines", "missing_branches"))


def execute(code: Any, calls: tuple[str, ...], **names: object) -> None:
    names |= {"__name__": "measured", "asyncio": __import__("asyncio")}
    exec(code, names)
    for call in calls:
        with suppress(UnboundLocalError):  # no case has named it
            eval(call, names)


def noted(path: Path, calls: tuple[str, ...]) -> coverage.Coverage:
    tree, facts = instrument(ast.parse(path.read_text()), 0)
    reached = bytearray(len(facts))
    execute(compile(tree, str(path), "exec"), calls, **{PROBES: reached})
    settings = coverage.Coverage(data_file=None, branch=True, config_file=False)
    found = [fact for here, each in zip(reached, facts, strict=True) if here for fact in each]
    settings.get_data().add_arcs(
        {str(path): arcs(path, found, [f for each in facts for f in each], settings)}
    )
    return settings


@pytest.mark.parametrize("name", CALLS)
def test_probes_note_what_a_tracer_sees(name: str, tmp_path: Path) -> None:
    path = tmp_path / "measured.py"
    path.write_text(SOURCE)
    tracer = coverage.Coverage(data_file=None, branch=True, config_file=False, include=[str(path)])
    tracer.start()
    try:
        execute(compile(SOURCE, str(path), "exec"), CALLS[name])
    finally:
        tracer.stop()
    assert report(noted(path, CALLS[name]), path) == report(tracer, path)


UNHANDLED = """\
def f():
    try:
        return {}[1]
    except OSError:
        pass


try:
    f()
except KeyError:
    pass
"""


def test_a_handler_that_takes_nothing_is_not_reached(tmp_path: Path) -> None:
    """A tracer sees its line, and only what is in it is missed."""
    path = tmp_path / "measured.py"
    path.write_text(UNHANDLED)
    assert report(noted(path, ()), path) == ([1, 2, 3, 8, 9, 10, 11], [4, 5], [])


TOY = """
import os
import signal


def end(now):
    if now:
        os.kill(os.getpid(), signal.SIGKILL)
    return now


def compiled(n):
    return n
"""


def test_what_a_killed_process_noted_stays(tmp_path: Path) -> None:
    package, folder = tmp_path / "arrowstream", tmp_path / "probes"
    package.mkdir()
    folder.mkdir()
    (package / "__init__.py").write_text("from arrowstream.toy import end\n")
    (package / "toy.py").write_text(TOY)
    plain = {(str(package / "toy.py"), 12)}
    facts = write(folder, package, plain)
    code = f"""
        import os, subprocess, sys
        os.chdir({str(tmp_path)!r})
        import arrowstream
        arrowstream.end(False)
        if sys.argv[1:]:
            end = "import arrowstream.toy as t; assert t.compiled.__code__.co_names == (); t.end(True)"
            assert subprocess.run([sys.executable, "-c", end]).returncode == {-signal.SIGKILL}
        sys.exit(5)
    """
    command = [sys.executable, "-c", dedent(code)]
    status, reached = run(command, folder)
    probes = [fact for each in facts.values() for fact in each]
    assert status == 5 and len(reached) == len(probes)
    assert [fact for here, fact in zip(reached, probes, strict=True) if not here] == [[(7, 8), (8, 8)]]
    status, reached = run([*command, "and kill one"], folder)
    assert status == 5 and all(reached)
