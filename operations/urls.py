from django.urls import path

from operations import views

SCHEDULE_VERBS = ("suspend", "reactivate", "retire")

urlpatterns = [
    path("plans/", views.plan_list, name="plan-list"),
    path("plans/<str:kind>/", views.plan_detail, name="plan-detail"),
    path("windows/", views.window_list, name="window-list"),
    path("windows/declare/", views.window_declare, name="window-declare"),
    path("windows/<uuid:pk>/", views.window_detail, name="window-detail"),
    path("windows/<uuid:pk>/lift/", views.window_lift, name="window-lift"),
    path("schedules/", views.schedule_list, name="schedule-list"),
    path("schedules/<int:number>/", views.schedule_detail, name="schedule-detail"),
    *[
        path(f"schedules/<int:number>/{verb}/", views.schedule_verb, {"verb": verb}, name=f"schedule-{verb}")
        for verb in SCHEDULE_VERBS
    ],
    path("schedules/new/<str:subject>/<str:kind>/", views.schedule_create, name="schedule-create"),
    path("operations/", views.operation_list, name="operation-list"),
    path("operations/<int:number>/", views.operation_detail, name="operation-detail"),
    path("operations/<int:number>/log/", views.operation_log, name="operation-log"),
    path("operations/<int:number>/stream/", views.operation_stream, name="operation-stream"),
    path("operations/<int:number>/record/", views.operation_record, name="operation-record"),
    *[
        path(f"operations/<int:number>/{verb}/", views.operation_verb, {"verb": verb}, name=f"operation-{verb}")
        for verb in views.VERBS
    ],
]
