"""Filters shared by screens and API."""

import django_filters as filters

from deployments.lifecycle import deployment
from deployments.models import Artifact, Deployment


class ArtifactFilter(filters.FilterSet):
    service = filters.CharFilter(field_name="service__slug")

    class Meta:
        model = Artifact
        fields = ["service", "version"]


class DeploymentFilter(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=deployment.choices)
    service = filters.CharFilter(field_name="service__slug")
    environment = filters.CharFilter(field_name="environment__slug")

    class Meta:
        model = Deployment
        fields = ["state", "service", "environment"]
