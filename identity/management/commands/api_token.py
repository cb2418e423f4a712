"""Print a fresh API token, for a script or a CI server."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from identity import actions, matrix, rights
from identity.models import Account, RoleBinding
from identity.models.scope import ANY
from portal import events
from portal.errors import Refused

SERVER = events.System("manage.py api_token")


class Command(BaseCommand):
    """``manage.py api_token ci --role ci --scope production/api --days 30``; only the token goes to standard output."""

    help = "Print a token of an account; a service account is made when there is none of that name."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account")
        parser.add_argument("--role", choices=sorted(matrix.load()["roles"]), help="also give this role")
        parser.add_argument("--scope", default=f"{ANY}/{ANY}", help="environment/service of the role, * for all")
        parser.add_argument("--days", type=int, default=30, help="how long the token lasts, 1 to 90")
        parser.add_argument("--label", default="made on the server")

    def handle(self, *args: Any, **options: Any) -> None:
        environment, slash, service = options["scope"].partition("/")
        if not (environment and slash and service):
            raise CommandError("--scope reads environment/service, for example production/api or */*.")
        try:
            with transaction.atomic():
                account = self._account(options["account"])
                if options["role"]:
                    self._bind(account, options["role"], environment, service)
                _, text = actions.create_token(account, by=SERVER, label=options["label"], days=options["days"])
        except Refused as refusal:
            raise CommandError(refusal.detail) from refusal
        self.stdout.write(text)

    def _account(self, name: str) -> Account:
        account = Account.objects.filter(username=name).first()
        if account is None:
            self.stderr.write(f"Made the service account {name}.")
            return Account.objects.create_user(name, kind=Account.Kind.SERVICE)
        return account

    def _bind(self, account: Account, role: str, environment: str, service: str) -> None:
        scope = rights.scope_for(environment, service)
        if not RoleBinding.objects.filter(account=account, role=role, scope=scope, grant=None).exists():
            actions.bind_role(account, by=SERVER, role=role, scope=scope, reason="given on the server")
