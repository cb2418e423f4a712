"""Places of inventory in the navigation, and what people find of the estate."""

from django.db.models import F, TextField, Value
from django.db.models.functions import Concat

from inventory.models import Component, DataCenter, Endpoint, Environment, NetworkZone, Server, ServerGroup, Service
from portal import search, ui

ui.nav("Catalog", "catalog", icon="file-diff", order=80, action="inventory.apply_catalog")

search.source(
    "service", "Services", icon="apps", rows=Service.objects.visible_to, page="service-detail", detail="slug",
    exact=("slug",), place=20,
)  # fmt: skip
search.source(
    "component", "Components", icon="server-2", rows=Component.objects.visible_to, page="component-detail", large=True,
    detail="slug", exact=("slug", "external_id"), first="name", inside="slug", place=21,
)  # fmt: skip
search.source(
    "server", "Servers", icon="server", rows=Server.objects.visible_to, page="server-detail", large=True,
    detail="slug", exact=("slug", "external_id"), first="name", inside="slug", place=22,
)  # fmt: skip
search.source(
    "endpoint", "Endpoints", icon="plug-connected", rows=Endpoint.objects.visible_to, page="component-detail",
    large=True,
    title=Concat(F("name"), Value(" · "), F("host"), Value(":"), F("port"), output_field=TextField()),
    detail="component__slug", key="component__slug", place=23,
)  # fmt: skip
search.source(
    "environment", "Environments", icon="stack-2", rows=Environment.objects.visible_to, page="environment-detail",
    detail="kind", exact=("slug",), place=24,
)  # fmt: skip
search.source(
    "data-center", "Data centers", icon="building", rows=DataCenter.objects.visible_to, page="data-center-detail",
    detail="region", exact=("slug",), place=25,
)  # fmt: skip
search.source(
    "server-group", "Server groups", icon="server-bolt", rows=ServerGroup.objects.visible_to,
    page="server-group-detail", detail="slug", exact=("slug",), place=26,
)  # fmt: skip
search.source(
    "network-zone", "Network zones", icon="network", rows=NetworkZone.objects.visible_to, page="network-zone-detail",
    detail="slug", exact=("slug",), place=27,
)  # fmt: skip
