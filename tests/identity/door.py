"""Helpers of the sign-in tests: an account with an authenticator app, and the codes it shows."""

from __future__ import annotations

import time
from typing import Any

from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity.middleware import SECOND_FACTOR_AT
from identity.models import Account
from portal import clock

PASSWORD = "correct horse battery"


def app_of(account: Account, name: str = "Authenticator app") -> TOTPDevice:
    return TOTPDevice.objects.create(user=account, name=name, confirmed=True)


def code(device: TOTPDevice, *, ahead: int = 0) -> str:
    """What the app shows now, or ``ahead`` steps of 30 s later."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time() + ahead * device.step
    return f"{totp.token():06d}"


def type_password(client: Client, username: str, password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/sign-in/", {"username": username, "password": password, **more})


def enter(client: Client, account: Account, *, fresh: bool = False) -> Client:
    """Sign in without the door; ``fresh``: with a second factor shown just now."""
    client.force_login(account, backend="identity.backends.ScopeBackend")
    if fresh:
        session = client.session
        session[SECOND_FACTOR_AT] = clock.now().isoformat()
        session.save()
    return client
