"""The composition root of addresses: each app's screens and API routes, by dotted string."""

from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.urls import include, path

from portal import trail, views  # noqa: F401 (the trail registers its route)
from portal.api import router
from portal.apps import DomainConfig
from portal.search import views as finding

# Only apps of the house: a library's own screens come with none of our checks.
DOMAIN = [app.name for app in apps.get_app_configs() if isinstance(app, DomainConfig) and app.name != "portal"]

for app in DOMAIN:
    if find_spec(f"{app}.api"):
        import_module(f"{app}.api")

# Upper apps first: they add pages below addresses of lower ones, whose slugs may hold slashes (components/…/impact/).
screens = [path("", include(f"{app}.urls")) for app in reversed(DOMAIN) if find_spec(f"{app}.urls")]

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
    path("live/", views.live, name="live"),
    path("events/", views.event_list, name="event-list"),
    path("search/", finding.search, name="search"),
    path("search/visited/", finding.visited, name="search-visited"),
    path("status/", views.status, name="status"),
    path("gallery/", views.gallery, name="gallery"),
    path("api/schema/", views.schema, name="schema"),
    path("api/docs/", views.api_docs, name="api-docs"),
    path("api/v1/", include((router.urls, "api"))),
    *screens,
]

handler400 = "portal.http.bad_request"
handler404 = "portal.http.not_found"
handler500 = "portal.http.server_error"
