"""What can be done to the records of a Route 53 zone."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from drivers import names
from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import InvalidInput, PermanentError

if TYPE_CHECKING:
    from drivers.aws.route53 import HostedZone

Record = dict[str, Any]
Name = Annotated[
    str,
    Meta(
        title="Name",
        pattern=r"^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)+$",
        max_length=253,
    ),
]
Type = Annotated[Literal["A", "AAAA", "CNAME"], Meta(title="Type")]
Identifier = Annotated[
    str, Meta(title="Record (set identifier)", pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:/-]{0,127}$", max_length=128)
]
Value = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,252}$", max_length=253)]
CONTENT = ("TTL", "ResourceRecords", "AliasTarget", "HealthCheckId")


def answers(record: Record) -> list[str]:
    """What a record set answers: its sorted values, or the name that an alias points to."""
    if "AliasTarget" in record:
        return [str(record["AliasTarget"]["DNSName"]).rstrip(".")]
    return sorted(one["Value"].rstrip(".") for one in record.get("ResourceRecords", []))


def _normal(record: Record) -> Record:
    """Route 53 keeps no order of values, and a name with and without its last dot is the same."""
    return {**record, "ResourceRecords": answers(record)}


class _RecordAct[P: Any](Act["HostedZone", P]):
    """Writes record sets, and writes back what was there."""

    risk = Risk.HIGH
    undo_title = "Write the former records again"
    timeout_seconds = 600

    def wanted(self, params: P, before: Facts) -> list[Record]:
        """The record sets as they shall be; only those that change."""
        raise NotImplementedError

    def concerned(self, found: list[Record], params: P) -> list[Record]:
        """Those of the name's record sets that the act writes."""
        raise NotImplementedError

    def before(self, driver: HostedZone, params: P) -> Report:
        return {"records": self.concerned(driver.records(params.name, params.type), params)}

    def sends(self, driver: HostedZone, params: P, before: Facts) -> list[str]:
        return [
            f"aws route53 change-resource-record-sets --hosted-zone-id {driver.zone_id} UPSERT {record['Name']} "
            f"{record['Type']} {record.get('SetIdentifier', '')} {', '.join(answers(record))}"
            + (f" weight {record['Weight']}" if "Weight" in record else "")
            for record in self.wanted(params, before)
        ]

    def done(self, driver: HostedZone, params: P, before: Facts) -> bool:
        found = driver.records(params.name, params.type)
        return all(_normal(record) in map(_normal, found) for record in self.wanted(params, before))

    def do(self, driver: HostedZone, params: P, before: Facts, call: Call) -> Report:
        return self._write(driver, params, self.wanted(params, before), call)

    def undo(self, driver: HostedZone, params: P, before: Facts, call: Call) -> Report:
        return self._write(driver, params, before["records"], call)

    def _write(self, driver: HostedZone, params: P, records: list[Record], call: Call) -> Report:
        if not records:
            raise PermanentError(f"there is no such record of {params.name}")
        found = [_normal(record) for record in driver.records(params.name, params.type)]
        if missing := [record for record in records if _normal(record) not in found]:
            driver.upsert(missing, call)
        return {"written": len(missing)}


class RecordWeight(Parameters):
    """One weighted record, and its share."""

    name: Name
    type: Type
    set_identifier: Identifier
    weight: Annotated[int, Meta(title="Weight", ge=0, le=255)]


class SetRecordWeight(_RecordAct[RecordWeight]):
    """Change how often a weighted record is answered."""

    name = "set-record-weight"
    title = "Give {set_identifier} of {name} the weight {weight}"
    summary = (
        "Name servers answer the name's records in proportion to their weights; this changes one of them and waits "
        "until all name servers know. Resolvers keep what they have until its TTL ends, so visitors move over that "
        "time."
    )
    Parameters = RecordWeight

    def conditions(self, driver: HostedZone, params: RecordWeight) -> list[Condition]:
        found = driver.records(params.name, params.type)
        weights = {one["SetIdentifier"]: int(one["Weight"]) for one in found if "Weight" in one}
        shown = ", ".join(f"{who} {weight}" for who, weight in weights.items()) or "no weighted record"
        left = sum({**weights, params.set_identifier: params.weight}.values())
        return [
            Condition("There is such a weighted record", params.set_identifier in weights, shown),
            Condition("Some record keeps a weight above 0 (with none, all are answered alike)", left > 0, shown),
        ]

    def concerned(self, found: list[Record], params: RecordWeight) -> list[Record]:
        return [one for one in found if one.get("SetIdentifier") == params.set_identifier and "Weight" in one]

    def wanted(self, params: RecordWeight, before: Facts) -> list[Record]:
        return [{**record, "Weight": params.weight} for record in before["records"]]


class FailoverName(Parameters):
    """Which name, and what shall be its primary answer."""

    name: Name
    type: Type
    primary: Annotated[Value, Meta(title="Primary", description="What the secondary answers now.")]


class SetFailover(_RecordAct[FailoverName]):
    """Swap what the PRIMARY and the SECONDARY record of a name answer.

    The records keep their roles and identifiers and exchange values and health checks in one change; nobody sees a
    name with two primaries or none.
    """

    name = "set-failover"
    title = "Make {primary} the primary of {name}"
    summary = (
        "The primary and the secondary record of the name exchange their answers and health checks in one change, "
        "which is waited for. Visitors go to the new primary as their resolvers' TTL ends."
    )
    Parameters = FailoverName

    def conditions(self, driver: HostedZone, params: FailoverName) -> list[Condition]:
        pair = {one["Failover"]: one for one in driver.records(params.name, params.type) if "Failover" in one}
        seen = "; ".join(f"{role}: {', '.join(answers(one))}" for role, one in sorted(pair.items()))
        given = [answers(one) for one in pair.values()]
        return [
            Condition("The name has a primary and a secondary record", len(pair) == 2, seen or "no failover records"),
            Condition("One of them answers the new primary, and only that", [params.primary] in given, seen),
        ]

    def concerned(self, found: list[Record], params: FailoverName) -> list[Record]:
        return sorted((one for one in found if "Failover" in one), key=lambda one: str(one["Failover"]))

    def wanted(self, params: FailoverName, before: Facts) -> list[Record]:
        pair = before["records"]
        if len(pair) != 2 or answers(pair[0]) == [params.primary]:
            return list(pair)
        first, second = pair
        return [_with_content(first, second), _with_content(second, first)]


def _with_content(record: Record, other: Record) -> Record:
    kept = {key: value for key, value in record.items() if key not in CONTENT}
    return kept | {key: other[key] for key in CONTENT if key in other}


class NewValues(Parameters):
    """A plain record, and what it shall answer."""

    name: Name
    type: Type
    values: Annotated[list[Value], Meta(title="Values", min_length=1, max_length=20)]


class SwitchRecord(_RecordAct[NewValues]):
    """Let a plain record answer something else."""

    name = "switch-record"
    title = "Let {name} answer {values}"
    summary = (
        "The record (one without routing policy) answers the new values instead of the former, and the change is "
        "waited for until all name servers know. Visitors move as their resolvers' TTL ends."
    )
    Parameters = NewValues

    def check(self, params: NewValues) -> None:
        if params.type == "CNAME" and len(params.values) > 1:
            raise InvalidInput("a CNAME answers exactly one name")
        for value in params.values:
            if params.type == "CNAME":
                names.host(value)
                continue
            try:
                address = ipaddress.ip_address(value)
                fits = (address.version, str(address)) == (4 if params.type == "A" else 6, value)
            except ValueError:
                fits = False
            if not fits:
                raise InvalidInput(f"{value!r} is no value of an {params.type} record")

    def conditions(self, driver: HostedZone, params: NewValues) -> list[Condition]:
        found = driver.records(params.name, params.type)
        plain = bool(found) and not any("SetIdentifier" in one or "AliasTarget" in one for one in found)
        seen = "; ".join(", ".join(answers(one)) for one in found)
        return [Condition("There is such a record, plain and no alias", plain, seen or "no such record")]

    def concerned(self, found: list[Record], params: NewValues) -> list[Record]:
        return [one for one in found if "SetIdentifier" not in one and "AliasTarget" not in one]

    def wanted(self, params: NewValues, before: Facts) -> list[Record]:
        values = [{"Value": value} for value in sorted(params.values)]
        return [{**record, "ResourceRecords": values} for record in before["records"]]
