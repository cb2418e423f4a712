from portal.apps import DomainConfig


class IncidentsConfig(DomainConfig):
    name = "incidents"
