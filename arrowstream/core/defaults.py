"""Default values that settings may replace; each stands here only."""

from __future__ import annotations

QUEUE_BATCHES = 2
"""Batches in a queue between two stages: enough to keep both busy, few enough to keep memory small."""

QUEUE_MIB = 256
"""MiB in a queue between two stages, which bound memory where batches are large."""

WORKER_THREADS = 8
"""Worker threads of a run; each is started when it is first needed."""

MAX_RETRIES = 3
"""Tries after the first one."""

RETRY_DELAY_MS = 100
"""Milliseconds before the first of them."""

PROMETHEUS_HOST = "127.0.0.1"
PROMETHEUS_PORT = 9464
"""Where metrics are served: on this machine only, at the port that exporters of Prometheus have."""
