"""All steps of the builder."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.builder.asof import AsofSteps
from arrowstream.builder.choosing import ChoosingSteps
from arrowstream.builder.columns import ColumnSteps
from arrowstream.builder.event_time import EventTimeSteps
from arrowstream.builder.flow import FlowSteps
from arrowstream.builder.functions import FunctionSteps
from arrowstream.builder.joins import JoinSteps
from arrowstream.builder.keyed import KeyedSteps
from arrowstream.builder.processors import ProcessorSteps


@dataclass(frozen=True, slots=True)
class Steps(
    ColumnSteps,
    FunctionSteps,
    ProcessorSteps,
    EventTimeSteps,
    KeyedSteps,
    ChoosingSteps,
    JoinSteps,
    AsofSteps,
    FlowSteps,
):
    """The steps of the builder, one method each."""
