"""`Pipeline.serve_metrics`: metrics for Prometheus."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from arrowstream.core.defaults import PROMETHEUS_HOST, PROMETHEUS_PORT
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.metrics.snapshot import Metrics

if TYPE_CHECKING:
    from arrowstream.metrics.server import MetricsServer


@explain_calls
class ServesMetrics:
    """A class whose objects have metrics."""

    @abstractmethod
    def metrics(self) -> Metrics:
        """Return frozen metrics; from any thread."""

    def serve_metrics(self, port: int = PROMETHEUS_PORT, host: str = PROMETHEUS_HOST) -> MetricsServer:
        """Serve metrics to Prometheus until the server is closed, as ``with`` does at the end of its block.

        ``/metrics`` has the metrics. ``/healthz`` answers 200 while a run of the pipeline is in progress, and 503
        before and after it.

        Parameters
        ----------
        port
            The port; 0 for any free one, which the server's `port` then names.
        host
            The address; by default only this machine can reach it.

        Returns
        -------
        MetricsServer
            The running server, with `port` and `close`.

        Raises
        ------
        MissingExtra
            prometheus-client is not installed (extra ``metrics``).
        """
        from arrowstream.metrics.server import serve

        return serve(self.metrics, port=port, host=host)
