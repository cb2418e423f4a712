"""The verbs of a deployment. Planning and running happen outside, in ``deployments.reconcile``."""

from __future__ import annotations

from django.db import IntegrityError, connection, transaction
from django.db.models import Max

from deployments.lifecycle import WAITING
from deployments.models import Artifact, Deployment, Wave
from inventory.models import Component, Environment
from operations import actions as operations
from operations.plan import digest
from portal import clock
from portal.dispatch import nudge
from portal.errors import Conflict, Denied, Invalid
from portal.events import System, record
from portal.lifecycle import Actor, authorize, move

DRIVE = "deployments.drive"
DRIVER = System("deployments")
NUMBERS_LOCK = "LOCK TABLE deployments_deployment IN SHARE ROW EXCLUSIVE MODE"


def app_components(artifact: Artifact, environment: Environment) -> list[Component]:
    """Where the artifact's service runs in ``environment``, in the order of the waves: secondary data centers first."""
    found = Component.objects.filter(
        service=artifact.service, environment=environment, kind=Component.Kind.APP
    ).select_related("data_center", "scope")
    return sorted(found, key=lambda c: (c.data_center is None or c.data_center.role == "primary", c.slug))


@transaction.atomic
def request(artifact: Artifact, *, by: Actor, environment: Environment) -> Deployment:
    """Ask for ``artifact`` in ``environment``; the steps are worked out next.

    Production takes only what succeeded in staging. What still waits for its turn in the same place, whatever its
    version, gives way to this one.
    """
    components = app_components(artifact, environment)
    if not components:
        raise Invalid(f"{artifact.service.slug} has no application component in {environment.slug}.")
    authorize(by, "deployments.request", components[0])
    _needs_staging(artifact, environment)
    waiting = Deployment.objects.filter(service=artifact.service, environment=environment, state__in=WAITING)
    if waiting.filter(artifact=artifact).exists():
        raise Conflict(f"{artifact} is already on its way to {environment.slug}.")
    deployment = Deployment.objects.create(
        number=_next_number(),
        artifact=artifact,
        service=artifact.service,
        environment=environment,
        scope=components[0].scope,
        requested_by_id=by.pk,
    )
    Wave.objects.bulk_create(
        Wave(deployment=deployment, position=place, component=component) for place, component in enumerate(components)
    )
    for older in waiting.exclude(pk=deployment.pk).order_by("number"):
        supersede(older, by=by, newer=deployment)
    record(
        "deployments.request",
        deployment,
        by=by,
        after={"version": artifact.version, "environment": environment.slug, "waves": [c.slug for c in components]},
    )
    nudge(DRIVE)
    return deployment


def _next_number() -> int:
    # Held until commit: numbers have no gaps and two requests cannot take the same one.
    with connection.cursor() as cursor:
        cursor.execute(NUMBERS_LOCK)
    return (Deployment.objects.aggregate(last=Max("number"))["last"] or 0) + 1


def _needs_staging(artifact: Artifact, environment: Environment) -> None:
    if environment.kind != Environment.Kind.PRODUCTION:
        return
    proved = artifact.deployments.filter(environment__kind=Environment.Kind.STAGING, state="succeeded").exists()
    has_staging = Component.objects.filter(
        service=artifact.service, kind=Component.Kind.APP, environment__kind=Environment.Kind.STAGING
    ).exists()
    if has_staging and not proved:
        raise Conflict(f"{artifact} has not succeeded in staging yet, so it cannot go to production.")


@transaction.atomic
def submit(deployment: Deployment, *, by: Actor) -> Deployment:
    """The waves are planned: wait for an approver, bound to exactly these plans."""
    move(deployment, "submit", by=by, plan_digest=plans_digest(deployment))
    record("deployments.submit", deployment, by=by, after={"plan_digest": deployment.plan_digest})
    return deployment


@transaction.atomic
def enqueue(deployment: Deployment, *, by: Actor) -> Deployment:
    """The waves are planned: take a place in the queue (environments that need no approval)."""
    if deployment.gated:
        raise Conflict(f"{deployment.environment.slug} needs an approval.")
    move(deployment, "enqueue", by=by, plan_digest=plans_digest(deployment))
    record("deployments.enqueue", deployment, by=by, after={"plan_digest": deployment.plan_digest})
    nudge(DRIVE)
    return deployment


def plans_digest(deployment: Deployment) -> str:
    """What an approval is bound to: the artifact's bytes and the steps of every wave."""
    plans = list(deployment.waves.order_by("position").values_list("operation__plan_digest", flat=True))
    if None in plans:
        raise Conflict("Not every wave is planned yet.")
    return digest({"waves": plans, "artifact": deployment.artifact.digest})


@transaction.atomic
def approve(deployment: Deployment, *, by: Actor, note: str = "") -> Deployment:
    """Agree to exactly these steps. Somebody other than the author and the requester, with a fresh second factor."""
    against = deployment.reason_against(deployment.lifecycle["approve"], by)
    if against:
        raise Denied(against)
    if deployment.waves.exclude(operation__state="planned").exists():
        raise Conflict("Its plan was made too long ago. Ask for the deployment again.")
    move(
        deployment,
        "approve",
        by=by,
        approved_by_id=by.pk,
        approved_at=clock.now(),
        approved_digest=deployment.plan_digest,
    )
    record("deployments.approve", deployment, by=by, reason=note, after={"plan_digest": deployment.plan_digest})
    nudge(DRIVE)
    return deployment


@transaction.atomic
def reject(deployment: Deployment, *, by: Actor, reason: str) -> Deployment:
    """Say no, and why."""
    return _end(deployment, "reject", by, reason)


@transaction.atomic
def cancel(deployment: Deployment, *, by: Actor, reason: str) -> Deployment:
    """Call it off before it starts."""
    return _end(deployment, "cancel", by, reason)


@transaction.atomic
def supersede(deployment: Deployment, *, by: Actor, newer: Deployment) -> Deployment:
    """Give way to a newer deployment of the same service to the same place."""
    return _end(deployment, "supersede", by, f"DEP-{newer.number} took its place.")


def _end(deployment: Deployment, verb: str, by: Actor, reason: str) -> Deployment:
    move(deployment, verb, by=by, finished_at=clock.now(), outcome=reason)
    for wave in deployment.waves.filter(operation__state="planned").select_related("operation"):
        if wave.operation:
            operations.cancel(wave.operation, by=DRIVER, reason=reason)
    record(f"deployments.{verb}", deployment, by=by, reason=reason)
    return deployment


@transaction.atomic
def start(deployment: Deployment, *, by: Actor) -> Deployment:
    """Begin, unless another deployment of this service runs in this environment (``Conflict``)."""
    if deployment.gated and deployment.approved_digest != plans_digest(deployment):
        raise Conflict("The plans are not those that were approved.")
    try:
        with transaction.atomic():
            move(deployment, "start", by=by, started_at=clock.now())
    except IntegrityError as error:
        raise Conflict("Another deployment of this service is running here.") from error
    record("deployments.start", deployment, by=by)
    nudge(DRIVE)
    return deployment


@transaction.atomic
def withdraw(deployment: Deployment, *, by: Actor, reason: str) -> Deployment:
    """Take the new version back now: what runs is stopped and undone, finished waves are switched back."""
    move(deployment, "withdraw", by=by, outcome=reason)
    record("deployments.withdraw", deployment, by=by, reason=reason)
    nudge(DRIVE)
    return deployment


@transaction.atomic
def back_out(deployment: Deployment, *, by: Actor, reason: str) -> Deployment:
    """A wave was undone: the finished waves before it are switched back too."""
    move(deployment, "back_out", by=by, outcome=reason)
    record("deployments.back_out", deployment, by=by, reason=reason)
    nudge(DRIVE)
    return deployment


@transaction.atomic
def roll_back(deployment: Deployment, *, by: Actor, reason: str = "") -> Deployment:
    """The old version serves everywhere again."""
    outcome = reason or deployment.outcome
    move(deployment, "roll_back", by=by, finished_at=clock.now(), outcome=outcome)
    record("deployments.roll_back", deployment, by=by, reason=outcome)
    nudge(DRIVE)
    return deployment


@transaction.atomic
def escalate(deployment: Deployment, *, by: Actor, reason: str) -> Deployment:
    """Neither forward nor back worked; the place stays reserved until a person settles it."""
    move(deployment, "escalate", by=by, outcome=reason)
    record("deployments.escalate", deployment, by=by, reason=reason)
    return deployment


@transaction.atomic
def settle(deployment: Deployment, *, by: Actor, reason: str) -> Deployment:
    """A person made sure by hand that the old version serves."""
    move(deployment, "settle", by=by, finished_at=clock.now(), outcome=reason)
    record("deployments.settle", deployment, by=by, reason=reason)
    nudge(DRIVE)
    return deployment


@transaction.atomic
def succeed(deployment: Deployment, *, by: Actor) -> Deployment:
    """Every wave is done. What succeeded in staging asks for production by itself, where somebody decides."""
    move(deployment, "succeed", by=by, finished_at=clock.now(), outcome="The new version serves alone.")
    record("deployments.succeed", deployment, by=by, after={"version": deployment.artifact.version})
    if deployment.environment.kind == Environment.Kind.STAGING:
        under_way = Deployment.objects.open().filter(artifact=deployment.artifact)
        for environment in _production_of(deployment):
            if not under_way.filter(environment=environment).exists():
                request(deployment.artifact, by=by, environment=environment)
    nudge(DRIVE)
    return deployment


def _production_of(deployment: Deployment) -> list[Environment]:
    kinds = {"kind": Component.Kind.APP, "environment__kind": Environment.Kind.PRODUCTION}
    apps = Component.objects.filter(service=deployment.service, **kinds).select_related("environment")
    return list({app.environment: None for app in apps})
