"""The page behind a page's link: on a phone, at night, without JavaScript and without signing in."""

from __future__ import annotations

import hmac

from django import forms
from django.contrib.auth.decorators import login_not_required
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from incidents import actions, links
from incidents.models import Notification
from portal.errors import Refused
from portal.http import page

WRONG_CODES_ALLOWED = 5


class AnswerForm(forms.Form):
    code = forms.RegexField(r"^[0-9]{2}$", label="The two digits in the message", max_length=2)
    act = forms.ChoiceField(choices=[("acknowledge", "I have it"), ("escalate", "Call the next person")])


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """Show what is wrong; a POST with the message's code says "I have it". A GET changes nothing."""
    notification = links.read(token)
    if notification is None:
        return page(request, "incidents/page_gone.html", {"title": "This link has ended"}, status=404)
    form = AnswerForm(request.POST or None)
    problem = ""
    if request.method == "POST":
        problem = _act(notification, form) if form.is_valid() else "Type the two digits that stand in the message."
        notification.incident.refresh_from_db()
    facts = {"notification": notification, "incident": notification.incident, "form": form, "problem": problem}
    facts |= {"done": request.method == "POST" and not problem, "title": notification.incident.reference}
    facts["others"] = _others(notification)
    return page(request, "incidents/page_answer.html", facts, status=422 if problem else 200)


def _act(notification: Notification, form: AnswerForm) -> str:
    """Do what was asked; returns why not, or nothing."""
    same = Notification.objects.filter(pk=notification.pk, wrong_codes__lt=WRONG_CODES_ALLOWED)
    if not same.exists():
        return "Too many wrong codes. Sign in to the portal and answer there."
    if not hmac.compare_digest(form.cleaned_data["code"], notification.code):
        same.update(wrong_codes=F("wrong_codes") + 1)
        return "This is not the code that stands in the message."
    by = links.Paged(notification.person, notification.incident)  # type: ignore[arg-type]
    try:
        if form.cleaned_data["act"] == "escalate":
            actions.escalate(notification.incident, by=by, reason="Asked for from the page.")
        else:
            actions.acknowledge(notification.incident, by=by, note="Answered from the page.")
    except Refused as error:
        return " ".join([error.detail, *error.problems])
    return ""


def _others(notification: Notification) -> list[str]:
    called = notification.incident.notifications.exclude(person=notification.person).exclude(person=None)
    return sorted(set(called.values_list("person__name", flat=True)))
