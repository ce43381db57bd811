"""The sources of a job that its steps join as streams, by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from arrowstream.config.toml_file import Value
from arrowstream.pipeline import Builder

JOINS = ("join", "join_asof")
"""The steps that may have the key ``stream``."""


@dataclass(slots=True)
class Streams:
    """The streams that steps may join.

    Parameters
    ----------
    builders
        Each source that is joined, with its own steps, by its name.
    missing
        Why there are none, if that is so wherever these steps stand.
    """

    builders: Mapping[str, Builder] = field(default_factory=dict)
    missing: str | None = None
    _joined: set[str] = field(default_factory=set)

    def named(self, value: Value) -> Builder:
        """Return the stream of a name.

        Raises
        ------
        JobError
            Steps here join no streams, no source has the name, or its rows come once and are joined already.
        """
        name = value.text()
        if self.missing is not None:
            raise value.error(self.missing)
        if name not in self.builders:
            raise value.error(f"no [[source]] has the name {name!r}")
        builder = self.builders[name]
        if name in self._joined and any(source.read_once for source in builder.graph.sources):
            raise value.error(f"{name!r} is joined already, and its rows come once")
        self._joined.add(name)
        return builder


def joined(steps: Value | None) -> Iterator[str]:
    """Yield the names of the sources that steps join as streams, as far as they are well-formed."""
    found = steps.found if steps is not None else ()
    for step in found if isinstance(found, list) else ():
        for join in JOINS:
            arguments = step.get(join) if isinstance(step, dict) else None
            name = arguments.get("stream") if isinstance(arguments, dict) else None
            if isinstance(name, str):
                yield name


IN_SQL = "a query joins its sources: write JOIN in 'sql'"
IN_SOURCE = "streams are joined in [[steps]], not in the steps of a source"
