"""The measurements of a GPU run; kept figures belong to the code that is here, or are said to be older."""

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from arrowstream.backends.registry import register_backend, unregister_backend
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import contract

pytestmark = [pytest.mark.once, pytest.mark.untraced]

REPORT = """<testsuites><testsuite tests="4" failures="1" errors="0" skipped="1">
<testcase classname="tests.gpu.test_x" name="good"/>
<testcase classname="tests.gpu.test_x" name="bad[1]"><failure message="no"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def subject(backend: Any) -> Any:
    from benchmarks.gpu.subject import Subject

    register_backend(backend)
    yield Subject("gpu", backend._device())
    unregister_backend("gpu")


def test_transfers_and_chains_give_figures(subject: Any) -> None:
    from benchmarks.gpu import chains, transfers

    moved, bare = transfers.run(subject, "tiny")
    section = chains.run(subject, "tiny", bare)
    assert {figure.unit for figure in moved.figures} == {"GB/s"}
    for figure in (*moved.figures, *section.figures):
        assert figure.what
        assert figure.value > 0
        assert math.isfinite(figure.value) or "pays from" in figure.what
    assert sum(figure.at_least is not None for figure in section.figures) == 2


def test_the_choice_gives_figures(subject: Any) -> None:
    from benchmarks.gpu import choice

    section = choice.run(subject, "tiny")
    assert all(figure.value > 0 and figure.at_least == choice.CLOSE for figure in section.figures)


def test_the_report_of_the_tests_on_a_device() -> None:
    section = contract.section(ElementTree.fromstring(REPORT))
    assert [(figure.value, figure.met) for figure in section.figures] == [(3, True), (1, False), (1, False)]
    assert section.notes == ("failed: tests.gpu.test_x.bad[1]",)


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "missing", lambda: "this machine has no NVIDIA GPU")
    with pytest.raises(SystemExit, match="nothing is measured: this machine has no NVIDIA GPU"):
        command.main([])


def stale(text: str, here: str) -> str | None:
    """Why the figures of a GPU do not stand for the code that is here, if so."""
    found = re.search(rf"^- {command.HASH}(\w+)$", text, re.MULTILINE)
    if found is None:
        return (
            None if re.search(r"^No GPU has been measured yet", text, re.MULTILINE) else "they name no code"
        )
    return None if found[1] == here else f"they are of the code {found[1]}, this is {here}"


def test_kept_figures_belong_to_the_code_or_are_older() -> None:
    pytest.importorskip("pylibcudf", exc_type=ImportError)
    from benchmarks.gpu.subject import source_hash

    text = Path(command.RESULTS).read_text()
    if "No GPU has been measured yet" in text:
        assert not re.search(r"\d (GB/s|M rows/s)", text), "figures that no device gave"
    elif (reason := stale(text, source_hash())) is not None:
        pytest.skip(
            f"benchmarks/gpu-results.md is out of date: {reason}; `make bench-gpu` on a machine with a GPU"
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# GPU results\n\nNo GPU has been measured yet. ...", None),
        ("# GPU results\n\n- H200\n- code abc\n", None),
        ("# GPU results\n\n- H200\n- code abd\n", "they are of the code abd, this is abc"),
        ("# GPU results\n\n- H200\n", "they name no code"),
    ],
)
def test_figures_of_other_code_are_noticed(text: str, expected: str | None) -> None:
    assert stale(text, "abc") == expected
