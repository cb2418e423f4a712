"""Coming in, going out, and being refused."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.db import IntegrityError, transaction

from identity import lockout
from identity.models import Account, FailedSignIns, Person, Session, SignInLink
from portal import clock, events
from portal.errors import Conflict, Denied
from portal.lifecycle import Actor, authorize

LINK_LIFETIME = timedelta(minutes=15)


def _admit(account: Account) -> None:
    if not account.is_active or account.kind != Account.Kind.HUMAN:
        raise Denied("This account cannot sign in.")


def _printable(text: str) -> str:
    """``text`` without control characters, which a database column may refuse."""
    return "".join(character for character in text if character.isprintable())


@transaction.atomic
def sign_in(account: Account, *, by: Actor, methods: tuple[str, ...]) -> Account:
    """Let a person in whose proofs (``methods``, RFC 8176 names) have been checked; forgets earlier failures.

    Raises ``Denied`` for an account that was switched off and for service accounts, which only have tokens.
    """
    _admit(account)
    lockout.clear(account.username, "")
    with events.acting(methods=methods):
        events.record("identity.sign_in", account, by=by, after={"methods": list(methods)})
    return account


@transaction.atomic
def refuse_sign_in(name: str, *, by: Actor, address: str, reason: str) -> FailedSignIns:
    """Count a failed sign-in against the name and the address, and say in the trail that it happened.

    The work is the same whether or not the account exists; the typed name itself is never stored.
    """
    failures = lockout.fail(name, address)
    account = Account.objects.filter(username=name).first()
    after = {"failures": failures.failures, "blocked_until": failures.blocked_until}
    events.record("identity.refuse_sign_in", account or failures, by=by, reason=reason, after=after)
    return failures


@transaction.atomic
def sign_out(account: Account, *, by: Actor) -> Account:
    """Leave. The caller ends the browser's session afterwards."""
    events.record("identity.sign_out", account, by=by)
    return account


@transaction.atomic
def step_up(account: Account, *, by: Actor, method: str) -> Account:
    """A signed-in person has shown a second factor anew; for five minutes, what needs one may be done."""
    _admit(account)
    events.record("identity.step_up", account, by=by, after={"method": method})
    return account


@transaction.atomic
def welcome(issuer: str, subject: str, *, by: Actor, name: str, email: str = "") -> Account:
    """Make the account of a provider's subject on their first visit. It holds no role: people give those.

    ``name`` and ``email`` are for display only. Raises ``Denied`` unless the portal's own door asks.
    """
    if not isinstance(by, events.System):
        raise Denied("Only the portal itself makes accounts for a provider's subjects.")
    # The name is made from both, since two providers may know the same subject.
    username = "oidc-" + hashlib.sha256(f"{issuer} {subject}".encode()).hexdigest()[:24]
    person = Person.objects.create(name=_printable(name)[:120] or username, email=_printable(email)[:254])
    try:
        with transaction.atomic():
            account = Account.objects.create_user(username, person=person, issuer=issuer, subject=subject)
    except IntegrityError as error:
        raise Conflict("This account is being made at this moment. Sign in again.") from error
    events.record("identity.welcome", account, by=by, after={"issuer": issuer, "subject": subject})
    return account


@transaction.atomic
def create_link(account: Account, *, by: Actor) -> SignInLink:
    """Make a link that signs ``account`` in once within 15 minutes. Only the portal's own commands may."""
    if not isinstance(by, events.System):
        raise Denied("Sign-in links are made on the server, with manage.py.")
    _admit(account)
    now = clock.now()
    link = SignInLink.objects.create(account=account, created_at=now, expires_at=now + LINK_LIFETIME)
    events.record("identity.create_link", account, by=by, after={"expires_at": link.expires_at})
    return link


@transaction.atomic
def use_link(link: SignInLink, *, by: Actor) -> Account:
    """Spend the link and let its account in. Raises ``Conflict`` when it was used before or has ended."""
    now = clock.now()
    spent = SignInLink.objects.filter(pk=link.pk, used_at=None, expires_at__gt=now).update(used_at=now)
    if not spent:
        raise Conflict("This link was used before or has ended. Ask for a new one.")
    return sign_in(link.account, by=by, methods=("link",))


@transaction.atomic
def end_session(session: Session, *, by: Actor) -> Account:
    """End a browser session at once: one's own, or anybody's with ``identity.end_session``."""
    account = session.account
    if account is None:
        raise Conflict("Nobody is signed in there.")
    if account.pk != by.pk:
        authorize(by, "identity.end_session")
    named = session.public_id  # made from the key, which deleting the row takes away
    session.delete()
    events.record("identity.end_session", account, by=by, after={"session": named})
    return account
