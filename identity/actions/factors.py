"""Second factors: adding one and taking one away."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity.models import Account
from identity.second_factor import TooManyCodes, factors, require_fresh
from portal import events
from portal.errors import Conflict, Denied, Invalid
from portal.lifecycle import Actor


def _own(account: Account, by: Actor) -> None:
    if account.pk != by.pk:
        raise Denied("A second factor can only be changed by the person who holds it.")


def enrol(account: Account, *, by: Actor, device: Any, code: str | None = None) -> Any:
    """Make ``device`` a second factor of ``account``: a TOTP app proved by ``code``, or a passkey just registered.

    Whoever has a factor already must show it freshly first; otherwise a stolen session could add its own.
    Raises ``Invalid`` when the code is wrong; the failed attempt is kept, so that guessing slows down.
    """
    _own(account, by)
    if any(known.persistent_id != device.persistent_id for known in factors(account)):
        require_fresh(by)
    if isinstance(device, TOTPDevice) and not device.confirmed:
        allowed, _ = device.verify_is_allowed()
        if not allowed:
            raise TooManyCodes("Too many wrong codes. Wait a moment, then type the code shown now.")
        if not device.verify_token((code or "").replace(" ", "")):
            raise Invalid("This code is not right.", fields={"code": ["Type the six digits that the app shows now."]})
    return _confirm(account, device, by)


@transaction.atomic
def _confirm(account: Account, device: Any, by: Actor) -> Any:
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    events.record("identity.enrol", account, by=by, after={"factor": type(device).__name__, "name": device.name})
    return device


@transaction.atomic
def remove_factor(device: Any, *, by: Actor) -> Account:
    """Take a second factor away. Needs a fresh one, and another must remain."""
    account: Account = device.user
    _own(account, by)
    require_fresh(by)
    Account.objects.select_for_update().get(pk=account.pk)
    if len(factors(account)) < 2:
        raise Conflict("This is the only second factor. Add another one first.")
    removed = {"factor": type(device).__name__, "name": device.name}
    device.delete()
    events.record("identity.remove_factor", account, by=by, before=removed)
    return account
