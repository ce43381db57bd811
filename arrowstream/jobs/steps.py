"""The steps of a job: their names and arguments are those of the builder's methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, get_args

from arrowstream.backends.registry import backends
from arrowstream.config.toml_file import Value
from arrowstream.jobs.connectors import SINKS, connector
from arrowstream.jobs.handlers import handlers
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.values import arguments, columns, duration, expressions, length, running, types
from arrowstream.operators.window import WindowFull
from arrowstream.pipeline import Builder
from arrowstream.state.limit import OnFull

Make = Callable[[Builder, Value], Builder]


def _rename(builder: Builder, value: Value) -> Builder:
    return builder.rename({old: new.text() for old, new in value.table().items()})


def _cast(builder: Builder, value: Value) -> Builder:
    table = value.table()
    if "dtypes" in table and isinstance(table["dtypes"].found, dict):
        return builder.cast(**arguments(value, {"dtypes": types, "strict": Value.flag}))
    return builder.cast(types(value))


def _window(builder: Builder, value: Value) -> Builder:
    found = arguments(value, _WINDOW, required=("agg",))
    aggregates = found.pop("agg")
    return builder.window(**found).agg(*aggregates)


def _reduce(builder: Builder, value: Value) -> Builder:
    found = arguments(value, _REDUCE, required=("agg",))
    aggregates = found.pop("agg")
    return builder.reduce(*aggregates, **found)


def _scan(builder: Builder, value: Value) -> Builder:
    found = arguments(value, _SCAN, required=("columns",))
    exprs = found.pop("columns")
    return builder.scan(*exprs, **found)


def _plain(name: str, readers: Mapping[str, Callable[[Value], Any]]) -> Make:
    """Return the reader of a step whose table holds the arguments of a builder's method, or only the first one."""
    parameters = signature(getattr(Builder, name)).parameters
    required = [key for key in readers if parameters[key].default is Parameter.empty]

    def make(builder: Builder, value: Value) -> Builder:
        added: Builder = getattr(builder, name)(**arguments(value, readers, required))
        return added

    return make


def _one_of(*names: str) -> Callable[[Value], str]:
    return lambda value: value.one_of(names)


def _sink(value: Value) -> Any:
    return connector(value, SINKS)


_WINDOW: dict[str, Callable[[Value], Any]] = {
    "size": length,
    "every": length,
    "offset": duration,
    "timezone": Value.text,
    "session": duration,
    "rows": Value.count,
    "on": Value.text,
    "by": Value.texts,
    "allowed_lateness": duration,
    "late": _sink,
    "max_bytes": Value.count,
    "on_full": _one_of(*get_args(WindowFull)),
    "agg": columns,
}
_KEYED: dict[str, Callable[[Value], Any]] = {
    "by": Value.texts,
    "max_keys": Value.count,
    "max_bytes": Value.count,
    "on_full": _one_of(*get_args(OnFull)),
}
_REDUCE = {**_KEYED, "agg": columns, "emit": _one_of("end", "updates")}
_SCAN = {**_KEYED, "columns": running}

STEPS: dict[str, Make] = {
    "filter": lambda builder, value: builder.filter(*expressions(value)),
    "with_columns": lambda builder, value: builder.with_columns(*columns(value)),
    "select": lambda builder, value: builder.select(*columns(value)),
    "drop": lambda builder, value: builder.drop(*value.texts()),
    "rename": _rename,
    "cast": _cast,
    "explode": lambda builder, value: builder.explode(*value.texts()),
    "unnest": lambda builder, value: builder.unnest(*value.texts()),
    "batch": _plain("batch", {"rows": Value.count, "nbytes": Value.count, "max_delay": duration}),
    "with_event_time": _plain(
        "with_event_time",
        {
            "column": Value.text,
            "lateness": duration,
            "idle": duration,
            "advance_when_idle": Value.flag,
            "max_jump": duration,
        },
    ),
    "window": _window,
    "reduce": _reduce,
    "scan": _scan,
    "buffer": _plain("buffer", {"capacity": Value.count}),
    "throttle": _plain("throttle", {"rows": Value.count, "batches": Value.count, "per": duration}),
    "debounce": _plain("debounce", {"quiet": duration, "by": Value.texts}),
}
"""The operators of a job, each with the function that adds its step to a builder."""

_PYTHON = "takes a function, so it needs Python: write the pipeline with Pipeline.builder()"
_LINE = "a job is one line of steps: write the pipeline with Pipeline.builder() where streams part or meet"
PYTHON_ONLY = {
    "map": f"{_PYTHON}, or use 'with_columns', which maps rows by expressions",
    "flat_map": f"{_PYTHON}, or use 'explode' for a list column",
    "filter_map": f"{_PYTHON}, or use 'filter' and 'with_columns'",
    **dict.fromkeys(("process", "process_gpu", "parallel_map", "map_zero_copy"), _PYTHON),
    **dict.fromkeys(("split", "branch", "otherwise", "merge"), _LINE),
}
"""Operators that a job cannot have, with the reason and an alternative."""


def _backend(builder: Builder, value: Value) -> Builder:
    return builder.backend(value.one_of(["auto", *(backend.name for backend in backends())]))


def _on_error(builder: Builder, value: Value) -> Builder:
    for handler in handlers(value):
        builder = builder.on_error(handler)
    return builder


MODIFIERS: dict[str, Make] = {
    "backend": _backend,
    "timeout": _plain("timeout", {"duration": duration, "on_timeout": _one_of("fail", "skip")}),
    "on_error": _on_error,
    "named": lambda builder, value: builder.named(value.text()),
}
"""The other keys of a step, each with the function that applies it to a builder."""


def step(value: Value, builder: Builder) -> list[tuple[Value, Builder]]:
    """Return the builder after each key of a step, the operator first, with the value of the key.

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
    makes = {
        operators[0]: STEPS[operators[0]],
        **{key: make for key, make in MODIFIERS.items() if key in table},
    }
    added = []
    for key, make in makes.items():
        with located(table[key]):
            builder = make(builder, table[key])
        added.append((table[key], builder))
    return added
