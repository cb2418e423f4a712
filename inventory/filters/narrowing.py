"""Narrowing a list by what an address names: the same for REST and for screens.

``kind=app`` (several: any of them), ``kind__in=a,b``, ``name__contains=``, ``version__startswith=``,
``server__isnull=``, ``provenance__empty=``, ``updated_at__gte=``; ``tag=`` (several: all of them), ``custom.<name>=``,
``attributes.<name>=``. What is blank is not asked for, as in the form of a screen. Other rows are named by slug; one
that the reader may not see is refused like one that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Q, Value
from django.http import QueryDict

from inventory.filters import values
from inventory.filters.declared import Filter, find
from inventory.writing.fields import Wrong

Faults = dict[str, list[str]]


def narrowing(noun: str, query: QueryDict, wanted: Iterable[str], reader: Any) -> tuple[Q, Faults]:
    """What the parameters ``wanted`` of ``query`` ask for, and everything that is wrong with them by name.

    Costs no statement, or one when rows of other nouns are named.
    """
    faults: Faults = {}
    found = Q()
    rows: dict[str, tuple[Filter, str, list[str]]] = {}
    for name in wanted:
        try:
            given = [text for value in query.getlist(name) if (text := value.strip())]
            own, ending = find(noun, name)
            if not given:
                continue
            texts = [part for text in given for part in text.split(",")] if ending == "in" else given
            read = values.truth if own.endings[ending] in ("isnull", "empty") else own.read
            if own.model and read is not values.truth:
                rows[name] = own, ending, [values.line(text) for text in texts]
            else:
                found &= own.condition(ending, [read(text) for text in texts])
        except Wrong as error:
            faults[name] = [str(error)]
    return found & _named(rows, reader, faults), faults


def _named(wanted: dict[str, tuple[Filter, str, list[str]]], reader: Any, faults: Faults) -> Q:
    """Conditions by the keys of other rows: one query looks up all that are named."""
    if not wanted:
        return Q()
    parts = []
    for name, (own, _, slugs) in wanted.items():
        rows = own.model._default_manager.visible_to(reader).filter(slug__in=slugs).order_by()
        parts.append(rows.annotate(by=Value(name), key=F("pk"), label=F("slug")).values_list("by", "key", "label"))
    found: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for name, key, slug in parts[0].union(*parts[1:], all=True).order_by() if len(parts) > 1 else parts[0]:
        found[name][slug] = key
    condition = Q()
    for name, (own, ending, slugs) in wanted.items():
        if missing := [slug for slug in slugs if slug not in found[name]]:
            faults[name] = [f"There is no {own.model.noun.replace('-', ' ')} “{missing[0]}”."]
        else:
            condition &= own.condition(ending, list(found[name].values()))
    return condition
