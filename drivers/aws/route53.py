"""One Route 53 hosted zone.

Source: the Route 53 API reference (ChangeResourceRecordSets, ListResourceRecordSets, GetChange) and "Values specific
for weighted records" of its developer guide: when all weights of a name are 0, all records are answered alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from drivers.acts import Call
from drivers.aws.records import SetFailover, SetRecordWeight, SwitchRecord
from drivers.aws.session import AwsDriver, matching
from drivers.base import Observation

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

Record = dict[str, Any]
SHOWN = 300


class HostedZone(AwsDriver):
    """Facts: those of `AwsDriver`, and `zone_id`."""

    kind: ClassVar[str] = "aws-route53"
    service: ClassVar[str] = "Route 53"
    required: ClassVar[tuple[str, ...]] = ("region", "zone_id")
    acts: ClassVar[tuple[Any, ...]] = (SetRecordWeight(), SetFailover(), SwitchRecord())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone_id = matching(r"[A-Z0-9]{1,32}", "hosted zone", self.facts["zone_id"])

    @property
    def api(self) -> Route53Client:
        return cast("Route53Client", self.client("route53"))

    def records(self, name: str, kind: str) -> list[Record]:
        """All record sets of one name and type (Route 53 allows 100), the way they are sent back."""
        with self.asking():
            found = self.api.list_resource_record_sets(
                HostedZoneId=self.zone_id,
                StartRecordName=name,
                StartRecordType=cast(Any, kind),
                MaxItems="100",
            )["ResourceRecordSets"]
            return [
                cast(Record, one) for one in found if (one["Name"].rstrip("."), one["Type"]) == (name.rstrip("."), kind)
            ]

    def upsert(self, records: list[Record], call: Call) -> None:
        """Write these record sets in one change, which holds as a whole or not at all, and wait until it is served."""
        with self.asking():
            call.check()
            change = self.api.change_resource_record_sets(
                HostedZoneId=self.zone_id,
                ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": cast(Any, one)} for one in records]},
            )["ChangeInfo"]["Id"]
        self.wait("all name servers answer so (INSYNC)", lambda: self._in_sync(change), call)

    def _in_sync(self, change: str) -> bool:
        with self.asking():
            return self.api.get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC"

    def look(self) -> Observation:
        """Name, kind, and the records that route (weighted, failover) among the first 300. Healthy: it is there."""
        with self.asking():
            zone = self.api.get_hosted_zone(Id=self.zone_id)["HostedZone"]
            page = self.api.list_resource_record_sets(HostedZoneId=self.zone_id, MaxItems=str(SHOWN))
            routing = [
                {
                    "name": one["Name"].rstrip("."),
                    "type": str(one["Type"]),
                    "set_identifier": one["SetIdentifier"],
                    "weight": one.get("Weight"),
                    "failover": one.get("Failover"),
                }
                for one in page["ResourceRecordSets"]
                if "Weight" in one or "Failover" in one
            ]
            facts: dict[str, Any] = {
                "name": zone["Name"].rstrip("."),
                "private": bool(zone.get("Config", {}).get("PrivateZone")),
                "routing": routing,
                "more_records": bool(page.get("IsTruncated")),
            }
        return self.seen(True, facts, {"records": float(zone.get("ResourceRecordSetCount", 0))})
