"""What the portal refuses to start with, and that roles follow the matrix."""

import pytest
from django.db import IntegrityError

from identity import checks, matrix, rights
from identity.apps import follow_the_matrix
from identity.models import Account
from tests import world


def ids(messages):
    return [message.id for message in messages]


@pytest.mark.django_db
def test_the_database_refuses_a_superuser():
    account = world.account("owner")
    assert checks.nobody_is_superuser(None) == []
    with pytest.raises(IntegrityError, match="account_nobody_is_superuser"):
        Account.objects.filter(pk=account.pk).update(is_superuser=True)


def test_without_that_check_the_portal_does_not_start(monkeypatch):
    monkeypatch.setattr(Account._meta, "constraints", [])
    assert ids(checks.nobody_is_superuser(None)) == ["identity.E001"]


def test_without_a_provider_its_settings_do_not_matter(settings):
    settings.OIDC_ENABLED = False
    settings.OIDC_RP_SIGN_ALGO = "HS256"
    assert checks.oidc_is_strict(None) == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OIDC_TIMEOUT", 5, []),
        ("OIDC_RP_SIGN_ALGO", "HS256", ["identity.E002"]),
        ("OIDC_RP_SIGN_ALGO", "none", ["identity.E002"]),
        ("OIDC_USE_PKCE", False, ["identity.E003"]),
        ("OIDC_PKCE_CODE_CHALLENGE_METHOD", "plain", ["identity.E004"]),
        ("OIDC_USE_NONCE", False, ["identity.E005"]),
        ("OIDC_ALLOW_UNSECURED_JWT", True, ["identity.E006"]),
        ("OIDC_VERIFY_SSL", False, ["identity.E007"]),
        ("OIDC_TIMEOUT", None, ["identity.E008"]),
    ],
)
def test_a_loose_provider_is_refused(settings, name, value, expected):
    settings.OIDC_ENABLED = True
    setattr(settings, name, value)
    assert ids(checks.oidc_is_strict(None)) == expected


@pytest.fixture
def reworded(monkeypatch):
    """Change which actions a role holds, as an edited matrix would."""

    def change(role, *actions):
        monkeypatch.setattr(rights, "actions_of", lambda asked: list(actions) if asked == role else before(asked))

    before = matrix.actions_of
    return change


@pytest.mark.django_db
@pytest.mark.parametrize("through_team", [False, True])
def test_bindings_follow_the_matrix(reworded, through_team):
    here = world.component()
    account = world.account("somebody")
    holder = {"team": world.team("crew", account)} if through_team else {"account": account}
    rights.bind("viewer", here.scope, **holder)
    assert rights.sync_roles() == 0
    reworded("viewer", "inventory.view", "inventory.paint")
    assert rights.sync_roles() == 1
    assert account.has_perm("inventory.paint", here) is True
    assert account.has_perm("incidents.view", here) is False
    assert rights.sync_roles() == 0


@pytest.mark.django_db
def test_a_role_that_is_gone_gives_nothing(monkeypatch):
    here = world.component()
    account = world.account("somebody", "viewer")
    without = {**matrix.load(), "roles": {name: f for name, f in matrix.load()["roles"].items() if name != "viewer"}}
    monkeypatch.setattr(matrix, "load", lambda: without)
    assert rights.sync_roles() == 1
    assert account.has_perm("inventory.view", here) is False
    assert account.bindings.count() == 1


@pytest.mark.django_db
def test_nothing_to_do_costs_two_queries(django_assert_num_queries):
    for number in range(3):
        world.account(f"viewer-{number}", "viewer")
    with django_assert_num_queries(4):  # the two, and a savepoint around them
        assert rights.sync_roles() == 0


@pytest.mark.django_db
def test_after_migrations_the_roles_are_followed(reworded):
    here = world.component()
    account = world.account("somebody", "viewer")
    reworded("viewer", "inventory.paint")
    follow_the_matrix(using="default")
    assert account.has_perm("inventory.paint", here) is True
