"""API tokens, sessions and one-time links: made once, shown once, ended at will."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from identity import actions, matrix, queries
from identity.entrance import link_signer
from identity.models import Account, ApiToken, Session
from portal import clock, events
from portal.errors import Conflict, Denied, Invalid, StepUpRequired
from portal.models import Event
from tests import world
from tests.identity.door import app_of, code, enter

pytestmark = pytest.mark.django_db
SERVER = events.System("manage.py")


def test_a_token_is_shown_once_and_stored_as_a_hash(stepped_up, api):
    owner = world.account("owner")
    token, text = actions.create_token(owner, by=owner, label=" backup ", days=2)
    assert (token.label, token.digest) == ("backup", ApiToken.hashed(text))
    assert text not in str([vars(event) for event in Event.objects.all()])
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert api.get("/api/v1/me/").json()["username"] == "owner"
    with clock.travel(timedelta(days=3)):
        assert api.get("/api/v1/me/").status_code == 401
    actions.revoke_token(token, by=owner)
    assert api.get("/api/v1/me/").status_code == 401
    with pytest.raises(Conflict):
        actions.revoke_token(token, by=owner)


def test_tokens_need_a_fresh_factor_an_own_account_and_sense():
    owner = world.account("owner")
    with pytest.raises(StepUpRequired):
        actions.create_token(owner, by=owner, label="x")
    with pytest.raises(Denied):
        actions.create_token(owner, by=world.account("other", "security_officer"), label="x")
    for wrong in ({"label": "x", "days": 0}, {"label": "x", "days": 91}, {"label": "  "}):
        with pytest.raises(Invalid):
            actions.create_token(owner, by=SERVER, **wrong)


@pytest.mark.parametrize("role", sorted(matrix.load()["roles"]))
def test_only_the_roles_of_the_matrix_end_what_belongs_to_others(role, client):
    world.component()
    owner, actor = world.account("owner"), world.account("actor", role)
    token, _ = actions.create_token(owner, by=SERVER, label="x")
    enter(client, owner)
    session = Session.objects.get(account=owner)
    attempts = {
        "identity.revoke_token": lambda: actions.revoke_token(token, by=actor),
        "identity.end_session": lambda: actions.end_session(session, by=actor),
    }
    for action, attempt in attempts.items():
        if action in matrix.actions_of(role):
            attempt()
            continue
        with pytest.raises(Denied):
            attempt()
    assert Session.objects.filter(account=owner).exists() is ("identity.end_session" not in matrix.actions_of(role))


def test_a_session_of_nobody_is_not_ended(client):
    client.get("/sign-in/")
    session = Session.objects.create(session_key="nobody", session_data="", expire_date=clock.now())
    with pytest.raises(Conflict):
        actions.end_session(session, by=world.account("owner"))


def test_links_are_made_by_the_server_and_work_once(client):
    owner = world.account("owner")
    with pytest.raises(Denied):
        actions.create_link(owner, by=owner)
    link = actions.create_link(owner, by=SERVER)
    path = f"/sign-in/link/{link_signer.sign(str(link.pk))}/"
    assert client.get(path).status_code == 200
    assert "_auth_user_id" not in client.session
    assert client.post(path).status_code == 303
    assert client.session["_auth_user_id"] == str(owner.pk)
    assert client.post(path).status_code == 409
    assert client.get("/sign-in/link/forged/").status_code == 404
    late = actions.create_link(owner, by=SERVER)
    with clock.travel(timedelta(minutes=16)), pytest.raises(Conflict):
        actions.use_link(late, by=owner)


def test_who_cannot_sign_in_gets_no_link_and_no_step_up():
    robot = world.account("robot", kind=Account.Kind.SERVICE)
    with pytest.raises(Denied):
        actions.create_link(robot, by=SERVER)
    with pytest.raises(Denied):
        actions.sign_in(robot, by=robot, methods=("pwd",))


def test_the_profile_shows_and_ends_sessions_and_tokens(client):
    owner = enter(client, world.account("owner"), fresh=True) and Account.objects.get(username="owner")
    made = client.post("/profile/tokens/create/", {"label": "backup", "days": "5"})
    token = ApiToken.objects.get()
    assert (made.status_code, "edye_" in made.content.decode()) == (200, True)
    assert client.get("/profile/tokens/create/").status_code == 200
    assert client.post("/profile/tokens/create/", {}).status_code == 422
    assert "backup" in client.get("/profile/").content.decode()
    assert client.get(f"/profile/tokens/{token.pk}/revoke/").status_code == 200
    assert client.post(f"/profile/tokens/{token.pk}/revoke/").status_code == 303
    elsewhere = type(client)()
    enter(elsewhere, owner)
    ids = [session["id"] for session in queries.sessions_of(owner)]
    assert len(ids) == 2
    other = next(i for i in ids if queries.session_named(owner, i).session_key == elsewhere.session.session_key)
    assert client.post(f"/profile/sessions/{other}/end/").status_code == 303
    assert elsewhere.get("/profile/").status_code == 302
    mine = next(i for i in ids if i != other)
    assert client.post(f"/profile/sessions/{mine}/end/")["Location"] == "/sign-in/"
    assert client.post(f"/profile/sessions/{mine}/end/").status_code == 302


def test_foreign_tokens_and_sessions_are_not_there(client):
    token, _ = actions.create_token(world.account("other"), by=SERVER, label="x")
    enter(client, world.account("owner"), fresh=True)
    assert client.post(f"/profile/tokens/{token.pk}/revoke/").status_code == 404
    assert client.post("/profile/sessions/no-such/end/").status_code == 404


def test_tokens_over_rest_need_a_code_that_works_once(as_account):
    owner = world.account("owner")
    device = app_of(owner)
    api = as_account(owner)
    body = {"label": "ci", "days": 3}
    assert api.post("/api/v1/tokens/", body, format="json").status_code == 401
    shown = code(device)
    made = api.post("/api/v1/tokens/", body, format="json", headers={"X-OTP": shown})
    assert (made.status_code, made.json()["text"][:5]) == (201, "edye_")
    assert api.post("/api/v1/tokens/", body, format="json", headers={"X-OTP": shown}).status_code == 401
    assert api.post("/api/v1/tokens/", body, format="json", headers={"X-OTP": shown}).status_code == 429
    assert len(api.get("/api/v1/tokens/").json()["results"]) == 2
    ended = api.post(f"/api/v1/tokens/{made.json()['id']}/revoke/", {}, format="json")
    assert ended.json()["revoked_at"] is not None
    assert api.post("/api/v1/tokens/", {"label": 5, "days": "x", "more": 1}, format="json").status_code in (400, 422)


def test_the_browsers_session_works_over_rest_too(client):
    enter(client, world.account("owner"), fresh=True)
    assert client.get("/api/v1/me/").json()["second_factor_fresh"] is True
    assert client.get("/api/v1/me/", headers={"X-OTP": "000000"}).status_code == 401


def test_the_command_prints_a_token_and_makes_a_service_account_of_the_role():
    world.component()
    printed = StringIO()
    for _ in range(2):
        call_command("api_token", "ci", role="ci", scope="production/api", stdout=printed, stderr=StringIO())
    robot = Account.objects.get(username="ci")
    assert (robot.kind, [b.role for b in robot.bindings.all()]) == (Account.Kind.SERVICE, ["ci"])
    assert ApiToken.objects.filter(digest=ApiToken.hashed(printed.getvalue().split()[-1]), account=robot).exists()
    for wrong in ({"scope": "production"}, {"days": 500}):
        with pytest.raises(CommandError):
            call_command("api_token", "ci", role="ci", stdout=printed, **{"scope": "*/*", **wrong})


def test_the_demo_makes_accounts_that_can_sign_in(client, settings, tmp_path):
    settings.STATE_DIR = tmp_path
    world.component()
    printed = StringIO()
    call_command("demo", stdout=printed)
    known = json.loads((tmp_path / "secrets" / "demo.json").read_text())
    body = {"username": "auditor", "password": known["auditor"]["password"]}
    assert client.post("/sign-in/", body)["Location"].startswith("/sign-in/second-factor/")
    assert Account.objects.get(username="auditor").has_perm("incidents.view")
    shown = StringIO()
    call_command("demo", "--code", "auditor", stdout=shown)
    assert len(shown.getvalue().strip()) == 6
