"""Addresses of the incidents app."""

from django.urls import path

from incidents.views import answer, incidents, oncall, post_mortems, signals

urlpatterns = [
    path("api/v1/signals/alertmanager/<slug:source>/", signals.AlertmanagerView.as_view(), name="signal-alertmanager"),
    path("page/<str:token>/", answer.answer, name="page-answer"),
    path("on-call/", oncall.on_call, name="on-call"),
    path("on-call/<slug:slug>/stand-in/", oncall.override, name="schedule-override"),
    path("incidents/", incidents.incident_list, name="incident-list"),
    path("incidents/open/", incidents.incident_open, name="incident-open"),
    path("incidents/<str:reference>/", incidents.incident_detail, name="incident-detail"),
    path("incidents/<str:reference>/post-mortem/", post_mortems.post_mortem, name="incident-post-mortem"),
    path("incidents/<str:reference>/post-mortem.md", post_mortems.export, name="incident-post-mortem-export"),
    *[
        path(f"incidents/<str:reference>/{verb}/", incidents.incident_verb, {"verb": verb}, name=f"incident-{verb}")
        for verb in incidents.ACTS
    ],
]
