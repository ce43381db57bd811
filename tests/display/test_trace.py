"""What a trace shows in a cell."""

import polars as pl
import pytest
from shown_html import HOSTILE, text_of

from arrowstream import Builder, Pipeline, Source

FRAME = pl.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]})


def rows(frame: pl.DataFrame = FRAME) -> Builder:
    return Pipeline.builder(name="p").source(Source.from_frame(frame))


def test_rows_side_by_side() -> None:
    trace = rows().filter(pl.col("x") != 2).with_columns(y=pl.col("x") * 2).trace(3)
    html = trace._repr_html_()
    found = text_of(html).split("\n")
    assert found[:3] == ["Trace of", "p", "3 rows of frame"]
    assert found[3:7] == ["row", "frame", "filter(x != 2)", "with_columns(y = x * 2)"]
    assert found[7:] == ["0", "k=a, x=1", "·", "y=2", "1", "k=b, x=2", "dropped", "2", "k=a, x=3", "·", "y=6"]
    assert html.count('<span class="as-lost">dropped</span>') == 1
    assert trace._repr_mimebundle_()["text/plain"] == str(trace)


def test_rows_of_a_steps_own_and_a_failure() -> None:
    found = text_of(rows().reduce(n=pl.len(), by="k").trace(3)._repr_html_())
    assert "after reduce(by=[k], n = len()), 2 rows of its own:" in found and "more rows" not in found
    many = pl.DataFrame({"k": [str(number) for number in range(30)], "x": range(30)})
    assert "and 10 more rows" in text_of(rows(many).reduce(n=pl.len(), by="k").trace(30)._repr_html_())

    def fails(batch: object) -> object:
        raise ZeroDivisionError("no <b>")

    failed = text_of(rows().map(fails, schema=FRAME.schema).trace(2)._repr_html_())
    assert "map(fails)" in failed and "ZeroDivisionError" in failed and "no <b>" in failed


@pytest.mark.parametrize("hostile", HOSTILE)
def test_values_with_markup_are_text(hostile: str) -> None:
    name = hostile.encode(errors="replace").decode().replace("\0", "")
    text_of(rows(pl.DataFrame({name: [name], "x": [1]})).filter(pl.col(name) == name).trace(1)._repr_html_())
    text_of(rows(pl.DataFrame({name: [name], "x": [1]})).reduce(pl.len(), by=name).trace(1)._repr_html_())
