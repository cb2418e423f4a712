"""What the profile and the people screens show."""

from __future__ import annotations

from typing import Any

from identity.models import Account, Session
from portal import clock


def sessions_of(account: Account) -> list[dict[str, Any]]:
    """The live browser sessions of ``account``, newest first, with where and how each began."""
    rows = []
    for session in Session.objects.filter(account=account, expire_date__gt=clock.now()).order_by("-expire_date"):
        facts = session.get_decoded()
        rows.append(
            {
                "id": session.public_id,
                "key": session.session_key,
                "began": facts.get("signed_in_at", ""),
                "address": facts.get("address", ""),
                "browser": facts.get("browser", ""),
                "methods": facts.get("authentication_methods", []),
                "ends": session.expire_date,
            }
        )
    return rows


def session_named(account: Account, public_id: str) -> Session | None:
    """The session of ``account`` that ``public_id`` names."""
    mine = Session.objects.filter(account=account, expire_date__gt=clock.now())
    return next((session for session in mine if session.public_id == public_id), None)
