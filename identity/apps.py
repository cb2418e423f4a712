from portal.apps import DomainConfig


class IdentityConfig(DomainConfig):
    name = "identity"
