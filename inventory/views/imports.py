"""Screens of imports: bring a file, look at what it would change, make it so."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from inventory import filters
from inventory import lifecycle as states
from inventory.actions import imports as verbs
from inventory.forms import imports as forms
from inventory.importing.guide import guide, template
from inventory.lists import PLURALS
from inventory.models import NOUNS, Import
from portal import ui
from portal.errors import Invalid, Refused
from portal.http import go, page
from portal.lifecycle import Tone, authorize
from portal.ui import export

LIST = ("Imports", "import-list")


def _crumbs() -> list[tuple[str, str]]:
    return [(LIST[0], reverse(LIST[1]))]


def _import(request: HttpRequest, pk: Any) -> Import:
    return get_object_or_404(Import.objects.visible_to(request.user), pk=pk)


@require_safe
def import_list(request: HttpRequest) -> HttpResponse:
    """Every import that the reader may see, newest first."""
    authorize(request.user, verbs.IMPORT)  # type: ignore[arg-type]
    columns = [
        ui.Column("name", "File", link=True, sort=False),
        ui.Column("label", "Rows of", sort=False, minor=True),
        ui.Column("state", "State", kind="badge", sort=False),
        ui.Column("summary", "Difference", sort=False, minor=True),
        ui.Column("uploaded_label", "By", sort=False, minor=True),
        ui.Column("uploaded_at", "When", kind="instant"),
    ]
    empty = "No file was imported yet. “Import” takes one and shows first what it would change."
    facts: dict[str, Any] = {"order": "-uploaded_at", "empty": empty, "topic": "inventory.import"}
    table = ui.Table(request, Import.objects.visible_to(request.user), columns, search=("name", "noun"), **facts)
    return page(request, "inventory/import_list.html", {"title": "Imports", "table": table})


@require_http_methods(["GET", "HEAD", "POST"])
def import_upload(request: HttpRequest) -> HttpResponse:
    """Choose or paste a file; it is checked at once, and nothing is changed yet."""
    authorize(request.user, verbs.IMPORT)  # type: ignore[arg-type]
    error: Refused | None = None
    form = forms.ImportForm(request.POST or None, request.FILES or None, initial=request.GET.dict())
    if request.method == "POST":
        try:
            if form.is_valid():
                one = verbs.upload(form.cleaned_data.pop("noun"), by=request.user, **form.cleaned_data)  # type: ignore[arg-type]
                messages.success(request, f"{one} was uploaded and is being checked.")
                return go(request, one.get_absolute_url())
            error = Invalid("Some fields are not right.")
        except Refused as refusal:
            error = refusal
    noun = form["noun"].value() if form["noun"].value() in NOUNS else "component"
    context = {"title": "Import", "form": form, "error": error, "noun": noun, "crumbs": _crumbs()}
    return page(request, "inventory/import_upload.html", context, status=error.status if error else 200)


@require_safe
def import_detail(request: HttpRequest, pk: Any) -> HttpResponse:
    """How far it is, what is wrong with it, or what it would change."""
    one = _import(request, pk)
    context: dict[str, Any] = {"title": one.name, "one": one, "crumbs": _crumbs()}
    if one.state == states.REFUSED:
        context["faults"] = fault_table(request, one)
    elif one.digest and not one.busy:
        context["changes"] = change_table(request, one)
    return page(request, "inventory/import_detail.html", context)


def fault_table(request: HttpRequest, one: Import) -> ui.Table:
    """What is wrong, in the order of the file."""
    columns = [
        ui.Column("line", "Line", kind="number", sort=False, value=lambda row: row.line or "—"),
        ui.Column("column", "Column", kind="code", sort=False),
        ui.Column("sentence", "What is wrong", sort=False),
    ]
    search, caption = ("sentence", "column"), "Problems"
    return ui.Table(request, one.fault_rows.all(), columns, order="pk", name="problems", search=search, caption=caption)


def change_table(request: HttpRequest, one: Import) -> ui.Table:
    """The difference, in the order of the file."""
    columns = [
        ui.Column("line", "Line", kind="number", sort=False, minor=True),
        ui.Column("act", "What", kind="badge", sort=False, value=_act),
        ui.Column("key", one.label.capitalize(), kind="code", sort=False),
        ui.Column("fields", "Fields", sort=False, value=said, template="inventory/import_fields.html"),
    ]
    facts: dict[str, Any] = {
        "order": "pk",
        "name": "difference",
        "stacks": True,
        "search": ("key",),
        "caption": "Difference",
    }
    facts |= {"files": {"csv": ui.Table.csv, "json": _json}, "filterset": filters.ChangeFilter}
    return ui.Table(request, one.change_rows.all(), columns, empty="The file changes nothing.", **facts)


def _act(row: Any) -> ui.Label:
    return ui.Label(row.get_act_display(), Tone.GOOD if row.act == row.Act.CREATE else Tone.INFO)


def said(row: Any) -> str:
    """The fields of a row in one line."""
    return "; ".join(f"{name}: {before} → {after}" for name, before, after in row.shown)


def _json(table: ui.Table) -> Iterator[str]:
    rows = itertools.chain.from_iterable(table.keyset.chunks(1000))
    for place, row in enumerate(rows):
        fields = [{"name": name, "before": before, "after": after} for name, before, after in row.fields]
        found = {"line": row.line, "act": row.act, "key": row.key, "fields": fields}
        yield f"{',' if place else '['}\n{json.dumps(found, ensure_ascii=False)}"
    yield "\n]\n"


def import_apply(request: HttpRequest, pk: Any) -> HttpResponse:
    """Make true what was read."""
    one = _import(request, pk)
    given: dict[str, Any] = {"initial": {"expected": one.digest}, "context": {"crumbs": _crumbs()}}
    return ui.act(request, one, "apply", verbs.apply, forms.ApplyImportForm, **given)


def import_discard(request: HttpRequest, pk: Any) -> HttpResponse:
    """Throw the file away."""
    return ui.act(request, _import(request, pk), "discard", verbs.discard, context={"crumbs": _crumbs()})


def import_recheck(request: HttpRequest, pk: Any) -> HttpResponse:
    """Compare once more."""
    return ui.act(request, _import(request, pk), "recheck", verbs.recheck, context={"crumbs": _crumbs()})


@require_safe
def import_columns(request: HttpRequest, noun: str) -> HttpResponseBase:
    """What a file of this noun may hold; as CSV (``?export=csv``) a file to begin with."""
    authorize(request.user, verbs.IMPORT)  # type: ignore[arg-type]
    if noun not in NOUNS:
        raise Http404
    if request.GET.get("export") == "csv":
        return export.answer(request, noun, "csv", template(noun))
    label = noun.replace("-", " ")
    context = {"title": f"Columns of a {label}", "noun": noun, "label": label, "lines": guide(noun)}
    return page(request, "inventory/import_columns.html", context | {"nouns": PLURALS.items(), "crumbs": _crumbs()})
