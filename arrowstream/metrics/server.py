"""An HTTP server with metrics for Prometheus, and with the health of the run for what supervises the process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from arrowstream.core.checks import check_whole
from arrowstream.core.defaults import PROMETHEUS_HOST, PROMETHEUS_PORT
from arrowstream.errors import PlanError
from arrowstream.metrics.prometheus import Collector, ExportedMetrics, missing_metrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HEALTH_PATH = "/healthz"


class MetricsServer:
    """A running server, made by `serve`. `close` it, or use it in a ``with`` statement."""

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


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: a slow scrape does not delay a health check."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: scrapes and health checks are many."""


def serve(
    take: Callable[[], ExportedMetrics], *, port: int = PROMETHEUS_PORT, host: str = PROMETHEUS_HOST
) -> MetricsServer:
    """Serve metrics over HTTP under ``/metrics``, and health under ``/healthz``, on a separate thread.

    Parameters
    ----------
    take
        Takes a snapshot of the metrics; called once for each request, on a thread of the server.
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
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError as error:
        raise missing_metrics() from error
    check_whole("serve_metrics(port=...)", port, least=0)
    registry = CollectorRegistry()
    registry.register(Collector(take))
    answers = _with_health(take, make_wsgi_app(registry))
    try:
        server = make_server(host, port, answers, _server_class(host, port), _Handler)
    except OSError as error:
        raise PlanError(
            "metrics cannot be served",
            expected="a free port of this machine",
            found=f"{host}:{port}: {error.strerror}",
            hint="port=0 takes any that is free",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return MetricsServer(server, thread)


def _server_class(host: str, port: int) -> type[WSGIServer]:
    """Return a class of servers for the family of addresses that `host` belongs to: IPv4 or IPv6."""
    (family, *_), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return type("_Server", (_Server,), {"address_family": family})


def _with_health(take: Callable[[], ExportedMetrics], metrics: WSGIApplication) -> WSGIApplication:
    """Answer requests for `HEALTH_PATH`: 200 while a run is in progress, else 503; pass on all others."""

    def application(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != HEALTH_PATH:
            return metrics(environ, start)
        running = take().running
        status, text = ("200 OK", b"running\n") if running else ("503 Service Unavailable", b"not running\n")
        start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
        return [text]

    return application
