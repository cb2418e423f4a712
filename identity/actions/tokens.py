"""API tokens: made once, shown once, ended at will."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from identity.models import Account, ApiToken
from identity.second_factor import require_fresh
from portal import clock, events
from portal.errors import Conflict, Denied, Invalid
from portal.lifecycle import Actor, authorize

LONGEST_DAYS = 90


@transaction.atomic
def create_token(account: Account, *, by: Actor, label: str, days: int = 30) -> tuple[ApiToken, str]:
    """Make a bearer token of ``account`` for ``days`` (1–90). Returns the row and the text, which is kept nowhere.

    People make their own, with a fresh second factor; for others and for services the server's commands do.
    """
    if account.pk != by.pk and not isinstance(by, events.System):
        raise Denied("You can only make tokens of your own account.")
    require_fresh(by)
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid("A token lasts between 1 and 90 days.", fields={"days": ["Between 1 and 90."]})
    if not label.strip():
        raise Invalid("A token needs a label that says what it is for.", fields={"label": ["Say what it is for."]})
    text = ApiToken.fresh()
    token = ApiToken.objects.create(
        account=account,
        label=label.strip(),
        digest=ApiToken.hashed(text),
        expires_at=clock.now() + timedelta(days=days),
    )
    events.record("identity.create_token", token, by=by, after={"label": token.label, "expires_at": token.expires_at})
    return token, text


@transaction.atomic
def revoke_token(token: ApiToken, *, by: Actor) -> ApiToken:
    """End a token at once: one's own, or anybody's with ``identity.revoke_token``."""
    if token.account_id != by.pk:
        authorize(by, "identity.revoke_token")
    now = clock.now()
    if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
        raise Conflict("This token was revoked before.")
    token.revoked_at = now
    events.record("identity.revoke_token", token, by=by, after={"label": token.label})
    return token
