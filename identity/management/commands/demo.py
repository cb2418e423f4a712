"""Make the demo's accounts and print how to sign in."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from argparse import ArgumentParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.util import random_hex

from identity import actions, rights
from identity.entrance import link_signer
from identity.models import Account, Person, RoleBinding
from portal import events
from portal.apps import DomainConfig

SERVER = events.System("manage.py demo")
# username: (name, role)
CAST = {
    "viewer": ("Viewer", "viewer"),
    "developer": ("Developer", "developer"),
    "on-call": ("On-call engineer", "on_call"),
    "operations-owner": ("Operations owner", "operations_owner"),
    "second-operations-owner": ("Second operations owner", "operations_owner"),
    "security-officer": ("Security officer", "security_officer"),
    "auditor": ("Auditor", "auditor"),
    "administrator": ("Administrator", "administrator"),
}
FIRST = "operations-owner"
STEP_SECONDS = 30


class Command(BaseCommand):
    """``manage.py demo`` prints accounts, passwords and a one-time link; ``demo --code <account>`` a present code."""

    help = "Make the demo's accounts (once) and print how to sign in; --code prints an account's one-time code."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--code", metavar="ACCOUNT", help="only print this account's one-time code")
        parser.add_argument("--link", metavar="ACCOUNT", default=FIRST, help="whom the one-time link signs in")

    @property
    def file(self) -> Path:
        return settings.STATE_DIR / "secrets" / "demo.json"

    def handle(self, *args: Any, **options: Any) -> None:
        known = self._known()
        if name := options["code"]:
            self.stdout.write(self._code(known, name))
            return
        if options["link"] not in CAST:
            raise CommandError(f"There is no demo account “{options['link']}”. Accounts: {', '.join(CAST)}.")
        for name in CAST:
            known.setdefault(name, {"password": secrets.token_urlsafe(12), "totp": random_hex(20)})
        self._keep(known)
        with transaction.atomic():
            for name, (person, role) in CAST.items():
                self._ensure(name, person, role, known[name])
            self._ensure_service("ci")
            _let_apps_add_theirs()
        self._show(known, Account.objects.get(username=options["link"]))

    def _known(self) -> dict[str, dict[str, str]]:
        try:
            known: dict[str, dict[str, str]] = json.loads(self.file.read_text())
        except FileNotFoundError:
            return {}
        return known

    def _keep(self, known: dict[str, dict[str, str]]) -> None:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(known, file, indent=2)

    def _code(self, known: dict[str, dict[str, str]], name: str) -> str:
        if name not in known:
            raise CommandError(f"There is no demo account “{name}”. Run manage.py demo first.")
        left = STEP_SECONDS - int(time.time()) % STEP_SECONDS
        self.stderr.write(f"Valid for {left} more seconds, and once.")
        return f"{totp(bytes.fromhex(known[name]['totp']), step=STEP_SECONDS):06d}"

    def _ensure(self, name: str, person: str, role: str, secret: dict[str, str]) -> None:
        account = Account.objects.filter(username=name).first()
        if account is None:
            who, _ = Person.objects.get_or_create(name=person, defaults={"email": f"{name}@demo.example"})
            account = Account.objects.create_user(name, secret["password"], person=who)
        elif not account.check_password(secret["password"]):
            account.set_password(secret["password"])
            account.save(update_fields=["password"])
        TOTPDevice.objects.get_or_create(
            user=account, key=secret["totp"], defaults={"name": "Demo authenticator", "confirmed": True}
        )
        self._bind(account, role)

    def _ensure_service(self, name: str) -> None:
        account = Account.objects.filter(username=name).first()
        self._bind(account or Account.objects.create_user(name, kind=Account.Kind.SERVICE), "ci")

    def _bind(self, account: Account, role: str) -> None:
        if not RoleBinding.objects.filter(account=account, role=role, grant=None).exists():
            actions.bind_role(account, by=SERVER, role=role, scope=rights.scope_for(), reason="demo")

    def _show(self, known: dict[str, dict[str, str]], first: Account) -> None:
        width = max(len(name) for name in CAST)
        self.stdout.write(f"{'Account':{width}}  Password          Who")
        for name, (person, _) in CAST.items():
            self.stdout.write(f"{name:{width}}  {known[name]['password']}  {person}")
        program = Path(sys.argv[0]).name
        self.stdout.write(f"One-time code of an account: {program} demo --code <account>   (kept in {self.file})")
        link = actions.create_link(first, by=SERVER)
        path = reverse("sign-in-link", args=[link_signer.sign(str(link.pk))])
        self.stdout.write(f"Signs in as {first}, once, within 15 minutes:\nSIGN-IN {settings.PUBLIC_URL}{path}")


def _let_apps_add_theirs() -> None:
    """Apps above this one are named by nobody here: whoever has a ``demo`` module is asked to ``make()`` its part."""
    for app in apps.get_app_configs():
        if isinstance(app, DomainConfig) and find_spec(f"{app.name}.demo"):
            import_module(f"{app.name}.demo").make()
