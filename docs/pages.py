"""Which docstrings make the page of which operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """One way to call an operator.

    Parameters
    ----------
    documented
        The dotted name, below ``arrowstream``, of the class or function whose docstring says what it does.
    usage
        How it is written, where that is not the operator's name with the parameters of `documented`.
    """

    documented: str
    usage: str | None = None


Pages = dict[str, tuple[Form, ...]]

TRANSFORM: Pages = {
    "select": (Form("operators.select.Select"),),
    "with_columns": (Form("operators.with_columns.WithColumns"),),
    "filter": (Form("operators.filter.Filter"),),
    "drop": (Form("operators.drop.Drop"),),
    "rename": (Form("operators.rename.Rename"),),
    "cast": (Form("operators.cast.Cast"),),
    "explode": (Form("operators.explode.Explode"),),
    "unnest": (Form("operators.unnest.Unnest"),),
    "map": (Form("operators.with_columns.WithColumns"), Form("operators.map.MapFunction")),
    "flat_map": (
        Form("operators.flat_map.FlatMap"),
        Form("operators.explode.Explode", "flat_map(column)"),
    ),
    "filter_map": (
        Form("operators.filter_map.FilterMapExpressions", "filter_map(predicate, **exprs)"),
        Form("operators.filter_map.FilterMap"),
    ),
    "process": (
        Form("operators.process.ProcessorStep"),
        Form("operators.process.Processor", "Processor"),
        Form("operators.process.Processor.output_schema", ".output_schema(schema)"),
        Form("operators.process.Processor.open", "async .open()"),
        Form("operators.process.Processor.process", "async .process(batch)"),
        Form("operators.process.Processor.on_watermark", "async .on_watermark(time_us)"),
        Form("operators.process.Processor.finish", "async .finish()"),
        Form("operators.process.Processor.close", "async .close()"),
        Form("operators.process.Processor.snapshot", ".snapshot()"),
        Form("operators.process.Processor.restore", ".restore(state)"),
    ),
    "parallel_map": (Form("operators.parallel_map.ParallelMap"),),
    "map_zero_copy": (
        Form("operators.map_zero_copy.MapZeroCopy", "map_zero_copy(*fns)"),
        Form("operators.zero_copy.columns.ZeroCopyColumns", "ZeroCopyColumns"),
        Form("operators.zero_copy.buffer.ZeroCopyBuffer", "ZeroCopyBuffer(nbytes)"),
    ),
    "backend": (Form("builder.base.GraphBuilder.backend"),),
}

AGGREGATE: Pages = {
    "with_event_time": (Form("operators.with_event_time.Watermarks"),),
    "batch": (Form("operators.rebatch.Rebatch"),),
    "window": (
        Form("operators.window.windows"),
        Form("operators.window.Windows.agg", ".agg(*exprs, **named)"),
    ),
    "reduce": (Form("operators.reduce.Reduce"),),
    "group_by": (
        Form(
            "operators.aggregation.grouped.grouped",
            'group_by(*by, emit="end", max_keys=None, max_bytes=None, on_full="error")',
        ),
        Form("operators.aggregation.grouped.Grouped.agg", ".agg(*exprs, **named)"),
    ),
    "scan": (
        Form(
            "operators.scan.Scan",
            'scan(*exprs, by=None, max_keys=None, max_bytes=None, on_full="error", **named)',
        ),
        Form("operators.scan_function.ScanFunction", "scan(fn, state=None)"),
    ),
}

FLOW: Pages = {
    "buffer": (Form("operators.buffer.Buffer"),),
    "throttle": (Form("operators.throttle.Throttle"),),
    "debounce": (Form("operators.debounce.Debounce"),),
    "timeout": (Form("builder.base.GraphBuilder.timeout"),),
    "named": (Form("builder.base.GraphBuilder.named"),),
    "split": (
        Form("builder.split.Splitting", "split(selector)"),
        Form("builder.split.Splitting.branch", ".branch(name, steps=lambda rows: rows)"),
        Form("builder.split.Splitting.otherwise", ".otherwise(steps=lambda rows: rows)"),
        Form("builder.split.Splitting.merge", ".merge()"),
    ),
    "merge": (Form("plan.composites.merge.Merge", "merge(*others)"),),
}

ERRORS: Pages = {
    "on_error": (
        Form("policies.handlers.ErrorHandler", "on_error(handler)"),
        Form("policies.handlers.ErrorHandler.retry"),
        Form("policies.handlers.ErrorHandler.log"),
        Form("policies.handlers.ErrorHandler.skip"),
        Form("policies.handlers.ErrorHandler.dead_letter"),
        Form("policies.handlers.ErrorHandler.fail"),
    ),
}

GROUPS: dict[str, Pages] = {
    "Transform": TRANSFORM,
    "Aggregate": AGGREGATE,
    "Flow control": FLOW,
    "Error handling": ERRORS,
}
