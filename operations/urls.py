from django.urls import path

from operations import views

urlpatterns = [
    path("operations/", views.operation_list, name="operation-list"),
    path("operations/<int:number>/", views.operation_detail, name="operation-detail"),
    path("operations/<int:number>/log/", views.operation_log, name="operation-log"),
    *[
        path(f"operations/<int:number>/{verb}/", views.operation_verb, {"verb": verb}, name=f"operation-{verb}")
        for verb in views.VERBS
    ],
]
