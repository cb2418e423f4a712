"""REST: incidents with one POST route per verb, and who is on call."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from identity.models import Account, Person
from incidents import actions, severity
from incidents.filters import IncidentFilter
from incidents.models import ActionItem, Episode, Incident, Milestone, Note, PostMortem
from inventory.models import Component, Environment
from portal.api import NounApi, Problem, Route, VerbInput, router
from portal.errors import Invalid

PROBLEMS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 404, 409, 422)}


class EpisodeSerializer(serializers.ModelSerializer[Episode]):
    source = serializers.CharField(source="source.slug", read_only=True)  # type: ignore[assignment]

    class Meta:
        model = Episode
        fields = [
            "source",
            "fingerprint",
            "name",
            "severity_label",
            "labels",
            "starts_at",
            "last_seen_at",
            "resolved_at",
        ]
        read_only_fields = fields


class MilestoneSerializer(serializers.ModelSerializer[Milestone]):
    class Meta:
        model = Milestone
        fields = ["kind", "at", "recorded_at", "actor_label"]
        read_only_fields = fields


class NoteSerializer(serializers.ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ["author_label", "text", "at"]
        read_only_fields = fields


class ActionItemSerializer(serializers.ModelSerializer[ActionItem]):
    owner = serializers.CharField(source="owner.name", read_only=True)

    class Meta:
        model = ActionItem
        fields = ["kind", "title", "owner", "due", "done_at"]
        read_only_fields = fields


class PostMortemSerializer(serializers.ModelSerializer[PostMortem]):
    author = serializers.CharField(source="author.name", read_only=True)
    actions = ActionItemSerializer(many=True, read_only=True)

    class Meta:
        model = PostMortem
        fields = [
            *("author", "summary", "impact", "root_cause", "went_well", "went_poorly", "no_actions_reason"),
            *("written_at", "actions"),
        ]
        read_only_fields = fields


class IncidentSummary(serializers.ModelSerializer[Incident]):
    """An incident as lists show it."""

    environment = serializers.CharField(source="environment.slug", read_only=True)
    service = serializers.CharField(source="scope.service", read_only=True)
    component = serializers.CharField(source="component.slug", read_only=True, default=None)
    commander = serializers.CharField(source="commander.name", read_only=True, default=None)
    acknowledged_by = serializers.CharField(source="acknowledged_by.name", read_only=True, default=None)

    class Meta:
        model = Incident
        fields = [
            *("id", "number", "reference", "title", "state", "severity", "impact", "urgency", "environment", "service"),
            *("component", "unknown_reason", "commander", "acknowledged_by", "impact_started_at", "detected_at"),
            *("first_page_at", "acknowledged_at", "mitigated_at", "resolved_at", "closed_at", "row_version"),
        ]
        read_only_fields = fields


class IncidentSerializer(IncidentSummary):
    """An incident with everything known about it."""

    merged_into = serializers.CharField(source="merged_into.reference", read_only=True, default=None)
    recurrence_of = serializers.CharField(source="recurrence_of.reference", read_only=True, default=None)
    episodes = EpisodeSerializer(many=True, read_only=True)
    milestones = MilestoneSerializer(many=True, read_only=True)
    notes = NoteSerializer(many=True, read_only=True)
    post_mortem = serializers.SerializerMethodField()

    class Meta(IncidentSummary.Meta):
        fields = [
            *IncidentSummary.Meta.fields,
            *("summary", "severity_rule", "mitigation", "evidence", "diagnosis", "fix", "validation", "follow_up"),
            *("set_aside_reason", "merged_into", "recurrence_of", "ticket", "ticket_waiver", "runbooks", "watch_until"),
            *("classified_at", "mitigation_started_at", "post_mortem_due_at", "approved_at"),
            *("episodes", "milestones", "notes", "post_mortem"),
        ]
        read_only_fields = fields

    @extend_schema(responses=PostMortemSerializer)
    def get_post_mortem(self, incident: Incident) -> dict[str, Any] | None:
        written = PostMortem.objects.filter(incident=incident).select_related("author")
        found = written.prefetch_related("actions__owner").first()
        return dict(PostMortemSerializer(found).data) if found else None


class ClassifyInput(VerbInput):
    impact = serializers.ChoiceField(choices=severity.Impact.choices)
    urgency = serializers.ChoiceField(choices=severity.Urgency.choices)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ReclassifyInput(ClassifyInput):
    reason = serializers.CharField(max_length=2000)


class OpenInput(VerbInput):
    """What a person knows who reports an incident."""

    title = serializers.CharField(max_length=200)
    environment = serializers.SlugField(max_length=64)
    component = serializers.CharField(required=False, allow_blank=True, max_length=200)
    unknown_reason = serializers.CharField(required=False, allow_blank=True, max_length=300)
    summary = serializers.CharField(required=False, allow_blank=True, max_length=20_000)
    impact = serializers.ChoiceField(choices=severity.Impact.choices, required=False)
    urgency = serializers.ChoiceField(choices=severity.Urgency.choices, required=False)


class NoteInput(VerbInput):
    note = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class OptionalReasonInput(VerbInput):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ReasonInput(VerbInput):
    reason = serializers.CharField(max_length=2000)


class MitigateInput(VerbInput):
    mitigation = serializers.CharField(max_length=5000)


class InvestigateInput(VerbInput):
    evidence = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    no_mitigation_reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)


class ResolveInput(VerbInput):
    diagnosis = serializers.CharField(allow_blank=True, max_length=20_000)
    fix = serializers.ChoiceField(choices=["permanent", "temporary"])
    validation = serializers.CharField(allow_blank=True, max_length=20_000)
    follow_up = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    evidence = serializers.CharField(required=False, allow_blank=True, max_length=5000)


class ActionInput(serializers.Serializer[Any]):
    """Work that follows. ``owner`` is a user name."""

    title = serializers.CharField(max_length=200)
    owner = serializers.CharField(max_length=64)
    due = serializers.DateField()
    kind = serializers.ChoiceField(choices=ActionItem.Kind.choices, required=False)


class PostMortemInput(VerbInput):
    summary = serializers.CharField(max_length=20_000)
    impact = serializers.CharField(required=False, allow_blank=True, max_length=20_000)
    root_cause = serializers.CharField(required=False, allow_blank=True, max_length=20_000)
    went_well = serializers.CharField(required=False, allow_blank=True, max_length=20_000)
    went_poorly = serializers.CharField(required=False, allow_blank=True, max_length=20_000)
    no_actions_reason = serializers.CharField(required=False, allow_blank=True, max_length=300)
    actions = serializers.ListField(child=ActionInput(), required=False, max_length=50)


class CloseInput(VerbInput):
    runbooks = serializers.CharField(max_length=5000)
    ticket = serializers.CharField(required=False, allow_blank=True, max_length=200)
    ticket_waiver = serializers.CharField(required=False, allow_blank=True, max_length=300)


class CommentInput(VerbInput):
    text = serializers.CharField(max_length=20_000)


class MergeInput(VerbInput):
    into = serializers.CharField(max_length=24)
    reason = serializers.CharField(max_length=2000)


def _merge(incident: Incident, *, by: Account, into: str, reason: str) -> Incident:
    """Make it part of another incident, named by its number (INC-42)."""
    target = Incident.objects.visible_to(by).filter(reference=into.upper()).first()
    if target is None:
        raise Invalid(f"There is no incident {into} that you may see.", fields={"into": ["Not known."]})
    return actions.merge(incident, by=by, into=target, reason=reason)


def _write_post_mortem(incident: Incident, *, by: Account, actions_given: Any = (), **texts: Any) -> Incident:
    """Write the post-mortem, or write it better."""
    items, unknown = [], []
    for item in texts.pop("actions", actions_given):
        owner = Person.objects.filter(accounts__username=item["owner"], accounts__is_active=True).first()
        unknown += [] if owner else [item["owner"]]
        items.append({**item, "owner": owner})
    if unknown:
        raise Invalid("Some owners are not known.", [f"There is nobody called {name}." for name in unknown])
    return actions.write_post_mortem(incident, by=by, actions=items, **texts)


class IncidentApi(NounApi):
    """Incidents, from the first sign to the closed ticket. ``INC-42`` names one."""

    queryset = Incident.objects.select_related(
        "environment", "scope", "component", "commander", "acknowledged_by", "merged_into", "recurrence_of"
    )
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter
    lookup_field = "reference"
    lookup_value_regex = "[A-Za-z]+-[0-9]+"
    ordering = ("-number",)
    verbs = {
        "classify": Route(actions.classify, ClassifyInput),
        "reclassify": Route(actions.reclassify, ReclassifyInput),
        "acknowledge": Route(actions.acknowledge, NoteInput),
        "take-command": Route(actions.take_command, OptionalReasonInput),
        "mitigate": Route(actions.mitigate, MitigateInput),
        "investigate": Route(actions.investigate, InvestigateInput),
        "retry-mitigation": Route(actions.retry_mitigation, MitigateInput),
        "resolve": Route(actions.resolve, ResolveInput),
        "regress": Route(actions.regress, ReasonInput),
        "write-post-mortem": Route(_write_post_mortem, PostMortemInput),
        "improve": Route(actions.improve, NoteInput),
        "close": Route(actions.close, CloseInput),
        "cancel": Route(actions.cancel, ReasonInput),
        "merge": Route(_merge, MergeInput),
        "comment": Route(actions.comment, CommentInput),
        "escalate": Route(actions.escalate, ReasonInput),
    }

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        return rows.prefetch_related("episodes__source", "milestones", "notes") if self.action == "retrieve" else rows

    def get_serializer_class(self) -> Any:
        return IncidentSummary if self.action == "list" else IncidentSerializer

    @extend_schema(responses={200: IncidentSummary(many=True)})
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(request=OpenInput, responses={201: IncidentSerializer, **PROBLEMS}, summary="Open an incident")
    def create(self, request: Request) -> Response:
        """A person reports that something is wrong."""
        given = OpenInput(data=request.data)
        given.is_valid(raise_exception=True)
        facts = dict(given.validated_data)
        facts.pop("expected_version", None)
        environment = Environment.objects.visible_to(request.user).filter(slug=facts.pop("environment")).first()
        if environment is None:
            raise Invalid("There is no such environment.", fields={"environment": ["Not known."]})
        slug = facts.pop("component", "")
        component = Component.objects.visible_to(request.user).filter(slug=slug).first() if slug else None
        if slug and component is None:
            raise Invalid("There is no such component.", fields={"component": ["Not known."]})
        incident = actions.open(environment, by=request.user, component=component, **facts)
        return Response(self.get_serializer(incident).data, status=status.HTTP_201_CREATED)


router.register("incidents", IncidentApi, basename="incident")
