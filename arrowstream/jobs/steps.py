"""The steps of a job: their names and arguments are those of the builder's methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, get_args

from arrowstream.backends.registry import backends
from arrowstream.config.toml_file import Value
from arrowstream.gpu.presence import missing
from arrowstream.jobs.connectors import join_table, side_sink
from arrowstream.jobs.handlers import handlers, true
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.streams import JOINS, Streams
from arrowstream.jobs.values import (
    EVENT_TIME,
    Arguments,
    Either,
    OneOf,
    Reader,
    casts,
    columns,
    duration,
    expressions,
    flags,
    length,
    reach,
    renames,
    running,
    times,
)
from arrowstream.operators.join import Validate
from arrowstream.operators.joins.asof import AsofHow, Strategy
from arrowstream.operators.joins.interval.results import JoinEmit
from arrowstream.operators.joins.stream_columns import StreamHow
from arrowstream.operators.reduce import Emit
from arrowstream.operators.top_k import TopEmit
from arrowstream.operators.unique import Keep
from arrowstream.operators.window import WindowFull
from arrowstream.operators.windows.timeless_rows import NullTimes
from arrowstream.pipeline import Builder
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.state.limit import OnFull


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a step: an operator, or what applies to it.

    Parameters
    ----------
    read
        Reads the value in the file.
    add
        Adds what was read to a builder.
    """

    read: Reader
    add: Callable[[Builder, Any], Builder]


def _window(builder: Builder, found: dict[str, Any]) -> Builder:
    aggregates, rows = found.pop("agg", ()), found.pop("all_rows", False)
    windows = builder.window(**found)
    return windows.rows() if rows else windows.agg(*aggregates)


def _reduce(builder: Builder, found: dict[str, Any]) -> Builder:
    aggregates = found.pop("agg")
    return builder.reduce(*aggregates, **found)


def _scan(builder: Builder, found: dict[str, Any]) -> Builder:
    exprs = found.pop("columns")
    return builder.scan(*exprs, **found)


def _over(builder: Builder, found: dict[str, Any]) -> Builder:
    return builder.over(found.pop("per"), *found.pop("columns"), **found)


def _join(builder: Builder, found: dict[str, Any]) -> Builder:
    return builder.join(_other(found), **found)


def _join_asof(builder: Builder, found: dict[str, Any]) -> Builder:
    return builder.join_asof(_other(found), **found)


def _other(found: dict[str, Any]) -> Any:
    """Take the other side of a join from its arguments."""
    return found.pop("stream") if "stream" in found else found.pop("table")


def _call(name: str, readers: Mapping[str, Reader]) -> Key:
    """Return the key whose table holds the arguments of a builder's method, or only the first one."""
    parameters = signature(getattr(Builder, name)).parameters
    required = tuple(key for key in readers if parameters[key].default is Parameter.empty)

    def add(builder: Builder, found: dict[str, Any]) -> Builder:
        added: Builder = getattr(builder, name)(**found)
        return added

    return Key(Arguments(readers, required), add)


_NULL_TIMES = OneOf(get_args(NullTimes))
_WINDOW: dict[str, Reader] = {
    "size": length,
    "every": length,
    "offset": duration,
    "timezone": Value.text,
    "session": duration,
    "rows": Value.count,
    "on": Value.text,
    "by": Value.texts,
    "allowed_lateness": duration,
    "late": side_sink,
    "null_times": _NULL_TIMES,
    "max_bytes": Value.count,
    "on_full": OneOf(get_args(WindowFull)),
    "agg": columns,
    "all_rows": true,
}
_KEYED: dict[str, Reader] = {
    "by": Value.texts,
    "max_keys": Value.count,
    "max_bytes": Value.count,
    "on_full": OneOf(get_args(OnFull)),
}
_REDUCE: dict[str, Reader] = {**_KEYED, "agg": columns, "emit": OneOf(get_args(Emit))}
_SCAN: dict[str, Reader] = {**_KEYED, "columns": running}

_SPILLED: dict[str, Reader] = {"max_bytes": Value.count, "on_full": OneOf(("error", "spill"))}
_TIMED: dict[str, Reader] = {
    "time": Value.text,
    "late": side_sink,
    "null_times": _NULL_TIMES,
}
_UNIQUE: dict[str, Reader] = {
    "by": Value.texts,
    "within": duration,
    "keep": OneOf(get_args(Keep)),
    **_TIMED,
    **_SPILLED,
}
_TOP_K: dict[str, Reader] = {
    "k": Value.count,
    "by": Value.texts,
    "per": Value.texts,
    "reverse": flags,
    "emit": OneOf(get_args(TopEmit)),
    **_TIMED,
    **_SPILLED,
}
_SORT: dict[str, Reader] = {
    "by": Value.texts,
    "per": Value.texts,
    "descending": flags,
    "nulls_last": flags,
    **_TIMED,
    **_SPILLED,
}
_OVER: dict[str, Reader] = {"per": Value.texts, "columns": columns, **_TIMED, **_SPILLED}
_STREAM: dict[str, Reader] = {
    "stream": Value.text,
    "late": side_sink,
    "null_times": _NULL_TIMES,
    **_SPILLED,
}
_JOIN: dict[str, Reader] = {
    "table": join_table,
    **_STREAM,
    "within": reach,
    "time": times,
    "on": Value.texts,
    "how": OneOf(get_args(StreamHow)),
    "left_on": Value.texts,
    "right_on": Value.texts,
    "suffix": Value.text,
    "nulls_equal": Value.flag,
    "validate": OneOf(get_args(Validate)),
    "refresh": duration,
    "emit": OneOf(get_args(JoinEmit)),
}
_JOIN_ASOF: dict[str, Reader] = {
    "table": join_table,
    **_STREAM,
    "on": Value.text,
    "left_on": Value.text,
    "right_on": Value.text,
    "by": Value.texts,
    "by_left": Value.texts,
    "by_right": Value.texts,
    "strategy": OneOf(get_args(Strategy)),
    "tolerance": duration,
    "how": OneOf(get_args(AsofHow)),
    "suffix": Value.text,
    "refresh": duration,
}

STEPS: dict[str, Key] = {
    "filter": Key(expressions, lambda builder, found: builder.filter(*found)),
    "with_columns": Key(columns, lambda builder, found: builder.with_columns(*found)),
    "select": Key(columns, lambda builder, found: builder.select(*found)),
    "drop": Key(Value.texts, lambda builder, found: builder.drop(*found)),
    "rename": Key(renames, lambda builder, found: builder.rename(found)),
    "cast": Key(casts, lambda builder, found: builder.cast(**found)),
    "explode": Key(Value.texts, lambda builder, found: builder.explode(*found)),
    "unnest": Key(Value.texts, lambda builder, found: builder.unnest(*found)),
    "batch": _call("batch", {"rows": Value.count, "nbytes": Value.count, "max_delay": duration}),
    "with_event_time": _call("with_event_time", {"column": Value.text, **EVENT_TIME}),
    "window": Key(Either(_WINDOW, one_of=("agg", "all_rows")), _window),
    "reduce": Key(Arguments(_REDUCE, ("agg",)), _reduce),
    "scan": Key(Arguments(_SCAN, ("columns",)), _scan),
    "unique": _call("unique", _UNIQUE),
    "top_k": _call("top_k", _TOP_K),
    "sort": _call("sort", _SORT),
    "over": Key(Arguments(_OVER, ("per", "columns")), _over),
    "join": Key(Either(_JOIN, one_of=("table", "stream")), _join),
    "join_asof": Key(Either(_JOIN_ASOF, one_of=("table", "stream")), _join_asof),
    "buffer": _call("buffer", {"capacity": Value.count}),
    "throttle": _call("throttle", {"rows": Value.count, "batches": Value.count, "per": duration}),
    "debounce": _call("debounce", {"quiet": duration, "by": Value.texts}),
}
"""The operators of a job."""

_PYTHON = "takes a function, so it needs Python: write the pipeline with Pipeline.builder()"
_LINE = "a job is one line of steps: write the pipeline with Pipeline.builder() where streams part"
_MERGE = (
    "a job merges its [[source]] tables before [[steps]]: write the pipeline with Pipeline.builder() for more"
)
PYTHON_ONLY = {
    "map": f"{_PYTHON}, or use 'with_columns', which maps rows by expressions",
    "flat_map": f"{_PYTHON}, or use 'explode' for a list column",
    "filter_map": f"{_PYTHON}, or use 'filter' and 'with_columns'",
    **dict.fromkeys(("process", "process_gpu", "parallel_map", "map_zero_copy"), _PYTHON),
    **dict.fromkeys(("split", "branch", "otherwise"), _LINE),
    "merge": _MERGE,
}
"""Operators that a job cannot have, with the reason and an alternative."""


def _on_error(builder: Builder, found: list[ErrorHandler]) -> Builder:
    for handler in found:
        builder = builder.on_error(handler)
    return builder


def backend_names() -> tuple[str, ...]:
    """Return the names that the key ``backend`` may have."""
    return ("auto", *(backend.name for backend in backends()))


def backend(value: Value) -> str:
    """Read the name of a backend."""
    names = backend_names()
    reason = missing() if value.text() == "gpu" and "gpu" not in names else None
    if reason is not None:
        raise value.error(f"the backend 'gpu' is not ready here: {reason}")
    return value.one_of(names)


MODIFIERS: dict[str, Key] = {
    "backend": Key(backend, lambda builder, found: builder.backend(found)),
    "timeout": _call("timeout", {"duration": duration, "on_timeout": OneOf(("fail", "skip"))}),
    "on_error": Key(handlers, _on_error),
    "named": Key(Value.text, lambda builder, found: builder.named(found)),
}
"""The other keys of a step, which apply to its operator."""


def step(value: Value, builder: Builder, streams: Streams) -> list[tuple[Value, Builder]]:
    """Return the builder after each key of a step, the operator first, with the value of the key.

    Parameters
    ----------
    value
        The step.
    builder
        The pipeline before it.
    streams
        What it may join.

    Raises
    ------
    JobError
        The step does not have exactly one operator, or a key or a value is wrong.
    """
    table = value.table()
    for key in table.keys() & PYTHON_ONLY.keys():
        raise value.file.error(table[key].at, f"{key!r} in [[steps]]: {PYTHON_ONLY[key]}")
    value.check_keys((*STEPS, *MODIFIERS))
    operators = [key for key in table if key in STEPS]
    if len(operators) != 1:
        found = " and ".join(map(repr, operators)) or "none"
        known = ", ".join(map(repr, STEPS))
        raise value.file.error(value.at, f"a step has exactly one operator, found {found} (one of {known})")
    keys = {
        operators[0]: STEPS[operators[0]],
        **{name: key for name, key in MODIFIERS.items() if name in table},
    }
    added = []
    for name, each in keys.items():
        found = each.read(table[name])
        if name in JOINS and "stream" in found:
            found["stream"] = streams.named(table[name].table()["stream"])
            if name == "join":
                table[name].need("within")
        with located(table[name]):
            builder = each.add(builder, found)
        added.append((table[name], builder))
    return added
