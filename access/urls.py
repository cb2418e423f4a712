from django.urls import path

from access.views import grants, requests

urlpatterns = [
    path("access-requests/", requests.access_request_list, name="access-request-list"),
    path("access-requests/new/", requests.access_request_create, name="access-request-create"),
    path("access-requests/<str:key>/", requests.access_request_detail, name="access-request-detail"),
    path("access-requests/<str:key>/approve/", requests.approve, name="access-request-approve"),
    path("access-requests/<str:key>/deny/", requests.deny, name="access-request-deny"),
    path("access-requests/<str:key>/cancel/", requests.cancel, name="access-request-cancel"),
    path("my-access/", grants.my_access, name="my-access"),
    path("grants/", grants.grant_list, name="grant-list"),
    path("grants/<str:key>/", grants.grant_detail, name="grant-detail"),
    path("grants/<str:key>/revoke/", grants.revoke, name="grant-revoke"),
    path("grants/<str:key>/give-back/", grants.give_back, name="grant-give-back"),
    path("grants/<str:key>/extend/", grants.extend, name="grant-extend"),
]
