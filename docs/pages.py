"""The operators by group, and what their pages document in addition to the builder's method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A class or function that belongs to an operator.

    Parameters
    ----------
    documented
        The dotted name, below ``arrowstream``, of the class or function with the docstring.
    usage
        How it is written, where that is not its name with the parameters of `documented`.
    """

    documented: str
    usage: str | None = None


Pages = dict[str, tuple[Part, ...]]

TRANSFORM: Pages = {
    "select": (),
    "with_columns": (),
    "filter": (),
    "drop": (),
    "rename": (),
    "cast": (),
    "explode": (),
    "unnest": (),
    "map": (),
    "flat_map": (),
    "filter_map": (),
    "process": (
        Part("operators.process.Processor", "Processor"),
        Part("operators.process.Processor.output_schema", ".output_schema(schema)"),
        Part("operators.process.Processor.open", "async .open()"),
        Part("operators.process.Processor.process", "async .process(batch)"),
        Part("operators.process.Processor.on_watermark", "async .on_watermark(time_us)"),
        Part("operators.process.Processor.finish", "async .finish()"),
        Part("operators.process.Processor.close", "async .close()"),
        Part("operators.process.Processor.snapshot", ".snapshot()"),
        Part("operators.process.Processor.restore", ".restore(state)"),
    ),
    "process_gpu": (
        Part("gpu.custom.processor.GpuProcessor", "GpuProcessor(device=0)"),
        Part("gpu.custom.processor.GpuProcessor.kernel", ".kernel(source, name, inputs=..., outputs=...)"),
        Part("gpu.custom.processor.GpuProcessor.block_size", ".block_size(threads)"),
        Part("gpu.custom.processor.GpuProcessor.on_cpu", ".on_cpu(fn)"),
    ),
    "parallel_map": (),
    "map_zero_copy": (
        Part("operators.zero_copy.columns.ZeroCopyColumns", "ZeroCopyColumns"),
        Part("operators.zero_copy.buffer.ZeroCopyBuffer", "ZeroCopyBuffer(nbytes)"),
    ),
    "backend": (),
}

AGGREGATE: Pages = {
    "with_event_time": (),
    "batch": (),
    "window": (
        Part("operators.window.Windows.agg", ".agg(*exprs, **named)"),
        Part("operators.window.Windows.rows", ".rows()"),
    ),
    "reduce": (),
    "group_by": (Part("operators.aggregation.grouped.Grouped.agg", ".agg(*exprs, **named)"),),
    "scan": (),
}

CHOOSE: Pages = {"unique": (), "top_k": (), "sort": (), "over": ()}

JOIN: Pages = {"join": (), "join_asof": ()}

FLOW: Pages = {
    "buffer": (),
    "throttle": (),
    "debounce": (),
    "timeout": (),
    "named": (),
    "split": (
        Part("builder.split.Splitting.branch", ".branch(name, steps=lambda rows: rows)"),
        Part("builder.split.Splitting.otherwise", ".otherwise(steps=lambda rows: rows)"),
        Part("builder.split.Splitting.merge", ".merge()"),
    ),
    "merge": (),
}

ERRORS: Pages = {
    "on_error": (
        Part("policies.handlers.ErrorHandler", "ErrorHandler"),
        Part("policies.handlers.ErrorHandler.retry"),
        Part("policies.handlers.ErrorHandler.log"),
        Part("policies.handlers.ErrorHandler.skip"),
        Part("policies.handlers.ErrorHandler.dead_letter"),
        Part("policies.handlers.ErrorHandler.fail"),
    ),
}

GROUPS: dict[str, Pages] = {
    "Transform": TRANSFORM,
    "Aggregate": AGGREGATE,
    "Choose and order rows": CHOOSE,
    "Join": JOIN,
    "Flow control": FLOW,
    "Error handling": ERRORS,
}
