"""The nouns everybody points at: where things stand, what they are, what needs what."""

from inventory.models.base import CROSSING, Declared
from inventory.models.components import Component, ComponentQuerySet, Endpoint
from inventory.models.dependencies import Dependency
from inventory.models.discovery import DiscoveryRun, Drift, Sighting
from inventory.models.findings import Finding
from inventory.models.imports import Import, ImportChange, ImportedFile, ImportFault
from inventory.models.places import DataCenter, Environment, NetworkZone, Server, ServerGroup
from inventory.models.records import AppliedCatalog, CatalogDraft, Note, Revision, SavedView, Watch
from inventory.models.services import Service

NOUNS: dict[str, type[Declared]] = {
    model.noun: model
    for model in (
        *(DataCenter, Environment, NetworkZone, ServerGroup, Server),
        *(Service, Component, Endpoint, Dependency),
    )
}
"""Every noun of the estate by its name; what is pointed at comes before what points."""

__all__ = [
    "CROSSING",
    "NOUNS",
    "AppliedCatalog",
    "CatalogDraft",
    "Component",
    "ComponentQuerySet",
    "DataCenter",
    "Declared",
    "Dependency",
    "DiscoveryRun",
    "Drift",
    "Endpoint",
    "Environment",
    "Finding",
    "Import",
    "ImportChange",
    "ImportFault",
    "ImportedFile",
    "NetworkZone",
    "Note",
    "Revision",
    "SavedView",
    "Server",
    "ServerGroup",
    "Service",
    "Sighting",
    "Watch",
]
