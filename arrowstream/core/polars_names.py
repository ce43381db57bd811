"""Names of operations in Polars and other libraries, and what to write here instead."""

from __future__ import annotations

from collections.abc import Iterable

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import NoSuchStep

_RUN = "a pipeline runs once it is built: .sink(...).build().run_sync(); .collect_sync() gives a frame"
_GROUP = "use .window(...).agg(...) for windows, or .reduce(by=..., total=...) over all rows"
_LAST = "a stream is never seen whole: sort what comes out, .collect_sync().sort(...)"
_MERGE = "use .merge(other), whose rows are added as they come"
_WRITE = "use .sink(Sink.to_file(path)), whose format is that of the name"
_READ = "use .source(Source.from_file(path))"
_FIRST = "use .preview(n), .collect_sync(limit=n), or run_sync(limit=n) of the pipeline"
_FUNCTION = 'use .map(fn, frame="polars"), which gets each batch as a frame'
_EACH = "use .sink(Sink.to_fn(fn)), which gets each batch"
_ROWS_BEFORE = "use .scan(by=..., x=...), which takes running and rolling values"
_SCHEMA = "use .schema()"
_FRAME = ".collect_sync() gives a Polars frame, which has that"
_BUILT = "this is what the pipeline has that .sink(...).build() gives"

SUGGESTIONS = {
    **dict.fromkeys(("run", "run_sync", "execute"), _RUN),
    **dict.fromkeys(("group_by", "groupby", "group_by_dynamic", "agg", "key_by", "resample"), _GROUP),
    **dict.fromkeys(("sort", "sort_by", "order_by", "reverse", "tail"), _LAST),
    **dict.fromkeys(("union", "concat", "vstack", "extend"), _MERGE),
    "join": 'join each batch with a frame in memory: .map(lambda rows: rows.join(frame, on="k"), frame="polars")',
    **dict.fromkeys(("unique", "distinct"), "use .reduce(pl.len(), by=...), a row for each key"),
    **dict.fromkeys(
        (f"{verb}_{format}" for verb in ("write", "sink") for format in ("parquet", "csv", "ndjson", "ipc")),
        _WRITE,
    ),
    **dict.fromkeys(
        (f"{verb}_{format}" for verb in ("read", "scan") for format in ("parquet", "csv")), _READ
    ),
    **dict.fromkeys(("head", "limit", "take", "slice", "show", "print"), _FIRST),
    **dict.fromkeys(("apply", "map_batches", "map_rows", "pipe"), _FUNCTION),
    **dict.fromkeys(("foreach", "for_each"), _EACH),
    **dict.fromkeys(("shift", "rolling", "cum_sum"), _ROWS_BEFORE),
    **dict.fromkeys(("columns", "dtypes", "collect_schema"), _SCHEMA),
    **dict.fromkeys(("to_pandas", "to_arrow", "rows", "height", "describe"), _FRAME),
    **dict.fromkeys(("stop", "metrics", "serve_metrics"), _BUILT),
    "where": "use .filter(...)",
    "fill_null": "use .with_columns(pl.all().fill_null(...))",
    "drop_nulls": 'use .filter(pl.col("x").is_not_null())',
}
"""Hints for names that a builder does not have, by name."""


def no_such_step(name: str, known: Iterable[str]) -> AttributeError:
    """Return the error for an attribute `name` that a builder does not have.

    Parameters
    ----------
    name
        The attribute that was used.
    known
        The attributes of a builder.

    Examples
    --------
    >>> print(no_such_step("fliter", ["filter", "map"]))
    a builder has no 'fliter'
      hint: did you mean 'filter'?
    """
    if name.startswith("_"):
        # Python itself, copy and notebooks look up such names; a person does not read the message.
        return AttributeError(name)
    return NoSuchStep(f"a builder has no {name!r}", hint=SUGGESTIONS.get(name) or did_you_mean(name, known))
