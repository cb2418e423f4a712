from portal.apps import DomainConfig


class ObservabilityConfig(DomainConfig):
    name = "observability"
