from django.urls import path

from inventory import views

urlpatterns = [
    path("services/<slug:slug>/", views.service_detail, name="service-detail"),
    path("components/<path:slug>/reload/", views.component_reload, name="component-reload"),
    path("components/<path:slug>/operate/", views.component_plans, name="component-plans"),
    path("components/<path:slug>/operate/<str:kind>/", views.component_operate, name="component-operate"),
    path("components/<path:slug>/", views.component_detail, name="component-detail"),
    path("environments/<slug:slug>/", views.environment_detail, name="environment-detail"),
    path("data-centers/<slug:slug>/", views.data_center_detail, name="data-center-detail"),
    path("drift/", views.drift_list, name="drift-list"),
    path("drift/<uuid:pk>/", views.drift_detail, name="drift-detail"),
    path("drift/<uuid:pk>/diff/", views.drift_proposal, name="drift-proposal"),
    *[
        path(f"drift/<uuid:pk>/{verb}/", views.drift_verb, {"verb": verb}, name=f"drift-{verb}")
        for verb in ("accept", "plan", "exempt", "revoke")
    ],
    path("discovery/", views.discovery_list, name="discovery-list"),
    path("discovery/<uuid:pk>/", views.discovery_detail, name="discovery-detail"),
    path(
        "discovery/<uuid:pk>/confirm-removal/",
        views.discovery_verb,
        {"verb": "confirm_removal"},
        name="discovery-confirm-removal",
    ),
    path("discovery/<uuid:pk>/dismiss/", views.discovery_verb, {"verb": "dismiss"}, name="discovery-dismiss"),
    path("catalog/", views.catalog, name="catalog"),
    path("catalog/apply/", views.catalog_apply, name="catalog-apply"),
]
