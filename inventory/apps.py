from portal.apps import DomainConfig


class InventoryConfig(DomainConfig):
    name = "inventory"
