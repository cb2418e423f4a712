"""REST: operations, their steps and logs, and one POST route per verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from operations import actions, queries
from operations.filters import OperationFilter
from operations.models import Approval, OnFailure, Operation, Priority, Step, StepLog
from portal.api import NounApi, Problem, Route, VerbInput, router
from portal.errors import Invalid
from portal.lifecycle import expect_version

LINES = 1000
PROBLEMS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 404, 409, 422)}


class StepSerializer(serializers.ModelSerializer[Step]):
    class Meta:
        model = Step
        fields = [
            *("position", "act", "title", "arguments", "sends", "conditions", "reversible", "taking_back", "state"),
            *(
                "attempts",
                "undo_attempts",
                "progress_done",
                "progress_total",
                "output",
                "error",
                "started_at",
                "finished_at",
            ),
        ]
        read_only_fields = fields


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    person = serializers.CharField(source="person.name", read_only=True)

    class Meta:
        model = Approval
        fields = ["person", "digest", "at"]
        read_only_fields = fields


class OperationSummary(serializers.ModelSerializer[Operation]):
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field of that name, not its label
    environment = serializers.CharField(source="scope.environment", read_only=True)
    service = serializers.CharField(source="scope.service", read_only=True)

    class Meta:
        model = Operation
        fields = [
            *("id", "number", "label", "kind", "version", "title", "state", "environment", "service"),
            *("subject_type", "subject_id", "subject_label", "target", "requested_label", "reason", "failure"),
            *("stuck_reason", "waiting_for", "not_before", "cancel_requested", "approvals_needed", "priority"),
            *("created_at", "started_at", "finished_at", "row_version"),
        ]
        read_only_fields = fields


class OperationSerializer(OperationSummary):
    steps = StepSerializer(many=True, read_only=True)
    approvals = ApprovalSerializer(many=True, read_only=True)

    class Meta(OperationSummary.Meta):
        fields = [
            *OperationSummary.Meta.fields,
            *("on_failure", "in_window", "override_reason", "approval_rules", "summary", "params", "plan_digest"),
            *("cause_type", "cause_id", "steps", "approvals"),
        ]
        read_only_fields = fields


class LineSerializer(serializers.ModelSerializer[StepLog]):
    step = serializers.IntegerField(source="step.position", read_only=True)

    class Meta:
        model = StepLog
        fields = ["seq", "step", "at", "text"]
        read_only_fields = fields


class ReasonInput(VerbInput):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=1000)


class SettleInput(VerbInput):
    reason = serializers.CharField(max_length=1000)


class ApproveInput(VerbInput):
    digest = serializers.CharField(required=False, allow_blank=True, max_length=64)


class OperationApi(NounApi):
    """Work on infrastructure. It is asked for at the thing it changes, for example a component's ``reload``."""

    queryset = Operation.objects.select_related("scope")
    serializer_class = OperationSerializer
    filterset_class = OperationFilter
    lookup_field = "id"
    ordering = ("-number",)
    verbs = {
        "confirm": Route(actions.confirm),
        "approve": Route(actions.approve, ApproveInput),
        "cancel": Route(actions.cancel, ReasonInput),
        "expedite": Route(actions.expedite, ReasonInput),
        "override": Route(actions.override, SettleInput),
        "pause": Route(actions.pause, ReasonInput),
        "resume": Route(actions.resume),
        "proceed": Route(actions.proceed),
        "stop": Route(actions.stop, ReasonInput),
        "retry": Route(actions.retry),
        "settle": Route(actions.settle, SettleInput),
    }

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        # Verbs change what would have been fetched beforehand.
        return queries.with_steps(rows) if self.action == "retrieve" else rows

    def get_serializer_class(self) -> Any:
        return OperationSummary if self.action == "list" else OperationSerializer

    @extend_schema(responses={200: OperationSummary(many=True)})
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(responses={200: LineSerializer(many=True), 404: OpenApiResponse(Problem)}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def log(self, request: Request, id: str) -> Response:
        """Up to 1,000 lines of the log in order of writing; ``?after=<seq>`` gives those after that line."""
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            raise Invalid("“after” is the seq of a line.", fields={"after": ["A whole number is expected."]})
        lines = queries.whole_log(self.get_object()).filter(seq__gt=int(after))[:LINES]
        return Response(LineSerializer(lines, many=True).data)


class RequestInput(VerbInput):
    """What every verb that plans an operation takes. ``draft``: plan it, and wait for ``confirm``."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    key = serializers.CharField(required=False, max_length=200)
    draft = serializers.BooleanField(required=False)


class RunInput(RequestInput):
    """What a verb that lets people choose any plan takes besides: how it is to run."""

    priority = serializers.ChoiceField(choices=Priority.choices, required=False)
    on_failure = serializers.ChoiceField(choices=OnFailure.choices, required=False)
    in_window = serializers.BooleanField(required=False)
    cause = serializers.CharField(required=False, max_length=160, help_text="Such as `incidents.incident:<id>`.")


def _cause(name: str, reader: Any) -> Any:
    """The thing that an operation is asked for because of. Raises ``Invalid`` for what ``reader`` may not see."""
    found = queries.named(name, reader)
    if found is None:
        raise Invalid("There is no such cause that you may see.", fields={"cause": ["app.model:key is expected."]})
    return found


def planning(verb: Callable[..., Operation], route: str, input: type[VerbInput] = RequestInput) -> Any:
    """A route of a noun whose verb plans an operation: ``POST …/<route>/`` answers 202 with the operation.

    For the class of the noun: ``reload = planning(actions.reload, "reload")``.
    """

    def act(self: NounApi, request: Request, **kwargs: Any) -> Response:
        subject = self.get_object()
        given = input(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        if expected := values.pop("expected_version", None):
            expect_version(subject, expected)
        if name := values.pop("cause", ""):
            values["cause"] = _cause(name, request.user)
        asked = verb(subject, by=request.user, **values)
        shown = queries.with_steps(Operation.objects.filter(pk=asked.pk)).get()
        return Response(OperationSerializer(shown).data, status=status.HTTP_202_ACCEPTED)

    act.__name__ = route.replace("-", "_")
    act.__doc__ = verb.__doc__
    described = extend_schema(
        request=input,
        responses={202: OperationSerializer, **PROBLEMS},
        summary=(verb.__doc__ or route).strip().splitlines()[0],
    )(act)
    return action(detail=True, methods=["post"], url_path=route, url_name=route)(described)


router.register("operations", OperationApi, basename="operation")
