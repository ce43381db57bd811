"""Default values that settings may replace."""

from __future__ import annotations

QUEUE_BATCHES = 2
"""Queue capacity between two stages, in batches: enough to keep both busy, and little memory."""

QUEUE_MIB = 256
"""Queue capacity between two stages, in MiB; it bounds memory where batches are large."""

WORKER_THREADS = 8
"""Maximum number of worker threads of a run; each starts when it is first needed."""

CHECKPOINT_SECONDS = 10.0
"""Seconds between two checkpoints."""

ACKNOWLEDGE_SECONDS = 5.0
"""Seconds between two acknowledgements of the rows that sinks have, to sources that wait for them."""

MAX_RETRIES = 3
"""Number of retries after the first attempt."""

RETRY_DELAY_MS = 100
"""Wait before the first retry, in milliseconds."""

PROMETHEUS_HOST = "127.0.0.1"
PROMETHEUS_PORT = 9464
"""Address of the metrics server: this machine only, on the usual port of Prometheus exporters."""

PAGE_PORT = 8080
"""Port of the live page."""
