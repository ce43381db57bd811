"""Settings: every source of a value, what wins, what is refused, and that each has its effect."""

import asyncio
import copy
import dataclasses
import logging
import pickle
import sys
import threading
import tomllib
import urllib.request
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import polars as pl
import pytest
from servers.processes import free_ports

from arrowstream import Pipeline, Settings, Sink
from arrowstream.config.masking import masked
from arrowstream.config.settings import Given
from arrowstream.errors import MissingExtra, PlanError, SettingsError
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.testing import ManualClock, Pause, TestSink, TestSource

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"x": [1]})

SEED = """
[streaming]
# Buffer sizes
default_buffer_size = 1000
max_buffer_size = 10000

# GPU settings
gpu_batch_size = 2048
gpu_memory_pool_mb = 1024

# Error handling
max_retries = 3
retry_delay_ms = 100

# Metrics
metrics_interval_secs = 10
export_prometheus = true
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, environ: dict[str, str] | None = None, **arguments: Any) -> Settings:
    Path("arrowstream.toml").write_text(text)
    return Settings.load("arrowstream.toml", environ=environ or {}, **arguments)


def refused(*arguments: Any, **named: Any) -> str:
    with pytest.raises(SettingsError) as failed:
        loaded(*arguments, **named)
    return str(failed.value)


def test_every_key_of_the_first_design() -> None:
    settings = loaded(SEED)
    for key, value in tomllib.loads(SEED)["streaming"].items():
        assert getattr(settings, key) == value
        assert settings.origin(key).startswith("arrowstream.toml:")
    assert settings.origin("default_buffer_size") == "arrowstream.toml:4"
    assert settings.origin("worker_threads") == "default"


def test_the_later_one_wins() -> None:
    environ = {"ARROWSTREAM_MAX_RETRIES": "5", "ARROWSTREAM_RETRY_DELAY_MS": "7", "HOME": "/"}
    text = "[streaming]\nmax_retries = 4\nretry_delay_ms = 6\nworker_threads = 3"
    settings = loaded(text, environ, retry_delay_ms=8)
    assert (settings.worker_threads, settings.max_retries, settings.retry_delay_ms) == (3, 5, 8)
    origins = [settings.origin(key) for key in ("worker_threads", "max_retries", "retry_delay_ms")]
    assert origins == ["arrowstream.toml:4", "ARROWSTREAM_MAX_RETRIES", "argument retry_delay_ms"]


def test_defaults() -> None:
    settings = Settings()
    assert settings == Settings.load(environ={})
    assert {origin for _, _, origin in settings.table()} == {"default"}
    assert Settings(max_retries=9).origin("max_retries") == "argument max_retries"


def test_the_file_in_the_current_directory_is_found() -> None:
    Path("arrowstream.toml").write_text("[streaming]\nmax_retries = 4\n")
    assert Settings.load(environ={}).max_retries == 4
    Path("arrowstream.toml").unlink()
    assert Settings.load(environ={}).max_retries == 3


def test_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARROWSTREAM_DEFAULT_BUFFER_SIZE", "17")
    assert Settings.load().default_buffer_size == 17


def test_text_from_the_environment_becomes_values() -> None:
    environ = {
        "ARROWSTREAM_EXPORT_PROMETHEUS": "true",
        "ARROWSTREAM_METRICS_INTERVAL_SECS": "0.5",
        "ARROWSTREAM_PROMETHEUS_HOST": "0.0.0.0",
    }
    settings = Settings.load(environ=environ)
    assert settings.export_prometheus is True
    assert settings.metrics_interval_secs == 0.5
    assert settings.prometheus_host == "0.0.0.0"


RETRIES = "arrowstream.toml:2: 'max_retries' in [streaming]: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[streaming]\nmax_retries = 0", RETRIES + "expected `int` >= 1, found 0"),
        ("[streaming]\nmax_retries = true", RETRIES + "expected `int`, got `bool`, found True"),
        ("[streaming]\nmax_retries = '3'", RETRIES + "expected `int`, got `str`, found '3'"),
        ("\n[streaming]\nmax_retries = 1.5", RETRIES.replace("2", "3", 1) + "expected `int`, got `float`, found 1.5"),
        ("[streaming]\nprometheus_port = 70000",
         "arrowstream.toml:2: 'prometheus_port' in [streaming]: expected `int` <= 65535, found 70000"),
        ("[streaming]\nmax_retires = 3",
         "arrowstream.toml:2: unknown key 'max_retires' in [streaming] (did you mean 'max_retries'?)"),
        ("[steaming]\nmax_retries = 3", "arrowstream.toml:1: no section [streaming] (did you mean 'steaming'?)"),
        ("", "arrowstream.toml:1: no section [streaming]"),
        ("streaming = 3", "arrowstream.toml:1: [streaming]: expected a table, found the integer 3"),
        ("[streaming]\nmax_retries =", "arrowstream.toml:2: not TOML: Invalid value"),
        ("[streaming]\ndefault_buffer_size = 9\nmax_buffer_size = 8",
         "arrowstream.toml:2: 'default_buffer_size' is 9, above 'max_buffer_size', which is 8 (arrowstream.toml:3)"),
    ],
)  # fmt: skip
def test_mistakes_in_the_file(text: str, message: str) -> None:
    assert refused(text) == message


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ARROWSTREAM_MAX_RETRIES": "many"}, "ARROWSTREAM_MAX_RETRIES: expected `int`, got `str`, found 'many'"),
        ({"ARROWSTREAM_MAX_RETRIES": "0"}, "ARROWSTREAM_MAX_RETRIES: expected `int` >= 1, found '0'"),
        ({"ARROWSTREAM_MAX_RETRYS": "1"},
         "ARROWSTREAM_MAX_RETRYS: unknown setting (did you mean 'ARROWSTREAM_MAX_RETRIES'?)"),
    ],
)  # fmt: skip
def test_mistakes_in_the_environment(environ: dict[str, str], message: str) -> None:
    assert refused("[streaming]", environ) == message


def test_what_else_begins_with_our_name_is_not_ours() -> None:
    assert loaded("[streaming]", {"ARROWSTREAM_VERSION": "1"}) == Settings()


def test_mistakes_in_arguments() -> None:
    assert refused("[streaming]", max_retires=1) == (
        "argument max_retires: unknown setting (did you mean 'max_retries'?)"
    )
    assert refused("[streaming]", worker_threads=1) == "argument worker_threads: expected `int` >= 2, found 1"
    with pytest.raises(SettingsError, match="argument worker_threads: expected `int` >= 2, found 1"):
        Settings(worker_threads=1)
    with pytest.raises(
        SettingsError, match="argument default_buffer_size: 'default_buffer_size' is 20000, above"
    ):
        Settings(default_buffer_size=20_000)


def test_no_such_file() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: no such file"):
        Settings.load("nowhere.toml")


def test_texts() -> None:
    settings = Settings(prometheus_host="http://me:hunter2@host")
    assert "prometheus_host='http://me:***@host'" in repr(settings)
    assert "hunter2" not in repr(settings) + repr(list(settings.table()))
    assert repr(Settings()).startswith("Settings(default_buffer_size=2, max_buffer_size=10000, ")


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("password", "x", "***"),
        ("db_password", "x", "***"),
        ("API_TOKEN", "x", "***"),
        ("secret", 5, "***"),
        ("secret", None, None),
        ("tokens_per_second", 5, 5),
        ("url", "kafka://host:9092/topic", "kafka://host:9092/topic"),
        ("url", "a postgresql://u:p:w@h/d and redis://:pw@h", "a postgresql://u:***@h/d and redis://:***@h"),
        ("url", "https://user@host/x:y@z", "https://user@host/x:y@z"),
    ],
)
def test_masks(key: str, value: Any, shown: Any) -> None:
    assert masked(key, value) == shown


def test_nothing_is_loaded_for_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    Pipeline.builder().source(TestSource.from_frames([FRAME])).sink(TestSink()).build().run_sync()


# What each is for.


def read_ahead(frame: pl.DataFrame, settings: Settings, least: int) -> int:
    """Batches that wait between two stages for a sink that takes none, once there are as many as `least`."""

    async def main() -> int:
        go_on = asyncio.Event()

        async def wait(batch: Any) -> None:
            await go_on.wait()

        builder = Pipeline.builder().source(TestSource.from_frames([frame] * 50)).batch(rows=frame.height)
        sink = Sink.to_fn(wait)
        pipeline = builder.batch(rows=frame.height).sink(sink).build(clock=ManualClock(), settings=settings)
        running = asyncio.create_task(pipeline.run())
        # The first call of a step for a large batch runs on a worker thread, so it takes some time.
        waiting, unchanged = 0, 0
        while unchanged < 100:
            await asyncio.sleep(0.001)
            before, waiting = waiting, pipeline.metrics().queue_depth
            unchanged = unchanged + 1 if before == waiting >= least else 0
        go_on.set()
        await running
        return waiting

    return asyncio.run(main())


def test_default_buffer_size() -> None:
    assert read_ahead(FRAME, Settings(default_buffer_size=7), 7) == 7


def test_buffer_mb() -> None:
    large = pl.DataFrame({"x": range(100_000)})  # 0.8 MB: a second one does not fit into 1 MiB
    assert read_ahead(large, Settings(default_buffer_size=7, buffer_mb=1), 1) == 1
    assert read_ahead(large, Settings(default_buffer_size=7, buffer_mb=4), 5) == 5


def test_max_buffer_size() -> None:
    start = Pipeline.builder().source(TestSource.from_frames([FRAME]))
    way = pl.when(pl.col("x") > 0).then(pl.lit("a")).otherwise(pl.lit("b"))
    inside = start.split(way).branch("b").branch("a", lambda rows: rows.buffer(6)).merge()
    beside = start.merge(start.buffer(6))
    rest = start.split(way).branch("b").otherwise(lambda rows: rows.buffer(6)).merge()
    for builder in (start.buffer(6), inside, beside, rest):
        pipeline = builder.sink(TestSink())
        with pytest.raises(PlanError, match=r"buffer\(6\) is too large(?s:.*)at most 5 batches"):
            pipeline.build(settings=Settings(max_buffer_size=5))
        pipeline.build(settings=Settings(max_buffer_size=6)).run_sync()


def test_retries() -> None:
    tries: list[float] = []

    async def main() -> None:
        clock = ManualClock()

        def fail(batch: Any) -> None:
            tries.append(clock.now_ns() / 1e9)
            raise OSError("busy")

        handler = ErrorHandler.retry(jitter=0)
        pipeline = (
            Pipeline.builder().source(TestSource.from_frames([FRAME])).sink(Sink.to_fn(fail))
            .on_error(handler).on_error(ErrorHandler.skip())
            .build(clock=clock, settings=Settings(max_retries=2, retry_delay_ms=500))
        )  # fmt: skip
        running = asyncio.create_task(pipeline.run())
        await clock.advance(10)
        await running

    asyncio.run(main())
    assert tries == [0, 0.5, 1.5]


def test_retries_show_in_the_plan() -> None:
    builder = (
        Pipeline.builder().source(TestSource.from_frames([FRAME])).map(y=1).on_error(ErrorHandler.retry())
    )
    pipeline = builder.sink(TestSink()).build(settings=Settings(max_retries=4, retry_delay_ms=20))
    assert "retry(4, delay=0.02 s)" in pipeline.explain()


def test_worker_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from arrowstream.runtime import run as executor

    asked: list[int] = []
    real = executor.Threads
    monkeypatch.setattr(executor, "Threads", lambda workers: asked.append(workers) or real(workers))
    builder = Pipeline.builder().source(TestSource.from_frames([FRAME])).sink(TestSink())
    builder.build(settings=Settings(worker_threads=5)).run_sync()
    assert asked == [5]


@pytest.mark.parametrize(("interval", "lines"), [(10, 2), (6, 4), (0, 0)])
def test_metrics_interval_secs(interval: int, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock = ManualClock()
        source = TestSource.from_frames([FRAME, Pause(25), FRAME], clock=clock)
        settings = Settings(metrics_interval_secs=interval)
        pipeline = (
            Pipeline.builder(name="p").source(source).sink(TestSink()).build(clock=clock, settings=settings)
        )
        running = asyncio.create_task(pipeline.run())
        await clock.advance(30)
        await running

    with caplog.at_level(logging.INFO, logger="arrowstream.metrics"):
        asyncio.run(main())
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == lines
    assert all(line.startswith("p: 1 row in, 1 out in ") for line in told)


def test_export_prometheus() -> None:
    before = {*threading.enumerate()}
    seen: list[str] = []
    [port] = free_ports(1)

    def look(batch: Any) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            seen.append(answer.read().decode())

    builder = Pipeline.builder(name="served").source(TestSource.from_frames([FRAME])).sink(Sink.to_fn(look))
    builder.build(settings=Settings(export_prometheus=True, prometheus_port=port)).run_sync()
    assert 'arrowstream_rows_in_total{pipeline="served",stage="source"} 1.0' in seen[0]
    for thread in {*threading.enumerate()} - before:
        thread.join(60)  # one that has answered ends a moment later
    assert {*threading.enumerate()} <= before


def test_export_prometheus_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    builder = Pipeline.builder().source(TestSource.from_frames([FRAME])).sink(TestSink())
    with pytest.raises(MissingExtra, match="metrics"):
        builder.build(settings=Settings(export_prometheus=True)).run_sync()


def test_a_path_may_be_any_path(tmp_path: Path) -> None:
    class Place:
        def __fspath__(self) -> str:
            return str(tmp_path / "other.toml")

    with pytest.raises(SettingsError, match=r"other\.toml: no such file"):
        Settings.load(Place())
    (tmp_path / "other.toml").write_text("[streaming]\nmax_retries = 7\n")
    settings = Settings.load(Place())
    assert settings.max_retries == 7
    assert settings.origin("max_retries").endswith("other.toml:2")


def test_the_arguments_of_load_have_the_names_and_types_of_the_settings() -> None:
    """Editors and type checkers know them by name."""
    arguments = get_type_hints(Given)
    declared = get_type_hints(Settings, localns={"Meta": msgspec.Meta})
    assert arguments == {name: kind for name, kind in declared.items() if name in arguments}
    assert {*declared} - {*arguments} == {"origins", "_shown_by"}


def test_settings_can_be_pickled_copied_and_taken_apart() -> None:
    settings = Settings.load(environ={"ARROWSTREAM_MAX_RETRIES": "5"}, worker_threads=4)
    for other in (pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings)):
        assert other == settings and other.origin("max_retries") == "ARROWSTREAM_MAX_RETRIES"
    assert dataclasses.asdict(settings)["origins"]["worker_threads"] == settings.origin("worker_threads")
    with pytest.raises(TypeError):
        settings.origins["max_retries"] = "nowhere"  # type: ignore[index]
