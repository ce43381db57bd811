"""An HTTP endpoint that Prometheus scrapes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from arrowstream.core.checks import check_whole
from arrowstream.core.defaults import PROMETHEUS_HOST, PROMETHEUS_PORT
from arrowstream.errors import PlanError
from arrowstream.metrics.prometheus import Collector, Shown, missing_metrics


class MetricsServer:
    """A running endpoint, made by `serve`. `close` it, or use it in a ``with`` statement."""

    __slots__ = ("_server", "_thread")

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """The port it listens on; a free one if port 0 was requested."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening and end the thread. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    take: Callable[[], Shown], *, port: int = PROMETHEUS_PORT, host: str = PROMETHEUS_HOST
) -> MetricsServer:
    """Serve metrics over HTTP under ``/metrics``, on a separate thread.

    Parameters
    ----------
    take
        Takes a snapshot of the metrics; called once for each scrape, on the server's thread.
    port
        The port to listen on; 0 for any free one.
    host
        The address to listen on. The default is visible from this machine only; access needs no password.

    Raises
    ------
    MissingExtra
        prometheus-client (extra ``metrics``) is not installed.
    PlanError
        The port is not a whole number, or the server cannot listen on this address.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise missing_metrics() from error
    check_whole("serve_metrics(port=...)", port, least=0)
    registry = CollectorRegistry()
    registry.register(Collector(take))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise PlanError(
            "metrics cannot be served",
            expected="a free port of this machine",
            found=f"{host}:{port}: {error.strerror}",
            hint="port=0 takes any that is free",
        ) from error
    return MetricsServer(server, thread)
