"""The audit trail for those who read it: who sees which events, and the API's list of them."""

from __future__ import annotations

from typing import Any

import django_filters
from django.apps import apps
from django.db.models import Exists, OuterRef, Q, QuerySet
from rest_framework import serializers

from portal.api import NounApi, router
from portal.models import Event


def visible_events(actor: Any) -> QuerySet[Event]:
    """Events whose scope the reader may see, and the reader's own."""
    if actor.pk is None:
        return Event.objects.none()
    rights = apps.get_model("identity.EffectiveScope").objects.live()
    held = rights.filter(account=actor.pk, action="portal.view_events")
    own_or_seen = Exists(held.filter(scope=OuterRef("scope_id"))) | Q(actor=actor.pk) | Q(scope=None) & Exists(held)
    return Event.objects.filter(own_or_seen)


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = [
            *("id", "stream", "seq", "verb", "at", "actor_label", "subject_type", "subject_id", "subject_label"),
            *("reason", "before", "after", "operation_id", "request_id", "previous_hash", "hash"),
        ]


class EventFilter(django_filters.FilterSet):
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = Event
        fields = ["stream", "verb", "subject_type", "subject_id", "operation_id", "request_id"]


class EventApi(NounApi):
    """What happened, newest first; it only grows."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filterset_class = EventFilter
    lookup_value_converter = "uuid"
    ordering = ("-at",)

    def get_queryset(self) -> Any:
        return visible_events(self.request.user)


router.register("events", EventApi, basename="event")
