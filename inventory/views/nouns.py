"""Screens that every noun has: its list, and the page of one of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.views.decorators.http import require_safe

from inventory import addresses, lists
from inventory.models import NOUNS
from inventory.models.base import KEPT_BY_THE_DATABASE
from inventory.views.tools import estate, tools, watching
from portal.http import page
from portal.lifecycle import authorize
from portal.prepared import first_or_404, prepared

VIEW = "inventory.view"
UNSHOWN = {"id", "scope", "declared_by", "created_at", "attributes", "custom", "tags", *KEPT_BY_THE_DATABASE}


@require_safe
def noun_list(request: HttpRequest, noun: str) -> HttpResponse:
    """Everything of one noun that the reader may see."""
    authorize(request.user, VIEW)  # type: ignore[arg-type]
    table = lists.table(request, noun)
    context: dict[str, Any] = {"title": lists.PLURALS[noun], "table": table} | estate(noun)
    context["may_create"] = any(verb == "Edit" for verb, _ in table.bulk)
    return page(request, "inventory/noun_list.html", context)


def choices(request: HttpRequest, noun: str) -> HttpResponse:
    """Slugs that begin like what somebody types into a field (named by ``?of=``), as options."""
    model = NOUNS.get(noun)
    if model is None or not any(field.name == "slug" for field in model._meta.fields):
        raise Http404
    text = request.GET.get(request.GET.get("of", ""), "").strip()[:200].replace("\x00", "")
    rows = lists.visible(noun, request.user)
    found = rows.filter(slug__gte=text, slug__startswith=text).order_by("slug").values_list("slug", flat=True)[:20]
    response = HttpResponse(format_html_join("", '<option value="{}">', ((slug,) for slug in found)))
    response["Cache-Control"] = "no-store"
    return response


@require_safe
def noun_detail(request: HttpRequest, noun: str, key: Any) -> HttpResponse:
    """One of a noun that needs no page of its own: what is declared about it, and what the apps know."""
    obj = first_or_404(_one(noun)(request.user, key))
    context: dict[str, Any] = {"title": addresses.title_of(obj), "facts": facts(obj)} | tools(request, obj)
    context["crumbs"] = [(lists.PLURALS[noun], reverse(f"{noun}-list"))]
    context["environment"] = getattr(obj, "environment", None)
    return page(request, "inventory/noun_detail.html", context)


@functools.cache
def _one(noun: str) -> Callable[[Any, Any], list[Any]]:
    """Finds one of a noun with all that it points at."""
    joins = {field.name for field in NOUNS[noun]._meta.concrete_fields if isinstance(field, models.ForeignKey)}
    field = "pk" if addresses.PLACES[noun][1] == "uuid" else "slug"

    @prepared
    def one(reader: Any, key: Any) -> models.QuerySet[Any]:
        rows = addresses.rows_of(noun, reader).filter(**{field: key}).select_related(*joins - {"scope"})
        return rows.annotate(watched=watching(reader))

    return one


def facts(obj: Any) -> list[tuple[Any, ...]]:
    """What is declared about ``obj``, field by field; what is not said is left out."""
    found: list[tuple[Any, ...]] = []
    labels = {column.name: column.label for column in lists.COLUMNS[obj.noun]}
    for field in obj._meta.concrete_fields:
        if field.name in UNSHOWN:
            continue
        value = getattr(obj, f"get_{field.name}_display", lambda name=field.name: getattr(obj, name))()
        if value not in (None, "") and (field.name != "name" or str(value) != str(obj)):
            label = labels.get(field.name) or field.verbose_name.capitalize()
            found.append((label, value, "code" if field.name in ("slug", "cidr") else "text"))
    return found + described(obj)


def described(obj: Any) -> list[tuple[Any, ...]]:
    """Attributes of its kind, custom fields, tags, and who declared it."""
    titles = obj.spec.attributes if hasattr(obj, "spec") else {}
    found: list[tuple[Any, ...]] = []
    for name, value in getattr(obj, "attributes", {}).items():
        found.append((titles.get(name, {}).get("title", name), _plain(value)))
    found += [(name, _plain(value)) for name, value in getattr(obj, "custom", {}).items()]
    if tags := getattr(obj, "tags", []):
        found.append(("Tags", format_html_join(" ", '<span class="tag">{}</span>', ((tag,) for tag in tags))))
    by = format_html('the catalog <a href="{}">{}</a>', reverse("catalog"), obj.declared_by)
    return [*found, ("Declared by", by if obj.declared_by else "nobody: it was made by hand")]


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else value
