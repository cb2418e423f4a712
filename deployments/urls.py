from django.urls import path

from deployments import api, views

urlpatterns = [
    path("artifacts/", views.artifact_list, name="artifact-list"),
    path("artifacts/<uuid:pk>/", views.artifact_detail, name="artifact-detail"),
    path("artifacts/<uuid:pk>/deploy/", views.request, name="deployment-request"),
    path("deployments/", views.deployment_list, name="deployment-list"),
    path("deployments/<str:key>/", views.deployment_detail, name="deployment-detail"),
    *[
        path(f"deployments/<str:key>/{verb}/", getattr(views, verb), name=f"deployment-{verb}")
        for verb in ("approve", "reject", "cancel", "withdraw", "settle")
    ],
    path("api/v1/webhooks/ci/<slug:source>/", api.CiWebhook.as_view(), name="ci-webhook"),
]
