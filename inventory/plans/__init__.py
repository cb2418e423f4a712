"""Plans on components: the rolling reload, and one plan for each act that a driver declares."""

from drivers.registry import KINDS, driver_class
from inventory.plans.driver_act import DriverPlan
from inventory.plans.reload import Reload
from operations.plan import register

__all__ = ["DriverPlan", "Reload"]

register(Reload())
for _kind in KINDS:
    try:  # TEMP
        _driver = driver_class(_kind)
    except (ImportError, AttributeError):
        continue
    for _act in _driver.acts:
        register(DriverPlan(_driver, _act))
