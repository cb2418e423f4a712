from django.urls import path

from observability import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("environments/<slug:slug>/topology/", views.topology, name="topology"),
    path("services/", views.service_list, name="service-list"),
    path("components/", views.component_list, name="component-list"),
]
