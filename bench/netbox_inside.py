"""What ``bench.netbox`` has NetBox's own Python do: ``migrate``, ``fill`` (JSON lines on standard input), ``people``.

It imports nothing of the portal. Everything goes through NetBox's models, and its search index through its own indexer.
"""

import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import django

STATES = {"active": "active", "planned": "planned", "retiring": "decommissioning", "retired": "offline"}
"""A component's status, and what NetBox calls it."""
SEEN = ("site", "devicerole", "devicetype", "manufacturer", "tenant", "tag")
MANY = 5_000
Facts = dict[str, Any]


def migrate() -> None:
    """All tables. NetBox sorts names by an ICU collation, which the embedded PostgreSQL has not."""
    from django.contrib.postgres.operations import CreateCollation
    from django.core.management import call_command

    create = CreateCollation.create_collation

    def without_icu(self: Any, editor: Any) -> None:
        self.provider, self.locale = "builtin", "C.UTF-8"
        create(self, editor)

    CreateCollation.create_collation = without_icu
    call_command("migrate", interactive=False, verbosity=0)


def fill() -> None:
    """Devices with their tags, counters and search index; the frame they stand in comes from the records."""
    from core.models import ObjectType
    from dcim.models import Device
    from netbox.search.backends import search_backend

    kind = ObjectType.objects.get_for_model(Device)
    model, points = _frame(kind), {"site": {}, "role": {}, "tenant": {}, "tag": {}}
    for facts in _batches(map(json.loads, sys.stdin)):
        _points(points, facts)
        devices = Device.objects.bulk_create(_device(each, model, points) for each in facts)
        _tag(kind, zip(devices, facts, strict=True), points["tag"])
        search_backend.cache(devices, remove_existing=False)
        print(f"  {devices[-1].name}", file=sys.stderr, flush=True)
    model.device_count = Device.objects.count()  # of all counters the only one that is not zero
    model.save()


def _frame(kind: Any) -> Any:
    """The custom field, and the one type of all devices."""
    from dcim.models import DeviceType, Manufacturer
    from extras.models import CustomField

    tier, _ = CustomField.objects.get_or_create(name="tier", defaults={"type": "integer"})
    tier.object_types.set([kind])
    maker, _ = Manufacturer.objects.get_or_create(slug="maker", defaults={"name": "maker"})
    return DeviceType.objects.get_or_create(slug="model-01", defaults={"model": "model-01", "manufacturer": maker})[0]


def _points(points: dict[str, Facts], facts: list[Facts]) -> None:
    """Add to ``points`` what the records point at, by slug."""
    from dcim.models import DeviceRole, Site
    from extras.models import Tag
    from tenancy.models import Tenant

    wanted = {
        "site": (Site, {each["data_center"] for each in facts}),
        "role": (DeviceRole, {each["role"] for each in facts}),
        "tenant": (Tenant, {each["team"] for each in facts}),
        "tag": (Tag, {tag for each in facts for tag in each["tags"]}),
    }
    for name, (model, slugs) in wanted.items():
        for slug in sorted(slugs - points[name].keys()):
            points[name][slug] = model.objects.get_or_create(slug=slug, defaults={"name": slug})[0]


def _device(facts: Facts, model: Any, points: dict[str, Facts]) -> Any:
    from dcim.models import Device

    return Device(
        name=facts["name"], serial=facts["external_id"], description=facts["description"], device_type=model,
        site=points["site"][facts["data_center"]], role=points["role"][facts["role"]],
        tenant=points["tenant"][facts["team"]], status=STATES[facts["status"]], custom_field_data=facts["custom"],
        _config_context_data={},
    )  # fmt: skip


def _tag(kind: Any, pairs: Iterable[tuple[Any, Facts]], tags: Facts) -> None:
    from extras.models import TaggedItem

    TaggedItem.objects.bulk_create(
        TaggedItem(content_type=kind, object_id=device.pk, tag=tags[tag])
        for device, facts in pairs
        for tag in facts["tags"]
    )


def _batches(rows: Iterator[Facts]) -> Iterator[list[Facts]]:
    while batch := list(itertools.islice(rows, MANY)):
        yield batch


def people() -> None:
    """Somebody who sees all, and somebody who sees the devices of the tenants named; prints how each signs in."""
    from users.models import User

    everybody, _ = User.objects.get_or_create(username="all", defaults={"is_superuser": True})
    half, _ = User.objects.get_or_create(username="half")
    _allow(half, ("device",), ["view", "add", "change", "delete"], {"tenant__slug__in": sys.argv[2:]})
    _allow(half, SEEN, ["view"], None)
    (token, cookie), (half_token, half_cookie) = _signs(everybody), _signs(half)
    print(json.dumps({"token": token, "cookie": cookie, "half_token": half_token, "half_cookie": half_cookie}))


def _allow(user: Any, models: tuple[str, ...], actions: list[str], constraints: Facts | None) -> None:
    from core.models import ObjectType
    from users.models import ObjectPermission

    name = f"{user.username}: {', '.join(models)}"
    facts = {"actions": actions, "constraints": constraints}
    permission, _ = ObjectPermission.objects.update_or_create(name=name, defaults=facts)
    permission.object_types.set(
        ObjectType.objects.filter(model__in=models, app_label__in=("dcim", "tenancy", "extras"))
    )
    permission.users.set([user])


def _signs(user: Any) -> tuple[str, str]:
    """A fresh token as it stands after ``Bearer``, and the cookie of a fresh session."""
    from django.conf import settings
    from django.test import Client
    from users.models import Token

    token = Token(user=user)
    token.save()
    browser = Client()
    browser.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    sign = token.get_auth_header_prefix().removeprefix("Bearer ") + token.token
    return sign, f"{name}={browser.cookies[name].value}"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netbox.settings")
    django.setup()
    {"migrate": migrate, "fill": fill, "people": people}[sys.argv[1]]()
