"""Secrets in Vault or OpenBao, in a KV version 2 engine, read over HTTPS.

Settings come from the environment, under the names that the `vault` and `bao` programs know: VAULT_ADDR, VAULT_TOKEN or
VAULT_TOKEN_FILE (a path), VAULT_CACERT and VAULT_NAMESPACE. The token needs `read` on `<mount>/data/<path>`. Source:
developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2.
"""

from __future__ import annotations

import json
import os
import ssl
from urllib.parse import urlsplit

from drivers import names, web
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.secret import local

_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def read(place: str) -> str:
    """The field of the newest version at `<mount>/<path>#<field>`."""
    where, _, field = place.partition("#")
    mount, _, path = where.partition("/")
    answer = web.get(f"{_address()}/v1/{mount}/data/{path}", seconds=_SECONDS, trust=_trust(), headers=_headers())
    _refuse(answer.status, where)
    try:
        kept = json.loads(answer.body)["data"]["data"]
        value = kept.get(field)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise PermanentError(f"what Vault answers for {where} is no secret of a KV version 2 engine") from None
    if not isinstance(value, str):
        raise PermanentError(f"the secret {where} in Vault has no text field {field}")
    return value


def _address() -> str:
    """Plain http would show the token and the secret to the network, so it is for this machine only."""
    given = os.environ.get("VAULT_ADDR")
    if not given:
        raise PermanentError("VAULT_ADDR is not set: where Vault is to be found is not known here")
    address = names.url(given).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise InvalidInput("VAULT_ADDR must be an https address, except on this machine")
    return address


def _trust() -> ssl.SSLContext | None:
    authority = os.environ.get("VAULT_CACERT")
    try:
        return ssl.create_default_context(cafile=authority) if authority else None
    except (OSError, ssl.SSLError) as error:
        raise PermanentError(f"VAULT_CACERT cannot be used: {type(error).__name__}") from None


def _headers() -> dict[str, str]:
    place = os.environ.get("VAULT_TOKEN_FILE", "")
    token = (os.environ.get("VAULT_TOKEN", "") or (local.file(place) if place else "")).strip()
    if not token:
        raise PermanentError("there is no token for Vault: set VAULT_TOKEN or VAULT_TOKEN_FILE")
    if not (token.isascii() and token.isprintable()):
        raise PermanentError("the token for Vault holds a character that no token has")
    headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
    if namespace := os.environ.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = namespace
    return headers


def _refuse(status: int, where: str) -> None:
    """Raise what the status means; the answer's text is not repeated."""
    if status == 200:
        return
    if status == 503:
        raise TransientError("Vault is sealed or in maintenance")
    if status == 429 or status >= 500 or status == 412:
        raise TransientError(f"Vault answers {status} for {where}")
    if status == 403:
        raise PermanentError(f"Vault refuses the token, or does not let it read {where}")
    if status == 404:
        raise PermanentError(f"there is no secret {where} in Vault, or its newest version is deleted")
    raise PermanentError(f"Vault answers {status} for {where}")
