"""Finding: one statement over all tables, in which each noun's ``visible_to`` stands; the limit comes last.

Exact names come before beginnings, those before words; what stands inside of words, and what was mistyped, is looked
for only when that finds nothing that the reader may see. So what somebody may not see changes no answer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import Case, CharField, Exists, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Collate, Lower

from portal.search.sources import Offer, Offers, Source, known, registry
from portal.search.words import Matches, Query, edits, guess, read

EXACT, BEGINS, WORDS, INSIDE, ALIKE, GUESSED = range(6)
SHOWN, LEAST_INSIDE = 6, 3
Limb = QuerySet[Any, Any]


@dataclass(frozen=True)
class Hit:
    """One thing found. ``key`` is its key in the database, or its address."""

    kind: str
    key: str
    title: str
    detail: str
    url: str
    rank: int = WORDS


@dataclass
class Group:
    """What was found of one kind; ``more``: there is more than is listed here."""

    kind: str
    label: str
    icon: str
    hits: list[Hit] = field(default_factory=list)
    more: bool = False


@dataclass(frozen=True)
class Found:
    """Everything found. ``guessed``: nothing matches as it was typed; these are what was probably meant."""

    query: Query
    groups: list[Group]
    guessed: bool = False

    @property
    def total(self) -> int:
        return sum(len(group.hits) for group in self.groups)


def find(user: Any, text: str, *, held: Iterable[str] = (), kind: str = "", limit: int = SHOWN) -> Found:
    """What ``user``, who holds the actions ``held`` somewhere, may see of what ``text`` asks for; so many each kind."""
    query = read(text)
    if not query.words:
        return Found(query, [])
    places = [each for each in known() if not kind or each.kind == kind]
    tables = [each for each in places if isinstance(each, Source)]
    lists = [each for each in places if isinstance(each, Offers)]
    hits = _ask(_directly, tables, user, query, limit) + _offered(lists, user, frozenset(held), query)
    if not hits:
        hits = _ask(_inside, tables, user, query, limit)
    if not hits:
        if slips := guess(query):
            hits = _ask(functools.partial(_alike, slips), tables, user, query, limit)
        hits += _offered(lists, user, frozenset(held), query, slips=True)
    groups = [_group(each, hits, query.text, limit) for each in places]
    return Found(query, [group for group in groups if group.hits], any(hit.rank >= ALIKE for hit in hits))


def matching[R: QuerySet[Any, Any]](rows: R, text: str, *, words: str = "pk", inside: str = "") -> R:
    """``rows`` with every word of ``text`` (the last may be a beginning), or with ``text`` within column ``inside``.

    When none matches, those with one slip in a word, or words alike; to know that costs a statement of its own. Limit
    to what the reader may see first: what is hidden must not decide how the text is understood.
    """
    query = read(text)
    if not query.words:
        return rows.none() if query.text else rows
    fits = Q(**{f"{inside}__icontains": query.text}) if inside else Q()
    found = rows.filter(fits | Q(Matches(words, query)))
    slips = None if found.order_by().exists() else guess(query)
    return rows.filter(Matches(words, slips[1])) if slips else found


def named(user: Any, wanted: list[tuple[str, str]]) -> list[Hit]:
    """Those of the (kind, key) pairs that ``user`` may still see, in the given order. One statement, or none."""
    limbs = []
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        if isinstance(place := registry.get(kind), Source):
            keys = [key for of, key in wanted if of == kind]
            limbs.append(_shown(place, place.rows(user).filter(pk__in=keys), EXACT))
    found = {(hit.kind, hit.key): hit for hit in _hits(limbs)}
    return [found[pair] for pair in wanted if pair in found]


def _ask(limbs: Callable[..., Iterator[Limb]], tables: list[Source], user: Any, query: Query, limit: int) -> list[Hit]:
    return _hits([limb for table in tables for limb in limbs(table, table.rows(user).order_by(), query, limit + 1)])


def _hits(limbs: list[Limb]) -> list[Hit]:
    if not limbs:
        return []
    rows = limbs[0].union(*limbs[1:], all=True).order_by() if len(limbs) > 1 else limbs[0]
    made = []
    for rank, kind, key, title, detail, name in rows:
        place = registry[kind]
        assert isinstance(place, Source)
        made.append(Hit(kind, key, title, detail, place.url(name), rank))
    return made


def _directly(table: Source, rows: Limb, query: Query, limit: int) -> Iterator[Limb]:
    """Exact names; names that begin so; words. A large table gives each from an index and stops early."""
    exact = table.names(query.text)
    matching = rows.filter(Matches(table.words, query, by_index=table.large))
    if not table.large:
        # One part of the statement instead of two: planning them is most of what a search costs the database.
        fits = rows.filter(exact | Q(Matches(table.words, query))) if exact else matching
        first = [Case(When(exact, then=0), default=1)] if exact else []
        yield _shown(table, fits.order_by(*first, table.order), WORDS)[:limit]
        return
    if exact:
        yield _shown(table, rows.filter(exact), EXACT)[:limit]
    if table.first:
        begins = rows.annotate(begins=Collate(Lower(table.first), "C")).filter(begins__startswith=query.text.lower())
        begins = begins.order_by("begins")
        yield _shown(table, begins, BEGINS)[:limit]
        # Evaluated once, before the index of words is opened: a list that is full already needs none.
        matching = matching.filter(~Exists(begins[limit - 1 : limit]))
    yield _shown(table, matching, WORDS)[:limit]


def _inside(table: Source, rows: Limb, query: Query, limit: int) -> Iterator[Limb]:
    if table.inside and max(map(len, query.words)) >= LEAST_INSIDE:
        within = Q()
        for word in query.words:
            within &= Q(**{f"{table.inside}__icontains": word})
        yield _shown(table, rows.filter(within), INSIDE)[:limit]


def _alike(slips: tuple[Query, Query], table: Source, rows: Limb, query: Query, limit: int) -> Iterator[Limb]:
    for rank, slip in zip((ALIKE, GUESSED), slips if len(query.words) > 1 else slips[:1], strict=False):
        yield _shown(table, rows.filter(Matches(table.words, slip, by_index=True)), rank)[:limit]


def _shown(table: Source, rows: Limb, rank: int) -> Limb:
    return rows.values_list(
        Value(rank), Value(table.kind, CharField()), Cast("pk", TextField()),
        table.text("title"), table.text("detail"), table.text("key"),
    )  # fmt: skip


def _offered(places: list[Offers], user: Any, held: frozenset[str], query: Query, slips: bool = False) -> list[Hit]:
    hits = []
    for place in places:
        for offer in place.made(user, held):
            rank = _fits(offer, query, slips)
            if rank is not None:
                hits.append(Hit(place.kind, offer.url, offer.title, offer.detail, offer.url, rank))
    return hits


def _fits(offer: Offer, query: Query, slips: bool) -> int | None:
    has = read(f"{offer.title} {offer.words}").words
    near = {word: edits(word) if slips else set() for word in query.words}
    if not all(any(own.startswith(word) or own in near[word] for own in has) for word in query.words):
        return None
    title = offer.title.lower()
    return ALIKE if slips else EXACT if title == query.text.lower() else BEGINS


def _group(place: Source | Offers, hits: list[Hit], text: str, limit: int) -> Group:
    best: dict[str, Hit] = {}
    for hit in (_judged(hit, text.lower()) for hit in hits if hit.kind == place.kind):
        if hit.key not in best or hit.rank < best[hit.key].rank:
            best[hit.key] = hit
    ordered = sorted(best.values(), key=lambda hit: hit.rank)
    return Group(place.kind, place.label, place.icon, ordered[:limit], len(ordered) > limit)


def _judged(hit: Hit, text: str) -> Hit:
    title = hit.title.lower()
    rank = EXACT if title == text or title.startswith(f"{text} ") else BEGINS if title.startswith(text) else WORDS
    return replace(hit, rank=min(rank, hit.rank)) if hit.rank <= WORDS else hit
