"""Screens that change what there is: add, edit and remove one thing, many at once, and bring back what was."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from inventory import addresses, forms, lists
from inventory.actions.estate import change, create, write_many
from inventory.actions.history import revert
from inventory.forms.bulk import BulkForm
from inventory.forms.nouns import NounForm
from inventory.history import removed
from inventory.models import NOUNS, Declared, Dependency, Revision
from inventory.writing import EDIT, REMOVE, check
from portal import ui
from portal.errors import Conflict, Invalid, Refused
from portal.http import go, page
from portal.lifecycle import Tone, Transition, authorize

MOST = 10_000
"""How many things one request changes."""
SHOWN = 50


@require_http_methods(["GET", "HEAD", "POST"])
def noun_create(request: HttpRequest, noun: str) -> HttpResponse:
    """Add one of a noun. The address fills fields in (``?component=``)."""
    authorize(request.user, EDIT)  # type: ignore[arg-type]
    return _write(request, noun, None)


@require_http_methods(["GET", "HEAD", "POST"])
def noun_edit(request: HttpRequest, noun: str, key: Any) -> HttpResponse:
    """Change one thing that no catalog declares."""
    obj = addresses.find(noun, key, request.user)
    authorize(request.user, EDIT, obj)  # type: ignore[arg-type]
    if obj.declared_by:
        raise Conflict(f"The catalog “{obj.declared_by}” declares it. Change it there.")
    return _write(request, noun, obj)


def _write(request: HttpRequest, noun: str, obj: Declared | None) -> HttpResponse:
    """The form, with what is typed; a kind that was only chosen brings its own fields (``again``)."""
    error: Refused | None = None
    if request.method != "POST" or "again" in request.POST:
        form = NounForm(noun, obj=obj, typed=request.POST or request.GET)
    else:
        form = NounForm(noun, request.POST, obj=obj)
        try:
            if form.is_valid():
                return _written(request, form)
            error = Invalid("It is not saved yet: some fields are not right.")
        except Refused as refusal:
            error = refusal
            if obj is not None and any(each["field"] == "revision" for each in refusal.errors):
                obj.refresh_from_db()
                form.merge()
            form.mark(refusal)
    context = _form_context(noun, obj, form) | {"error": error}
    return page(request, "inventory/noun_form.html", context, status=error.status if error else 200)


def _form_context(noun: str, obj: Declared | None, form: NounForm) -> dict[str, Any]:
    label = noun.replace("-", " ")
    title = f"Edit {addresses.title_of(obj)}" if obj else f"Add {'an' if label[0] in 'aeiou' else 'a'} {label}"
    crumbs = [(lists.PLURALS[noun], reverse(f"{noun}-list"))]
    crumbs += [(addresses.title_of(obj), obj.get_absolute_url())] if obj else []  # type: ignore[attr-defined]
    return {"title": title, "form": form, "obj": obj, "noun": noun, "crumbs": crumbs}


def _written(request: HttpRequest, form: NounForm) -> HttpResponse:
    reason = form.cleaned_data["reason"]
    if form.obj is None:
        obj = create(form.noun, form.values, by=request.user, reason=reason)  # type: ignore[arg-type]
    else:
        given = {"revision": form.cleaned_data.get("revision"), "reason": reason, **form.values}
        obj = change(form.obj, by=request.user, **given)  # type: ignore[arg-type]
    messages.success(request, f"{addresses.title_of(obj)} is saved.")
    return go(request, obj.get_absolute_url())  # type: ignore[attr-defined]


class Gone:
    """Where somebody goes after a removal: to what is left of the thing."""

    def __init__(self, obj: Any) -> None:
        self.title, self.url = addresses.title_of(obj), reverse("removed-detail", args=[obj.noun, obj.pk])

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return self.url


REMOVAL = Transition("remove", (), "", REMOVE, "Remove", "removed", fields=("reason",), tone=Tone.BAD)


@require_http_methods(["GET", "HEAD", "POST"])
def noun_remove(request: HttpRequest, noun: str, key: Any) -> HttpResponse:
    """Remove one thing, after showing what depends on it and what goes with it."""
    obj = addresses.find(noun, key, request.user)

    def remove(obj: Any, *, by: Any, reason: str) -> Gone:
        gone = Gone(obj)
        write_many(noun, [{"id": obj.pk}], by=by, mode="remove", reason=reason)
        return gone

    context: dict[str, Any] = {"subject": addresses.title_of(obj), "noun": noun}
    context["mistakes"] = check(noun, [{"id": obj.pk}], by=request.user, mode="remove").mistakes
    if noun == "component":
        links = Dependency.objects.visible_to(request.user).select_related("source", "target")
        context |= {"needing": links.filter(target=obj)[:SHOWN], "parts": obj.parts.all()[:SHOWN]}
        context |= {"needs": links.filter(source=obj)[:SHOWN], "endpoints": obj.endpoints.all()[:SHOWN]}
    return ui.act(
        request, obj, REMOVAL, remove, forms.ReasonForm, template="inventory/noun_remove.html", context=context
    )


def _picked(request: HttpRequest, noun: str) -> QuerySet[Any]:
    """The rows that were ticked in a list; with ``all``, every row that its filters leave."""
    if noun not in NOUNS:
        raise Http404
    if not request.POST.get("all"):
        picks = request.POST.getlist("pick")
        if not picks or len(picks) > MOST:
            raise Invalid("Nothing is ticked." if not picks else f"More than {MOST:,} things are ticked.")
        try:
            return addresses.rows_of(noun, request.user).filter(pk__in=[UUID(pick) for pick in picks])
        except ValueError:
            raise Invalid("This was ticked in no list of ours.") from None
    table = lists.table(request, noun)
    if table.kept or (table.filterset and not table.filterset.is_valid()):
        raise Invalid("The list is narrowed by something that is not known here. Tick its rows instead.")
    found: QuerySet[Any] = table.matching
    return found


@require_POST
def objects_edit(request: HttpRequest, noun: str) -> HttpResponse:
    """Change fields of many things: choose, look at what that does, then do it."""
    authorize(request.user, EDIT)  # type: ignore[arg-type]
    rows = list(_picked(request, noun)[: MOST + 1])
    form = BulkForm(noun, request.POST if request.POST.get("step") else None)
    facts: dict[str, Any] = {
        "form": form,
        "verb": "Change",
        "title": f"Change {len(rows):,} × {noun.replace('-', ' ')}",
    }
    if form.is_bound and form.is_valid():
        facts["look"] = _looked(request, noun, form.rows(rows), "update", form.cleaned_data["reason"])
    return _many(request, noun, rows, facts)


@require_POST
def objects_remove(request: HttpRequest, noun: str) -> HttpResponse:
    """Remove many things, after looking at what that does."""
    authorize(request.user, REMOVE)  # type: ignore[arg-type]
    rows = list(_picked(request, noun)[: MOST + 1])
    form = forms.ReasonForm(request.POST)
    facts: dict[str, Any] = {
        "form": form,
        "verb": "Remove",
        "title": f"Remove {len(rows):,} × {noun.replace('-', ' ')}",
    }
    given = [{"id": row.pk, "revision": row.revision} for row in rows]
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    facts["look"] = _looked(request, noun, given, "remove", reason)
    return _many(request, noun, rows, facts)


def _looked(request: HttpRequest, noun: str, rows: list[dict[str, Any]], mode: Any, reason: str) -> Any:
    """The batch: written, when that was asked for and nothing is wrong; otherwise only checked."""
    if len(rows) > MOST:
        raise Invalid(f"More than {MOST:,} things match. Narrow the list, or change it through a file.")
    if request.POST.get("step") != "do":
        return check(noun, rows, by=request.user, mode=mode)
    batch = write_many(noun, rows, by=request.user, mode=mode, reason=reason)  # type: ignore[arg-type]
    messages.success(request, f"{len(batch.changes):,} × {noun.replace('-', ' ')}: done.")
    return None


def _many(request: HttpRequest, noun: str, rows: list[Declared], facts: dict[str, Any]) -> HttpResponse:
    if "look" in facts and facts["look"] is None:
        return go(request, f"{reverse(f'{noun}-list')}?{request.GET.urlencode()}")
    batch = facts.get("look")
    facts |= {
        "rows": rows[:SHOWN],
        "more": max(len(rows) - SHOWN, 0),
        "noun": noun,
        "picks": request.POST.getlist("pick"),
    }
    facts |= {"all": request.POST.get("all", ""), "crumbs": [(lists.PLURALS[noun], reverse(f"{noun}-list"))]}
    if batch is not None:
        changes = batch.changes
        facts |= {"changes": changes[:SHOWN], "count": len(changes), "mistakes": batch.mistakes[:SHOWN]}
        facts |= {"denied": sorted(batch.denied)[:SHOWN], "wrong": len(batch.mistakes) + len(batch.denied)}
    return page(request, "inventory/bulk.html", facts)


REVERSAL = Transition("revert", (), "", EDIT, "Revert", "brought back", fields=("reason",), tone=Tone.WARN)


@require_http_methods(["GET", "HEAD", "POST"])
def revision_revert(request: HttpRequest, noun: str, key: UUID, revision: int) -> HttpResponse:
    """Bring back what a change overwrote, or what a removal took."""
    if noun not in NOUNS:
        raise Http404
    past = get_object_or_404(Revision, pk=revision, object_id=key, noun=noun)
    there = addresses.rows_of(noun, request.user).filter(pk=key).first()
    if there is None:
        get_object_or_404(removed(request.user), object_id=key)

    def bring_back(_subject: Any, *, by: Any, reason: str) -> Any:
        return revert(past, by=by, reason=reason)

    context = {"past": past, "noun": noun}
    subject: Any = there or past
    return ui.act(
        request, subject, REVERSAL, bring_back, forms.ReasonForm, template="inventory/revert.html", context=context
    )
