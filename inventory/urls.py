from django.urls import path, register_converter

from inventory import views
from inventory.addresses import PLACES, PlacedConverter

register_converter(PlacedConverter, "placed")
VERBS = {
    "edit": views.noun_edit,
    "remove": views.noun_remove,
    "history": views.noun_history,
    "note": views.noun_note,
    "watch": views.noun_watch,
}
"""What every noun has a page for."""

urlpatterns = [
    path(f"{place}/<{converter}:key>/{verb}/", view, {"noun": noun}, name=f"{noun}-{verb}")
    for noun, (place, converter) in PLACES.items()
    for verb, view in VERBS.items()
]
urlpatterns += [
    path(f"{place}/create/", views.noun_create, {"noun": noun}, name=f"{noun}-create")
    for noun, (place, _) in PLACES.items()
]
urlpatterns += [
    path(f"{place}/", views.noun_list, {"noun": noun}, name=f"{noun}-list")
    for noun, (place, _) in PLACES.items()
    if noun not in ("service", "component")  # with health, in the app above
]
urlpatterns += [
    path(f"{PLACES[noun][0]}/<{PLACES[noun][1]}:key>/", views.noun_detail, {"noun": noun}, name=f"{noun}-detail")
    for noun in ("network-zone", "server-group", "server", "dependency")
]
urlpatterns += [
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
    path("findings/", views.finding_list, name="finding-list"),
    path("findings/<uuid:pk>/", views.finding_detail, name="finding-detail"),
    path("findings/<uuid:pk>/waive/", views.finding_verb, {"verb": "waive"}, name="finding-waive"),
    path("findings/<uuid:pk>/reinstate/", views.finding_verb, {"verb": "reinstate"}, name="finding-reinstate"),
    path("catalog/", views.catalog, name="catalog"),
    path("catalog/apply/", views.catalog_apply, name="catalog-apply"),
    path("catalog/read/", views.catalog_read, name="catalog-read"),
    path("catalog/export/", views.catalog_export, name="catalog-export"),
    path("catalog/drafts/<uuid:pk>/", views.catalog_draft, name="catalog-draft"),
    path("catalog/drafts/<uuid:pk>/apply/", views.catalog_draft_apply, name="catalog-draft-apply"),
    path("catalog/applied/<uuid:pk>/", views.catalog_applied, name="catalog-applied"),
    path("choices/<slug:noun>/", views.choices, name="choices"),
    path("estate/<slug:noun>/edit/", views.objects_edit, name="objects-edit"),
    path("estate/<slug:noun>/remove/", views.objects_remove, name="objects-remove"),
    path("history/<slug:noun>/<uuid:key>/<int:revision>/revert/", views.revision_revert, name="revision-revert"),
    path("removed/", views.removed_list, name="removed-list"),
    path("removed/<slug:noun>/<uuid:key>/", views.removed_detail, name="removed-detail"),
    path("notes/<uuid:pk>/retract/", views.note_retract, name="note-retract"),
    path("watched/", views.watched_list, name="watched-list"),
    path("watched/see/", views.watched_see, name="watched-see"),
    path("views/save/", views.view_save, name="view-save"),
    path("views/<uuid:pk>/", views.view_edit, name="view-edit"),
    path("views/<uuid:pk>/remove/", views.view_remove, name="view-remove"),
]
urlpatterns += [
    path("imports/", views.import_list, name="import-list"),
    path("imports/upload/", views.import_upload, name="import-upload"),
    path("imports/columns/<slug:noun>/", views.import_columns, name="import-columns"),
    path("imports/<uuid:pk>/", views.import_detail, name="import-detail"),
    path("imports/<uuid:pk>/apply/", views.import_apply, name="import-apply"),
    path("imports/<uuid:pk>/discard/", views.import_discard, name="import-discard"),
    path("imports/<uuid:pk>/recheck/", views.import_recheck, name="import-recheck"),
]
