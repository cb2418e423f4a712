"""The second factor of an account: which it has, and whether a code is right now the right one."""

from __future__ import annotations

from typing import Any

import django_otp
from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity.models import Account
from portal import events
from portal.errors import Refused, StepUpRequired


class TooManyCodes(Refused):
    """Codes were wrong too often; the device refuses to look at another one for a while."""

    status = 429
    title = "Too many attempts"


def factors(account: Account) -> list[Any]:
    """Every confirmed device of ``account``: TOTP apps and passkeys."""
    return list(django_otp.devices_for_user(account))


def check_code(account: Account, code: str) -> TOTPDevice | None:
    """The TOTP device that accepts ``code``, else ``None``. Accepting burns the code: it never works twice.

    Raises ``TooManyCodes`` when every device is waiting after wrong codes (the wait doubles each time).
    """
    code = code.replace(" ", "")
    waits = []
    with transaction.atomic():
        devices = TOTPDevice.objects.select_for_update().filter(user=account, confirmed=True)
        for device in devices:
            allowed, facts = device.verify_is_allowed()
            if not allowed:
                waits.append(facts["locked_until"])
            elif device.verify_token(code):
                return device
        if waits and len(waits) == len(devices):
            until = min(waits)
            raise TooManyCodes(f"Too many wrong codes. The next one is looked at after {until:%H:%M:%S} UTC.")
    return None


def require_fresh(by: Any) -> None:
    """Refuse unless ``by`` showed a second factor within the last five minutes. The portal itself has none to show."""
    if isinstance(by, events.System):
        return
    if not events.stepped_up():
        raise StepUpRequired("This needs a second factor shown within the last five minutes.")
