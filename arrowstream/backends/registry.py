"""The registry of backends in this process: those of arrowstream, and those that packages and tests register."""

from __future__ import annotations

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.base import Backend
from arrowstream.backends.polars import PolarsBackend
from arrowstream.config.settings import Settings
from arrowstream.errors import PlanError

_BACKENDS: list[Backend] = [ArrowBackend(), PolarsBackend()]


def backends(settings: Settings | None = None) -> tuple[Backend, ...]:
    """Return all backends: Arrow's, Polars', then the others in the order in which they were registered.

    Parameters
    ----------
    settings
        The settings of the pipeline that they are for; None for a look at what is there.
    """
    if settings is None:
        return tuple(_BACKENDS)
    return tuple(backend.with_settings(settings) for backend in _BACKENDS)


def register_backend(backend: Backend) -> None:
    """Add a backend, which pipelines that are built after this call use.

    Parameters
    ----------
    backend
        The backend. ``.backend(name)``, job files, `explain()` and reports use its `name`.

    Raises
    ------
    PlanError
        The name is that of another backend, or ``"auto"``.
    """
    taken = ["auto", *(known.name for known in _BACKENDS)]
    if backend.name in taken:
        raise PlanError(
            f"a backend cannot be called {backend.name!r}",
            expected=f"another name than {', '.join(map(repr, taken))}",
            found=type(backend).__qualname__,
        )
    _BACKENDS.append(backend)


def unregister_backend(name: str) -> None:
    """Remove a registered backend. Pipelines that were built with it keep it.

    Raises
    ------
    PlanError
        No registered backend has this name; those of arrowstream cannot be removed.
    """
    others = [backend for backend in _BACKENDS[2:] if backend.name != name]
    if len(others) == len(_BACKENDS[2:]):
        raise PlanError(f"no registered backend is called {name!r}")
    _BACKENDS[2:] = others
