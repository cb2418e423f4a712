"""A whole AWS account as a source: what there is in each region of each service, every page of it.

Sources: the API references of the services (docs.aws.amazon.com). A service or a region that refuses makes its own
listing incomplete and no other. Every key begins with the account, because names are unique within one only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from drivers import names
from drivers.aws.session import AwsDriver, tags
from drivers.base import Observation
from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.errors import DriverError, InvalidInput

SOFTWARE = {"mysql": "MySQL", "mariadb": "MariaDB", "postgres": "PostgreSQL", "redis": "Redis", "valkey": "Valkey"}
SOFTWARE |= {"memcached": "Memcached", "aurora-mysql": "Aurora MySQL", "aurora-postgresql": "Aurora PostgreSQL"}
_GONE = ("terminated", "shutting-down")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lister looks: the client of one service in one region of one account."""

    client: Any
    account: str
    region: str
    service: str

    def key(self, name: str) -> str:
        return f"{self.account}/{self.region}/{self.service}/{name}"

    def pages(self, operation: str, field: str, **asked: Any) -> Iterator[Any]:
        """Every item of every page."""
        for page in self.client.get_paginator(operation).paginate(**asked):
            yield from page.get(field) or ()


class Account(AwsDriver):
    """Facts as for every AWS driver, and optionally `regions` and `services` (default: its region, all services)."""

    kind: ClassVar[str] = "aws"
    service: ClassVar[str] = "sts"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        given = self.facts.get("regions", [self.region]), self.facts.get("services", [*SERVICES])
        if not all(isinstance(each, list) and each for each in given):
            raise InvalidInput("regions and services must be lists of names")
        self.regions = [names.name(region, "region") for region in given[0]]
        if unknown := sorted(set(given[1]) - set(SERVICES)):
            raise InvalidInput(f"no service is known as {str(unknown[0])[:40]!r}")
        self.services = list(given[1])

    def account(self) -> str:
        """The twelve digits of the account that the keys belong to."""
        with self.asking():
            return str(self.client("sts").get_caller_identity()["Account"])

    def look(self) -> Observation:
        """Whether the keys are good, and for which account."""
        return self.seen(True, {"account": self.account(), "regions": self.regions})

    def discover(self) -> list[Listing]:
        """One listing for each service of each region, and one for each service that has no regions."""
        account = self.account()
        return [
            self._listing(account, region, service)
            for service in self.services
            for region in (["global"] if service in EVERYWHERE else self.regions)
        ]

    def _listing(self, account: str, region: str, service: str) -> Listing:
        lister, covers = SERVICES[service]
        things: list[Thing] = []
        problems: list[object] = []
        facts = {**self.facts, "region": self.region if region == "global" else region}
        regional = type(self)(facts, self.secrets)
        regional.where = f"{service} in {region}"
        try:
            with regional.asking():
                things = list(lister(Place(regional.client(service), account, region, service)))
        except DriverError as error:
            things, problems = [], [error]
        begins = covers.format(region=region, account=account)
        return listing(f"{account}/{region}/{service}", things, problems, covers=begins)


def _environment(given: object) -> str | None:
    """The environment that the thing says it is in."""
    said = {name.lower(): value for name, value in tags(given).items()}
    return said.get("environment") or said.get("env")


def _instances(place: Place) -> Iterator[Thing]:
    for reservation in place.pages("describe_instances", "Reservations"):
        for one in reservation["Instances"]:
            if one["State"]["Name"] in _GONE:
                continue
            name, id_ = tags(one.get("Tags")).get("Name"), one["InstanceId"]
            fields = {"type": one["InstanceType"], "state": one["State"]["Name"], "image": one.get("ImageId")}
            fields |= {"environment": _environment(one.get("Tags")), "zone": one["Placement"]["AvailabilityZone"]}
            arn = f"arn:aws:ec2:{place.region}:{place.account}:instance/{id_}"
            yield Thing("server", name or id_, place.key(id_), fields, arn)


def _databases(place: Place) -> Iterator[Thing]:
    for one in place.pages("describe_db_instances", "DBInstances"):
        arn, name = one["DBInstanceArn"], one["DBInstanceIdentifier"]
        source = one.get("ReadReplicaSourceDBInstanceIdentifier")
        engine = one["Engine"]
        fields = {
            "software": SOFTWARE.get(engine, engine),
            "version": one.get("EngineVersion"),
            "engine": SOFTWARE.get(engine, engine),
            "role": "replica" if source else "primary",
            "encrypted": bool(one.get("StorageEncrypted")),
            "environment": _environment(one.get("TagList")),
            "class": one.get("DBInstanceClass"),
        }
        at = one.get("Endpoint") or {}
        primary = source if not source or source.startswith("arn:") else arn.rpartition(":")[0] + f":{source}"
        yield Thing(
            "database",
            name,
            place.key(name),
            fields,
            arn,
            addresses=(tcp(at["Address"], at["Port"]),) if at.get("Address") else (),
            relations=(Relation("replicates", f"id:{primary}"),) if primary else (),
        )


def _caches(place: Place) -> Iterator[Thing]:
    for one in place.pages("describe_cache_clusters", "CacheClusters", ShowCacheNodeInfo=True):
        name, engine = one["CacheClusterId"], one.get("Engine", "redis")
        arn = one.get("ARN") or f"arn:aws:elasticache:{place.region}:{place.account}:cluster:{name}"
        nodes = [node.get("Endpoint") or {} for node in one.get("CacheNodes", ())]
        fields = {"software": SOFTWARE.get(engine, engine), "version": one.get("EngineVersion")}
        fields["type"] = one.get("CacheNodeType")
        kind = "memcached" if engine == "memcached" else "cache"
        at = tuple(tcp(node["Address"], node["Port"]) for node in nodes if node.get("Address"))
        yield Thing(kind, name, place.key(name), fields, arn, addresses=at)


def _buckets(place: Place) -> Iterator[Thing]:
    for one in place.pages("list_buckets", "Buckets"):
        name = one["Name"]
        versioned = place.client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled"
        fields = {"software": "S3", "bucket": name, "versioned": versioned}
        yield Thing("object_store", name, place.key(name), fields, f"arn:aws:s3:::{name}")


def _balancers(place: Place) -> Iterator[Thing]:
    for one in place.pages("describe_load_balancers", "LoadBalancers"):
        name, fields = (
            one["LoadBalancerName"],
            {"software": "ELB", "type": one.get("Type"), "scheme": one.get("Scheme")},
        )
        yield Thing("load_balancer", name, place.key(name), fields, one["LoadBalancerArn"])


def _distributions(place: Place) -> Iterator[Thing]:
    for page in place.client.get_paginator("list_distributions").paginate():
        for one in page["DistributionList"].get("Items") or ():
            fields = {
                "software": "CloudFront",
                "domains": sorted([one["DomainName"], *(one.get("Aliases", {}).get("Items") or ())]),
                "origins": sorted(origin["DomainName"] for origin in one["Origins"]["Items"]),
                "default_ttl_s": one.get("DefaultCacheBehavior", {}).get("DefaultTTL"),
            }
            yield Thing("cdn", one.get("Comment") or one["Id"], place.key(one["Id"]), fields, one["ARN"])


def _queues(place: Place) -> Iterator[Thing]:
    for url in place.pages("list_queues", "QueueUrls"):
        name = url.rpartition("/")[2]
        arn = f"arn:aws:sqs:{place.region}:{place.account}:{name}"
        yield Thing("queue", name, place.key(name), {"software": "SQS", "durable": True}, arn)


Lister = Callable[[Place], Iterator[Thing]]
SERVICES: dict[str, tuple[Lister, str]] = {
    "ec2": (_instances, "arn:aws:ec2:{region}:{account}:instance/"),
    "rds": (_databases, "arn:aws:rds:{region}:{account}:db:"),
    "elasticache": (_caches, "arn:aws:elasticache:{region}:{account}:cluster:"),
    "elbv2": (_balancers, "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/"),
    "sqs": (_queues, "arn:aws:sqs:{region}:{account}:"),
    # The ARN of a bucket names no account, so a bucket of another one must not count as missing here.
    "s3": (_buckets, ""),
    "cloudfront": (_distributions, "arn:aws:cloudfront::{account}:distribution/"),
}
"""Service → how it is listed, and how the external ids begin that it would list."""
EVERYWHERE = ("s3", "cloudfront")
