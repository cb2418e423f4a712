"""A whole account as a source, against moto: every page, every region, and what refuses spoils only itself."""

from __future__ import annotations

import json
import urllib.request

import pytest

from drivers.aws import Account
from drivers.aws import account as module
from drivers.aws.session import AwsDriver
from drivers.errors import InvalidInput, PermanentError
from drivers.secret import SecretStore
from tests.drivers import aws_moto

EAST, WEST = "us-east-1", "us-west-2"


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    with aws_moto.serving(tmp_path_factory.mktemp("aws")) as common:
        facts = {**common, "region": EAST, "regions": [EAST, WEST]}
        # What other tests made in this process is in moto's memory still.
        urllib.request.urlopen(urllib.request.Request(f"{facts['endpoint_url']}/moto-api/reset", method="POST")).close()
        _build(facts)
        yield facts


def _build(facts) -> None:
    def client(service: str, region: str = EAST):
        return AwsDriver({**facts, "region": region}, SecretStore()).client(service)

    tagged = [
        {
            "ResourceType": "instance",
            "Tags": [{"Key": "Name", "Value": "web"}, {"Key": "Environment", "Value": "staging"}],
        }
    ]
    for region, count in ((EAST, 3), (WEST, 1)):
        client("ec2", region).run_instances(
            ImageId=aws_moto.IMAGE, MinCount=count, MaxCount=count, TagSpecifications=tagged
        )
    common = {"Engine": "mysql", "DBInstanceClass": "db.t3.micro", "MasterUsername": "root", "AllocatedStorage": 20}
    password = "never-to-be-seen"
    rds = client("rds")
    rds.create_db_instance(DBInstanceIdentifier="main", MasterUserPassword=password, StorageEncrypted=True, **common)
    rds.create_db_instance_read_replica(DBInstanceIdentifier="copy", SourceDBInstanceIdentifier="main")
    client("elasticache").create_cache_cluster(
        CacheClusterId="sessions", Engine="redis", CacheNodeType="cache.t3.micro", NumCacheNodes=1
    )
    s3 = client("s3")
    s3.create_bucket(Bucket="media")
    s3.put_bucket_versioning(Bucket="media", VersioningConfiguration={"Status": "Enabled"})
    for number in range(5):
        client("sqs").create_queue(QueueName=f"orders-{number}")
    subnets = client("ec2").describe_subnets()["Subnets"]
    client("elbv2").create_load_balancer(Name="edge", Subnets=[one["SubnetId"] for one in subnets[:2]])


def account(facts, **more) -> Account:
    return Account({**facts, **more}, SecretStore())


def test_everything_is_found_with_the_account_in_every_key(facts):
    listings = {each.scope: each for each in account(facts).discover()}
    id_ = account(facts).account()
    assert {scope: len(each.things) for scope, each in listings.items() if each.things} == {
        f"{id_}/{EAST}/ec2": 3, f"{id_}/{WEST}/ec2": 1, f"{id_}/{EAST}/rds": 2, f"{id_}/{EAST}/elasticache": 1,
        f"{id_}/{EAST}/sqs": 5, f"{id_}/{EAST}/elbv2": 1, f"{id_}/global/s3": 1,
    }  # fmt: skip
    assert [each.problems for each in listings.values()] == [()] * 12
    things = [thing for each in listings.values() for thing in each.things]
    assert all(thing.key.startswith(f"{id_}/") and thing.external_id.startswith("arn:aws:") for thing in things)
    covered = [each for each in listings.values() if each.covers]
    assert all(thing.external_id.startswith(each.covers) for each in covered for thing in each.things)
    assert "never-to-be-seen" not in json.dumps([thing.fields for thing in things])


def test_databases_say_what_they_are_and_whom_they_follow(facts):
    (listing,) = account(facts, services=["rds"], regions=[EAST]).discover()
    copy, main = sorted(listing.things, key=lambda thing: thing.name)
    assert (main.kind, main.fields["software"], main.fields["role"], main.fields["encrypted"]) == (
        "database", "MySQL", "primary", True,
    )  # fmt: skip
    assert (copy.fields["role"], [each.to for each in copy.relations]) == ("replica", [f"id:{main.external_id}"])


def test_a_tag_says_the_environment_and_what_was_terminated_is_not_there(facts):
    west = account(facts, services=["ec2"], regions=[WEST])
    ((one,),) = (each.things for each in west.discover())
    assert (one.kind, one.name, one.fields["environment"]) == ("server", "web", "staging")
    west_only = AwsDriver({**facts, "region": WEST}, SecretStore()).client("ec2")
    west_only.terminate_instances(InstanceIds=[one.external_id.rpartition("/")[2]])
    assert west.discover()[0].things == ()


def test_a_service_that_refuses_makes_only_its_own_listing_incomplete(facts, monkeypatch):
    def refuse(place):
        raise PermanentError("rds in us-east-1 refuses these credentials: AccessDenied")
        yield

    monkeypatch.setitem(module.SERVICES, "rds", (refuse, ""))
    listings = account(facts, services=["rds", "sqs"], regions=[EAST]).discover()
    assert [(each.complete, len(each.things)) for each in listings] == [(False, 0), (True, 5)]


def test_every_page_is_read(facts, monkeypatch):
    """Two queues to a page."""
    pages = module.Place.pages
    small = {"PaginationConfig": {"PageSize": 2}}
    monkeypatch.setattr(module.Place, "pages", lambda self, *asked, **more: pages(self, *asked, **more, **small))
    (listing,) = account(facts, services=["sqs"], regions=[EAST]).discover()
    assert len(listing.things) == 5


@pytest.mark.parametrize(
    "wrong", [{"regions": []}, {"regions": "us-east-1"}, {"services": ["iam"]}, {"regions": ["a b"]}]
)
def test_what_cannot_be_is_refused(facts, wrong):
    with pytest.raises(InvalidInput):
        account(facts, **wrong)
