from django.urls import path

from observability import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("matrix/", views.matrix, name="matrix"),
    path("map/", views.data_center_map, name="data-center-map"),
    path("explorer/", views.explorer, name="explorer"),
    path("environments/<slug:slug>/topology/", views.topology, name="topology"),
    path("impact/", views.impact, name="impact"),
    path("components/<path:slug>/impact/", views.component_impact, name="component-impact"),
    path("servers/<path:slug>/impact/", views.server_impact, name="server-impact"),
    path("network-zones/<path:slug>/impact/", views.network_zone_impact, name="network-zone-impact"),
    path("data-centers/<slug:slug>/impact/", views.data_center_impact, name="data-center-impact"),
    path("services/<slug:slug>/impact/", views.service_impact, name="service-impact"),
    path("services/", views.service_list, name="service-list"),
    path("components/", views.component_list, name="component-list"),
]
