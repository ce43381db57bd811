"""arrowstream: a streaming engine for people who work with dataframes.

Data moves as Apache Arrow record batches, transforms are Polars expressions, and a pipeline runs on
asyncio. Start with `Pipeline.builder()`, `Source` and `Sink`.
"""

from typing import TYPE_CHECKING

from arrowstream.config.settings import Settings
from arrowstream.connectors.sink import Sink
from arrowstream.connectors.source import Source
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.core.mistakes.explain import unknown_name
from arrowstream.core.mistakes.other_names import PACKAGE
from arrowstream.errors import ArrowstreamError
from arrowstream.io.tcp.options import TcpLimits, Tls
from arrowstream.metrics.stage import StageMetrics
from arrowstream.operators.process import Processor
from arrowstream.operators.zero_copy.buffer import ZeroCopyBuffer
from arrowstream.pipeline import Builder, Pipeline
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.runtime.background.running import Running
from arrowstream.runtime.report import Progress, RunReport

__version__ = "0.1.0"

__all__ = [
    "ArrowstreamError",
    "Builder",
    "ErrorHandler",
    "Pipeline",
    "Processor",
    "Progress",
    "Receiver",
    "RunReport",
    "Running",
    "Sender",
    "Settings",
    "Sink",
    "Source",
    "StageMetrics",
    "TcpLimits",
    "Tls",
    "ZeroCopyBuffer",
    "__version__",
    "channel",
]

if not TYPE_CHECKING:  # a type checker finds the mistake itself

    def __getattr__(name: str) -> object:
        raise unknown_name("arrowstream", name, __all__, PACKAGE)
