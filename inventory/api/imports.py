"""REST of imports: send a file, read what it would change, apply or discard it."""

from __future__ import annotations

import hashlib
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from identity.idempotency import once
from inventory.actions import imports as verbs
from inventory.api.describing import KEY
from inventory.api.reading import as_json
from inventory.importing import MOST_BYTES
from inventory.models import NOUNS, Import, ImportChange, ImportFault
from portal.api import REFUSALS, NounApi, Route, VerbInput, router
from portal.paging import Pages

TYPES = {"text/csv": "csv", "application/json": "json", "application/x-ndjson": "json", "application/jsonl": "json"}
TYPES |= dict.fromkeys(("application/yaml", "application/x-yaml", "text/yaml"), "yaml")


class ImportSerializer(serializers.ModelSerializer[Import]):
    """One import. ``problems``: how many there are, see ``errors``. ``row_version``: for ``expected_version``."""

    problems = serializers.IntegerField(source="faults", read_only=True)
    uploaded_by = serializers.CharField(source="uploaded_label", read_only=True)
    applied_by = serializers.CharField(source="applied_label", read_only=True)

    class Meta:
        model = Import
        fields = [
            *(
                "id",
                "noun",
                "mode",
                "format",
                "name",
                "size",
                "sha256",
                "state",
                "row_version",
                "phase",
                "done",
                "total",
            ),
            *("created", "changed", "unchanged", "problems", "digest", "note", "uploaded_by", "uploaded_at"),
            *("applied_by", "applied_at", "discarded_at"),
        ]


class FaultSerializer(serializers.ModelSerializer[ImportFault]):
    detail = serializers.CharField(source="sentence")

    class Meta:
        model = ImportFault
        fields = ["line", "column", "detail"]


class ChangedFieldSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ImportChangeSerializer(serializers.ModelSerializer[ImportChange]):
    changed = serializers.SerializerMethodField()

    class Meta:
        model = ImportChange
        fields = ["line", "act", "key", "changed"]

    @extend_schema(responses=ChangedFieldSerializer(many=True))
    def get_changed(self, row: ImportChange) -> list[dict[str, Any]]:
        return [{"name": name, "before": before, "after": after} for name, before, after in row.fields]


class UploadInput(serializers.Serializer[Any]):
    noun = serializers.ChoiceField(list(NOUNS))
    mode = serializers.ChoiceField(Import.Mode.choices, default=Import.Mode.UPSERT)
    format = serializers.ChoiceField(Import.Format.choices, required=False)
    name = serializers.CharField(required=False, max_length=200)
    file = serializers.FileField(help_text="Or the rows as the body, and the rest as parameters.")


class ApplyImportInput(VerbInput):
    expected = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="Digest of the difference that was read."
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=1000)


class Raw(BaseParser):
    """The body as it is, whatever its type."""

    media_type = "*/*"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        return {"body": stream.read(MOST_BYTES + 1)}


class FileOrder(Pages):
    """In the order of the file."""

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        return ("pk",)


class ImportApi(NounApi):
    """Files of rows on their way into the estate."""

    queryset = Import.objects.all()
    serializer_class = ImportSerializer
    filterset_fields = {"noun": ["exact"], "state": ["exact"]}
    ordering = ("-uploaded_at",)
    verbs = {
        "apply": Route(verbs.apply, ApplyImportInput),
        "discard": Route(verbs.discard),
        "recheck": Route(verbs.recheck),
    }

    def get_parsers(self) -> list[BaseParser]:
        """A file may come in any type; a verb takes JSON as everywhere."""
        named = getattr(self, "action_map", {}).get((self.request.method or "").lower()) if self.request else ""
        return [MultiPartParser(), Raw()] if named == "create" else [JSONParser()]

    @extend_schema(
        request={"multipart/form-data": UploadInput, "text/csv": bytes, "application/yaml": bytes},
        parameters=[KEY, *(OpenApiParameter(name, str) for name in ("noun", "mode", "format", "name"))],
        responses={201: ImportSerializer, **REFUSALS},
        summary="Send a file",
    )
    def create(self, request: Request) -> HttpResponse:
        """Take a file, as a form or as the body with ``?noun=`` and ``?mode=``. It is checked in the background."""
        sent = _sent(request)

        def act() -> HttpResponse:
            one = verbs.upload(by=request.user, **sent)
            response = as_json(self.get_serializer(one).data, status=status.HTTP_201_CREATED)
            response["Location"] = request.build_absolute_uri(f"{request.path}{one.pk}/")
            return response

        return once(request, act, sent=sent | {"data": hashlib.sha256(sent["data"]).hexdigest()})

    @extend_schema(responses={200: FaultSerializer(many=True), **REFUSALS}, filters=False, summary="What is wrong")
    @action(detail=True, methods=["get"], pagination_class=FileOrder, filter_backends=[])
    def errors(self, request: Request, **kwargs: Any) -> Response:
        """Everything that is wrong with the file, up to the first thousand."""
        return self._page(self.get_object().fault_rows.all(), FaultSerializer)

    @extend_schema(
        responses={200: ImportChangeSerializer(many=True), **REFUSALS}, filters=False, summary="The difference"
    )
    @action(detail=True, methods=["get"], pagination_class=FileOrder, filter_backends=[])
    def difference(self, request: Request, **kwargs: Any) -> Response:
        """What applying would change, or has changed, row by row."""
        return self._page(self.get_object().change_rows.all(), ImportChangeSerializer)

    def _page(self, rows: Any, kind: type[serializers.BaseSerializer[Any]]) -> Response:
        return self.get_paginated_response(kind(self.paginate_queryset(rows), many=True).data)


def _sent(request: Request) -> dict[str, Any]:
    """What ``upload`` takes, from a form or from a bare body."""
    sent: Any = request.data
    if isinstance(sent.get("body"), bytes):
        given: dict[str, Any] = {name: value for name, value in request.query_params.items() if name != "data"}
        given["data"] = sent["body"]
        given.setdefault("format", TYPES.get((request.content_type or "").partition(";")[0].strip().lower(), ""))
    else:
        given = {name: str(value) for name, value in sent.items() if name not in ("file", "data")}
        file = sent.get("file")
        if not isinstance(file, UploadedFile):
            raise ValidationError({"file": ["This is needed."]})
        if (file.size or 0) > MOST_BYTES:
            raise ValidationError({"file": [f"A file may have at most {MOST_BYTES // 2**20} MB."]})
        given |= {"data": file.read(), "name": given.get("name") or file.name or ""}
    unknown = given.keys() - {"noun", "mode", "format", "name", "data"}
    if unknown or "noun" not in given:
        problems = {name: ["There is no such field."] for name in sorted(unknown)}
        raise ValidationError(problems | ({} if "noun" in given else {"noun": ["This is needed."]}))
    return given


router.register("imports", ImportApi, basename="import")
