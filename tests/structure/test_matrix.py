"""Every address, API route and command stands in ``identity/matrix.yaml``, and each role gets what it says there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands
from django.template.backends.django import Template
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter, UUIDConverter

from identity import matrix
from identity.models import Account, RoleBinding
from portal import lifecycle
from portal.apps import DomainConfig
from portal.models import Event
from tests import world

OPEN = {matrix.PUBLIC, matrix.SIGNED_IN, matrix.OWN}
NO_ID, NO_NUMBER, NO_NAME = NOWHERE = "00000000-0000-7000-8000-000000000000", "987654", "no-such-thing"
SAMPLES = {UUIDConverter: NO_ID, IntConverter: NO_NUMBER}
# Formats that the API router adds to each of its routes.
FORMAT_SUFFIX = re.compile(r"\.?\(\?P<format>|<drf_format_suffix")
# Streams do not end by themselves.
ENDLESS = {"live"}
# Those who see most and least: for them each page is read as a whole.
WHOLE = {"operations_owner", "viewer"}


def patterns(resolver: Any = None, prefix: str = "", namespace: str = "") -> list[tuple[str, str, URLPattern]]:
    """(name with its namespace, path, pattern) of every address, the API's included."""
    found = []
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            # A screen and the API route of the same verb have one name, and one line in the matrix.
            inner = f"{namespace}{entry.namespace}:" if entry.namespace not in (None, "api") else namespace
            found += patterns(entry, path, inner)
        elif not FORMAT_SUFFIX.search(path):
            found.append((namespace + (entry.name or ""), path, entry))
    return found


def needed(name: str) -> set[str]:
    """What a route needs: one of several actions, or one of the three words."""
    return {word.strip() for word in matrix.load()["routes"][name].split("|")}


def our_commands() -> set[str]:
    ours = {config.name for config in apps.get_app_configs() if isinstance(config, DomainConfig)}
    return {name for name, app in get_commands().items() if app in ours}


def test_every_address_has_a_name_and_stands_in_the_matrix():
    nameless = [path for name, path, _ in patterns() if not name]
    assert nameless == []
    missing = sorted({name for name, _, _ in patterns()} - set(matrix.load()["routes"]))
    assert missing == []


def test_the_matrix_names_no_address_that_is_not_there():
    only_with_a_provider = {"oidc_authentication_init", "oidc_authentication_callback"}
    gone = set(matrix.load()["routes"]) - {name for name, _, _ in patterns()} - only_with_a_provider
    assert sorted(gone) == []


def test_every_route_needs_something_that_is_declared():
    actions = set(matrix.load()["actions"])
    unknown = {name: needed(name) - actions - OPEN for name in matrix.load()["routes"]}
    assert {name: words for name, words in unknown.items() if words} == {}


def test_every_command_of_ours_stands_in_the_matrix():
    assert sorted(our_commands() - set(matrix.load()["commands"])) == []


def test_every_permission_of_a_lifecycle_is_an_action():
    assert sorted(set(lifecycle.permissions()) - set(matrix.load()["actions"])) == []


def test_every_action_names_only_roles_that_exist():
    roles = set(matrix.load()["roles"])
    unknown = {action: set(facts["roles"]) - roles for action, facts in matrix.load()["actions"].items()}
    assert {action: names for action, names in unknown.items() if names} == {}


def test_an_administrator_approves_nothing():
    assert [action for action in matrix.actions_of("administrator") if "approve" in action] == []


def test_an_auditor_changes_nothing():
    changing = [a for a in matrix.actions_of("auditor") if not re.search(r"\.(view|export|verify)", a)]
    assert changing == []


def address(path: str, pattern: URLPattern) -> str:
    """The path with a value in each place that nothing in the estate has."""
    converters = pattern.pattern.converters
    filled = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: SAMPLES.get(type(converters.get(m[1])), NO_NAME), path)
    filled = re.sub(r"\(\?P<\w+>[^)]*\)", NO_ID, filled)
    return "/" + re.sub(r"[\^$\\?]", "", filled)


@pytest.fixture
def only_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages stay empty: most of an answer's time goes to what it looks like, which is about the same for all roles."""
    monkeypatch.setattr(Template, "render", lambda *_: "")


@pytest.fixture
def statuses(client: Any, api: Any) -> Any:
    """``statuses(account)``: what GET answers at every address, by the name and the path of its pattern.

    Without those that name something (``keys=False``): nothing has that name, so they are 404 whatever the right.
    """

    def read(account: Account | None, *, keys: bool = True) -> dict[tuple[str, str], int]:
        if account:
            client.force_login(account, backend="identity.backends.ScopeBackend")
            api.credentials(HTTP_AUTHORIZATION=f"Bearer {world.token(account)}")
        client.raise_request_exception = api.raise_request_exception = False
        found = {}
        asked = [(name, address(path, pattern)) for name, path, pattern in patterns() if name not in ENDLESS]
        for name, url in asked:
            if keys or not any(value in url for value in NOWHERE):
                found[name, url] = (api if url.startswith("/api/v1/") else client).get(url).status_code
        return found

    return read


@pytest.mark.django_db
@pytest.mark.parametrize("keys", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("role", sorted(set(matrix.load()["roles"]) - WHOLE))
def test_each_role_gets_each_address_as_the_matrix_says(only_statuses: None, statuses: Any, role: str, keys: bool):
    """What a role may not do answers 403 or 404, and a page that has no key in its address is never given out."""
    world.scope()  # without anything to hold a right on nobody would hold any, and every screen would just refuse
    assert _wrong(statuses(world.account("somebody", role), keys=keys), role) == {}


@pytest.mark.django_db
@pytest.mark.parametrize("role", [*sorted(WHOLE), None])
def test_whole_pages_are_given_out_as_the_matrix_says_and_reading_them_changes_nothing(statuses: Any, role: str | None):
    """No answer is a 5xx; nothing private without an account; no events, accounts or rights because somebody looked."""
    world.scope()
    account = world.account("somebody", role) if role else None
    before = Event.objects.count(), Account.objects.count(), RoleBinding.objects.count()
    assert _wrong(statuses(account), role) == {}
    assert (Event.objects.count(), Account.objects.count(), RoleBinding.objects.count()) == before


def _wrong(found: dict[tuple[str, str], int], role: str | None) -> dict[tuple[str, str], int]:
    """The answers that are not what the matrix says."""
    held = set(matrix.actions_of(role)) if role else set()
    return {
        (name, url): status
        for (name, url), status in found.items()
        if status >= 500 or not _right(status, url, needed(name), held, role)
    }


def _right(status: int, url: str, needs: set[str], held: set[str], role: str | None) -> bool:
    if needs == {matrix.PUBLIC}:
        return True
    if role is None:
        return status in (302, 401, 404, 405)
    if needs & OPEN:
        return status not in (401, 403) or matrix.OWN in needs
    if needs & held:
        return True
    # A step-up may be asked for (303) before the right is looked at; API lists are empty for whoever sees nothing.
    may_answer = url.startswith("/api/") or any(value in url for value in NOWHERE)
    return status in (403, 404, 405) or (may_answer and status in (200, 303))
