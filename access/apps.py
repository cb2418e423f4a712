from portal.apps import DomainConfig


class AccessConfig(DomainConfig):
    name = "access"
