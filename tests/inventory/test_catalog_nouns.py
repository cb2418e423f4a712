"""Every noun and field of the estate in a catalog: stored as declared, and refused with the line where it is wrong."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.actions.catalog import apply_catalog
from inventory.catalog import compare, load
from inventory.models import Component, Dependency, Endpoint, NetworkZone, Revision, Server, ServerGroup, Service
from portal.errors import Conflict, Denied
from portal.events import SYSTEM
from tests import world
from tests.inventory.folders import SOUND, complaints, write

WHOLE = """\
catalog: whole
teams: {core: {name: Core}}
data_centers:
  us-central: {name: US Central, role: primary, provider: AWS, region: us-east-2, location: "Columbus, Ohio"}
environments:
  staging: {name: Staging, kind: staging}
  production: {name: Production, kind: production}
services:
  api: {name: API, tier: 1, owner: core, framework: Express, slo: 99.95, tags: [public], custom: {cost_center: 7}}
network_zones:
  production/us-central/public: {name: Public, exposure: public, cidr: 10.0.0.0/24, description: Faces users.}
server_groups:
  production/us-central/web: {name: Web, service: api, least: 2, most: 6, tags: [web]}
servers:
  production/us-central/web-1:
    {name: web-1, service: api, kind: container, status: planned, group: production/us-central/web,
     zone: production/us-central/public, address: "2001:DB8::1", operating_system: Debian 12, cpus: 4, memory_mb: 8192,
     disk_gb: 80, external_id: i-0abc, description: First, tags: [web], custom: {rack: {row: 3}}}
components:
  production/us-central/cluster: {name: Cluster, kind: database_cluster, service: api, attributes: {engine: MySQL}}
  production/us-central/database:
    name: Database
    kind: database
    service: api
    status: retiring
    server: production/us-central/web-1
    part_of: production/us-central/cluster
    software: MySQL
    version: "8.4"
    endpoint: db:3306
    classification: restricted
    provenance: production
    external_id: uuid-1
    description: Orders.
    tags: [a, b]
    custom: {note: {deep: [1, 2.5, null, true]}}
    attributes: {role: primary, mode: semi-sync, encrypted: true}
    endpoints:
      mysql: {port: 3306, protocol: mysql, host: db, path: /, tls: true, zone: production/us-central/public}
      admin: {port: 33062}
  production/us-central/cache-a: {name: A, kind: cache, service: api}
  production/us-central/cache-b: {name: B, kind: cache, service: api}
  production/us-central/api: {name: API, kind: app, service: api}
  staging/us-central/database: {name: Database, kind: database, service: api, provenance: anonymised}
dependencies:
  production/us-central/api:
    production/us-central/database: {protocol: mysql, mode: sync, description: Reads and writes orders}
    production/us-central/cache-a: {kind: redundant, group: cache, needed: 1, relation: uses}
    production/us-central/cache-b: {kind: redundant, group: cache, needed: 1}
  production/us-central/cache-b:
    production/us-central/cache-a: {kind: soft, relation: replicates, mode: async}
  staging/us-central/database:
    production/us-central/database: {kind: soft, relation: copies}
"""
ROW = "components:\n  staging/us-central/api: {name: API, kind: app, service: api%s}\n"
OBJECTIVE = "“slo” must be more than 0 and less than 100, with at most three digits behind the point."
ELSEWHERE = "Rows of another catalog may be named when “relies_on” names that one."
SPOILT = {
    "attribute unknown to the kind": (
        ROW % ", attributes: {processes: 2, colour: red}",
        "2: A component of kind “app” has no such attribute. Known: manager, max_memory_mb, processes, runtime.",
    ),
    "attribute of a wrong type": (
        "components:\n  staging/us-central/api:\n    name: A\n    kind: app\n    service: api\n    attributes:\n"
        "      manager: pm2\n      processes: many\n",
        "8: “processes” must be a whole number.",
    ),
    "attribute out of its choices": (ROW % ", attributes: {manager: cron}", "2: “manager” is “cron”, which is none "
                                     "of: pm2, php-fpm, systemd, container."),
    "attribute out of range": (ROW % ", attributes: {processes: 0}", "2: “processes” must be between 1 and 10000."),
    "status": (ROW % ", status: gone", "2: “status” is “gone”, which is none of: planned, active, retiring, retired."),
    "classification": (ROW % ", classification: secret", "2: “classification” is “secret”, which is none of: public, "
                       "internal, confidential, restricted."),
    "unknown server": (ROW % ", server: staging/us-central/web-9",
                       f"2: There is no server “staging/us-central/web-9”. {ELSEWHERE}"),
    "unknown whole": (ROW % ", part_of: staging/us-central/x", "2: There is no component “staging/us-central/x”."),
    "whole of another environment": (
        ROW % ", part_of: production/us-central/api",
        "2: “production/us-central/api” is in another environment.",
    ),
    "part of itself": (ROW % ", part_of: staging/us-central/api",
                       "2: A component is not part of itself."),
    "tag": (ROW % ", tags: [Not Good]", "2: “Not Good” must be letters, digits, hyphens and underscores."),
    "custom is text": (ROW % ", custom: no", "2: “custom” must be a mapping of names to values."),
    "infinite number": (ROW % ", custom: {x: .inf}",
                        "2: The number .inf must be written in plain decimal digits; quote it if it is text."),
    "endpoint without port": (ROW % ", endpoints: {http: {protocol: tcp}}", "2: “http” lacks “port”."),
    "endpoint out of range": (ROW % ", endpoints: {http: {port: 70000}}", "2: “port” must be between 1 and 65535."),
    "endpoint in an unknown zone": (ROW % ", endpoints: {http: {port: 1, zone: staging/us-central/dmz}}",
                                    f"2: There is no network zone “staging/us-central/dmz”. {ELSEWHERE}"),
    "objective": ("services:\n  x: {name: A, tier: 1, owner: core, slo: 100}\n", f"2: {OBJECTIVE}"),
    "objective too fine": ("services:\n  x: {name: A, tier: 1, owner: core, slo: 99.9999}\n",
                           f"2: {OBJECTIVE}"),
    "network": ("network_zones:\n  staging/us-central/a: {name: A, cidr: 10.0.0.1/8}\n",
                "2: “cidr” must be a network such as 10.0.0.0/16, without bits of a host."),
    "address": ("servers:\n  staging/us-central/a: {name: A, service: api, address: web}\n",
                "2: “address” must be an IPv4 or IPv6 address."),
    "group size": ("server_groups:\n  staging/us-central/a: {name: A, service: api, least: 3, most: 2}\n",
                   "2: “most” must not be less than “least”."),
    "server of an unknown group": (
        "servers:\n  staging/us-central/a:\n    name: A\n    service: api\n    group: staging/us-central/b\n",
        f"5: There is no server group “staging/us-central/b”. {ELSEWHERE}",
    ),
    "one external id twice": (
        "servers:\n  staging/us-central/a: {name: A, service: api, external_id: i-1}\n"
        "  staging/us-central/b: {name: B, service: api, external_id: i-1}\n",
        "3: “i-1” is the external id of “staging/us-central/a” already.",
    ),
    "redundant without a group": (
        "dependencies:\n  production/global/cdn:\n    production/us-central/api: redundant\n",
        "3: A redundant dependency says its group, and how many of the group are needed.",
    ),
    "group without redundancy": (
        "dependencies:\n  production/global/cdn:\n    production/us-central/api: {kind: soft, group: x}\n",
        "3: Only a redundant dependency has “group”.",
    ),
    "more needed than there are": (
        "dependencies:\n  production/global/cdn:\n    production/us-central/api:\n"
        "      {kind: redundant, group: x, needed: 2}\n",
        "4: The group “x” has 1 member, so 2 cannot be needed.",
    ),
    "members disagree": (
        "dependencies:\n  production/global/cdn:\n"
        "    production/us-central/api: {kind: redundant, group: x, needed: 1}\n"
        "    production/us-central/database: {kind: redundant, group: x, needed: 2}\n",
        "4: All of the group “x” must say the same “needed”.",
    ),
    "relation": ("dependencies:\n  production/global/cdn:\n    production/us-central/api: {relation: likes}\n",
                 "3: “relation” is “likes”, which is none of: uses, routes, runs_on, replicates, observes, copies."),
    "field of a dependency": ("dependencies:\n  production/global/cdn:\n    production/us-central/api: {weight: 1}\n",
                              "3: There is no “weight” here. Known: description, group, kind, mode, needed, protocol, "
                              "relation."),
    "crossing by a relation that may not": (
        SOUND["staging.yaml"] + "dependencies:\n  staging/us-central/api:\n"
        "    production/us-central/database: {relation: replicates}\n",
        "5: Environments are kept apart: only observes and copies may lead into another one.",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "whole", {"all.yaml": WHOLE})


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, name):
    text, wanted = SPOILT[name]
    assert f"staging.yaml:{wanted}" in complaints(write(tmp_path / "small", staging=text))


@pytest.mark.django_db
def test_every_field_is_stored_as_declared(folder):
    apply_catalog(load(folder), by=SYSTEM)
    service, zone, group, server = (model.objects.get() for model in (Service, NetworkZone, ServerGroup, Server))
    assert (service.framework, service.slo, service.tags) == ("Express", Decimal("99.950"), ["public"])
    assert (service.custom, zone.cidr, zone.exposure, zone.environment.slug) == (
        {"cost_center": 7}, "10.0.0.0/24", "public", "production",
    )  # fmt: skip
    assert (group.least, group.most, str(group.scope), server.group, server.zone) == (
        2, 6, "production × api", group, zone,
    )  # fmt: skip
    assert (server.kind, server.status, server.address, server.cpus) == ("container", "planned", "2001:db8::1", 4)
    assert (server.memory_mb, server.disk_gb, server.external_id) == (8192, 80, "i-0abc")
    assert server.custom == {"rack": {"row": 3}}
    database = Component.objects.get(slug="production/us-central/database")
    assert (database.server, database.part_of.slug, database.status) == (
        server, "production/us-central/cluster", "retiring",
    )  # fmt: skip
    assert (database.classification, database.provenance, database.external_id) == (
        "restricted", "production", "uuid-1",
    )  # fmt: skip
    assert database.custom == {"note": {"deep": [1, 2.5, None, True]}}
    assert database.attributes == {"role": "primary", "mode": "semi-sync", "encrypted": True}
    assert list(Endpoint.objects.values_list("name", "port", "protocol", "host", "path", "tls", "zone__slug")) == [
        ("admin", 33062, "tcp", "", "", False, None),
        ("mysql", 3306, "mysql", "db", "/", True, zone.slug),
    ]
    facts = ("source__slug", "target__slug", "kind", "relation", "group", "needed", "protocol", "mode", "description")
    at = "production/us-central/"
    assert list(Dependency.objects.values_list(*facts)) == [
        (f"{at}api", f"{at}cache-a", "redundant", "uses", "cache", 1, "", "", ""),
        (f"{at}api", f"{at}cache-b", "redundant", "uses", "cache", 1, "", "", ""),
        (f"{at}api", f"{at}database", "hard", "uses", "", None, "mysql", "sync", "Reads and writes orders"),
        (f"{at}cache-b", f"{at}cache-a", "soft", "replicates", "", None, "", "async", ""),
        ("staging/us-central/database", f"{at}database", "soft", "copies", "", None, "", "", ""),
    ]
    assert compare(load(folder)).changes == ()


@pytest.mark.django_db
def test_a_large_number_is_the_same_when_it_comes_back(folder):
    write(folder, {"all.yaml": WHOLE.replace("cost_center: 7", "cost_center: 1.0e+23, share: 0.1, small: 5.0e-324")})
    apply_catalog(load(folder), by=SYSTEM)
    assert Service.objects.get().custom == {"cost_center": 10**23, "share": 0.1, "small": 5e-324}
    assert compare(load(folder)).changes == ()


@pytest.mark.django_db
def test_only_what_was_changed_is_remembered_as_changed(folder):
    apply_catalog(load(folder), by=SYSTEM)
    last = Revision.objects.latest("id").pk
    write(folder, {"all.yaml": WHOLE.replace("port: 33062", "port: 33063").replace("cpus: 4", "cpus: 8")})
    difference = apply_catalog(load(folder), by=SYSTEM)
    assert [(change.noun, change.key, change.fields) for change in difference.changes] == [
        ("server", "production/us-central/web-1", (("cpus", 4, 8),)),
        ("endpoint", "production/us-central/database#admin", (("port", 33062, 33063),)),
    ]
    rows = Revision.objects.filter(pk__gt=last).order_by("id")
    assert list(rows.values_list("noun", "act", "before")) == [
        ("server", "u", {"cpus": 4}), ("endpoint", "u", {"port": 33062}),
    ]  # fmt: skip


@pytest.mark.django_db
def test_what_is_known_by_an_external_id_is_renamed_not_made_again(folder):
    apply_catalog(load(folder), by=SYSTEM)
    before = Server.objects.get()
    write(folder, {"all.yaml": WHOLE.replace("us-central/web-1", "us-central/web-one")})
    difference = apply_catalog(load(folder), by=SYSTEM)
    renamed = next(change for change in difference.changes if change.noun == "server")
    assert (renamed.act, renamed.fields) == (
        "change", (("slug", "production/us-central/web-1", "production/us-central/web-one"),),
    )  # fmt: skip
    assert difference.counts == {"created": 0, "changed": 1, "removed": 0}
    after = Server.objects.get()
    assert (after.pk, after.slug) == (before.pk, "production/us-central/web-one")
    assert Component.objects.get(slug="production/us-central/database").server == after


@pytest.mark.django_db
def test_parts_and_wholes_go_together(folder):
    apply_catalog(load(folder), by=SYSTEM)
    write(folder, {"all.yaml": WHOLE.split("network_zones:")[0]})
    assert apply_catalog(load(folder), by=SYSTEM).counts == {"created": 0, "changed": 0, "removed": 16}
    assert [model.objects.count() for model in (Component, Server, ServerGroup, NetworkZone, Endpoint)] == [0] * 5


OTHER = """\
catalog: other
relies_on: [whole]
components:
  production/us-central/billing: {name: Billing, kind: app, service: api, server: production/us-central/web-1}
dependencies:
  production/us-central/billing:
    production/us-central/database: hard
"""


@pytest.mark.django_db
def test_a_catalog_may_name_what_another_declares(folder, tmp_path):
    other = write(tmp_path / "other", {"all.yaml": OTHER})
    problems = [
        f"all.yaml:{line}: There is no {what}, neither here nor in whole."
        for line, what in (
            (4, "data center “us-central”"), (4, "environment “production”"),
            (4, "server “production/us-central/web-1”"), (4, "service “api”"),
            (7, "component “production/us-central/database”"),
        )
    ]  # fmt: skip
    assert [str(problem) for problem in compare(load(other)).problems] == problems
    with pytest.raises(Conflict):
        apply_catalog(load(other), by=SYSTEM)
    apply_catalog(load(folder), by=SYSTEM)
    assert apply_catalog(load(other), by=SYSTEM).counts == {"created": 2, "changed": 0, "removed": 0}
    assert compare(load(other)).changes == compare(load(folder)).changes == ()
    write(folder, {"all.yaml": WHOLE.split("components:")[0]})
    with pytest.raises(Conflict) as refusal:
        apply_catalog(load(folder), by=SYSTEM)
    assert refusal.value.problems == [
        "whole: The component “production/us-central/database” is no longer declared, but still pointed at: "
        "1 × dependency."
    ]


@pytest.mark.django_db
def test_the_plan_tells_what_the_write_path_would_refuse(folder):
    world.component("production/us-east/by-hand", external_id="uuid-1")
    assert [str(problem) for problem in compare(load(folder)).problems] == ["all.yaml:33: “uuid-1” is taken."]
    with pytest.raises(Conflict) as refusal:
        apply_catalog(load(folder), by=SYSTEM)
    assert refusal.value.problems == ["all.yaml:33: “uuid-1” is taken."]
    assert Component.objects.count() == 1


@pytest.mark.django_db
def test_a_catalog_needs_its_own_right_and_only_that(folder):
    apply_catalog(load(folder), by=SYSTEM)
    write(folder, {"all.yaml": WHOLE.replace("cpus: 4", "cpus: 8").replace("relation: copies", "relation: observes")})
    owner = world.account("owner", "administrator", ("production", "api"))
    with pytest.raises(Denied) as refusal:
        apply_catalog(load(folder), by=owner)
    assert refusal.value.problems == ["“inventory.apply_catalog” is needed on something that you may not see."]
    world.account("owner", "viewer", ("staging", "api"))
    with pytest.raises(Denied) as refusal:
        apply_catalog(load(folder), by=owner)
    assert refusal.value.problems == ["“inventory.apply_catalog” is needed on staging × api."]
    assert Server.objects.get().cpus == 4


@pytest.mark.django_db
def test_a_right_on_one_service_covers_its_servers_and_links_only(folder):
    apply_catalog(load(folder), by=SYSTEM)
    owner = world.account("owner", "administrator", ("production", "api"))
    write(folder, {"all.yaml": WHOLE.replace("cpus: 4", "cpus: 8").replace("mode: async", "mode: sync")})
    assert apply_catalog(load(folder), by=owner).counts["changed"] == 2
    write(folder, {"all.yaml": WHOLE.replace("relation: copies", "relation: observes")})
    with pytest.raises(Denied):
        apply_catalog(load(folder), by=owner)
    write(folder, {"all.yaml": WHOLE.replace("exposure: public", "exposure: private")})
    with pytest.raises(Denied):
        apply_catalog(load(folder), by=owner)


LARGE = (
    "catalog: whole\nteams: {core: {name: Core}}\ndata_centers: {us-central: {name: C, role: primary}}\nenvironments:"
)
LARGE += " {staging: {name: S, kind: staging}}\nservices: {api: {name: API, tier: 1, owner: core}}\n"


def statements(folder, many):
    """How many statements it takes to change ``many`` components, and to remove them with their links."""

    def text(name):
        rows = "".join(f"  staging/us-central/c{n}: {{name: {name}, kind: app, service: api}}\n" for n in range(many))
        links = "".join(f"  staging/us-central/c{n}: {{staging/us-central/c{n + 1}: hard}}\n" for n in range(many - 1))
        return {"all.yaml": f"{LARGE}components:\n{rows}dependencies:\n{links}"}

    apply_catalog(load(write(folder, text("First"))), by=SYSTEM)
    found = []
    for files, wanted in (
        (text("Second"), {"created": 0, "changed": many, "removed": 0}),
        ({"all.yaml": LARGE}, {"created": 0, "changed": 0, "removed": 2 * many - 1}),
    ):
        estate = load(write(folder, files))
        with CaptureQueriesContext(connection) as captured:
            assert apply_catalog(estate, by=SYSTEM).counts == wanted
        found.append(len(captured))
    return found


@pytest.mark.django_db
def test_a_catalog_of_any_length_takes_the_same_statements(tmp_path):
    """Compared, written, changed and removed as sets: never a statement per row."""
    few = statements(tmp_path / "whole", 3)
    assert few == statements(tmp_path / "whole", 40)
    assert few[0] <= 30
