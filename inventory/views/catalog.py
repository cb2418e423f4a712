"""Screens of the catalog: what would change, from wherever it is read, and what was applied before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from inventory.actions.catalog import PERMISSION, apply_catalog
from inventory.actions.drafts import draft_catalog
from inventory.catalog import Change, Difference, compare, export
from inventory.forms import ApplyCatalogForm
from inventory.forms.catalog import ExportForm, ReadCatalogForm
from inventory.models import AppliedCatalog, CatalogDraft
from inventory.reconcile import catalogs
from inventory.reconcile.catalogs import Reading
from portal import ui
from portal.errors import Invalid, Refused
from portal.http import go, page
from portal.lifecycle import Tone, authorize
from portal.models import Event
from portal.ui.columns import Label

ACTS = {"create": Label("Create", Tone.GOOD), "change": Label("Change", Tone.INFO), "remove": Label("Remove", Tone.BAD)}
SHOWN = 120
CRUMBS = [("Catalog", "/catalog/")]


@dataclass(frozen=True)
class Row:
    """A change as the list shows it."""

    act: str
    noun: str
    key: str
    change: Change

    @property
    def fields(self) -> list[tuple[str, str, str]]:
        return fields_of(self.change)


def fields_of(change: Change) -> list[tuple[str, str, str]]:
    """Each field with its values before and after as texts; of a mapping only the entries that differ."""
    found = []
    for name, before, after in change.fields:
        if not isinstance(after, dict):
            found.append((name, _plain(before), _plain(after)))
            continue
        old = before or {}
        differing = [key for key in sorted({*old, *after}) if old.get(key) != after.get(key)]
        found += [(f"{name}: {key}", _plain(old.get(key)), _plain(after.get(key))) for key in differing]
    return found


def told(change: Change) -> str:
    """The fields as one text, for files."""
    return "; ".join(f"{name}: {before or '—'} → {after or '—'}" for name, before, after in fields_of(change))


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def changes_of(request: HttpRequest, difference: Difference) -> ui.Table:
    """The changes as a list: searched, narrowed to a noun and an act, and paged."""
    noun, act = request.GET.get("noun", ""), request.GET.get("act", "")
    rows = [
        Row(change.act, change.noun, change.key, change)
        for change in difference.changes
        if noun in ("", change.noun) and act in ("", change.act)
    ]
    columns = [
        ui.Column("act", "What", kind="badge", value=lambda row: ACTS[row.act], sort=False),
        ui.Column("noun", "Noun", minor=True),
        ui.Column("key", "Row", template="inventory/change_cell.html"),
        ui.Column("fields", "Fields", value=lambda row: told(row.change), sort=False, extra=True),
    ]
    return ui.Table(request, rows, columns, search=("key", "noun"), caption="Difference", empty="Nothing of this kind.")


def _shown(request: HttpRequest, reading: Any, context: dict[str, Any]) -> HttpResponse:
    """The page of one difference, or of everything that stands against it."""
    try:
        read: Reading = reading()
        context["difference"] = difference = compare(read.estate())
        context |= {"reading": read, "table": changes_of(request, difference)}
    except Refused as refusal:
        context["error"] = refusal
    return page(request, "inventory/catalog.html", context)


@require_GET
def catalog(request: HttpRequest) -> HttpResponse:
    """What applying the folder would change, or why it cannot be used."""
    authorize(request.user, PERMISSION)
    context = {"title": "Catalog", "history": AppliedCatalog.objects.all()[:10], "apply": reverse("catalog-apply")}
    return _shown(request, catalogs.read_catalog, context)


@require_POST
def catalog_apply(request: HttpRequest) -> HttpResponse:
    """Make the difference of the folder that was read true."""
    return _applied(request, catalogs.read_catalog())


@require_http_methods(["GET", "HEAD", "POST"])
def catalog_read(request: HttpRequest) -> HttpResponse:
    """Read a catalog from a repository or an upload; what it would change is then looked at."""
    authorize(request.user, PERMISSION)
    form = ReadCatalogForm(*((request.POST, request.FILES) if request.method == "POST" else ()))
    context: dict[str, Any] = {"title": "Read a catalog", "form": form, "crumbs": CRUMBS}
    if request.method == "POST" and form.is_valid():
        try:
            read = catalogs.read_catalog(**form.asked)
            draft = draft_catalog(read.estate(), by=request.user, files=read.files, **read.facts)
        except Refused as refusal:
            form.mark(refusal)
            return page(request, "inventory/catalog_read.html", context | {"error": refusal}, status=refusal.status)
        if read.said:
            messages.info(request, read.said)
        return go(request, draft.get_absolute_url())
    return page(request, "inventory/catalog_read.html", context, status=422 if form.errors else 200)


@require_GET
def catalog_draft(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What applying a catalog that was read from elsewhere would change."""
    authorize(request.user, PERMISSION)
    draft = get_object_or_404(CatalogDraft, pk=pk, made_by=request.user.pk)
    context = {"title": f"Catalog {draft.catalog}", "draft": draft, "crumbs": CRUMBS}
    context["apply"] = reverse("catalog-draft-apply", args=[draft.pk])
    return _shown(request, lambda: catalogs.kept(draft), context)


@require_POST
def catalog_draft_apply(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make true what was read into a draft; the draft is done with then."""
    authorize(request.user, PERMISSION)
    draft = get_object_or_404(CatalogDraft, pk=pk, made_by=request.user.pk)
    answer = _applied(request, catalogs.kept(draft))
    draft.delete()
    return answer


def _applied(request: HttpRequest, reading: Reading) -> HttpResponse:
    form = ApplyCatalogForm(request.POST)
    if not form.is_valid():
        raise Invalid("Look at the difference first, then apply it.")
    difference = apply_catalog(reading.estate(), by=request.user, **reading.facts, **form.cleaned_data)
    messages.success(request, f"The catalog was applied: {difference.summary}")
    return go(request, reverse("catalog"))


@require_GET
def catalog_applied(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One catalog that was applied: by whom, read where, and what it changed."""
    authorize(request.user, PERMISSION)
    applied = get_object_or_404(AppliedCatalog, pk=pk)
    event = Event.objects.filter(verb=PERMISSION, subject_id=str(applied.pk)).first()
    rows = [(what, keys) for what, keys in (event.after.get("rows", {}) if event else {}).items()]
    context = {"title": f"Catalog {applied.catalog}", "applied": applied, "rows": rows, "crumbs": CRUMBS}
    return page(request, "inventory/catalog_applied.html", context)


@require_GET
def catalog_export(request: HttpRequest) -> StreamingHttpResponse:
    """The estate, or a part of it, as the text of a catalog file: as much as the reader may see."""
    asked = ExportForm(request.GET).asked()
    response = StreamingHttpResponse(export.whole(actor=request.user, **asked), content_type="application/yaml")
    response["Content-Disposition"] = f'attachment; filename="{asked["catalog"]}.yaml"'
    response["Cache-Control"] = "no-store"
    return response
