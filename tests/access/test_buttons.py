"""Which buttons a request and a grant show to whom, and what they say when they cannot be used."""

import re
from html import unescape

import pytest

from tests import world

pytestmark = pytest.mark.django_db


def buttons(client, account, path) -> tuple[dict[str, str], dict[str, str]]:
    """Usable ones (label → address) and locked ones (label → reason) of the page's tools."""
    client.force_login(account, backend="identity.backends.ScopeBackend")
    page = unescape(client.get(path).content.decode())
    links = re.findall(r'<a class="btn[^"]*action-\w+" href="([^"]+)">([^<]+)</a>', page)
    locked = re.findall(r'disabled-action"[^>]*title="([^"]*)">.*?</svg>([^<]+)<', page, re.DOTALL)
    return {label: url for url, label in links}, {label: reason for reason, label in locked}


def test_whoever_may_decide_gets_approve_and_deny(client, cast, ask):
    asked = ask()
    usable, locked = buttons(client, cast.owner, f"/access-requests/{asked.key}/")
    assert usable == {
        "Approve": f"/access-requests/{asked.key}/approve/",
        "Deny": f"/access-requests/{asked.key}/deny/",
    }
    assert locked == {"Cancel request": "Only whoever asked for it can take the request back."}
    for url in usable.values():
        assert client.get(url).status_code == 200


def test_whoever_asked_gets_cancel_and_the_reasons_for_the_rest(client, cast, ask):
    asked = ask()
    usable, locked = buttons(client, cast.dev, f"/access-requests/{asked.key}/")
    assert usable == {"Cancel request": f"/access-requests/{asked.key}/cancel/"}
    assert locked == {
        "Approve": "Needs the right “access.approve” here.",
        "Deny": "Needs the right “access.deny” here.",
    }


def test_an_approver_does_not_decide_on_an_own_request(client, cast, ask):
    asked = ask(by=cast.owner, beneficiary=cast.dev)
    usable, locked = buttons(client, cast.owner, f"/access-requests/{asked.key}/")
    assert usable == {"Cancel request": f"/access-requests/{asked.key}/cancel/"}
    assert set(locked.values()) == {"Another person has to decide on this request."}


def test_a_second_account_of_the_same_person_does_not_decide_either(client, cast, ask):
    asked = ask()
    twin = world.account("dev-owner", "operations_owner", ("production", "*"), of=cast.dev.person)
    usable, locked = buttons(client, twin, f"/access-requests/{asked.key}/")
    assert "Approve" not in usable
    assert locked["Approve"] == "Another person has to decide on this request."


def test_an_auditor_sees_only_reasons(client, cast, ask):
    usable, locked = buttons(client, cast.auditor, f"/access-requests/{ask().key}/")
    assert usable == {}
    assert sorted(locked) == ["Approve", "Cancel request", "Deny"]


def test_a_decided_request_has_no_buttons(client, cast, granted):
    assert buttons(client, cast.owner, f"/access-requests/{granted().key}/") == ({}, {})


def test_the_holder_gives_back_and_asks_for_more_time(client, cast, granted):
    grant = granted()
    usable, locked = buttons(client, cast.dev, f"/grants/{grant.key}/")
    assert usable == {"Give back": f"/grants/{grant.key}/give-back/"}
    assert locked == {"Revoke": "Needs the right “access.revoke” here."}
    assert f'href="/grants/{grant.key}/extend/"' in client.get(f"/grants/{grant.key}/").content.decode()


def test_whoever_answers_revokes_and_does_not_give_back(client, cast, granted):
    grant = granted()
    usable, locked = buttons(client, cast.security, f"/grants/{grant.key}/")
    assert usable == {"Revoke": f"/grants/{grant.key}/revoke/"}
    assert locked == {"Give back": "Only the holder can give it back."}
    assert "extend" not in client.get(f"/grants/{grant.key}/").content.decode()


def test_an_ended_grant_has_no_buttons(client, cast, granted):
    grant = granted()
    client.force_login(cast.dev, backend="identity.backends.ScopeBackend")
    client.post(f"/grants/{grant.key}/give-back/")
    assert buttons(client, cast.dev, f"/grants/{grant.key}/") == ({}, {})
