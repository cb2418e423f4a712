from django.urls import include, path

from identity.views import oidc, passkeys, people, profile, sign_in

urlpatterns = [
    path("sign-in/", sign_in.sign_in, name="sign-in"),
    path("sign-in/second-factor/", sign_in.second_factor, name="sign-in-second-factor"),
    path("sign-in/link/<str:token>/", sign_in.sign_in_link, name="sign-in-link"),
    path("sign-out/", sign_in.sign_out, name="sign-out"),
    path("step-up/", sign_in.step_up, name="step-up"),
    path("profile/", profile.profile, name="profile"),
    path("profile/enrol/", profile.enrol, name="enrol"),
    path("profile/factors/<str:device>/remove/", profile.remove_factor, name="factor-remove"),
    path("profile/sessions/<str:session>/end/", profile.end_session, name="session-end"),
    path("profile/tokens/create/", profile.create_token, name="token-create"),
    path("profile/tokens/<uuid:pk>/revoke/", profile.revoke_token, name="token-revoke"),
    path("passkeys/", include((passkeys.urlpatterns, "otp_webauthn"))),
    path("accounts/", people.account_list, name="account-list"),
    path("teams/", people.team_list, name="team-list"),
    path("roles/", people.rolebinding_list, name="rolebinding-list"),
    path("roles/bind/", people.bind_role, name="rolebinding-bind"),
    path("roles/<uuid:pk>/unbind/", people.unbind, name="rolebinding-unbind"),
    *oidc.urlpatterns,
]
