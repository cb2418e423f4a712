"""A state of Terraform as a catalog: what it becomes, and that nothing else of it is ever kept."""

import io
import json
import logging

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from inventory.actions.catalog import apply_catalog
from inventory.catalog import CatalogInvalid, compare, terraform
from inventory.catalog.terraform.estate import external_id, slug
from inventory.catalog.terraform.state import ALLOWED
from inventory.models import CatalogDraft, Component, DataCenter, Dependency, Server
from inventory.reconcile import catalogs
from portal.errors import Invalid
from portal.events import SYSTEM
from tests import world
from tests.inventory.screens import browser

CANARY = "hunter2-canary"
LINEAGE = "3f1c-lineage"
ARN = "arn:aws:{}:us-east-2:123456789012:{}"
BALANCER = ARN.format("elasticloadbalancing", "lb/front")


def resource(kind, name, *instances, module="", mode="managed"):
    return {"mode": mode, "type": kind, "name": name, "provider": "aws", "instances": list(instances)} | (
        {"module": module} if module else {}
    )


def instance(needs=(), index=None, **attributes):
    return {"schema_version": 1, "attributes": attributes, "dependencies": list(needs)} | (
        {"index_key": index} if index is not None else {}
    )


def target(ident):
    arn = ARN.format("elasticloadbalancing", "targetgroup/web")
    return instance(("aws_lb_target_group.web",), index=ident, target_group_arn=arn, target_id=ident)


STATE = {
    "version": 4, "terraform_version": "1.9.0", "serial": 7, "lineage": LINEAGE,
    "outputs": {"password": {"value": CANARY, "type": "string", "sensitive": True}},
    "resources": [
        resource("aws_security_group", "web", instance(id="sg-web")),
        resource("aws_security_group", "data", instance(("aws_security_group.web",), id="sg-data")),
        resource("aws_instance", "web", *(
            instance(index=index, id=ident, availability_zone="us-east-2a", private_ip=f"10.0.0.{n}",
                     vpc_security_group_ids=["sg-web"], tags={"Name": f"web {index}"})
            for n, (index, ident) in enumerate((("a", "i-1"), ("b", "i-2")), 1)
        )),
        resource("aws_db_instance", "main", instance(
            identifier="orders", id="db-1", engine="mysql", engine_version="8.0.39", address="orders.example.rds",
            port=3306, storage_encrypted=True, availability_zone="us-east-2a", vpc_security_group_ids=["sg-data"],
        )),
        resource("aws_db_instance", "copy", instance(
            ("aws_db_instance.main",), identifier="orders-copy", engine="mysql", engine_version="8.0.39", port=3306,
            replicate_source_db="orders", availability_zone="us-west-2b",
        )),
        resource("aws_elasticache_cluster", "cache", instance(
            cluster_id="c", engine="memcached", port=11211, availability_zone="us-east-2a",
            security_group_ids=["sg-data"],
        )),
        resource("aws_s3_bucket", "media", instance(bucket="edye-media", region="us-east-2"), module="module.media"),
        resource("aws_lb", "front", instance(arn=BALANCER, dns_name="lb.example")),
        resource("aws_lb_target_group", "web", instance(arn=ARN.format("elasticloadbalancing", "targetgroup/web"),
                                                         name="web")),
        resource("aws_lb_target_group_attachment", "web", target("i-1"), target("i-2")),
        resource("aws_lb_listener", "https", instance(
            ("aws_lb.front", "aws_lb_target_group.web"), load_balancer_arn=BALANCER,
        )),
        resource("aws_cloudfront_distribution", "cdn", instance(
            ("aws_lb.front", "module.media.aws_s3_bucket.media"), domain_name="d1.cloudfront.example",
            aliases=["edye.example"],
        )),
        resource("aws_sqs_queue", "work", instance(("aws_sqs_queue.dead",), name="work",
                                                    arn=ARN.format("sqs", "work"))),
        resource("aws_sqs_queue", "dead", instance(name="work-dlq", arn=ARN.format("sqs", "work-dlq"))),
        resource("aws_iam_user", "ci", instance(name="ci", secret=CANARY)),
        resource("aws_instance", "looked_up", instance(id="i-9"), mode="data"),
        resource("aws_instance", "leaving", {"deposed": "00000001", "attributes": {"id": "i-8"}}),
    ],
}  # fmt: skip
AT = "production/us-central/"


def poisoned(state):
    """The same state with the canary in every value that is not on the list, in every shape."""
    state = json.loads(json.dumps(state))
    state["terraform_version"] = CANARY
    state["check_results"] = [{"x": CANARY}]
    for row in state["resources"]:
        row["provider"] = CANARY
        for each in row["instances"]:
            known = set(ALLOWED.get(row["type"], ())) | {"tags"}
            values = each["attributes"]
            for name in ("password", "master_password", "user_data", "access_key", "auth_token", "policy", "url"):
                if name not in known:
                    values[name] = CANARY
            values |= {"nested": {"deep": [{"secret": CANARY}]}, "list": [CANARY], CANARY: "x"}
            # An attribute of the list with something else in it than a plain value.
            for name in known - set(values):
                values.setdefault(name, {"secret": CANARY})
            values.setdefault("tags", {})
            values["tags"] = {**values["tags"], "Password": CANARY} if isinstance(values["tags"], dict) else {}
            values["tags_all"] = {**values["tags"], CANARY: CANARY}
            each["private"] = CANARY
            each["sensitive_attributes"] = [[{"type": "get_attr", "value": CANARY}]]
    return state


def shown(state):
    """The same resources as ``terraform show -json`` prints them, a module within the root."""

    def one(row):
        for each in row["instances"]:
            if "deposed" in each:
                continue
            module = f"{row['module']}." if "module" in row else ""
            index = f"[{json.dumps(each['index_key'])}]" if "index_key" in each else ""
            yield {
                "address": f"{module}{row['type']}.{row['name']}{index}", "mode": row["mode"], "type": row["type"],
                "name": row["name"], "values": each["attributes"], "depends_on": each.get("dependencies", []),
                "sensitive_values": {"password": True},
            }  # fmt: skip

    inside = [r for row in state["resources"] if "module" in row for r in one(row)]
    root = {"resources": [r for row in state["resources"] if "module" not in row for r in one(row)]}
    root["child_modules"] = [{"address": "module.media", "resources": inside}]
    return {"format_version": "1.0", "terraform_version": "1.9.0", "values": {"root_module": root, "outputs": {}}}


@pytest.fixture
def estate(db):
    world.component(f"{AT}api")
    world.data_center("us-east")
    DataCenter.objects.filter(slug="us-central").update(region="us-east-2")
    DataCenter.objects.filter(slug="us-east").update(region="us-west-2")
    world.service("media")


PLACING = {"catalog": "terraform", "environment": "production", "service": "api", "data_center": "us-central"}


def reading(state, name="prod.tfstate", **placing):
    file = io.BytesIO(json.dumps(state).encode())
    file.name = name
    return catalogs.read_catalog(file=file, placing=PLACING | placing)


def test_resources_become_servers_components_and_links(estate):
    difference = apply_catalog(reading(STATE).estate(), by=SYSTEM)
    assert difference.problems == ()
    server = Server.objects.get(slug=f"{AT}instance-web-a")
    assert (server.name, server.kind, server.address, server.declared_by) == ("web a", "vm", "10.0.0.1", "terraform")
    assert server.external_id == f'terraform:{LINEAGE}:aws_instance.web["a"]'
    mine = Component.objects.filter(declared_by="terraform")
    assert dict(mine.values_list("slug", "kind")) == {
        f"{AT}cloudfront-distribution-cdn": "cdn",
        f"{AT}db-instance-main": "database",
        "production/us-east/db-instance-copy": "database",
        f"{AT}elasticache-cluster-cache": "memcached",
        f"{AT}instance-web-a": "app",
        f"{AT}instance-web-b": "app",
        f"{AT}lb-front": "load_balancer",
        f"{AT}lb-target-group-web": "load_balancer",
        f"{AT}media-s3-bucket-media": "object_store",
        f"{AT}sqs-queue-dead": "queue",
        f"{AT}sqs-queue-work": "queue",
    }
    main = mine.get(slug=f"{AT}db-instance-main")
    assert (main.software, main.version, main.endpoint, main.attributes) == (
        "mysql", "8.0.39", "orders.example.rds:3306", {"role": "primary", "engine": "mysql", "encrypted": True},
    )  # fmt: skip
    assert list(main.endpoints.values_list("port", "protocol")) == [(3306, "mysql")]
    assert mine.get(slug="production/us-east/db-instance-copy").attributes["role"] == "replica"
    assert mine.get(slug=f"{AT}instance-web-a").server == server
    assert mine.get(slug=f"{AT}media-s3-bucket-media").attributes == {"bucket": "edye-media", "region": "us-east-2"}
    assert mine.get(slug=f"{AT}cloudfront-distribution-cdn").attributes == {
        "domains": ["edye.example", "d1.cloudfront.example"]
    }
    assert mine.get(slug=f"{AT}sqs-queue-dead").attributes == {"role": "dead-letter"}


def test_what_depends_on_what(estate):
    apply_catalog(reading(STATE).estate(), by=SYSTEM)
    short = lambda name: name.removeprefix("production/").removeprefix("us-central/")  # noqa: E731
    links = Dependency.objects.values_list("source__slug", "target__slug", "kind", "relation", "group", "needed")
    assert {(short(a), short(b)): rest for a, b, *rest in links} == {
        ("cloudfront-distribution-cdn", "lb-front"): ["soft", "routes", "", None],
        ("cloudfront-distribution-cdn", "media-s3-bucket-media"): ["soft", "routes", "", None],
        ("us-east/db-instance-copy", "db-instance-main"): ["soft", "replicates", "", None],
        ("lb-front", "lb-target-group-web"): ["soft", "routes", "", None],
        ("lb-target-group-web", "instance-web-a"): ["redundant", "routes", "targets", 1],
        ("lb-target-group-web", "instance-web-b"): ["redundant", "routes", "targets", 1],
        ("sqs-queue-work", "sqs-queue-dead"): ["soft", "uses", "", None],
        **{(f"instance-web-{n}", data): ["soft", "uses", "", None]
           for n in "ab" for data in ("db-instance-main", "elasticache-cluster-cache")},
    }  # fmt: skip


def test_both_forms_of_a_state_say_the_same(estate):
    one = reading(STATE).estate()
    other = reading(shown(STATE), name="show.json", catalog="terraform").estate()
    assert list(one.components) == list(other.components)
    assert one.dependencies == other.dependencies
    apply_catalog(one, by=SYSTEM)
    assert {c.fields[0][0] for c in compare(other).changes} == {"external_id"}  # the output of show has no lineage


def test_applied_again_it_changes_nothing_and_what_moved_is_renamed(estate):
    apply_catalog(reading(STATE).estate(), by=SYSTEM)
    assert apply_catalog(reading(STATE).estate(), by=SYSTEM).changes == ()
    before = Component.objects.get(slug=f"{AT}db-instance-main")
    moved = json.loads(json.dumps(STATE))
    moved["resources"][3]["instances"][0]["attributes"]["availability_zone"] = "us-west-2a"
    apply_catalog(reading(moved).estate(), by=SYSTEM)
    after = Component.objects.get(pk=before.pk)
    assert (after.slug, after.data_center.slug) == ("production/us-east/db-instance-main", "us-east")
    del moved["resources"][3:5]
    assert apply_catalog(reading(moved).estate(), by=SYSTEM).counts["removed"] > 0
    assert not Component.objects.filter(pk=before.pk).exists()
    assert Component.objects.filter(slug=f"{AT}api").exists()


def test_tags_say_where_a_resource_belongs_when_they_are_known(estate):
    state = {"version": 4, "lineage": LINEAGE, "resources": [
        resource("aws_sqs_queue", name, instance(name=name, tags={"Service": service, "Environment": "moon"}))
        for name, service in (("a", "media"), ("b", "unknown"))
    ]}  # fmt: skip
    apply_catalog(reading(state).estate(), by=SYSTEM)
    rows = Component.objects.filter(kind="queue").values_list("slug", "service__slug")
    assert list(rows) == [(f"{AT}sqs-queue-a", "media"), (f"{AT}sqs-queue-b", "api")]


def everything_stored():
    """Every row of every table as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        texts = []
        for name in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM \"{name}\" t")
            texts.append(cursor.fetchone()[0])
    return "\n".join(texts)


def test_no_secret_of_a_state_is_ever_kept_or_said(estate, caplog, capsys, tmp_path, settings, as_account):
    """The canary stands in every value that is not on the list: after all that can be done it is nowhere."""
    caplog.set_level(logging.DEBUG)
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    settings.STATE_DIR = tmp_path
    state = poisoned(STATE)
    assert json.dumps(state).count(CANARY) > 150
    owner = world.account("owner", "administrator")
    client = browser(owner)
    data = json.dumps(state).encode()
    wrong = (data[:-20], data.replace(b'"version": 4', b'"version": 3'), b"[" + data + b"]", data[10:])
    said = [upload(client, each) for each in wrong]
    assert all(answer.status_code == 422 for answer in said)
    answer = upload(client, data)
    assert answer.status_code == 303, answer.content
    draft = CatalogDraft.objects.get()
    said.append(client.get(draft.get_absolute_url()))
    digest = compare(catalogs.kept(draft).estate()).digest
    said.append(client.post(f"{draft.get_absolute_url()}apply/", {"expected": digest}))
    assert Component.objects.filter(declared_by="terraform").count() == 11
    said.append(api_plan(as_account(owner), data))
    path = tmp_path / "x.tfstate"
    path.write_bytes(data)
    call_command("catalog", "plan", "--file", str(path), "--catalog", "terraform", "--environment", "production",
                 "--service", "api", "--data-center", "us-central")  # fmt: skip
    with pytest.raises(CommandError) as refusal:
        call_command("catalog", "plan", "--file", str(path))
    path.unlink()
    out = capsys.readouterr()
    told = [*(answer.content.decode() for answer in said), out.out, out.err, caplog.text, str(refusal.value)]
    assert [text for text in told if CANARY in text] == []
    assert CANARY not in everything_stored()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and CANARY in path.read_text()] == []


def upload(client, data, name="prod.tfstate"):
    file = io.BytesIO(data)
    file.name = name
    return client.post("/catalog/read/", {"file": file, **PLACING})


def api_plan(client, data):
    file = io.BytesIO(data)
    file.name = "prod.tfstate"
    return client.post("/api/v1/catalog/plan/", {"file": file, **PLACING}, format="multipart")


def test_a_state_that_is_too_large_touches_no_disk(estate, tmp_path, settings):
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = upload(browser(world.account("owner", "administrator")), json.dumps(poisoned(STATE)).encode())
    assert (answer.status_code, list(tmp_path.iterdir())) == (422, [])


@pytest.mark.parametrize(
    "content", ["", "nonsense", "[]", "7", '{"version": 3, "resources": []}', '{"version": 4}', "[" * 100_000, "\xff"]
)
def test_what_is_no_state_is_refused_without_repeating_it(content):
    with pytest.raises(CatalogInvalid) as refusal:
        terraform.read("state", content.encode("latin-1"))
    assert all(sentence.startswith("This is n") for sentence in (p.sentence for p in refusal.value.found))


def test_a_state_needs_a_place(estate):
    with pytest.raises(Invalid) as refusal:
        reading(STATE, environment="moon", service="", catalog="", data_center="mars")
    assert sorted(refusal.value.fields) == ["catalog", "data_center", "environment", "service"]


def test_types_that_are_not_known_are_counted(estate):
    assert reading(STATE).said == "1 resources of 1 other types were left out."


def test_keys_of_addresses():
    assert slug('module.web["a"].aws_lb.main[0]') == "web-a-lb-main-0"
    long = "aws_lb." + "x" * 300
    assert len(slug(long)) <= 100 < len(long)
    assert external_id("l", "a") == "terraform:l:a"
    assert len(external_id("l", long)) <= 200


def test_addresses_that_differ_in_what_a_key_cannot_hold(estate):
    state = {"version": 4, "lineage": LINEAGE, "resources": [
        resource("aws_sqs_queue", name, instance(name="q")) for name in ("a-b", "a_b")
    ]}  # fmt: skip
    assert len(reading(state).estate().components) == 2
