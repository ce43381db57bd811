"""An HTTP endpoint that Prometheus scrapes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from arrowstream.core.checks import check_whole
from arrowstream.errors import PlanError
from arrowstream.metrics.prometheus import Collector, Shown, missing_metrics


class MetricsServer:
    """A running endpoint; `close` it, or use it in a ``with``. Made by `serve`."""

    __slots__ = ("_server", "_thread")

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """The port it listens on; the one that was free if 0 was asked for."""
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


def serve(take: Callable[[], Shown], *, port: int = 9464, host: str = "127.0.0.1") -> MetricsServer:
    """Serve metrics over HTTP under ``/metrics``, on a thread of its own.

    Parameters
    ----------
    take
        Takes the picture that is shown; called anew for each scrape, on the server's thread.
    port
        0 for any that is free.
    host
        The address to listen on. The default is seen from this machine only; there is no password.

    Raises
    ------
    MissingExtra
        prometheus-client (extra ``metrics``) is not installed.
    PlanError
        The port is no whole number, or the address cannot be listened on.
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
