from portal.apps import DomainConfig


class OperationsConfig(DomainConfig):
    name = "operations"
