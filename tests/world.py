"""The cast and the builders of every test: who owns, who is on the team, who must see nothing.

States are reached by real verbs; this module only makes people, rights and a small estate.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group

from identity import rights
from identity.models import Account, ApiToken, Person, Scope, Team
from inventory.models import Component, DataCenter, Dependency, Environment, Service
from portal import clock


def _once(of: Any, key: dict[str, Any], **facts: Any) -> Any:
    """The row of ``key``, made when it is not there. ``get_or_create`` takes savepoints for rivals; a test has none."""
    return of.objects.filter(**key).first() or of.objects.create(**key, **facts)


def person(name: str) -> Person:
    return _once(Person, {"name": name}, email=f"{name.lower().replace(' ', '.')}@example.org")


def account(
    username: str = "viewer",
    role: str | None = None,
    scope: tuple[str, str] = ("*", "*"),
    *,
    of: Person | None = None,
    kind: str = Account.Kind.HUMAN,
) -> Account:
    """An account of a person of the same name (or of ``of``), with ``role`` bound on ``scope``."""
    found = Account.objects.filter(username=username).first() or Account.objects.create_user(
        username, password="correct horse battery", person=of or person(username.title()), kind=kind
    )
    if role:
        rights.bind(role, rights.scope_for(*scope), account=found)
    return found


def team(slug: str, *members: Account) -> Team:
    group, _ = Group.objects.get_or_create(name=slug)
    made, _ = Team.objects.get_or_create(slug=slug, defaults={"name": slug.title(), "group": group})
    for member in members:
        rights.join(made, member)
    return made


def token(of: Account) -> str:
    """A bearer token's text for ``of``."""
    from datetime import timedelta

    text = ApiToken.fresh()
    ApiToken.objects.create(
        account=of, label="test", digest=ApiToken.hashed(text), expires_at=clock.now() + timedelta(days=1)
    )
    return text


def scope(environment: str = "production", service: str = "api") -> Scope:
    return rights.scope_for(environment, service)


def environment(slug: str = "production") -> Environment:
    return _once(Environment, {"slug": slug}, name=slug.title(), kind=slug)


def data_center(slug: str = "us-central") -> DataCenter:
    role = DataCenter.Role.PRIMARY if slug == "us-central" else DataCenter.Role.SECONDARY
    return _once(DataCenter, {"slug": slug}, name=slug, role=role)


def service(slug: str = "api") -> Service:
    return _once(Service, {"slug": slug}, name=slug.title(), tier=1)


def component(slug: str = "production/us-central/api", kind: str = Component.Kind.APP, **facts: Any) -> Component:
    """A component by its slug; environment, data center, service and scope follow from it."""
    where, center, name = slug.split("/")
    owner = service(facts.pop("service", name))
    facts = {
        "name": name,
        "kind": kind,
        "environment": environment(where),
        "data_center": data_center(center),
        "service": owner,
        "scope": scope(where, owner.slug),
        "connection": slug,
        **facts,
    }
    return _once(Component, {"slug": slug}, **facts)


def dependency(source: Component, target: Component, kind: str = Dependency.Kind.HARD, **facts: Any) -> Dependency:
    """A link. Only watching and seeding may lead into another environment, so there it watches."""
    if source.environment_id != target.environment_id:
        facts.setdefault("relation", Dependency.Relation.OBSERVES)
    return _once(Dependency, {"source": source, "target": target}, kind=kind, **facts)
