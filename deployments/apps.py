from portal.apps import DomainConfig


class DeploymentsConfig(DomainConfig):
    name = "deployments"
