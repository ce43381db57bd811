"""Names that other libraries give to operations and arguments, and what to write here instead."""

from __future__ import annotations

_RUN = "a pipeline runs once it is built: .sink(...).build().run_sync(); .collect_sync() gives a frame"
_GROUP = "use .group_by(...).agg(...) over all rows, or .window(..., by=...).agg(...) for windows"
_WINDOW = 'use .window(size="10s", on="ts", by=...).agg(...)'
_COLUMNS = "use .select(...)"
_LAST = 'use .sort("x", per="window_start") for each window, or .sort("x") at the end of the stream'
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

BUILDER = {
    **dict.fromkeys(("run", "run_sync", "execute"), _RUN),
    **dict.fromkeys(("groupby", "groupBy", "agg", "aggregate", "key_by", "keyby"), _GROUP),
    **dict.fromkeys(
        ("group_by_dynamic", "resample", "rolling_window", "tumbling_window", "hopping_window"), _WINDOW
    ),
    **dict.fromkeys(("sort_by", "order_by", "reverse", "tail"), _LAST),
    **dict.fromkeys(("union", "concat", "vstack", "extend"), _MERGE),
    **dict.fromkeys(
        ("distinct", "drop_duplicates", "dedup", "deduplicate"), 'use .unique("k"), or within="1h"'
    ),
    **dict.fromkeys(
        (
            f"{verb}_{format}"
            for verb in ("write", "sink")
            for format in ("parquet", "csv", "ndjson", "ipc", "avro")
        ),
        _WRITE,
    ),
    **dict.fromkeys(
        (f"{verb}_{format}" for verb in ("read", "scan") for format in ("parquet", "csv", "avro", "excel")),
        _READ,
    ),
    **dict.fromkeys(("head", "limit", "take", "slice", "show", "print"), _FIRST),
    **dict.fromkeys(
        ("apply", "map_batches", "map_rows", "map_elements", "transform", "map_partitions"), _FUNCTION
    ),
    **dict.fromkeys(("foreach", "for_each"), _EACH),
    **dict.fromkeys(("shift", "rolling", "cum_sum"), _ROWS_BEFORE),
    **dict.fromkeys(("columns", "dtypes", "collect_schema"), _SCHEMA),
    **dict.fromkeys(("to_pandas", "to_arrow", "rows", "height", "describe"), _FRAME),
    **dict.fromkeys(("stop", "metrics", "serve_metrics"), _BUILT),
    **dict.fromkeys(("select_columns", "project", "keep", "pick"), _COLUMNS),
    **dict.fromkeys(
        ("with_column", "assign", "mutate", "withColumn", "add_column"), "use .with_columns(...)"
    ),
    **dict.fromkeys(("where", "query"), "use .filter(...)"),
    **dict.fromkeys(("drop_columns", "remove_columns"), "use .drop(...)"),
    **dict.fromkeys(("rename_columns", "with_column_renamed"), 'use .rename({"old": "new"})'),
    **dict.fromkeys(("astype", "with_dtypes"), 'use .cast({"x": pl.Int64})'),
    **dict.fromkeys(("tumble", "hop", "session", "session_window"), _WINDOW),
    **dict.fromkeys(("rebatch", "chunk", "rechunk"), "use .batch(rows=...)"),
    **dict.fromkeys(("on_timeout", "time_limit"), 'use .timeout("5s")'),
    **dict.fromkeys(
        ("catch", "handle_errors", "retry", "skip_errors"), "use .on_error(ErrorHandler.retry(3))"
    ),
    **dict.fromkeys(
        ("watermark", "with_watermark", "withWatermark"), 'use .with_event_time("ts", lateness="5s")'
    ),
    **dict.fromkeys(("rate_limit", "limit_rate"), 'use .throttle(rows=1000, per="1s")'),
    **dict.fromkeys(("branch", "otherwise"), "use .split(expr).branch(...).merge()"),
    **dict.fromkeys(("from_file", "from_frame", "read", "from_csv"), _READ),
    **dict.fromkeys(("to_file", "write", "output"), "use .sink(Sink.to_file(path))"),
    "fill_null": "use .with_columns(pl.all().fill_null(...))",
    "drop_nulls": 'use .filter(pl.col("x").is_not_null())',
}
"""Hints for names that a builder does not have; ``{name}`` stands for the name."""

_STEP = "a step is a method of the builder: Pipeline.builder().source(...).{name}(...)"
_STEPS = (
    *("select", "with_columns", "filter", "drop", "rename", "cast", "explode", "unnest", "map", "flat_map"),
    *("filter_map", "process", "parallel_map", "map_zero_copy", "batch", "window", "reduce", "group_by"),
    *("scan", "process_gpu"),
    *("buffer", "throttle", "debounce", "timeout", "split", "merge", "join", "pipe", "named", "backend"),
    *("unique", "top_k", "sort", "over", "join_asof"),
)
_BUILD = "Pipeline.builder().source(...).sink(...).build() gives what runs; .collect_sync() a frame"
_ENDS = (
    *("build", "run", "run_sync", "collect", "collect_sync", "preview", "sample", "trace", "explain"),
    "outline",
)
_GIVES = dict.fromkeys(_ENDS, _BUILD)
_STEP_WORDS = dict.fromkeys(_STEPS, _STEP)

_FILE_IN = 'write Source.from_file("path"), whose format is that of the name'
_FILE_OUT = 'write Sink.to_file("path"), whose format is that of the name'
_ITEMS_IN = "write Source.from_frame(frame), or Source.from_fn(fn) for an async generator function"
_BUILDER = "begin with Pipeline.builder().source(Source.from_file(path))"
_FORMATS = ("csv", "parquet", "ndjson", "jsonl", "json", "arrow", "ipc", "feather", "avro", "excel")

SOURCE = {
    **_STEP_WORDS,
    **_GIVES,
    "sink": "a sink is given to the builder: Pipeline.builder().source(...).sink(...)",
    "with_format": "write Source.from_file(path, format=...)",
    "with_schema": "write Source.from_file(path, schema=...)",
    "with_watermark": 'write .with_event_time("ts", lateness="5s")',
}
"""Hints for names that a source does not have."""

SINK = {
    **_STEP_WORDS,
    **_GIVES,
    "source": "a sink is given to the builder: Pipeline.builder().source(...).sink(...)",
    "with_compression": "write Sink.to_file(path, compression=...)",
}
"""Hints for names that a sink does not have."""

PIPELINE = {
    **{name: f"{hint}, before .build()" for name, hint in _STEP_WORDS.items()},
    **dict.fromkeys(
        ("collect", "collect_sync", "preview", "sample", "schema"),
        "this is a method of the builder, before .sink(...)",
    ),
    **dict.fromkeys(("execute", "result", "wait"), "write run_sync(), await run(), or start().wait()"),
    **dict.fromkeys(
        ("cancel", "close", "terminate"), "stop() ends a run gently; cancel the task of run() to abort"
    ),
    "build": "it is built: write run_sync(), or await run()",
    "stats": "write metrics()",
}
"""Hints for names that a built pipeline does not have."""

SENDER = {
    **dict.fromkeys(("put", "push", "write", "publish", "__call__"), "write await tx.send(item)"),
    "put_nowait": "write tx.send_nowait(item)",
}
"""Hints for names that the sending end of a channel does not have."""

RECEIVER = {
    **dict.fromkeys(
        ("get", "receive", "recv", "read", "pop"), "write async for item in rx, or await anext(rx)"
    ),
    "get_nowait": "write rx.receive_nowait()",
}
"""Hints for names that the receiving end of a channel does not have."""

PACKAGE = {
    **dict.fromkeys((f"{verb}_{format}" for verb in ("read", "scan") for format in _FORMATS), _READ),
    **dict.fromkeys(("from_file", "from_frame", "from_channel", "from_fn"), "write Source.{name}(...)"),
    **dict.fromkeys(("to_file", "to_channel", "to_fn", "fanout"), "write Sink.{name}(...)"),
    **dict.fromkeys(("builder", "pipeline", "Stream", "DataFrame", "LazyFrame", "Dataflow"), _BUILDER),
    **dict.fromkeys(("TestSource", "TestSink", "ManualClock"), "it is in arrowstream.testing"),
    **dict.fromkeys(("PlanError", "SchemaError", "StageError"), "it is in arrowstream.errors"),
    "col": "expressions are those of Polars: pl.col(...)",
}
"""Hints for names that the package does not have."""

CLASSES: dict[str, dict[str, str]] = {
    "Source": {
        **dict.fromkeys(
            (f"{verb}_{format}" for verb in ("from", "read", "scan") for format in _FORMATS), _FILE_IN
        ),
        **dict.fromkeys(
            ("from_files", "from_path", "from_folder", "from_directory", "file", "read"), _FILE_IN
        ),
        **dict.fromkeys(
            (
                f"from_{name}"
                for name in ("df", "pandas", "polars", "arrow_table", "table", "list", "dict", "records")
            ),
            "write Source.from_frame(frame)",
        ),
        **dict.fromkeys(("from_iter", "from_iterable", "from_generator"), _ITEMS_IN),
        **dict.fromkeys(("from_queue", "from_async"), "write Source.from_channel(stream)"),
        **dict.fromkeys(("from_function", "from_callable"), "write Source.from_fn(fn)"),
        **{name: hint for name, hint in SOURCE.items() if name in _STEPS},
    },
    "Sink": {
        **dict.fromkeys(
            (f"{verb}_{format}" for verb in ("to", "write", "sink") for format in _FORMATS), _FILE_OUT
        ),
        **dict.fromkeys(("to_files", "to_path", "to_folder", "to_directory", "file", "write"), _FILE_OUT),
        **dict.fromkeys(
            (f"to_{name}" for name in ("frame", "df", "pandas", "polars", "list", "arrow_table")),
            ".collect_sync() of the builder gives a frame; Sink.to_fn(fn) gets each batch",
        ),
        **dict.fromkeys(("to_function", "to_callable", "foreach"), "write Sink.to_fn(fn)"),
        **dict.fromkeys(("to_console", "to_stdout", "print", "show"), "write Sink.to_fn(print)"),
        "to_queue": "write Sink.to_channel(tx), of a channel()",
        "to_many": "write Sink.fanout([a, b])",
    },
    "Pipeline": {
        **{name: hint for name, hint in PIPELINE.items() if name in _STEPS},
        **dict.fromkeys(("source", "sink", "from_file", "read", "new", "create", "start"), _BUILDER),
    },
    "ErrorHandler": {
        **dict.fromkeys(("ignore", "drop", "continue_", "pass_"), "write ErrorHandler.skip()"),
        **dict.fromkeys(("raise_", "stop", "abort", "error"), "write ErrorHandler.fail()"),
        **dict.fromkeys(
            ("dlq", "to_sink", "side_output", "quarantine"), "write ErrorHandler.dead_letter(sink)"
        ),
        **dict.fromkeys(("warn", "print"), "write ErrorHandler.log()"),
        **dict.fromkeys(("backoff", "retries"), 'write ErrorHandler.retry(3, delay="100ms")'),
    },
}
"""Hints for constructors that a class does not have, by class."""

MADE_BY = {
    "Pipeline": _BUILDER,
    "Builder": _BUILDER,
    "Source": "write Source.from_file(path), Source.from_frame(frame), .from_channel(...) or .from_fn(...)",
    "Sink": "write Sink.to_file(path), Sink.to_channel(...) or Sink.to_fn(...)",
    "ErrorHandler": "write ErrorHandler.retry(3), .log(), .skip(), .dead_letter(sink) or .fail()",
}
"""Hints for calls of classes whose objects other methods make, by class."""

UNAWAITED = {
    "Results.collect": "write await builder.collect(), or builder.collect_sync() in code that is not async",
    "Runs.run": "write await pipeline.run(), or pipeline.run_sync() in code that is not async",
}
"""Hints for a use of what a coroutine function returns, as if it were the result."""

ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("sep", "separator", "delim", "field_delimiter"), ("delimiter",)),
    **dict.fromkeys(("key", "keys", "group_by", "partition", "groupby"), ("by", "partition_by")),
    **dict.fromkeys(("time", "ts", "time_column", "timestamp", "index_column"), ("on", "column")),
    **dict.fromkeys(("n_jobs", "max_workers", "num_workers", "parallelism", "concurrency"), ("workers",)),
    **dict.fromkeys(("retries", "attempts", "max_attempts", "n"), ("times",)),
    **dict.fromkeys(
        ("size", "batch_size", "n_rows", "max_rows"), ("rows", "batch_rows", "limit", "capacity")
    ),
    **dict.fromkeys(("bytes", "max_bytes", "memory"), ("nbytes",)),
    **dict.fromkeys(("interval", "slide", "hop"), ("every", "per")),
    **dict.fromkeys(("period",), ("size", "per", "every")),
    **dict.fromkeys(("seconds", "wait", "time_limit"), ("duration", "delay", "quiet")),
    **dict.fromkeys(("filename", "file", "source", "files", "file_path"), ("path",)),
    **dict.fromkeys(("dtypes", "schema_overrides", "columns", "types"), ("schema",)),
    **dict.fromkeys(("new_columns", "names", "column_names"), ("schema",)),
    **dict.fromkeys(
        ("truncate_ragged_lines", "ignore_errors", "on_bad_lines", "error_bad_lines", "null_padding"),
        ("bad_rows",),
    ),
    **dict.fromkeys(("skip_rows", "skiprows", "skip"), ("skip_lines",)),
    **dict.fromkeys(("header", "include_header"), ("has_header",)),
    **dict.fromkeys(("quote", "quotechar"), ("quote_char",)),
    **dict.fromkeys(("na_values", "nullstr", "null_value", "na_rep", "null_string"), ("null_values",)),
    **dict.fromkeys(("quoting", "quote_all", "force_quote"), ("quote_style",)),
    **dict.fromkeys(("float_format", "precision"), ("float_precision",)),
    **dict.fromkeys(("dateformat", "dateFormat"), ("date_format",)),
    **dict.fromkeys(("timestampformat", "timestampFormat", "timestamp_format"), ("datetime_format",)),
    **dict.fromkeys(("comment", "comment_char"), ("comment_prefix",)),
    **dict.fromkeys(("decimal", "decimal_separator"), ("decimal_comma",)),
    **dict.fromkeys(("charset",), ("encoding",)),
    **dict.fromkeys(("union_by_name", "allow_missing_columns"), ("missing_columns",)),
    **dict.fromkeys(("sheet_name", "sheet_id"), ("sheet",)),
    **dict.fromkeys(("partition_cols", "hive_partitions", "partition"), ("partition_by",)),
    **dict.fromkeys(("codec",), ("compression",)),
    **dict.fromkeys(("maxRecordsPerFile", "max_rows_per_part"), ("max_rows_per_file",)),
    **dict.fromkeys(
        ("file_size_bytes", "approximate_bytes_per_file", "target_file_size"), ("max_bytes_per_file",)
    ),
    **dict.fromkeys(("gap", "timeout", "inactivity"), ("session",)),
    **dict.fromkeys(("return_dtype", "output_schema"), ("schema",)),
    **dict.fromkeys(("format", "as_", "kind"), ("frame",)),
    **dict.fromkeys(("func", "function", "f", "callback"), ("fn",)),
    **dict.fromkeys(("mode",), ("emit",)),
    **dict.fromkeys(("if_exists", "existing_data_behavior", "write_disposition"), ("mode",)),
    **dict.fromkeys(("watermark", "delay", "max_delay", "out_of_order"), ("lateness", "allowed_lateness")),
}
"""Names that other libraries give to arguments, with the names here, the first that a call has counts."""

ADVICE: dict[str, tuple[str, str]] = {
    "skip_rows_after_header": (
        "skip_lines",
        "leave out the header, too, by a skip_lines of 2 without has_header, and name the columns in schema",
    ),
    "compression": (
        "skip_lines",
        "the names of files tell it, by .gz, .zst or .zip at the end; unpack standard input by zcat",
    ),
    **dict.fromkeys(
        ("columns", "usecols"),
        ("skip_lines", "choose columns in a step, select: the source then reads no others"),
    ),
    **dict.fromkeys(
        ("n_rows", "nrows", "max_rows"),
        ("skip_lines", "the run has a limit of rows, limit or --limit, and preview shows the first rows"),
    ),
    **dict.fromkeys(
        ("infer_schema_length", "infer_schema", "inferSchema", "sample_size", "all_varchar"),
        ("skip_lines", "types are inferred from the first 10,000 rows; schema sets some or all of them"),
    ),
    **dict.fromkeys(
        ("parse_dates", "try_parse_dates", "date_format", "dateformat", "timestampformat"),
        (
            "skip_lines",
            "read times by the type Datetime in schema, or parse text in a step, which has the format",
        ),
    ),
    **dict.fromkeys(
        ("hive_partitioning", "hive_schema", "hive_types", "partitioning", "basePath"),
        (
            "skip_lines",
            "leave it out: folders such as day=1 are columns, below the folder or the first wildcard of a path, "
            "and everywhere in the paths of a list",
        ),
    ),
    **dict.fromkeys(
        ("mkdir", "create_dir"), ("row_group_size", "leave it out: a folder, which ends with '/', is created")
    ),
    "maintain_order": ("max_keys", "leave it out: groups come in the order of their first rows"),
    "closed": (
        "session",
        "leave it out: a window includes its start and excludes its end, closed='left' of Polars",
    ),
    "index": ("row_group_size", "leave it out: rows have no index"),
    **dict.fromkeys(
        ("recursive", "recursiveFileLookup"), ("skip_lines", "leave it out: a folder is read at any depth")
    ),
}
"""Hints for arguments of other libraries, each with an argument of the calls that it is for."""

VALUES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("jsonl", "jsonlines", "json_lines"), ("ndjson", "file")),
    **dict.fromkeys(("xlsx", "xlsm", "xls"), ("excel", "file")),
    **dict.fromkeys(("feather", "arrow"), ("ipc", "file")),
    **dict.fromkeys(("text", "txt", "raw"), ("lines", "file")),
    **dict.fromkeys(("tsv",), ("csv", "file")),
    **dict.fromkeys(("pq",), ("parquet", "file")),
    **dict.fromkeys(("csv", "parquet", "json", "ndjson", "avro", "s3", "stdin", "stdout"), ("file",)),
    **dict.fromkeys(("dataframe", "polars", "pandas"), ("frame",)),
    **dict.fromkeys(("deltalake", "delta_lake", "delta-lake"), ("delta",)),
    **dict.fromkeys(("gz",), ("gzip",)),
    **dict.fromkeys(("zst", "zstandard"), ("zstd",)),
    **dict.fromkeys(("ignore", "drop", "pass", "continue"), ("skip", "error")),
    **dict.fromkeys(("fail", "raise", "errorifexists"), ("error", "fail")),
    **dict.fromkeys(("w", "replace", "truncate"), ("overwrite",)),
    **dict.fromkeys(("a", "add"), ("append",)),
    **dict.fromkeys(("where",), ("filter",)),
    **dict.fromkeys(("group_by", "groupby", "aggregate"), ("reduce",)),
    **dict.fromkeys(("withcolumn", "with_column", "assign", "mutate"), ("with_columns",)),
    **dict.fromkeys(("astype",), ("cast",)),
    **dict.fromkeys(("outer", "full_outer", "fullouter"), ("full",)),
}
"""Names in lower case that other libraries give to values and steps, with the names here: the first known counts."""

STRAY = {"window": "aggregates belong into .agg(...)"}
"""Hints for an unknown argument of a call that resembles none of its arguments."""
