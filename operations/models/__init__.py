"""Durable work on infrastructure: operations, their steps, what was logged, who agreed."""

from operations.models.operation import FINISHED, STARTED, OnFailure, Operation, OperationQuerySet, Priority
from operations.models.schedule import Schedule
from operations.models.step import Approval, Step, StepLog
from operations.models.windows import ChangeWindow
from operations.models.worker import Worker

__all__ = [
    "FINISHED",
    "STARTED",
    "Approval",
    "ChangeWindow",
    "OnFailure",
    "Operation",
    "OperationQuerySet",
    "Priority",
    "Schedule",
    "Step",
    "StepLog",
    "Worker",
]
