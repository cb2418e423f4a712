"""Screens of inventory: what is there, and what can be done to it."""

from inventory.views.discovery import discovery_detail, discovery_list, discovery_verb
from inventory.views.drift import drift_detail, drift_list, drift_proposal, drift_verb
from inventory.views.estate import (
    catalog,
    catalog_apply,
    component_detail,
    data_center_detail,
    environment_detail,
    service_detail,
)
from inventory.views.operate import component_operate, component_plans, component_reload

__all__ = [
    "catalog",
    "catalog_apply",
    "component_detail",
    "component_operate",
    "component_plans",
    "component_reload",
    "data_center_detail",
    "discovery_detail",
    "discovery_list",
    "discovery_verb",
    "drift_detail",
    "drift_list",
    "drift_proposal",
    "drift_verb",
    "environment_detail",
    "service_detail",
]
