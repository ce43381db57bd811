"""The columns that cross over to a device and back."""

import pytest
from devices import Selective

from arrowstream.plan.placement.columns import ColumnUse, column_use, needed, unchanged

pytestmark = pytest.mark.once


def test_an_evaluator_says_which_columns_it_reads_or_reads_all() -> None:
    selective = Selective(lambda batch: batch, frozenset("x"), {"y": "x"})
    assert column_use(selective, "xyz") == ColumnUse(frozenset("x"), {"y": "x"})
    assert column_use(lambda batch: batch, "xyz") == ColumnUse(frozenset("xyz"), {})


def test_what_later_stages_read_is_needed_before_the_first_if_it_passes_unchanged() -> None:
    first = ColumnUse(frozenset("x"), {"x": "x", "b": "y"})
    second = ColumnUse(frozenset("bz"), {"x": "x", "c": "b"})
    third = ColumnUse(frozenset("c"), {})
    assert needed([first]) == frozenset("x")
    assert needed([first, second]) == frozenset("xy")  # z is made by the first stage
    assert needed([second, third]) == frozenset("bz")
    assert needed([]) == frozenset()


def test_columns_stay_unchanged_through_several_stages() -> None:
    first = ColumnUse(frozenset("x"), {"x": "x", "b": "y"})
    second = ColumnUse(frozenset(), {"b": "b", "d": "z"})
    assert unchanged([], "xyz") == frozenset("xyz")
    assert unchanged([first], "xyz") == frozenset("xb")
    assert unchanged([first, second], "xyz") == frozenset("b")
