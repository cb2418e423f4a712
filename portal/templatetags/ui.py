"""Template tags of the shared components. They are built in: no ``{% load %}``."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from django import template
from django.template import Context
from django.template.loader import get_template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portal import ui
from portal.ui import cells

register = template.Library()
register.simple_tag(ui.icon, name="icon")


register.simple_tag(cells.badge)
register.simple_tag(cells.instant)


@register.inclusion_tag("components/actions.html", takes_context=True)
def actions(context: Context, obj: Any) -> dict[str, Any]:
    """Buttons of the moves possible now; where one is refused, the reason. One query, plus the model's own reasons."""
    user = context["request"].user
    actor = copy.copy(user)
    held = user.get_all_permissions(obj)
    actor.has_perm = lambda perm, about=None: perm in held if about is obj else user.has_perm(perm, about)
    found = [(button, _route(obj, button.transition.name)) for button in obj.lifecycle.available(obj, actor)]
    return {"buttons": [(button, url) for button, url in found if url], "obj": obj}


def _route(obj: Any, transition: str) -> str:
    noun = getattr(obj, "url_noun", obj.lifecycle.name.rpartition(".")[2])
    try:
        return reverse(f"{noun}-{transition}".replace("_", "-"), args=[getattr(obj, "url_key", obj.pk)])
    except NoReverseMatch:
        return ""


@register.inclusion_tag("components/timeline.html", takes_context=True)
def timeline(context: Context, obj: Any) -> dict[str, Any]:
    """What happened to ``obj``, newest first. ``?timeline=2`` shows older events."""
    request = context["request"]
    number = request.GET.get("timeline", "1")
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
    return {"timeline": ui.timeline(obj, request.user, max(page, 1)), "request": request}


@register.inclusion_tag("components/table.html")
def table(table: ui.Table) -> dict[str, Any]:
    return {"table": table}


@register.inclusion_tag("components/panels.html", takes_context=True)
def panels(context: Context, place: str, obj: Any = None) -> dict[str, Any]:
    """The panels other apps add to ``place`` for ``obj``."""
    return {"panels": [(it, _inside(context, it)) for it in ui.panels_for(context["request"], place, obj)]}


def _inside(context: Context, panel: ui.Panel) -> SafeString:
    found: Any = get_template(panel.template)
    with context.push(**panel.context):
        body: SafeString = found.template.render(context)
    return body


@register.simple_tag
def facts(pairs: Iterable[tuple[Any, ...]]) -> SafeString:
    """A list of details: (label, value) or (label, value, kind of a table's column)."""
    return format_html(
        '<dl class="facts">{}</dl>', format_html_join("", "{}", ((cells.fact(*pair),) for pair in pairs))
    )


@register.inclusion_tag("components/empty.html")
def empty(text: str, icon: str = "inbox", url: str = "", action: str = "") -> dict[str, Any]:
    """Nothing here, and what to do about it."""
    return {"text": text, "icon": icon, "url": url, "action": action}


@register.inclusion_tag("components/progress.html")
def progress(done: float | None, total: float | None, label: str = "", tone: str = "info") -> dict[str, Any]:
    """How far it is; without a total it is only known to be going on."""
    return {"done": done, "total": total, "label": label, "tone": tone}


@register.inclusion_tag("components/sparkline.html")
def sparkline(values: Iterable[float | None], label: str = "", unit: str = "", tone: str = "info") -> dict[str, Any]:
    """A line of readings as SVG, oldest first; ``None`` is a gap, never a zero."""
    points = list(values)
    known = [value for value in points if value is not None]
    low, span = (min(known), max(known) - min(known)) if known else (0, 0)
    runs: list[list[str]] = [[]]
    for place, value in enumerate(points):
        if value is None:
            runs.append([])
            continue
        x = 2 + 96 * place / max(len(points) - 1, 1)
        runs[-1].append(f"{x:.1f},{22 - 20 * (value - low) / span if span else 12:.1f}")
    lines = [" ".join(run if len(run) > 1 else run * 2) for run in runs if run]
    return {"lines": lines, "label": label, "unit": unit, "tone": tone, "last": known[-1] if known else None,
            "low": low if known else None, "high": max(known) if known else None}  # fmt: skip


@register.inclusion_tag("components/field.html")
def field(bound: Any) -> dict[str, Any]:
    """A form's field with its label, help and errors."""
    kind = getattr(bound.field.widget, "input_type", "")
    style = {"select": "form-select", "checkbox": "form-check-input", "radio": "form-check-input"}.get(
        kind, "form-control"
    )
    if bound.errors:
        style += " is-invalid"
    return {"field": bound, "kind": kind, "widget": bound.as_widget(attrs={"class": style})}


@register.simple_tag(takes_context=True)
def live(context: Context, name: str, *subjects: Any, every: int = 0) -> SafeString:
    """Attributes of an element that is replaced when a subject (an object or a topic) changes: its id is ``name``.

    ``every``: and after so many seconds, for what people wait for, also where something between holds the stream back.
    """
    topics = " ".join(s if isinstance(s, str) else f"{s._meta.label_lower}:{s.pk}" for s in subjects)
    swap = 'hx-trigger="live consume{3}" hx-target="#{0}" hx-select="#{0}" hx-swap="outerHTML"'
    beat = f", every {every}s" if every else ""
    return format_html(
        f'id="{{0}}" data-live="{{1}}" hx-get="{{2}}" {swap}', name, topics, context["request"].get_full_path(), beat
    )
