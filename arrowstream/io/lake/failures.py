"""Failures of libraries, of the disk and of object stores as errors that name the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from arrowstream.config.masking import hidden
from arrowstream.errors import ArrowstreamError, SinkError, SourceError


@contextmanager
def writing(
    table: str, failures: tuple[type[BaseException], ...], secrets: Callable[[], Iterable[str]]
) -> Iterator[None]:
    """Raise the failure of a write in the block as a SinkError.

    Parameters
    ----------
    table
        The table, such as ``the Delta table x``.
    failures
        What the library raises.
    secrets
        Returns the texts that no message may have.
    """
    try:
        yield
    except ArrowstreamError:
        raise
    except failures as error:
        raise SinkError(f"{table} cannot be written", found=_text(error, secrets)) from error


@contextmanager
def reading(
    table: str, failures: tuple[type[BaseException], ...], secrets: Callable[[], Iterable[str]]
) -> Iterator[None]:
    """Raise the failure of a read in the block as a SourceError; the arguments are those of `writing`."""
    try:
        yield
    except ArrowstreamError:
        raise
    except failures as error:
        raise SourceError(f"{table} cannot be read", found=_text(error, secrets)) from error


def _text(error: BaseException, secrets: Callable[[], Iterable[str]]) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return hidden(lines[0], secrets()) if lines else type(error).__name__
