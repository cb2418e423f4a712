"""Addresses of the incidents app."""

from django.urls import path

from incidents.views import answer, signals

urlpatterns = [
    path("api/v1/signals/alertmanager/<slug:source>/", signals.AlertmanagerView.as_view(), name="signal-alertmanager"),
    path("page/<str:token>/", answer.answer, name="page-answer"),
]
