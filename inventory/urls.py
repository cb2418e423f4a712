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
    path("catalog/", views.catalog, name="catalog"),
    path("catalog/apply/", views.catalog_apply, name="catalog-apply"),
]
