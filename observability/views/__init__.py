"""Screens of observability: how it is, what it looks like, and what would fail with what."""

from observability.views.impact import (
    component_impact,
    data_center_impact,
    impact,
    network_zone_impact,
    server_impact,
    service_impact,
)
from observability.views.lists import component_list, dashboard, service_list
from observability.views.pictures import data_center_map, explorer, matrix, topology

__all__ = [
    "component_impact",
    "component_list",
    "dashboard",
    "data_center_impact",
    "data_center_map",
    "explorer",
    "impact",
    "matrix",
    "network_zone_impact",
    "server_impact",
    "service_impact",
    "service_list",
    "topology",
]
