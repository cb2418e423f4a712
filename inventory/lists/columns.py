"""What the list of each noun can show. A column that is ``extra`` waits until somebody chooses it."""

from __future__ import annotations

from typing import Any

from portal.ui import Column

PLURALS = {
    "data-center": "Data centers",
    "environment": "Environments",
    "network-zone": "Network zones",
    "server-group": "Server groups",
    "server": "Servers",
    "service": "Services",
    "component": "Components",
    "endpoint": "Endpoints",
    "dependency": "Dependencies",
}
ORDER = dict.fromkeys(PLURALS, "slug") | {"endpoint": "component__slug", "dependency": "source__slug"}


def _tags(row: Any) -> str:
    return ", ".join(row.tags)


def _declared(row: Any) -> str:
    return row.declared_by or "by hand"


def _attributes(row: Any) -> str:
    """What its kind knows of it, in one line."""
    titles = row.spec.attributes
    known = ((titles.get(name, {}).get("title", name), value) for name, value in row.attributes.items())
    return ", ".join(f"{title}: {', '.join(value) if isinstance(value, list) else value}" for title, value in known)


def _kind_in_a_word(row: Any) -> str:
    """Of a redundant dependency, how many are needed of which stands in columns of its own."""
    label: str = row.get_kind_display()
    return label.partition(" (")[0]


def _of(name: str, label: str, **facts: Any) -> Column:
    """A row of another noun, sorted by its slug, which is what its index is by."""
    return Column(f"{name}.slug", label, sort=f"{name}__slug", **facts)


_DECLARED = Column("declared_by", "Declared by", value=_declared, sort=False, extra=True)
_UPDATED = Column("updated_at", "Changed", kind="instant", sort=False, extra=True)
_TAGS = Column("tags", "Tags", value=_tags, sort=False, extra=True, minor=True)
_WHERE = (
    _of("environment", "Environment", minor=True),
    _of("data_center", "Data center", minor=True),
)
_SLUG = Column("slug", "Slug", link=True)

COLUMNS: dict[str, list[Column]] = {
    "data-center": [
        _SLUG,
        Column("name", "Name", minor=True),
        Column("role", "Role"),
        Column("provider", "Provider", minor=True),
        Column("region", "Region", minor=True),
        Column("location", "Location", extra=True),
        _DECLARED,
        _UPDATED,
    ],
    "environment": [
        _SLUG,
        Column("name", "Name"),
        Column("kind", "Kind"),
        Column("description", "Description", sort=False, minor=True),
        _DECLARED,
        _UPDATED,
    ],
    "network-zone": [
        _SLUG,
        Column("exposure", "Exposure"),
        Column("cidr", "Network", kind="code"),
        *_WHERE,
        _DECLARED,
        _UPDATED,
    ],
    "server-group": [
        _SLUG,
        _of("service", "Service"),
        *_WHERE,
        Column("least", "Least", kind="number", sort=False),
        Column("most", "Most", kind="number", sort=False),
        _TAGS,
        _DECLARED,
        _UPDATED,
    ],
    "server": [
        _SLUG,
        Column("kind", "Kind", minor=True),
        Column("status", "Status"),
        _of("service", "Service", minor=True),
        Column("address", "Address", kind="code", sort=False),
        Column("environment.slug", "Environment", sort=False, extra=True),
        Column("data_center.slug", "Data center", sort=False, extra=True),
        Column("group.slug", "Group", sort=False, extra=True),
        Column("zone.slug", "Zone", sort=False, extra=True),
        Column("operating_system", "System", sort=False, minor=True),
        Column("cpus", "CPUs", kind="number", sort=False, extra=True),
        Column("memory_mb", "Memory in MB", kind="number", sort=False, extra=True),
        Column("disk_gb", "Disk in GB", kind="number", sort=False, extra=True),
        Column("external_id", "External id", kind="code", sort=False, extra=True),
        _TAGS,
        _DECLARED,
        _UPDATED,
    ],
    "service": [
        _SLUG,
        Column("name", "Name"),
        Column("tier", "Tier", kind="number"),
        Column("owner.name", "Owner", sort="owner__name"),
        Column("language", "Language", minor=True),
        Column("framework", "Framework", extra=True),
        Column("slo", "SLO in %", kind="number", extra=True),
        _TAGS,
        _DECLARED,
        _UPDATED,
    ],
    "component": [
        Column("slug", "Component", link=True),
        Column("kind", "Kind", minor=True),
        _of("service", "Service", minor=True),
        Column("environment.slug", "Environment", sort=False, extra=True),
        Column("data_center.slug", "Data center", sort=False, extra=True),
        Column("status", "Status", extra=True),
        Column("server.slug", "Server", sort=False, extra=True),
        Column("part_of.slug", "Part of", sort=False, extra=True),
        Column("software", "Software", sort=False, extra=True),
        Column("version", "Declared version", kind="code", sort=False, extra=True),
        Column("endpoint", "Endpoint", kind="code", sort=False, extra=True),
        Column("classification", "Classification", sort=False, extra=True),
        Column("provenance", "Provenance", sort=False, extra=True),
        Column("attributes", "Attributes", value=_attributes, sort=False, extra=True),
        _TAGS,
        _DECLARED,
        Column("updated_at", "Changed", kind="instant", extra=True),
    ],
    "endpoint": [
        Column("component.slug", "Component", sort="component__slug", link=True),
        Column("name", "Name", sort=False),
        Column("protocol", "Protocol", sort=False, minor=True),
        Column("host", "Host", sort=False, minor=True),
        Column("port", "Port", kind="number", sort=False),
        Column("path", "Path", kind="code", sort=False, extra=True),
        Column("tls", "TLS", sort=False, minor=True),
        Column("zone.slug", "Zone", sort=False, extra=True),
        _DECLARED,
    ],
    "dependency": [
        Column("source.slug", "What needs", sort="source__slug", link=lambda row: row.source.get_absolute_url()),
        Column("relation", "How", sort=False, minor=True),
        Column("target.slug", "What is needed", sort="target__slug", link=lambda row: row.target.get_absolute_url()),
        Column("kind", "Kind", value=_kind_in_a_word, sort=False, link=True),
        Column("group", "Group", sort=False, extra=True),
        Column("needed", "Needed of it", kind="number", sort=False, extra=True),
        Column("protocol", "Protocol", sort=False, minor=True),
        Column("mode", "Mode", sort=False, extra=True),
        Column("description", "Description", sort=False, extra=True),
        _DECLARED,
    ],
}
