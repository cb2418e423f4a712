"""Navigation: apps register entries; a page shows those its reader has the right to open."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from portal import clock
from portal.prepared import prepared
from portal.ui.icons import icon

# From each action to the next one in the index: an account may hold forty of them on hundreds of scopes.
_HELD = """ARRAY(WITH RECURSIVE step AS (
    (SELECT action FROM {table} WHERE account_id = %s AND (valid_until IS NULL OR valid_until > %s)
      ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT action FROM {table} WHERE account_id = %s AND (valid_until IS NULL OR valid_until > %s)
               AND action > step.action ORDER BY action LIMIT 1) FROM step WHERE step.action IS NOT NULL)
  SELECT action FROM step WHERE action IS NOT NULL)"""
# One file per component; the cascade's order.
SHEETS = ("tokens", "shell", "nav", "tone", "panel", "list", "form", "timeline", "rows", "message", "palette")


@dataclass(frozen=True)
class Entry:
    """One place to go. ``action``: the right it needs somewhere, if any. ``beside``: lists reached from it by tabs."""

    label: str
    url_name: str
    icon: str
    order: int
    action: str
    section: str
    key: str
    beside: tuple[str, ...] = ()


entries: dict[str, Entry] = {}


def nav(
    label: str,
    url_name: str,
    *,
    icon: str = "circle",
    order: int = 100,
    action: str = "",
    section: str = "",
    key: str = "",
    beside: tuple[str, ...] = (),
) -> None:
    """Register a place in the navigation. ``g`` then ``key`` goes there (default: a free letter of the label)."""
    taken = {entry.key for entry in entries.values() if entry.url_name != url_name}
    letters = [letter for letter in (key or label).lower() if letter.isalpha() and letter not in taken]
    entries[url_name] = Entry(label, url_name, icon, order, action, section, letters[0] if letters else "", beside)


nav("Events", "event-list", icon="history", order=90, action="portal.view_events", section="Portal", key="e")
nav("Status", "status", icon="heartbeat", order=91, section="Portal", key="u")
nav("API", "api-docs", icon="api", order=92, section="Portal", key="y")
FIRST_PLACES = 4
"""How many places a phone shows; the others wait behind “More”."""
SIDE = '<li{}><a href="{}"{}{}>{}<span>{}</span></a></li>'
LISTED = '<li><a href="{}"{}><span>{}</span></a></li>'
KEYS, KEY = ' data-key="{0}" aria-keyshortcuts="g {0}"', "<dt><kbd>g</kbd> <kbd>{}</kbd></dt><dd>{}</dd>"
CURRENT, FIRST = mark_safe(' aria-current="page"'), mark_safe(' class="first"')
ACCOUNT_LINKS = (("profile", "Your account", "user-circle"), ("gallery", "Components", "components"))


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of every page: ``shell.account``, ``shell.sections`` and ``shell.places``. One query, when it is used."""
    return {"shell": SimpleLazyObject(lambda: _shell(request))}


def _shell(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    facts: dict[str, Any] = {"stylesheets": _sheets(), "sign_out": address("sign-out")}
    # Browsers use passkeys only under the name they were made for; an address such as 127.0.0.1 is not one.
    facts |= {"passkeys": request.get_host().split(":")[0] == settings.OTP_WEBAUTHN_RP_ID}
    facts |= {"home": settings.OTP_WEBAUTHN_ALLOWED_ORIGINS[0]}
    if user is None or not user.is_authenticated:
        return facts
    account = reader(request)
    places = [
        {**place, "current": request.path == place["url"] or (place["url"] != "/" and request.path.startswith(below))}
        for action, place, below in _known(get_script_prefix(), tuple(entries.values()))
        if not action or action in account.held
    ]
    names = list(dict.fromkeys(place["section"] for place in places))
    sections = [(name, *_drawn(places, name)) for name in names]
    keys = format_html_join("", KEY, ((place["key"], place["label"]) for place in places if place["key"]))
    links = [
        {"url": url, "label": label, "icon": icon} for name, label, icon in ACCOUNT_LINKS if (url := address(name))
    ]
    return facts | {"account_links": links} | {"account": account, "sections": sections, "keys": keys, "places": places}


def _drawn(places: list[dict[str, Any]], section: str) -> tuple[SafeString, SafeString]:
    """The places of a section as items: for the side, and for the list of all."""
    side, listed = [], []
    for number, place in enumerate(places):
        if place["section"] == section:
            now = CURRENT if place["current"] else ""
            keys = format_html(KEYS, place["key"]) if place["key"] else ""
            first = FIRST if number < FIRST_PLACES else ""
            side.append((first, place["url"], now, keys, icon(place["icon"], 18), place["label"]))
            listed.append((place["url"], now, place["label"]))
    return format_html_join("", SIDE, side), format_html_join("", LISTED, listed)


def address(url_name: str) -> str:
    """The page of that name, or nothing when there is none."""
    return _address(url_name, get_script_prefix())


@functools.cache
def _address(url_name: str, prefix: str) -> str:
    try:
        return reverse(url_name)
    except NoReverseMatch:
        return ""


def reader(request: HttpRequest) -> Any:
    """Who asks, ``with_rights``: looked up once for a page, whichever of its parts needs it first."""
    found = getattr(request, "reader_with_rights", None)
    if found is None or found.pk != request.user.pk:
        found = request.reader_with_rights = rights_of(request.user.pk)  # type: ignore[attr-defined]
    return found


def rights_of(pk: Any) -> Any:
    """The account, its person and the actions it holds anywhere (``held``), in one query."""
    return next(iter(_rights_of(pk)))


@prepared
def _rights_of(pk: Any) -> QuerySet[Any]:
    return with_rights(pk)


def with_rights(pk: Any, **more: Any) -> QuerySet[Any]:
    """The same, with ``more`` expressions."""
    table, now = apps.get_model("identity.EffectiveScope")._meta.db_table, clock.now()
    rights = RawSQL(_HELD.format(table=table), [pk, now, pk, now])  # noqa: S611 (all parameters)
    return get_user_model()._default_manager.select_related("person").annotate(held=rights, **more).filter(pk=pk)


@functools.lru_cache(8)
def _known(prefix: str, registered: tuple[Entry, ...]) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Every place that has a page, in order: the right it needs, what is shown of it, and what is reached from it.

    ``prefix`` is where the portal begins on its server, which addresses depend on.
    """
    found = []
    for entry in sorted(registered, key=lambda entry: (entry.order, entry.label)):
        if url := address(entry.url_name):
            shown = {"url": url, **{name: getattr(entry, name) for name in ("label", "icon", "section", "key")}}
            found.append((entry.action, shown, (url, *map(address, entry.beside))))
    return found


@functools.cache
def _sheets() -> list[str]:
    return [static(f"css/{name}.css") for name in SHEETS]
