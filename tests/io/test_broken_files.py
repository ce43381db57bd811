"""Damaged files are read as strict readers read them, or refused; `make broken-files` tries thousands of them."""

from pathlib import Path

import pytest

from tools.broken_files import child
from tools.broken_files.__main__ import GOOD
from tools.broken_files.judges import Judged


def verdicts(numbers: range, folder: Path) -> dict[int, str]:
    return {number: child.verdict(number, 7, folder, lambda step: None)[0] for number in numbers}


@pytest.mark.untraced
def test_some_damaged_files_of_each_format(tmp_path: Path) -> None:
    found = verdicts(range(100), tmp_path)
    assert {number: what for number, what in found.items() if what not in GOOD} == {}
    for format in range(len(child.FORMATS)):
        assert {"same", "refused"} <= {found[number] for number in range(format, 100, len(child.FORMATS))}


@pytest.mark.once
@pytest.mark.untraced
def test_a_reader_that_loses_a_row_or_a_value_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = range(0, 100, 4)
    sound = [number for number, what in verdicts(numbers, tmp_path).items() if what == "same"]
    honest = child.read

    def without_the_last_row(file: Path, format: child.Format) -> tuple[Judged, object]:
        found, schema = honest(file, format)
        return found._replace(rows=found.rows[:-1]), schema

    monkeypatch.setattr(child, "read", without_the_last_row)
    found = verdicts(numbers, tmp_path)
    assert sound and {found[number] for number in sound} == {"DIFFERENT"}

    def with_a_text_cut(file: Path, format: child.Format) -> tuple[Judged, object]:
        found, schema = honest(file, format)
        return found._replace(rows=[{**row, "name": (row["name"] or "")[:-1]} for row in found.rows]), schema

    monkeypatch.setattr(child, "read", with_a_text_cut)
    assert "DIFFERENT" in verdicts(numbers, tmp_path).values()


def test_an_untyped_error_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Path, format: child.Format) -> tuple[Judged, object]:
        raise ZeroDivisionError

    monkeypatch.setattr(child, "read", fail)
    assert verdicts(range(1), tmp_path) == {0: "untyped error"}
