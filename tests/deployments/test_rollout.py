"""The whole way of a version: staging by itself, production by approval, waves, canary, and back when it is worse."""

from __future__ import annotations

import pytest

from deployments import actions
from deployments.models import Deployment
from drivers.errors import TransientError
from operations.models import Operation
from portal import events
from portal.errors import Conflict, Denied, IllegalTransition, Invalid, StepUpRequired
from portal.models import Event
from tests.deployments.simulated import facts

STAGING, EAST, CENTRAL = "staging/us-central/api", "production/us-east/api", "production/us-central/api"
NEW_ALONE = {"share": {"a": 0, "b": 100}, "versions": {"a": "1.0.0", "b": "2.0.0"}}
OLD_ALONE = {"share": {"a": 100, "b": 0}, "versions": {"a": "1.0.0", "b": None}}


def approved(estate) -> Deployment:
    estate.announce()
    estate.run()
    deployment = estate.deployment("production")
    with events.acting(second_factor_at=events.clock.now()):
        actions.approve(deployment, by=estate.owner)
    return deployment


def test_an_announced_version_goes_to_staging_by_itself_and_production_waits(estate):
    estate.announce()
    estate.run()
    assert estate.deployment("staging").state == "succeeded"
    assert facts(estate.apps[STAGING]) == NEW_ALONE
    assert estate.deployment("production").state == "awaiting_approval"
    assert [facts(estate.apps[place]) for place in (EAST, CENTRAL)] == [OLD_ALONE, OLD_ALONE]


def test_an_approved_version_goes_through_both_data_centers_the_secondary_first(estate):
    deployment = approved(estate)
    estate.run()
    deployment.refresh_from_db()
    assert (deployment.state, deployment.outcome) == ("succeeded", "The new version serves alone.")
    assert [wave.component.slug for wave in deployment.waves.all()] == [EAST, CENTRAL]
    for place in (EAST, CENTRAL):
        assert facts(estate.apps[place]) == NEW_ALONE
        assert estate.apps[place].history == [{"a": 90, "b": 10}, {"a": 50, "b": 50}, {"a": 0, "b": 100}]
        assert (estate.apps[place].told["start"], estate.apps[place].told["shift"]) == (1, 3)


def test_what_an_approver_reads_is_what_runs(estate):
    estate.announce()
    estate.run()
    steps = estate.deployment("production").waves.get(position=0).operation.steps
    assert list(steps.order_by("position").values_list("act", flat=True)) == [
        *("check", "fetch", "start", "shift", "judge", "shift", "judge", "shift", "prove")
    ]


def test_a_bad_version_never_gets_more_than_its_first_weight_and_goes_back_by_itself(estate):
    for place in (EAST, CENTRAL):
        estate.apps[place].error_rates["2.0.0"] = 0.2
    deployment = approved(estate)
    estate.run()
    deployment.refresh_from_db()
    assert deployment.state == "rolled_back"
    assert "withdrawn" in deployment.outcome
    assert estate.apps[EAST].history == [{"a": 90, "b": 10}, {"a": 100, "b": 0}]
    assert facts(estate.apps[EAST]) == OLD_ALONE
    assert estate.apps[CENTRAL].history == []


def test_a_failure_in_the_second_data_center_takes_the_first_one_back_too(estate):
    estate.apps[CENTRAL].broken = "start"
    deployment = approved(estate)
    estate.run()
    deployment.refresh_from_db()
    assert deployment.state == "rolled_back"
    assert [estate.apps[place].weights() for place in (EAST, CENTRAL)] == [{"a": 100, "b": 0}] * 2
    assert deployment.waves.get(position=0).back.state == "done"


def test_a_host_that_is_away_for_a_moment_is_asked_again_while_going_back(estate, monkeypatch):
    estate.apps[CENTRAL].broken = "start"
    deployment = approved(estate)
    health, away = estate.apps[EAST].health, [TransientError("nobody answers just now")] * 2

    def unsteady(slot):
        if deployment.__class__.objects.get(pk=deployment.pk).state == "rolling_back" and away:
            raise away.pop()
        return health(slot)

    monkeypatch.setattr(estate.apps[EAST], "health", unsteady)
    for _ in range(3):
        estate.run()
    deployment.refresh_from_db()
    assert (deployment.state, away) == ("rolled_back", [])
    assert facts(estate.apps[EAST])["share"] == {"a": 100, "b": 0}


def test_a_withdrawal_by_a_person_stops_what_runs_and_gives_the_old_version_everything(estate):
    deployment = approved(estate)
    for _ in range(7):
        estate.run(rounds=1)
    deployment.refresh_from_db()
    assert deployment.state == "running"
    actions.withdraw(deployment, by=estate.owner, reason="Users complain.")
    estate.run()
    deployment.refresh_from_db()
    assert (deployment.state, deployment.outcome) == ("rolled_back", "Users complain.")
    assert [estate.apps[place].weights() for place in (EAST, CENTRAL)] == [{"a": 100, "b": 0}] * 2


def test_a_wave_that_somebody_paused_is_taken_back_all_the_same(estate):
    from operations import actions as operations

    deployment = approved(estate)
    for _ in range(7):
        estate.run(rounds=1)
    wave = Operation.objects.get(state="running", wave__deployment=deployment)
    operations.pause(wave, by=estate.owner)
    estate.run()
    deployment.refresh_from_db()
    assert deployment.state == "running", "it waits"
    actions.withdraw(deployment, by=estate.owner, reason="Users complain.")
    estate.run()
    deployment.refresh_from_db()
    assert (deployment.state, deployment.outcome) == ("rolled_back", "Users complain.")
    assert [estate.apps[place].weights() for place in (EAST, CENTRAL)] == [{"a": 100, "b": 0}] * 2


def test_when_nothing_works_any_more_a_person_is_needed_and_the_place_stays_reserved(estate):
    estate.apps[EAST].broken = "shift back"
    estate.apps[EAST].error_rates["2.0.0"] = 0.2
    deployment = approved(estate)
    estate.run()
    deployment.refresh_from_db()
    assert deployment.state == "needs_operator"
    assert "the edge is gone" in deployment.outcome
    actions.settle(deployment, by=estate.owner, reason="Set the weights by hand.")
    assert (deployment.state, deployment.outcome) == ("rolled_back", "Set the weights by hand.")


def test_a_plan_that_no_longer_fits_the_world_changes_nothing(estate):
    deployment = approved(estate)
    for place in (EAST, CENTRAL):
        for running in estate.apps[place].slots["a"]:
            running.version = "1.5.0"
    estate.run()
    deployment.refresh_from_db()
    assert deployment.state == "rolled_back"
    assert "the plan is outdated" in deployment.outcome
    assert estate.apps[EAST].told["start"] == 0


def test_a_version_that_cannot_be_judged_is_withdrawn(estate, monkeypatch):
    monkeypatch.setattr("deployments.plans.acts.HORIZON_SECONDS", -1)
    for place in (EAST, CENTRAL):
        estate.apps[place].requests_per_look = 0
    deployment = approved(estate)
    estate.run()
    deployment.refresh_from_db()
    assert deployment.state == "rolled_back"
    assert "without a verdict" in deployment.outcome


def test_few_users_are_topped_up_by_probes(estate):
    estate.apps[EAST].requests_per_look = 0
    approved(estate)
    estate.run(rounds=8)
    assert estate.apps[EAST].told["probe"] > 0


class TestApproval:
    def waiting(self, estate) -> Deployment:
        estate.announce()
        estate.run()
        return estate.deployment("production")

    def test_it_needs_a_fresh_second_factor(self, estate):
        deployment = self.waiting(estate)
        with pytest.raises(StepUpRequired):
            actions.approve(deployment, by=estate.owner)
        assert Deployment.objects.get(pk=deployment.pk).state == "awaiting_approval"

    def test_the_author_cannot_approve_not_even_with_another_account(self, estate, stepped_up):
        from tests import world

        deployment = self.waiting(estate)
        other = world.account("author-2", "operations_owner", of=estate.author.person)
        for account in (estate.author, other):
            with pytest.raises(Denied, match="You wrote this version"):
                actions.approve(deployment, by=account)

    def test_the_requester_cannot_approve(self, estate, stepped_up):
        artifact = estate.announce()
        estate.run()
        actions.reject(estate.deployment("production"), by=estate.owner, reason="Not today.")
        again = actions.request(artifact, by=estate.owner, environment=artifact.deployments.first().environment)
        estate.run()
        again.refresh_from_db()
        with pytest.raises(Denied, match="You asked for this deployment"):
            actions.approve(again, by=estate.owner)

    def test_a_service_account_cannot_approve(self, estate, stepped_up):
        from tests import world

        robot = world.account("robot", "operations_owner", kind="service")
        robot.person = None
        with pytest.raises(Denied, match="Only a person"):
            actions.approve(self.waiting(estate), by=robot)

    def test_a_developer_cannot_approve(self, estate, stepped_up):
        from tests import world

        with pytest.raises(Denied, match=r"deployments\.approve"):
            actions.approve(self.waiting(estate), by=world.account("dev", "developer"))

    def test_approval_is_bound_to_the_plans(self, estate, stepped_up):
        deployment = self.waiting(estate)
        actions.approve(deployment, by=estate.owner)
        Operation.objects.filter(wave__deployment=deployment, wave__position=1).update(plan_digest="0" * 64)
        estate.run()
        deployment.refresh_from_db()
        assert deployment.state == "queued"
        with pytest.raises(Conflict, match="not those that were approved"):
            actions.start(deployment, by=events.SYSTEM)

    def test_a_rejected_deployment_runs_nothing(self, estate):
        deployment = self.waiting(estate)
        actions.reject(deployment, by=estate.owner, reason="Not on a Friday.")
        estate.run()
        assert (deployment.state, deployment.outcome) == ("rejected", "Not on a Friday.")
        assert set(Operation.objects.filter(wave__deployment=deployment).values_list("state", flat=True)) == {
            "cancelled"
        }
        with pytest.raises(IllegalTransition, match="not possible while rejected"):
            actions.cancel(deployment, by=estate.owner, reason="again")


class TestNobodyGoesAround:
    """A deployment's operations are its own: who may run operations cannot run what nobody agreed to."""

    def test_a_part_is_not_told_to_run_by_a_person(self, estate):
        from operations import actions as operations
        from tests import world

        estate.announce()
        estate.run()
        part = estate.deployment("production").waves.get(position=0).operation
        for role in ("developer", "on_call", "operations_owner"):
            with pytest.raises(Denied, match="a part of something else"):
                operations.confirm(part, by=world.account(f"a-{role}", role))
        estate.run()
        part.refresh_from_db()
        assert (part.state, estate.apps[EAST].told["start"]) == ("planned", 0)

    def test_an_approver_who_lost_the_right_has_agreed_to_nothing(self, estate):
        from identity import rights

        deployment = approved(estate)
        rights.unbind(estate.owner.bindings.get())
        estate.run()
        deployment.refresh_from_db()
        assert (deployment.state, estate.apps[EAST].told["start"]) == ("cancelled", 0)
        assert deployment.outcome == "Owner, who approved it, may no longer do so here."

    def test_what_nobody_decided_in_time_is_called_off(self, estate, stepped_up):
        from datetime import timedelta

        from operations import reconcile as sweeper
        from portal import clock

        estate.announce()
        estate.run()
        deployment = estate.deployment("production")
        with clock.travel(timedelta(days=8)):
            sweeper.cancel_outdated()
            with events.acting(second_factor_at=clock.now()), pytest.raises(Conflict, match="too long ago"):
                actions.approve(deployment, by=estate.owner)
            estate.run()
        deployment.refresh_from_db()
        assert (deployment.state, deployment.outcome) == (
            "cancelled",
            "A part of its plan was called off before anybody decided.",
        )


class TestSeveral:
    def test_one_that_is_asked_for_while_another_runs_is_planned_after_it(self, estate, tmp_path):
        from tests.deployments.test_releases import artifact as bytes_of

        deployment = approved(estate)
        estate.run(rounds=4)
        deployment.refresh_from_db()
        assert deployment.state == "running"
        estate.location, estate.digest = bytes_of(tmp_path / "b.tar.gz", **{"server.js": "// newer"})
        estate.announce("2.1.0")
        estate.run()
        states = dict(
            Deployment.objects.filter(environment__slug="production").values_list("artifact__version", "state")
        )
        assert states == {"2.0.0": "succeeded", "2.1.0": "awaiting_approval"}
        check = Deployment.objects.get(artifact__version="2.1.0", environment__slug="production").waves.first()
        assert check.operation.steps.get(position=1).arguments["from_version"] == "2.0.0"

    def test_staging_may_have_it_again_while_production_waits(self, estate):
        artifact = estate.announce()
        estate.run()
        again = actions.request(artifact, by=estate.owner, environment=estate.deployment("staging").environment)
        estate.run()
        again.refresh_from_db()
        assert again.state == "succeeded"
        assert estate.deployment("production").state == "awaiting_approval"

    def test_a_fault_in_one_holds_up_no_other(self, estate, monkeypatch):
        from deployments import reconcile

        first = estate.announce()
        second = actions.request(first, by=estate.owner, environment=_another_staging(estate))
        prepare = reconcile.MOVES["preparing"]

        def faulty(deployment):
            if deployment.pk != second.pk:
                raise RuntimeError("unforeseen")
            return prepare(deployment)

        monkeypatch.setitem(reconcile.MOVES, "preparing", faulty)
        with pytest.raises(RuntimeError, match="unforeseen"):
            reconcile.drive()
        second.refresh_from_db()
        assert second.state == "queued"


def _another_staging(estate):
    from tests import world

    estate.apps["staging-2/us-central/api"] = estate.apps[STAGING]
    where = world.environment("staging-2")
    where.kind = "staging"
    where.save()
    world.component("staging-2/us-central/api")
    return where


def test_whoever_is_not_signed_in_sees_no_artifact(estate):
    from django.contrib.auth.models import AnonymousUser

    from deployments.models import Artifact

    estate.announce()
    assert list(Artifact.objects.visible_to(AnonymousUser())) == []
    assert Artifact.objects.visible_to(events.SYSTEM).count() == 1


class TestRequest:
    def test_production_takes_only_what_succeeded_in_staging(self, estate):
        artifact = estate.announce()
        production = Deployment.objects.get().environment.__class__.objects.get(slug="production")
        with pytest.raises(Conflict, match="has not succeeded in staging"):
            actions.request(artifact, by=estate.owner, environment=production)

    def test_a_newer_version_supersedes_one_that_waits(self, estate, tmp_path):
        from tests.deployments.test_releases import artifact as bytes_of

        estate.announce("2.0.0")
        estate.run()
        estate.location, estate.digest = bytes_of(tmp_path / "b.tar.gz", **{"server.js": "// newer"})
        estate.announce("2.1.0")
        estate.run()
        states = dict(
            Deployment.objects.filter(environment__slug="production").values_list("artifact__version", "state")
        )
        assert states == {"2.0.0": "superseded", "2.1.0": "awaiting_approval"}

    def test_the_same_version_is_not_deployed_twice_at_once(self, estate):
        artifact = estate.announce()
        with pytest.raises(Conflict, match="already on its way"):
            actions.request(artifact, by=estate.owner, environment=Deployment.objects.get().environment)

    def test_a_service_that_does_not_answer_cannot_be_planned(self, estate):
        estate.apps[STAGING].slots["a"] = []
        estate.announce()
        estate.run()
        deployment = Deployment.objects.get()
        assert deployment.state == "cancelled"
        assert "does not answer in its serving slot" in deployment.outcome


class TestAnnounce:
    def test_the_same_announcement_again_changes_nothing(self, estate):
        first = estate.announce()
        count = Event.objects.count()
        assert estate.announce() == first
        assert Event.objects.count() == count

    def test_a_version_never_changes_its_bytes(self, estate):
        estate.announce()
        estate.digest = "sha256:" + "0" * 64
        with pytest.raises(Conflict, match="a version never changes"):
            estate.announce()

    def test_the_same_bytes_are_one_version(self, estate):
        estate.announce("2.0.0")
        with pytest.raises(Conflict, match="known as another version"):
            estate.announce("2.0.1")

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "https://example.org/a.tar.gz", "file://TMP/../x"])
    def test_only_configured_sources_are_fetched_from(self, estate, location, tmp_path):
        estate.location = location.replace("TMP", str(tmp_path))
        with pytest.raises(Invalid) as refusal:
            estate.announce()
        assert refusal.value.fields == {"location": ["Not under one of the configured artifact sources."]}

    def test_a_version_that_is_not_semantic_is_refused(self, estate):
        with pytest.raises(Invalid) as refusal:
            estate.announce("latest")
        assert list(refusal.value.fields) == ["version"]

    def test_a_viewer_cannot_announce(self, estate):
        from tests import world

        estate.ci = world.account("viewer", "viewer")
        with pytest.raises(Denied):
            estate.announce()
