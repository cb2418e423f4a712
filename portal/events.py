"""One append-only event per verb, hash-chained per stream, and the news that travels upward.

``record()`` is called by verbs only, last in their transaction. The row is refused any
later change by trigger. Receivers run in the same transaction; browsers are told on commit.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models

from portal import clock

STEP_UP_SECONDS = 300
DIGESTED = (
    *("id", "stream", "seq", "verb", "actor_id", "actor_label", "person_id"),
    *("subject_type", "subject_id", "subject_label", "scope_id", "reason", "before", "after"),
    *("operation_id", "request_id", "auth", "previous_hash"),
)


@dataclass(frozen=True)
class System:
    """The portal acting by itself: sweepers, reconcilers, workers. ``name`` says which."""

    name: str
    pk: None = None
    person_id: None = None
    is_authenticated: bool = True

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return True

    def __str__(self) -> str:
        return f"portal ({self.name})"


SYSTEM = System("system")


@dataclass(frozen=True)
class Context:
    """How the present actor came in. Set per request or task; read by ``record()`` and the step-up check."""

    request_id: str = ""
    address: str = ""
    token: str = ""
    methods: tuple[str, ...] = ()
    second_factor_at: datetime | None = None

    def as_facts(self) -> dict[str, Any]:
        """What an event keeps of it."""
        return {"token": self.token, "methods": list(self.methods), "address": self.address}


_context: ContextVar[Context] = ContextVar("portal_context", default=Context())  # noqa: B039 (frozen)


def context() -> Context:
    return _context.get()


@contextmanager
def acting(**changes: Any) -> Iterator[None]:
    """Run the block under a changed ``Context``."""
    token = _context.set(replace(_context.get(), **changes))
    try:
        yield
    finally:
        _context.reset(token)


def stepped_up() -> bool:
    """Whether a second factor was shown within the last five minutes."""
    at = context().second_factor_at
    return at is not None and clock.now() - at <= timedelta(seconds=STEP_UP_SECONDS)


Receiver = Callable[[Any], None]
_receivers: dict[str, list[Receiver]] = defaultdict(list)


def subscribe(*verbs: str) -> Callable[[Receiver], Receiver]:
    """Call the function with each event of these verbs, inside the verb's own transaction."""

    def register(receiver: Receiver) -> Receiver:
        for verb in verbs:
            if receiver not in _receivers[verb]:
                _receivers[verb].append(receiver)
        return receiver

    return register


def record(
    verb: str,
    subject: models.Model,
    *,
    by: Any,
    reason: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    operation_id: uuid.UUID | None = None,
) -> Any:
    """Append the event of ``verb`` ("incidents.acknowledge") on ``subject`` and tell whoever listens.

    ``before`` and ``after`` hold only what changed and never a secret. Must be called inside the
    verb's transaction, last, because it takes the lock of the stream's head.
    """
    _inside(verb)
    event = _event(verb, subject, by, reason, before, after, operation_id)
    _append([event])
    publish(f"{event.subject_type}:{event.subject_id}")
    _tell(event)
    return event


def record_many(
    verb: str,
    told: Iterable[tuple[models.Model, dict[str, Any], dict[str, Any]]],
    *,
    by: Any,
    reason: str = "",
) -> list[Any]:
    """``record`` the same verb on many subjects, each with its ``before`` and ``after``: four statements in all."""
    _inside(verb)
    found = [_event(verb, subject, by, reason, before, after, None) for subject, before, after in told]
    if not found:
        return found
    _append(found)
    topics = [f"{event.subject_type}:{event.subject_id}" for event in found]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('portal', topic) FROM unnest(%s::text[]) topic", [topics])
    for event in found:
        _tell(event)
    return found


def _inside(verb: str) -> None:
    if not connection.in_atomic_block:
        raise RuntimeError(f"{verb}: record() belongs inside the verb's transaction")


def _event(
    verb: str,
    subject: models.Model,
    by: Any,
    reason: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    operation_id: uuid.UUID | None,
) -> Any:
    from portal.models import Event

    return Event(
        stream=verb.split(".", 1)[0],
        verb=verb,
        actor_id=by.pk,
        actor_label=str(by)[:200],
        person_id=getattr(by, "person_id", None),
        subject_type=subject._meta.label_lower,
        subject_id=str(subject.pk),
        subject_label=str(subject)[:200],
        scope_id=getattr(subject, "scope_id", None),
        reason=reason,
        before=_plain(before),
        after=_plain(after),
        operation_id=operation_id,
        request_id=context().request_id,
        auth=context().as_facts(),
        at=clock.now(),
    )


def _tell(event: Any) -> None:
    for receiver in [*_receivers[event.verb], *_receivers["*"]]:
        receiver(event)


def _append(events: list[Any]) -> None:
    """Give the events their places behind the stream's last one; the head's row lock makes the stream one line."""
    from portal.models import Event, StreamHead

    head, _ = StreamHead.objects.select_for_update().get_or_create(stream=events[0].stream)
    for event in events:
        event.seq, event.previous_hash = head.seq + 1, head.hash
        event.hash = digest(event)
        head.seq, head.hash = event.seq, event.hash
    if len(events) == 1:
        events[0].save(force_insert=True)
    else:
        Event.objects.bulk_create(events, batch_size=1000)
    StreamHead.objects.filter(pk=head.pk).update(seq=head.seq, hash=head.hash)


def _plain(facts: dict[str, Any] | None) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(facts or {}, cls=DjangoJSONEncoder))
    return plain


def digest(event: Any) -> str:
    """SHA-256 over the canonical JSON of the event's facts and the hash before it."""
    facts = {name: getattr(event, name) for name in DIGESTED}
    facts["at"] = event.at.timestamp()
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()


def verify(stream: str) -> list[str]:
    """Walk one stream from its start; every break of the chain as a sentence (empty: unbroken)."""
    from portal.models import Event, StreamHead

    problems: list[str] = []
    previous, expected = "", 1
    for event in Event.objects.filter(stream=stream).order_by("seq").iterator(2000):
        if event.seq != expected:
            problems.append(f"{stream}: events {expected} to {event.seq - 1} are missing")
        if event.previous_hash != previous:
            problems.append(f"{stream}#{event.seq}: does not follow the event before it")
        if digest(event) != event.hash:
            problems.append(f"{stream}#{event.seq}: its content was changed")
        previous, expected = event.hash, event.seq + 1
    head = StreamHead.objects.filter(stream=stream).first()
    if head is None or head.seq != expected - 1 or head.hash != previous:
        problems.append(f"{stream}: the end of the stream is missing")
    return problems


def publish(topic: str) -> None:
    """Tell listening browsers, on commit, that ``topic`` changed (PostgreSQL NOTIFY)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('portal', %s)", [topic])
