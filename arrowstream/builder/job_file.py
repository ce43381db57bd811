"""`Pipeline.from_toml`: the pipeline that a job file describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Self

from arrowstream.config.settings import Settings
from arrowstream.core.checks import PathLike
from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls


@explain_calls
class FromJobFile(metaclass=ExplainsNames):
    """A class whose objects may come from a job file."""

    @classmethod
    def from_toml(
        cls,
        path: PathLike,
        *,
        variables: Mapping[str, str] | None = None,
        set: Mapping[str, Any] | None = None,
        relative_to: PathLike | None = None,
        settings: Settings | None = None,
    ) -> Self:
        r"""Build the pipeline that a job file describes, as the command line does; ``docs/jobs.md`` describes it.

        Parameters
        ----------
        path
            The job file.
        variables
            Values of ``${NAME}`` in the strings of the job; the environment has those that are not here.
        set
            Values that replace or complete those of the file, by dotted key: ``{"steps.0.filter": "x > 1"}``.
        relative_to
            The folder at which relative paths in the job start; by default that of the file.
        settings
            As for `Builder.build`.

        Returns
        -------
        Pipeline
            The pipeline, checked and planned, with the sinks of the job.

        Raises
        ------
        JobError
            The file, a key, a value or a variable is wrong, or does not fit the data; the error names file and line.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from arrowstream import Pipeline
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "in.csv").write_text("x\n1\n2\n3\n")
        >>> _ = (folder / "job.toml").write_text(
        ...     '''
        ... source = { kind = "file", path = "${NAME}.csv" }
        ... steps = [{ filter = "x > 1" }]
        ... sink = { kind = "file", path = "out.csv" }
        ... '''
        ... )
        >>> pipeline = Pipeline.from_toml(
        ...     folder / "job.toml", variables={"NAME": "in"}, set={"steps.0.filter": "x > 2"}
        ... )
        >>> pipeline.run_sync().rows_out
        1
        """
        # Jobs are written with pipelines, so this module finds them only when it is asked for one.
        build: Callable[..., Self] = import_module("arrowstream.jobs.job").from_toml
        return build(path, variables=variables, set=set, relative_to=relative_to, settings=settings)
