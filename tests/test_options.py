"""Options that are numbers or durations: what is none is refused by the package's own error, wherever it is given."""

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arrowstream import ErrorHandler, Pipeline, Settings, Sink, Source, ZeroCopyBuffer, channel
from arrowstream.errors import ArrowstreamError, PlanError
from arrowstream.testing import TestSource, check_cut_independence

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"t": [1, 2], "x": [1, 2]}, schema={"t": pl.Datetime("us"), "x": pl.Int64})


def builder() -> Any:
    return Pipeline.builder().source(Source.from_frame(FRAME))


def pipeline() -> Pipeline:
    return builder().sink(Sink.to_fn(len)).build()


def retry(**options: Any) -> Any:
    return builder().map(x=pl.col("x")).on_error(ErrorHandler.retry(**options))


DURATIONS: dict[str, Callable[[Any], Any]] = {
    "timeout": lambda value: builder().map(x=1 + pl.col("x")).timeout(value),
    "throttle(per)": lambda value: builder().throttle(rows=1, per=value),
    "debounce": lambda value: builder().debounce(value),
    "batch(max_delay)": lambda value: builder().batch(rows=2, max_delay=value),
    "window(size)": lambda value: builder().window(value, on="t").agg(pl.len()),
    "window(every)": lambda value: builder().window("1s", every=value, on="t").agg(pl.len()),
    "window(session)": lambda value: builder().window(session=value, on="t").agg(pl.len()),
    "window(allowed_lateness)": lambda value: (
        builder().window("1s", on="t", allowed_lateness=value).agg(pl.len())
    ),
    "with_event_time(lateness)": lambda value: builder().with_event_time("t", lateness=value),
    "with_event_time(idle)": lambda value: builder().with_event_time("t", idle=value),
    "source.with_event_time(lateness)": lambda value: Source.from_frame(FRAME).with_event_time(
        "t", lateness=value
    ),
    "source.with_event_time(idle)": lambda value: Source.from_frame(FRAME).with_event_time("t", idle=value),
    "retry(delay)": lambda value: retry(delay=value),
    "retry(max_delay)": lambda value: retry(max_delay=value),
    "retry(budget)": lambda value: retry(budget=value),
    "run(duration)": lambda value: pipeline().run_sync(duration=value),
}
COUNTS: dict[str, Callable[[Any], Any]] = {
    "throttle(rows)": lambda value: builder().throttle(rows=value, per="1s"),
    "throttle(batches)": lambda value: builder().throttle(batches=value, per="1s"),
    "batch(rows)": lambda value: builder().batch(rows=value),
    "batch(nbytes)": lambda value: builder().batch(nbytes=value),
    "window(rows)": lambda value: builder().window(rows=value).agg(pl.len()),
    "window(max_bytes)": lambda value: builder().window(rows=2, max_bytes=value).agg(pl.len()),
    "buffer": lambda value: builder().buffer(value),
    "parallel_map(workers)": lambda value: builder().parallel_map(len, workers=value),
    "reduce(max_keys)": lambda value: builder().reduce(pl.len(), by="x", max_keys=value),
    "reduce(max_bytes)": lambda value: builder().reduce(pl.len(), by="x", max_bytes=value),
    "scan(max_keys)": lambda value: builder().scan(n=pl.col("x").cum_sum(), by="x", max_keys=value),
    "scan(max_bytes)": lambda value: builder().scan(n=pl.col("x").cum_sum(), by="x", max_bytes=value),
    "retry(times)": lambda value: retry(times=value),
    "best_effort(buffer)": lambda value: Sink.to_fn(len).best_effort(buffer=value),
    "from_frame(batch_rows)": lambda value: Source.from_frame(FRAME, batch_rows=value),
    "TestSource(batch_rows)": lambda value: TestSource.from_list([1, 2], batch_rows=value),
    "channel(capacity)": lambda value: channel(capacity=value),
    "channel(nbytes)": lambda value: channel(nbytes=value),
    "run(limit)": lambda value: pipeline().run_sync(limit=value),
    "collect(limit)": lambda value: builder().collect_sync(limit=value),
    "preview": lambda value: builder().preview(value),
    "check_cut_independence(examples)": lambda value: check_cut_independence(
        lambda steps: steps, FRAME, examples=value
    ),
    "serve_metrics(port)": lambda value: pipeline().serve_metrics(port=value),
    "ZeroCopyBuffer(nbytes)": lambda value: ZeroCopyBuffer(value),
}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "retry(factor)": lambda value: retry(factor=value),
    "retry(jitter)": lambda value: retry(jitter=value),
}
NO_NUMBERS = [True, False, math.nan, math.inf, -math.inf, -1, "much", "", [1], {}]


@pytest.mark.parametrize("option", {**DURATIONS, **NUMBERS})
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_no_duration_and_no_number(option: str, value: Any) -> None:
    with pytest.raises(ArrowstreamError) as raised:
        {**DURATIONS, **NUMBERS}[option](value)
    assert raised.value.what and (raised.value.expected or raised.value.found)


@pytest.mark.untraced
@pytest.mark.parametrize("option", COUNTS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, 1.5, "2", timedelta(1)], ids=repr)
def test_no_count(option: str, value: Any) -> None:
    with pytest.raises(ArrowstreamError):
        COUNTS[option](value)


@pytest.mark.untraced
@pytest.mark.parametrize("name", [name for name in Settings.__annotations__ if not name.startswith("_")])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "'much'"])
def test_no_setting(name: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / "arrowstream.toml"
    file.write_text(f"[streaming]\n{name} = {value}\n")
    try:
        found = getattr(Settings.load(file), name)
    except ArrowstreamError:
        return
    assert isinstance(found, str | bool)


MISSPELT: dict[str, tuple[Callable[[], Any], str]] = {
    "reduce(max_key)": (lambda: builder().reduce(by="x", n=pl.len(), max_key=2), "max_keys"),
    "reduce(emits)": (lambda: builder().reduce(n=pl.len(), emits="end"), "emit"),
    "reduce(maxbytes)": (lambda: builder().reduce(n=pl.len(), maxbytes=10), "max_bytes"),
    "scan(max_key)": (lambda: builder().scan(n=pl.col("x").cum_sum(), max_key=2), "max_keys"),
    "scan(on_ful)": (lambda: builder().scan(n=pl.col("x").cum_sum(), on_ful="spill"), "on_full"),
    "window(allowed_latenes)": (
        lambda: builder().window("1s", on="t", allowed_latenes="1s"),
        "allowed_lateness",
    ),
    "agg(by)": (lambda: builder().window("1s", on="t").agg(pl.len(), by="x"), "by"),
    "agg(max_byte)": (lambda: builder().window("1s", on="t").agg(pl.len(), max_byte=3), "max_bytes"),
    "map(frames)": (lambda: builder().map(lambda rows: rows, frames="polars"), "frame"),
    "map(scheme)": (lambda: builder().map(y=pl.col("x"), schemas="x"), "schema"),
    "filter_map(frames)": (lambda: builder().filter_map(lambda rows: rows, frames="polars"), "frame"),
    "filter_map(schemas)": (lambda: builder().filter_map(pl.col("x") > 0, schemas="x"), "schema"),
}


@pytest.mark.parametrize("option", MISSPELT)
def test_a_misspelt_option_is_no_column(option: str) -> None:
    call, meant = MISSPELT[option]
    with pytest.raises(PlanError) as raised:
        call()
    assert f"did you mean {meant!r}?" in str(raised.value.hint)


def test_an_expression_may_be_called_like_an_option_almost() -> None:
    found = builder().reduce(max_key=pl.col("x").max(), total=pl.col("x").sum()).collect_sync()
    assert found.rows() == [(2, 3)]
    assert builder().map(constant=1, frames=pl.lit(1)).collect_sync()["frames"].to_list() == [1, 1]


def test_what_is_no_option_at_all() -> None:
    with pytest.raises(PlanError, match="has no argument 'total'") as raised:
        builder().window("1s", on="t", total=pl.len())
    assert raised.value.hint == "aggregates belong into .agg(...)"
    with pytest.raises(PlanError, match="has no argument 'zzz'"):
        builder().map(len, zzz=1)
