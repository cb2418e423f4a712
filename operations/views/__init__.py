"""Screens of operations: what runs, what can be run, when it may, and what runs by itself."""

from operations.views.operations import (
    VERBS,
    operation_detail,
    operation_list,
    operation_log,
    operation_verb,
)
from operations.views.plans import plan_detail, plan_list
from operations.views.schedules import schedule_create, schedule_detail, schedule_list, schedule_verb
from operations.views.stream import operation_record, operation_stream
from operations.views.windows import window_declare, window_detail, window_lift, window_list

__all__ = [
    "VERBS",
    "operation_detail",
    "operation_list",
    "operation_log",
    "operation_record",
    "operation_stream",
    "operation_verb",
    "plan_detail",
    "plan_list",
    "schedule_create",
    "schedule_detail",
    "schedule_list",
    "schedule_verb",
    "window_declare",
    "window_detail",
    "window_lift",
    "window_list",
]
