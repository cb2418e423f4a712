"""Plans on components: the rolling reload, and one plan for each act that a driver declares."""

from drivers.registry import KINDS, driver_class
from inventory.plans.driver_act import DriverPlan
from inventory.plans.reload import Reload
from inventory.plans.switchover import SwitchOver
from operations.plan import register

__all__ = ["DriverPlan", "Reload", "SwitchOver"]

register(Reload())
register(SwitchOver())
for _kind in KINDS:
    _driver = driver_class(_kind)
    for _act in _driver.acts:
        register(DriverPlan(_driver, _act))
