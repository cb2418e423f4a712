"""REST of operations, plans, windows and schedules."""

from operations.api.operations import OperationApi, OperationSerializer, RequestInput, RunInput, planning
from operations.api.plans import PlanApi, PlanSerializer
from operations.api.schedules import ScheduleApi, ScheduleSerializer
from operations.api.windows import WindowApi

__all__ = [
    "OperationApi",
    "OperationSerializer",
    "PlanApi",
    "PlanSerializer",
    "RequestInput",
    "RunInput",
    "ScheduleApi",
    "ScheduleSerializer",
    "WindowApi",
    "planning",
]
