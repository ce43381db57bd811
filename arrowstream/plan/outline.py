"""The outline of a pipeline: its graph as plain nodes and edges, for those who draw it or send it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Column = tuple[str, str]
"""The name of a column, and its type as text."""

NodeKind = Literal["source", "expressions", "operator", "split", "inputs", "sink", "side"]
"""What a node is: ``expressions`` run on a backend, an ``operator`` is opaque, a ``split`` divides the stream, at
``inputs`` streams meet (merge, join), a ``side`` is the sink of late rows, dead letters or bad rows."""

EdgeKind = Literal["rows", "late rows", "dead letters", "bad rows"]
"""What goes along an edge."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The fitted cost of a backend: ``fixed_us + row_ns / 1000 * rows`` microseconds for a batch.

    Parameters
    ----------
    backend
        The backend.
    fixed_us
        Microseconds a batch.
    row_ns
        Nanoseconds a row.
    batches
        Number of batches measured.
    """

    backend: str
    fixed_us: float
    row_ns: float
    batches: int


@dataclass(frozen=True, slots=True)
class Node:
    """A source, a stage or a sink.

    Parameters
    ----------
    id
        The name in metrics, reports and errors, unique in the pipeline: ``filter+select``, ``split/high/window``.
    kind
        What it is.
    label
        What a reader sees first: of a source or sink such as ``file out.parquet (parquet)``, of a stage its own name
        without those of the steps it is inside of.
    line
        The branch or input that it is part of, such as ``split/high``; empty on the main line.
    steps
        The steps as text, in order; several have been fused. At a source, those that run inside the read.
    reads
        At a source, lines on the columns and filters that the read takes over.
    columns_in, columns_out
        The columns of the rows that come in and go out, None where they are not known or no rows do.
    backend
        The backend and the reason for it, such as ``auto: arrow below ~45,000 rows, polars above``; None where no
        backend is chosen.
    costs
        The fitted costs of the backends that have run batches.
    guarantee
        What a reader of the sink can rely on; None if it is not a sink.
    policies
        Lines on time limit, error handlers and late rows.
    remark
        What the user should know, such as that no row is ever late; None for nothing.
    """

    id: str
    kind: NodeKind
    label: str
    line: str = ""
    steps: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    columns_in: tuple[Column, ...] | None = None
    columns_out: tuple[Column, ...] | None = None
    backend: str | None = None
    costs: tuple[Cost, ...] = ()
    guarantee: str | None = None
    policies: tuple[str, ...] = ()
    remark: str | None = None

    @property
    def fused(self) -> bool:
        """True if several steps run as one stage."""
        return len(self.steps) > 1


@dataclass(frozen=True, slots=True)
class Edge:
    """A way of rows from one node to another; two nodes may have several.

    Parameters
    ----------
    source, target
        The ids of the nodes.
    kind
        What goes along it.
    label
        The name of the branch or input, or an empty text.
    columns
        The columns of the rows; None where they are not known.
    """

    source: str
    target: str
    kind: EdgeKind = "rows"
    label: str = ""
    columns: tuple[Column, ...] | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """The graph of a pipeline. `dataclasses.asdict` makes JSON of it.

    Parameters
    ----------
    name
        The pipeline's name.
    nodes
        Sources, stages and sinks; a node comes after those that its rows come from.
    edges
        The ways between them.
    planned
        True if the nodes are the stages that run; False if the columns of the source are not known yet, and each
        step is a node.
    query
        The SQL that the pipeline comes from, or None.
    guarantees
        What runs with checkpoints guarantee, a line for each part; empty if the pipeline has no sink.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Sink, Source
    >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
    >>> outline = builder.filter(pl.col("x") > 1).sink(Sink.to_fn(print)).build().outline()
    >>> [(edge.source, edge.target) for edge in outline.edges]
    [('source', 'filter'), ('filter', 'sink')]
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    planned: bool
    query: str | None = None
    guarantees: tuple[str, ...] = ()

    def node(self, id: str) -> Node:
        """Return the node of this id.

        Raises
        ------
        KeyError
            No node has it.
        """
        for node in self.nodes:
            if node.id == id:
                return node
        raise KeyError(id)
