"""All steps of the builder."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.builder.flow import FlowSteps
from arrowstream.builder.keyed import KeyedSteps
from arrowstream.builder.rows import RowSteps


@dataclass(frozen=True, slots=True)
class Steps(RowSteps, KeyedSteps, FlowSteps):
    """The steps of the builder, one method each."""
