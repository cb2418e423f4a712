"""Catalog folders for tests: a small sound estate, and ways to spoil it."""

from __future__ import annotations

from pathlib import Path

from inventory.catalog import CatalogInvalid, load

SOUND = {
    "base.yaml": """\
catalog: small
teams:
  core: {name: Core}
data_centers:
  us-central: {name: US Central, role: primary}
environments:
  staging: {name: Staging, kind: staging}
  production: {name: Production, kind: production}
services:
  api: {name: API, tier: 1, owner: core}
""",
    "production.yaml": """\
components:
  production/us-central/api: {name: API, kind: app, service: api, connection: production/us-central/api}
  production/us-central/database: {name: Database, kind: database, service: api, attributes: {engine: MySQL}}
  production/global/cdn: {name: CDN, kind: cdn, service: api}
dependencies:
  production/us-central/api:
    production/us-central/database: hard
""",
    "staging.yaml": """\
components:
  staging/us-central/api: {name: API, kind: app, service: api}
""",
}


def write(folder: Path, files: dict[str, str] | None = None, **changed: str) -> Path:
    """The sound folder; ``changed`` replaces whole files (``staging="…"`` is staging.yaml) or adds them."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in {**(SOUND if files is None else files), **{f"{k}.yaml": v for k, v in changed.items()}}.items():
        (folder / name).write_text(text)
    return folder


def complaints(folder: Path) -> list[str]:
    """Every problem of a folder that must be refused."""
    try:
        load(folder)
    except CatalogInvalid as refusal:
        return refusal.problems
    raise AssertionError("the catalog was not refused")
