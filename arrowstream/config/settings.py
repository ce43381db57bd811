"""Settings of the engine, from a file, the environment and arguments, each with its origin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypedDict, Unpack, get_type_hints

from arrowstream.config.masking import masked
from arrowstream.core.checks import PathLike
from arrowstream.core.defaults import (
    MAX_RETRIES,
    PROMETHEUS_HOST,
    PROMETHEUS_PORT,
    QUEUE_BATCHES,
    QUEUE_MIB,
    RETRY_DELAY_MS,
    WORKER_THREADS,
)
from arrowstream.core.values.frozen_mapping import FrozenMapping
from arrowstream.errors import JobError, SettingsError
from arrowstream.shown import Shown

if TYPE_CHECKING:
    # Imported only when a value must be checked, to keep importing arrowstream fast.
    from msgspec import Meta

    from arrowstream.config.toml_file import Value

FILE = "arrowstream.toml"
SECTION = "streaming"
PREFIX = "ARROWSTREAM_"
DEFAULT = "default"


class Given(TypedDict, total=False):
    """Settings as arguments by name, with the types of the fields of `Settings`."""

    default_buffer_size: int
    max_buffer_size: int
    buffer_mb: int
    state_memory_mb: int | None
    worker_threads: int
    gpu_batch_size: int
    gpu_memory_pool_mb: int
    max_retries: int
    retry_delay_ms: int
    metrics_interval_secs: float
    export_prometheus: bool
    prometheus_host: str
    prometheus_port: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings(Shown):
    """Defaults of the engine, for what a pipeline does not set itself. Give them to `build(settings=...)`.

    A pipeline built without settings has the defaults below; only the command line reads file and environment
    without being asked to.

    Parameters
    ----------
    default_buffer_size
        Queue capacity between two stages, in batches, at least 1. A larger one takes memory and gives no speed,
        unless batches come in bursts.
    max_buffer_size
        Largest capacity that `buffer(...)` may ask for, in batches.
    buffer_mb
        Queue capacity between two stages, in MiB, whatever the number of batches.
    state_memory_mb
        Memory limit for the state of all steps of a pipeline together, in MiB: windows, `reduce`, `scan`,
        `debounce`, and the rows that `batch` and `throttle` hold. Steps with ``on_full="spill"`` write the excess
        to files; other steps raise an error that names the memory of every step. None for no limit.
    worker_threads
        Maximum number of threads of a run: for files, other sources and sinks that block, and long computations. At
        least 2, so that a source that waits for its next rows does not delay work on earlier ones.
    gpu_batch_size
        Number of rows of a batch from which the GPU is considered.
    gpu_memory_pool_mb
        GPU memory that is reserved for batches, in MiB.
    max_retries
        Number of retries of ``ErrorHandler.retry()`` without `times`.
    retry_delay_ms
        Wait before the first retry of ``ErrorHandler.retry()`` without `delay`, in milliseconds.
    metrics_interval_secs
        Interval between lines of metrics in the log ``arrowstream.metrics`` (level INFO), in seconds; 0 for none.
    export_prometheus
        Whether metrics are served to Prometheus while a pipeline runs (extra ``metrics``).
    prometheus_host, prometheus_port
        Address of the metrics server; port 0 is any free one.
    origins
        Origin of each value, by key; filled in by `load`.

    Raises
    ------
    SettingsError
        A value has another type or is out of its range.

    Examples
    --------
    >>> Settings(default_buffer_size=8).default_buffer_size
    8
    >>> Settings(default_buffer_size=0)
    Traceback (most recent call last):
        ...
    arrowstream.errors.SettingsError: argument default_buffer_size: expected `int` >= 1, found 0
    """

    _shown_by: ClassVar[str] = "settings.settings"
    default_buffer_size: Annotated[int, Meta(ge=1)] = QUEUE_BATCHES
    max_buffer_size: Annotated[int, Meta(ge=1)] = 10_000
    buffer_mb: Annotated[int, Meta(ge=1)] = QUEUE_MIB
    state_memory_mb: Annotated[int, Meta(ge=1)] | None = None
    worker_threads: Annotated[int, Meta(ge=2, le=1_000)] = WORKER_THREADS
    gpu_batch_size: Annotated[int, Meta(ge=1)] = 2_048
    gpu_memory_pool_mb: Annotated[int, Meta(ge=0)] = 1_024
    max_retries: Annotated[int, Meta(ge=1)] = MAX_RETRIES
    retry_delay_ms: Annotated[int, Meta(ge=0)] = RETRY_DELAY_MS
    metrics_interval_secs: Annotated[float, Meta(ge=0, le=1_000_000)] = 10.0
    export_prometheus: bool = False
    prometheus_host: str = PROMETHEUS_HOST
    prometheus_port: Annotated[int, Meta(ge=0, le=65_535)] = PROMETHEUS_PORT
    origins: Mapping[str, str] = field(default_factory=FrozenMapping, compare=False)

    def __post_init__(self) -> None:
        for key, default in _defaults().items():
            value = getattr(self, key)
            if value is not default:
                _checked(key, value, self.origins.get(key, f"argument {key}"))
        if self.default_buffer_size > self.max_buffer_size:
            raise SettingsError(
                f"{self.origin('default_buffer_size')}: 'default_buffer_size' is {self.default_buffer_size}, "
                f"above 'max_buffer_size', which is {self.max_buffer_size} ({self.origin('max_buffer_size')})"
            )

    @classmethod
    def load(
        cls,
        path: PathLike | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        **arguments: Unpack[Given],
    ) -> Settings:
        """Read settings from section ``[streaming]`` of a file, the environment and arguments; the last one wins.

        Parameters
        ----------
        path
            A TOML file; by default ``arrowstream.toml`` in the current directory, if it exists.
        environ
            The environment, with variables such as ``ARROWSTREAM_MAX_RETRIES=5``; by default that of this
            process.
        arguments
            Settings by name, such as ``max_retries=5``.

        Returns
        -------
        Settings
            The settings, each with its origin.

        Raises
        ------
        SettingsError
            The file or its section does not exist, a key is unknown, or a value does not fit. The message names
            file and line, or the variable.

        Examples
        --------
        >>> settings = Settings.load(environ={"ARROWSTREAM_MAX_RETRIES": "5"}, worker_threads=4)
        >>> settings.max_retries, settings.origin("max_retries")
        (5, 'ARROWSTREAM_MAX_RETRIES')
        """
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for key, value, origin in (
            *_from_file(path),
            *_from_environment(os.environ if environ is None else environ),
            *_from_arguments(arguments),
        ):
            values[key], origins[key] = value, origin
        return cls(**values, origins=FrozenMapping(origins))

    def origin(self, key: str) -> str:
        """Return where a value comes from.

        Parameters
        ----------
        key
            The name of a setting.

        Returns
        -------
        str
            ``file:line``, the name of a variable, ``argument`` with the name, or ``default``.
        """
        given = getattr(self, key) is not _defaults()[key]
        return self.origins.get(key, f"argument {key}" if given else DEFAULT)

    def table(self) -> Iterator[tuple[str, str, str]]:
        """Yield each key with its value, secrets masked, and its origin."""
        for key in _defaults():
            yield key, str(masked(key, getattr(self, key))), self.origin(key)

    def __repr__(self) -> str:
        values = (f"{key}={masked(key, getattr(self, key))!r}" for key in _defaults())
        return f"Settings({', '.join(values)})"


@cache
def _defaults() -> dict[str, Any]:
    return {item.name: item.default for item in fields(Settings) if item.name != "origins"}


@cache
def _types() -> dict[str, Any]:
    import msgspec

    return get_type_hints(Settings, localns={"Meta": msgspec.Meta}, include_extras=True)


def _checked(key: str, value: Any, place: str, *, text: bool = False) -> Any:
    """Convert a value into the setting's type, or raise an error at `place`; `text` may be read as a number."""
    import msgspec

    try:
        return msgspec.convert(value, _types()[key], strict=not text)
    except msgspec.ValidationError as error:
        wanted = str(error)[:1].lower() + str(error)[1:]
        raise SettingsError(f"{place}: {wanted}, found {masked(key, value)!r}") from None


def _from_file(path: PathLike | None) -> Iterator[tuple[str, Any, str]]:
    if path is None and not Path(FILE).exists():
        return
    from arrowstream.config.toml_file import JobFile, nearest

    try:
        root = JobFile.read(FILE if path is None else path).root
        tables = root.table()
        if SECTION not in tables:
            hint = f" ({nearest(SECTION, tables)})" if tables else ""
            raise SettingsError(f"{root.file.path}:1: no section [{SECTION}]{hint}")
        tables[SECTION].check_keys(_defaults())
        found: dict[str, Value] = tables[SECTION].table()
    except JobError as error:
        raise SettingsError(error.what) from None
    for key, value in found.items():
        place = f"{value.file.path}:{value.line}"
        yield key, _checked(key, value.found, f"{place}: {value.place}"), place


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    keys = {PREFIX + key.upper(): key for key in _defaults()}
    for name, text in environ.items():
        if name in keys:
            yield keys[name], _checked(keys[name], text, name, text=True), name
        # A name that is nearly one of these is a mistake; other names belong to other programs.
        elif name.startswith(PREFIX) and get_close_matches(name, keys, 1, cutoff=0.85):
            raise _unknown(name, name, keys)


def _from_arguments(arguments: Mapping[str, object]) -> Iterator[tuple[str, Any, str]]:
    for key, value in arguments.items():
        if key not in _defaults():
            raise _unknown(f"argument {key}", key, _defaults())
        yield key, _checked(key, value, f"argument {key}"), f"argument {key}"


def _unknown(what: str, name: str, known: Iterable[str]) -> SettingsError:
    from arrowstream.config.toml_file import nearest

    return SettingsError(f"{what}: unknown setting ({nearest(name, known)})")
