"""How lists of requests and grants are narrowed."""

from __future__ import annotations

import django_filters

from access import lifecycle
from access.models import AccessRequest, Grant


class AccessRequestFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=lifecycle.request.choices)
    environment = django_filters.CharFilter(field_name="scope__environment")
    service = django_filters.CharFilter(field_name="scope__service")
    beneficiary = django_filters.CharFilter(field_name="beneficiary__username")

    class Meta:
        model = AccessRequest
        fields: tuple[str, ...] = ()


class GrantFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=lifecycle.grant.choices)
    environment = django_filters.CharFilter(field_name="scope__environment")
    service = django_filters.CharFilter(field_name="scope__service")
    account = django_filters.CharFilter(field_name="account__username")

    class Meta:
        model = Grant
        fields: tuple[str, ...] = ()
