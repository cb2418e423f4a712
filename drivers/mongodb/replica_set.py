"""What a member says of its replica set, as plain data.

Source: replSetGetStatus and replSetGetConfig (mongodb.com/docs/manual/reference/command). What a member knows of the
others comes from heartbeats and may be two seconds old. Lag is how far a member's last operation lies behind the newest
one of any member; on a set without writes it stays at zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Plain = dict[str, Any]

WORKING = ("primary", "secondary", "arbiter")
"""The states in which a member does its work."""
_ARBITER = 7


def members(status: Mapping[str, Any], config: Mapping[str, Any] | None) -> list[Plain]:
    """One entry per member. `electable` is None where the configuration could not be read."""
    seen = [each for each in status["members"] if _applied(each) is not None]
    newest = max((each["optimeDate"] for each in seen), default=None)
    settings = {each["host"]: each for each in (config or {}).get("members", [])}
    return [_member(each, newest, settings.get(each["name"])) for each in status["members"]]


def _applied(member: Mapping[str, Any]) -> datetime | None:
    """When its last operation was written; arbiters and members that were never seen have none."""
    at = member.get("optimeDate")
    return at if isinstance(at, datetime) and at.timestamp() > 0 and member["state"] != _ARBITER else None


def _member(member: Mapping[str, Any], newest: datetime | None, settings: Mapping[str, Any] | None) -> Plain:
    at = _applied(member)
    return {
        "name": str(member["name"]),
        "state": str(member.get("stateStr", member["state"])),
        "up": bool(member.get("health", 1)),
        "lag_seconds": (newest - at).total_seconds() if at and newest else None,
        "source": str(member.get("syncSourceHost", "")) or None,
        "itself": bool(member.get("self", False)),
        "priority": None if settings is None else float(settings.get("priority", 1)),
        "votes": None if settings is None else int(settings.get("votes", 1)),
        "electable": None if settings is None else _electable(settings),
    }


def _electable(settings: Mapping[str, Any]) -> bool:
    delayed = settings.get("secondaryDelaySecs", settings.get("slaveDelay", 0))
    return bool(settings.get("priority", 1)) and not (settings.get("arbiterOnly") or settings.get("hidden") or delayed)


def primary(found: list[Plain]) -> str | None:
    """The name of the member that is primary, None during an election or without a majority."""
    return next((each["name"] for each in found if each["state"] == "PRIMARY" and each["up"]), None)


def itself(found: list[Plain]) -> Plain | None:
    """The member that was asked."""
    return next((each for each in found if each["itself"]), None)


def candidates(found: list[Plain], lag_seconds: float) -> list[str]:
    """Members that can become primary and are at most `lag_seconds` behind."""
    return [
        each["name"]
        for each in found
        if each["up"]
        and each["electable"]
        and each["state"] == "SECONDARY"
        and each["lag_seconds"] is not None
        and each["lag_seconds"] <= lag_seconds
    ]


def has_majority(found: list[Plain]) -> bool:
    """Whether enough voting members are up for an election to have a result."""
    votes = sum(each["votes"] or 0 for each in found)
    return sum(each["votes"] or 0 for each in found if each["up"]) * 2 > votes
