"""Paths: text or anything with ``__fspath__``, wherever a path is taken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arrowstream import Pipeline, Settings, Sink, Source
from arrowstream.errors import PlanError


class Somewhere:
    """A path of another library."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.untraced
@pytest.mark.parametrize("form", [str, Path, Somewhere])
def test_a_path_may_have_any_form(form: Callable[[Path], Any], tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": [1, 2]})
    out = form(tmp_path / "out.csv")
    Pipeline.builder().source(Source.from_frame(rows)).sink(Sink.to_file(out)).build().run_sync()
    for path in (out, [out], iter([out])):
        assert Pipeline.builder().source(Source.from_file(path)).collect_sync().equals(rows)
    settings = tmp_path / "arrowstream.toml"
    settings.write_text("[streaming]\nbuffer_mb = 3\n")
    assert Settings.load(form(settings)).buffer_mb == 3


@pytest.mark.parametrize("path", [3, None, b"x.csv", 1.5])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(PlanError, match=r"to_file\(\) needs a path"):
        Sink.to_file(path)
    with pytest.raises(PlanError, match=r"from_file\(\) needs a path"):
        Source.from_file(path)
    with pytest.raises(PlanError, match=r"from_file\(\) needs a path"):
        Source.from_file([path])
