"""The page of one verb: what it means, what it asks for, and everything that stands against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from portal import events, http
from portal.errors import Denied, IllegalTransition, Invalid, Refused, StepUpRequired
from portal.lifecycle import Transition, expect_version

KEPT = "kept_input"


def act(
    request: HttpRequest,
    obj: Any,
    name: str | Transition,
    verb: Callable[..., Any],
    form_class: type[forms.Form] | None = None,
    *,
    template: str = "action.html",
    context: dict[str, Any] | None = None,
    **form_arguments: Any,
) -> HttpResponse:
    """GET shows the page of one transition, POST does it: ``verb(obj, by=…, **form.cleaned_data)``, then goes there.

    ``name``: a transition of ``obj.lifecycle``, or a ``Transition`` for a verb without a state of its own (``sources``
    empty). A refusal shows the page again with its status, every problem, and what was typed. A verb that needs a fresh
    second factor sends the person there first and gives the input back afterwards.
    Raises ``Denied`` when the reader may not do this at all.
    """
    transition = obj.lifecycle[name] if isinstance(name, str) else name
    if not request.user.has_perm(transition.permission, obj):
        raise Denied(f"You do not hold the right “{transition.permission}” here.")
    error: Refused | None = None
    if request.method == "POST":
        form = (form_class or forms.Form)(request.POST, request.FILES, **form_arguments)
        try:
            _expect(obj, request.POST.get("expected_version", ""))
            if form.is_valid():
                return _done(request, obj, transition, verb(obj, by=request.user, **form.cleaned_data))
            error = Invalid("Some fields are not right.")
        except StepUpRequired:
            request.session[KEPT] = {"path": request.path, "data": _typed(form)}
            raise
        except Refused as refusal:
            error = refusal
            _mark(form, refusal)
        # The refused move may have left its marks on the object in memory.
        obj.refresh_from_db()
    else:
        form = (form_class or forms.Form)(**{"initial": _kept(request), **form_arguments})
        error = _impossible(obj, transition, request.user)
    facts = {"obj": obj, "transition": transition, "form": form, "error": error, "target": _target(obj, transition)}
    facts |= {"step_up": transition.step_up and not events.stepped_up(), "title": transition.label}
    facts["possible"] = not _impossible(obj, transition, request.user)
    return http.page(request, template, facts | (context or {}), status=error.status if error else 200)


def _expect(obj: Any, version: str) -> None:
    if version and not (version.isascii() and version.isdigit()):
        raise Invalid("The version of what you looked at is not a number.")
    if version:
        expect_version(obj, int(version))


def _impossible(obj: Any, transition: Transition, actor: Any) -> Refused | None:
    """Why the move cannot be made now, whatever is typed."""
    if transition.sources and obj.state not in transition.sources:
        return IllegalTransition(f"Not possible while {obj.state_info.label.lower()}.")
    against = getattr(obj, "reason_against", None)
    reason = against(transition, actor) if against else ""
    return Refused(reason) if reason else None


def _mark(form: forms.Form, refusal: Refused) -> None:
    if form.is_valid():
        for field, problems in refusal.fields.items():
            form.add_error(field if field in form.fields else None, problems)


def _typed(form: forms.Form) -> dict[str, Any]:
    """What the person typed, but no password: the session is a row."""
    shown = [bound for bound in form if getattr(bound.field.widget, "input_type", "") != "password"]
    return {bound.name: bound.data for bound in shown if isinstance(bound.data, (str, list, bool))}


def _kept(request: HttpRequest) -> dict[str, Any]:
    """What was typed before the second factor was asked for."""
    kept = request.session.get(KEPT)
    if not kept or kept["path"] != request.path:
        return {}
    del request.session[KEPT]
    data: dict[str, Any] = kept["data"]
    return data


def _target(obj: Any, transition: Transition) -> Any:
    return obj.lifecycle.state(transition.target) if transition.target else None


def _done(request: HttpRequest, obj: Any, transition: Transition, result: Any) -> HttpResponse:
    there = result if hasattr(result, "get_absolute_url") else obj
    messages.success(request, f"{there}: {transition.past}.")
    return http.go(request, there.get_absolute_url())
