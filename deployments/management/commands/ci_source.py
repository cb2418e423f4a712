"""``manage.py ci_source <slug> <account>``: let a CI server announce artifacts by signed webhook."""

from __future__ import annotations

import base64
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_slug

from deployments.models import CiSource
from identity.models import Account


class Command(BaseCommand):
    help = "Create or show a CI source; --rotate makes a new secret. The secret lies in a file, never in the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("account", help="the service account that acts for it, such as ci")
        parser.add_argument("--rotate", action="store_true", help="replace the secret; the old one ends at once")

    def handle(self, *args: Any, slug: str, account: str, rotate: bool = False, **options: Any) -> None:
        validate_slug(slug)
        owner = Account.objects.filter(username=account).first()
        if owner is None:
            raise CommandError(f"There is no account {account}.")
        path = settings.STATE_DIR / "secrets" / f"ci-{slug}.key"
        if rotate or not path.exists():
            _write(path, "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
        CiSource.objects.update_or_create(
            slug=slug, defaults={"account": owner, "secret_reference": f"file:{path}", "is_active": True}
        )
        self.stdout.write(f"POST {settings.PUBLIC_URL}/api/v1/webhooks/ci/{slug}/\nsecret {path.read_text()}")


def _write(path: Path, secret: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(secret)
    fresh.rename(path)
