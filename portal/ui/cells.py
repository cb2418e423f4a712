"""How one value stands in a page: a state, an instant, a cell of a list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.template import Context
from django.template.base import render_value_in_context
from django.template.loader import get_template
from django.utils import timezone
from django.utils.html import conditional_escape, escape, format_html, strip_tags
from django.utils.safestring import SafeString, mark_safe

from portal import clock
from portal.lifecycle import State, Tone
from portal.ui.columns import Column

PLAIN = Context()


def badge(thing: Any, tone: str = "") -> SafeString:
    """State as colour, shape and word. ``thing``: an object with a lifecycle, a state, or a text with a ``tone``."""
    state = getattr(thing, "state_info", thing)
    if isinstance(state, State):
        text = '<span class="tone tone-{}" title="{}">{}</span>'
        return format_html(text, tone or state.tone, state.meaning, state.label)
    label = getattr(state, "label", state)
    tone = tone or getattr(state, "tone", Tone.NEUTRAL)
    return format_html('<span class="tone tone-{}">{}</span>', tone, label if label not in (None, "") else "Unknown")


def instant(value: datetime | None, empty: str = "—") -> SafeString | str:
    """When, as how long ago; the exact instant with its zone on pointing, and for scripts."""
    if not value:
        return empty
    exact = timezone.localtime(value)
    machine = exact.isoformat(timespec="seconds").replace("+00:00", "Z")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', machine, exact.strftime("%Y-%m-%d %H:%M:%S %Z"), ago(value)
    )


def ago(value: datetime) -> str:
    """ "3 min ago", "in 2 h"; the day itself when it is more than a month away."""
    seconds = (clock.now() - value).total_seconds()
    size = abs(seconds)
    if size < 5:
        return "just now"
    if size >= 30 * 86400:
        return timezone.localtime(value).strftime("%Y-%m-%d")
    step, unit = next(pair for pair in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if size >= pair[0])
    return f"{int(size // step)} {unit} ago" if seconds > 0 else f"in {int(size // step)} {unit}"


def value_of(value: Any, kind: str = "text") -> str:
    """A value as a cell of ``kind`` shows it, escaped."""
    if kind == "instant":
        return instant(value)
    if kind == "badge":
        return badge(value)
    if value is None:
        return "—"
    text = conditional_escape(value) if isinstance(value, str) else render_value_in_context(value, PLAIN)
    return f"<code>{text}</code>" if kind == "code" and value else text


def fact(label: str, value: Any, kind: str = "text") -> SafeString:
    """One of a list of details; a thing with a page of its own leads there."""
    wide = mark_safe(' class="wide"') if len(strip_tags(str(value))) > 90 else ""
    if kind not in ("instant", "badge") and value in (None, ""):
        shown = '<span class="none">—</span>'
    elif kind == "text" and hasattr(value, "get_absolute_url"):
        shown = format_html('<a href="{}">{}</a>', value.get_absolute_url(), value)
    else:
        shown = value_of(value, kind)
    return format_html("<div{}><dt>{}</dt><dd>{}</dd></div>", wide, label, mark_safe(shown))  # noqa: S308 (escaped)


def cell(column: Column) -> Callable[[Any], str]:
    """What draws the cells of ``column``: once made for a list, then asked for each row."""
    start = f'<td class="{column.classes}">' if column.classes else "<td>"
    template = get_template(column.template) if isinstance(column.template, str) and column.template else None

    def draw(row: Any) -> str:
        if template:
            shown: str = template.render({"row": row, "value": column.of(row)})
        else:
            shown = column.template(row) if callable(column.template) else value_of(column.of(row), column.kind)
        href = column.href(row)
        if not href:
            return f"{start}{shown}</td>"
        if "<" not in shown:  # a narrow screen breaks a long key, such as production/us-central/api, behind its strokes
            shown = shown.replace("/", "/<wbr>")
        return f'{start}<a href="{escape(href)}">{shown}</a></td>'

    return draw


def rows(name: str, columns: list[Column], objects: list[Any], *, picked: bool) -> SafeString:
    """The rows of the table ``name``, each with a box to tick first when rows can be ``picked``."""
    cells = [cell(column) for column in columns]
    if picked:
        box = '<td class="cell-pick"><input type="checkbox" name="pick" value="{}" form="{}-bulk" aria-label="{}"></td>'
        key = Column("pk", "Key").of
        cells.insert(0, lambda row: format_html(box, key(row), name, row))
    return mark_safe("".join([f"<tr>{''.join([draw(row) for draw in cells])}</tr>" for row in objects]))  # noqa: S308
