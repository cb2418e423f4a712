"""``Idempotency-Key``: a request that is sent again after a lost answer is answered the same and changes nothing.

After the IETF draft of that header (httpapi, idempotency-key): the same key with another request is 422, and while the
first one still runs, 409. The answer is stored in the transaction that did the work, so that none of the two can be
there without the other; a refused request is forgotten and may be sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from django.db import connection, transaction
from django.http import HttpResponse
from rest_framework.request import Request

from identity.models import AnsweredRequest
from portal import clock
from portal.errors import Conflict, Invalid

HEADER = "Idempotency-Key"
LONGEST_KEY = 128
KEPT = timedelta(days=1)
HEADERS = ("Content-Type", "ETag", "Location")


def once(request: Request, act: Callable[[], HttpResponse], *, sent: Any = None) -> HttpResponse:
    """Do ``act`` and answer, or answer as before. Without the header it is simply done.

    ``sent``: what tells this request from another one, where its body is a file; by default the body.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return act()
    account: Any = request.user.pk
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        raise Invalid(f"{HEADER} must be 1 to {LONGEST_KEY} printable characters.")
    digest = _digest(request, request.data if sent is None else sent)
    with transaction.atomic():
        _claim(lock_of(account, key))
        mine = AnsweredRequest.objects.filter(account=account)
        before = mine.filter(key=key, at__gt=clock.now() - KEPT).first()
        if before is not None:
            return _again(before, digest)
        mine.filter(at__lte=clock.now() - KEPT).delete()
        response = act()
        AnsweredRequest.objects.create(
            account_id=account,
            key=key,
            digest=digest,
            status=response.status_code,
            headers={name: response[name] for name in HEADERS if name in response},
            body=response.content,
        )
    return response


def _digest(request: Request, sent: Any) -> str:
    facts = [request.method, request.get_full_path(), sent]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def lock_of(account: Any, key: str) -> int:
    """The number of the lock under which a request runs."""
    return int.from_bytes(hashlib.sha256(f"{account} {key}".encode()).digest()[:8], signed=True)


def _claim(number: int) -> None:
    """A lock that ends with the transaction, whatever happens to this process."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise Conflict("The same request still runs. Wait a moment, then send it again.")


def _again(before: AnsweredRequest, digest: str) -> HttpResponse:
    if before.digest != digest:
        raise Invalid(f"This {HEADER} was used for another request. Every request needs a key of its own.")
    return HttpResponse(
        bytes(before.body), status=before.status, headers={**before.headers, "Idempotent-Replay": "true"}
    )
