from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig

ENTRY_POINTS = ("plans", "receivers", "panels", "tasks")


class DomainConfig(AppConfig):
    """An app of the house: loads the modules nobody imports, so that they register what they declare."""

    # An apps.py sees this class beside its own; Django takes neither unless only one of them is a candidate.
    default = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.default = True

    def ready(self) -> None:
        for module in ENTRY_POINTS:
            if find_spec(f"{self.name}.{module}"):
                import_module(f"{self.name}.{module}")


class PortalConfig(DomainConfig):
    name = "portal"
