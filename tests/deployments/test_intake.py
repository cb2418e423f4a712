"""The CI webhook and the REST routes: signed, once per delivery, and every refusal says why."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from deployments import intake
from deployments.models import Artifact, CiDelivery, CiSource, Deployment
from tests import world

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def source(estate, tmp_path) -> CiSource:
    (tmp_path / "secret").write_text(SECRET)
    return CiSource.objects.create(slug="builder", account=estate.ci, secret_reference=f"file:{tmp_path}/secret")


def body(estate, **changes: Any) -> bytes:
    return json.dumps(
        {"service": "api", "version": "2.0.0", "digest": estate.digest, "location": estate.location, **changes}
    ).encode()


def send(client, content: bytes, *, delivery="d-1", stamp=None, signature=None, source="builder"):
    stamp = stamp or str(int(time.time()))
    signed = intake.signature(intake.secret_bytes(SECRET), delivery, stamp, content)
    return client.post(
        f"/api/v1/webhooks/ci/{source}/",
        content,
        content_type="application/json",
        headers={
            "webhook-id": delivery,
            "webhook-timestamp": stamp,
            "webhook-signature": signed if signature is None else signature,
        },
    )


def test_the_published_vector_of_the_signature():
    """From the specification's own example (standardwebhooks.com)."""
    payload = b'{"test": 2432232314}'
    key = intake.secret_bytes(SECRET)
    assert (
        intake.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", payload)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_signed_announcement_becomes_an_artifact_on_its_way_to_staging(client, estate, source):
    answer = send(client, body(estate, author=estate.author.person.email, commit="abc1234"))
    assert answer.status_code == 202
    artifact = Artifact.objects.get()
    assert (str(artifact), artifact.author, artifact.commit) == ("api 2.0.0", estate.author.person, "abc1234")
    assert Deployment.objects.get().environment.slug == "staging"


def test_a_repeated_delivery_changes_nothing_and_answers_the_same(client, estate, source):
    first, second = send(client, body(estate)), send(client, body(estate))
    assert first.json() == second.json()
    assert (Artifact.objects.count(), CiDelivery.objects.count(), Deployment.objects.count()) == (1, 1, 1)


def test_two_equal_deliveries_at_the_same_moment_get_the_same_answer(client, estate, source, monkeypatch):
    """The other one is committed between this one's look and its writing."""
    first = send(client, body(estate))
    looks, earlier = [None], intake._earlier
    monkeypatch.setattr(intake, "_earlier", lambda *where: looks.pop() if looks else earlier(*where))
    second = send(client, body(estate))
    assert (second.status_code, second.json(), looks) == (202, first.json(), [])
    assert (Artifact.objects.count(), CiDelivery.objects.count()) == (1, 1)


def test_a_delivery_id_with_another_content_is_a_conflict(client, estate, source):
    send(client, body(estate))
    answer = send(client, body(estate, version="2.0.1"))
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "This delivery id was used before, with another content.",
    )


@pytest.mark.parametrize(
    ("how", "code", "sentence"),
    [
        ({"signature": "v1,AAAA"}, 403, "The signature does not fit the body."),
        ({"signature": ""}, 403, "The signature does not fit the body."),
        ({"signature": "v1,ä"}, 403, "The signature does not fit the body."),
        ({"stamp": "1"}, 403, "The delivery's timestamp is more than five minutes away from now."),
        ({"stamp": "tomorrow"}, 403, "The headers webhook-id and webhook-timestamp are missing or not right."),
        ({"delivery": ""}, 403, "The headers webhook-id and webhook-timestamp are missing or not right."),
        ({"delivery": "x" * 500}, 403, "The headers webhook-id and webhook-timestamp are missing or not right."),
        ({"source": "nobody"}, 404, "There is nothing here that you may see."),
    ],
)
def test_what_is_not_signed_rightly_is_refused_and_leaves_nothing(client, estate, source, how, code, sentence):
    answer = send(client, body(estate), **how)
    assert (answer.status_code, answer.json()["detail"]) == (code, sentence)
    assert (Artifact.objects.count(), CiDelivery.objects.count()) == (0, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_signed_body_that_is_no_json_object_is_refused(client, source, content):
    assert send(client, content).status_code == 422


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"version": "latest"}, "version"),
        ({"version": 7}, "version"),
        ({"digest": "md5:1"}, "digest"),
        ({"digest": None}, "digest"),
        ({"location": "file:///etc/passwd"}, "location"),
        ({"service": "nothing"}, "service"),
        ({"service": ["api"]}, "service"),
        ({"author": "not an address"}, "author"),
        ({"commit": "; rm -rf /"}, "commit"),
        ({"surprise": 1}, "surprise"),
        ({"version": "2.0.0\u0000"}, "version"),
    ],
)
def test_every_wrong_field_is_named(client, estate, source, changes, field):
    answer = send(client, body(estate, **changes))
    assert answer.status_code in (400, 422)
    assert list(answer.json()["fields"]) == [field]
    assert Artifact.objects.count() == 0


def test_a_refused_delivery_may_be_corrected_under_the_same_id(client, estate, source):
    assert send(client, body(estate, version="latest")).status_code == 422
    assert send(client, body(estate)).status_code == 202


def test_a_body_that_is_too_large_is_refused(client, estate, source):
    answer = send(client, body(estate, commit="a" * intake.MAX_BODY_BYTES))
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"The body is larger than {intake.MAX_BODY_BYTES} bytes."


def test_a_source_without_a_readable_secret_refuses_for_now(client, estate, source, tmp_path):
    (tmp_path / "secret").unlink()
    assert send(client, body(estate)).status_code == 409


def test_announcing_over_rest(estate, as_account):
    answer = as_account(estate.ci).post("/api/v1/artifacts/", json.loads(body(estate)), format="json")
    assert (answer.status_code, answer.json()["version"]) == (201, "2.0.0")


def test_a_foreign_service_is_not_there(estate, as_account):
    guest = world.account("guest", "ci", ("staging", "play"))
    answer = as_account(guest).post("/api/v1/artifacts/", json.loads(body(estate)), format="json")
    assert answer.status_code == 422


def test_approving_over_rest_asks_for_a_second_factor(estate, as_account):
    estate.announce()
    estate.run()
    key = estate.deployment("production").url_key
    answer = as_account(estate.owner).post(f"/api/v1/deployments/{key}/approve/", {}, format="json")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert "insufficient_user_authentication" in answer["WWW-Authenticate"]


@pytest.mark.parametrize("key", ["DEP-999", "DEP-x", "dep-99999999999", "nonsense", "DEP-" + "9" * 40])
def test_unknown_deployments_are_not_there(estate, as_account, key):
    assert as_account(estate.owner).get(f"/api/v1/deployments/{key}/").status_code == 404


def test_a_stale_decision_is_refused(estate, as_account):
    estate.announce()
    estate.run()
    deployment = estate.deployment("production")
    answer = as_account(estate.owner).post(
        f"/api/v1/deployments/{deployment.url_key}/reject/",
        {"reason": "no", "expected_version": deployment.row_version + 1},
        format="json",
    )
    assert (answer.status_code, answer.json()["detail"][:26]) == (409, "It was changed since you l")


def test_foreign_deployments_are_not_there(estate, as_account):
    estate.announce()
    guest = as_account(world.account("guest", "viewer", ("production", "play")))
    number = Deployment.objects.get().url_key
    assert guest.get("/api/v1/deployments/").json()["results"] == []
    assert guest.get(f"/api/v1/deployments/{number}/").status_code == 404
    assert guest.get("/api/v1/artifacts/").json()["results"] == []


@pytest.mark.parametrize("rows", [1, 3])
def test_lists_take_a_fixed_number_of_queries(estate, as_account, django_assert_num_queries, tmp_path, rows):
    from tests.deployments.test_releases import artifact as bytes_of

    for number in range(rows):
        estate.location, estate.digest = bytes_of(tmp_path / f"{number}.tar.gz", **{"server.js": f"// {number}"})
        estate.announce(f"2.0.{number}")
    client = as_account(world.account("reader", "viewer"))
    client.get("/api/v1/deployments/")
    with django_assert_num_queries(4):
        assert len(client.get("/api/v1/deployments/").json()["results"]) == rows
    with django_assert_num_queries(2):
        assert len(client.get("/api/v1/artifacts/").json()["results"]) == rows
