"""Places of inventory in the navigation."""

from portal import ui

ui.nav("Catalog", "catalog", icon="file-diff", order=80, action="inventory.apply_catalog")
