"""Finding: one statement over all tables, in which each noun's ``visible_to`` stands; the limit comes last.

Exact names come before beginnings, those before words; what stands inside of words, and what was mistyped, is looked
for only when that finds nothing that the reader may see. So what somebody may not see changes no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import Case, CharField, Exists, F, Q, QuerySet, TextField, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Collate, Lower, Upper

from portal.prepared import Reader, Slot
from portal.search.kept import Kept, Like, ask, fenced, keep
from portal.search.sources import Offer, Offers, Source, known, registry
from portal.search.words import LEAST_PREFIX, NEAR, Matches, Near, Query, edits, guess, neighbours, read

EXACT, BEGINS, WORDS, INSIDE, ALIKE, GUESSED, NEARBY = range(7)
SHOWN, LEAST_INSIDE, KEPT, FEW = 6, 3, 512, 300
Limb = QuerySet[Any, Any]
Row = tuple[Any, ...]
DIRECTLY = f"""WITH found (rank, kind, key, title, detail, name) AS MATERIALIZED ({{}})
    SELECT * FROM found UNION ALL
    SELECT {NEARBY}, '', typed, near, place, '' FROM ({NEAR}) nearby WHERE NOT EXISTS (SELECT FROM found)"""  # noqa: S608
NOTHING = Kept("(SELECT 0, '', '', '', '', '' WHERE false)", {})


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


def find(
    user: Any,
    text: str,
    *,
    held: Iterable[str] = (),
    tables: Iterable[str] | None = None,
    kind: str = "",
    limit: int = SHOWN,
) -> Found:
    """What ``user``, who holds the actions ``held`` somewhere, may see of what ``text`` asks for; so many each kind.

    ``tables``: only these have all words (``which``); without them every table is asked, which costs more planning.
    """
    query = read(text)
    if not query.words:
        return Found(query, [])
    places = [each for each in known() if not kind or each.kind == kind]
    sources = [each for each in places if isinstance(each, Source)]
    lists = [each for each in places if isinstance(each, Offers)]
    rows = _directly(user, query, sources, limit + 1, frozenset(_tables() if tables is None else tables))
    hits = _hits(row for row in rows if row[0] != NEARBY) + _offered(lists, user, frozenset(held), query)
    if not hits:
        found = _hits(_otherwise(user, query, sources, limit + 1, [row[2:5] for row in rows]))
        inside = [hit for hit in found if hit.rank == INSIDE]
        hits = inside or found + _offered(lists, user, frozenset(held), query, slips=True)
    groups = [_group(each, hits, query.text, limit) for each in places]
    return Found(query, [group for group in groups if group.hits], any(hit.rank >= ALIKE for hit in hits))


def which(text: str) -> RawSQL:
    """The tables that have all words of ``text``, as an expression that a query may carry along."""
    query = read(text)
    tail = "\U0010ffff" if query.words and len(query.words[-1]) >= LEAST_PREFIX else ""
    return RawSQL(
        "portal_search_tables(%s::text[], %s, %s::text[], %s)", [list(_tables()), query.text, list(query.words), tail]
    )


def matching[R: QuerySet[Any, Any]](rows: R, text: str, *, words: str = "pk", inside: str = "") -> R:
    """``rows`` that ``text`` means, see ``understood``.

    Limit to what the reader may see first: what is hidden must not decide how the text is understood.
    """
    query = read(text)
    if not query.words:
        return rows.none() if query.text else rows
    return rows.filter(understood(rows, query, words=words, inside=inside)(""))


def understood(rows: QuerySet[Any, Any], query: Query, *, words: str, inside: str = "") -> Callable[[str], Q]:
    """How ``rows`` understand ``query``, as a condition for a given path to them ("source__"; "" for themselves).

    Every word (the last may be a beginning), else the text within ``inside``: one statement; else slips: two more. They
    bring the keys of a few rows, because PostgreSQL takes matches to be spread evenly over the order of a list.
    """

    def worded(tsquery: str) -> Callable[[str], Q]:
        dear = len(query.words) > 1
        return lambda path: Q(Matches(f"{path}{words}", Value(tsquery), by_index=dear and not path))

    within = [lambda path: Q((f"{path}{inside}__icontains", query.text))] if inside else []
    if not (found := _first_way(rows.order_by(), [worded(query.tsquery), *within])):
        with connection.cursor() as cursor:
            cursor.execute(NEAR, neighbours(query))
            slips = guess(query, cursor.fetchall())
        found = _first_way(rows.order_by(), [worded(slips[1])]) if slips else None
    return found or (lambda path: Q((f"{path}pk__in", ())))


def _first_way(rows: QuerySet[Any, Any], ways: list[Callable[[str], Q]]) -> Callable[[str], Q] | None:
    """The first of ``ways`` in which rows fit; when they are few, by their keys. One query."""
    limbs = []
    for place, way in enumerate(ways):
        fitting = rows.filter(way(""), ~Exists(rows.filter(ways[0]("")))) if place else rows.filter(way(""))
        limbs.append(fitting.annotate(way_taken=Value(place)).values_list("way_taken", "pk")[: FEW + 1])
    found = list(limbs[0].union(*limbs[1:], all=True).order_by() if len(limbs) > 1 else limbs[0])
    keys = [key for _, key in found[: FEW + 1]]
    return None if not found else ways[found[0][0]] if len(found) > FEW else lambda path: Q((f"{path}pk__in", keys))


def named(user: Any, wanted: list[tuple[str, str]]) -> list[Hit]:
    """Those of the (kind, key) pairs that ``user`` may still see, in the given order. One statement, or none."""
    limbs = []
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        if isinstance(place := registry.get(kind), Source):
            keys = [key for of, key in wanted if of == kind]
            limbs.append(_shown(place, place.rows(user).filter(pk__in=keys), EXACT))
    rows = limbs[0].union(*limbs[1:], all=True).order_by() if len(limbs) > 1 else limbs[0] if limbs else ()
    found = {(hit.kind, hit.key): hit for hit in _hits(rows)}
    return [found[pair] for pair in wanted if pair in found]


def _bound(query: Query, tables: Iterable[Source]) -> dict[str, Any]:
    """What the statements leave open of a text."""
    lower, like = query.text.lower(), connection.ops.prep_for_like_query
    bound: dict[str, Any] = {"text": query.text, "lower": lower, "upper": query.text.upper(), "tsquery": query.tsquery}
    bound |= {f"word {place}": f"%{like(word)}%" for place, word in enumerate(query.words)}
    bound |= {table.number[0]: table.numbered(query.text) for table in tables if table.number[1]}
    return bound | {"beginning": f"{like(lower)}%"}


def _tables() -> set[str]:
    return {table for each in registry.values() if isinstance(each, Source) for table in each.tables}


def _directly(user: Any, query: Query, sources: list[Source], limit: int, tables: frozenset[str]) -> list[Row]:
    """Exact names, beginnings and words of the tables that may have them; or else the known words nearby."""
    reader, bound = Reader.like(user), _bound(query, sources)
    kept = [NOTHING]
    for each in sources:
        knows = bool(each.tables & tables) or bound.get(each.number[0]) is not None
        if knows or each.first:
            kept.append(_named_or_worded(reader, each, limit, knows))
    return ask(kept, user, bound | neighbours(query), DIRECTLY)


@lru_cache(KEPT)
def _named_or_worded(reader: Reader, table: Source, limit: int, knows: bool) -> Kept:
    """``knows``: the table has the words; otherwise only a name can begin with them."""
    limbs = _limbs(table, _visible(table, reader), limit)
    return keep([_shown(table, rows, rank)[:limit] for rank, rows in limbs if knows or rank == BEGINS], table.kind)


def _visible(table: Source, reader: Reader) -> Limb:
    rows = table.rows(reader).order_by()
    return fenced(rows) if table.large else rows


def _limbs(table: Source, rows: Limb, limit: int) -> Iterator[tuple[int, Limb]]:
    """A large table gives each from an index and stops early."""
    exact, query = table.named, Slot("tsquery")
    matching = rows.filter(Matches(table.words, query, by_index=table.large))
    if not table.large:
        # One part of the statement instead of two: planning them is most of what a search costs the database.
        fits = rows.filter(exact | Q(Matches(table.words, query))) if exact else matching
        first = [Case(When(exact, then=0), default=1)] if exact else []
        yield WORDS, fits.order_by(*first, table.order)
        return
    if exact:
        yield EXACT, rows.filter(exact)
    if table.first:
        begins = rows.annotate(begins=Collate(Lower(table.first), "C")).filter(Like(F("begins"), Slot("beginning")))
        begins = begins.order_by("begins")
        yield BEGINS, begins
        # Evaluated once, before the index of words is opened: a list that is full already needs none.
        matching = matching.filter(~Exists(begins[limit - 1 : limit]))
    yield WORDS, matching


def _otherwise(user: Any, query: Query, sources: list[Source], limit: int, near: Near) -> list[Row]:
    """What stands inside of words; and, of the tables that have one near each word, what was probably meant."""
    reader, slips, words = Reader.like(user), guess(query, near), len(query.words)
    bound = _bound(query, sources) | dict(zip(("one slip", "slips"), slips or ("", ""), strict=True))
    inside = words if max(map(len, query.words)) >= LEAST_INSIDE else 0
    has = {(typed, place) for typed, _, place in near}
    kept = []
    for each in sources:
        alike = slips and all(any((word, place) in has for place in each.tables) for word in query.words)
        if alike or (each.inside and inside):
            kept.append(_inside_or_alike(reader, each, limit, inside, min(words, 2) if alike else 0))
    return ask(kept, user, bound)


@lru_cache(KEPT)
def _inside_or_alike(reader: Reader, table: Source, limit: int, inside: int, alike: int) -> Kept:
    """Either is asked with so many words; none, not at all."""
    rows, limbs = _visible(table, reader), []
    if table.inside and inside:
        within = (Like(Upper(table.inside), Upper(Slot(f"word {place}"))) for place in range(inside))
        limbs.append(_shown(table, rows.filter(*within), INSIDE)[:limit])
    for rank, slip in ((ALIKE, "one slip"), (GUESSED, "slips"))[:alike]:
        limbs.append(_shown(table, rows.filter(Matches(table.words, Slot(slip), by_index=True)), rank)[:limit])
    return keep(limbs, table.kind)


def _hits(rows: Iterable[Row]) -> list[Hit]:
    made = []
    for rank, kind, key, title, detail, name in rows:
        place = registry[kind]
        assert isinstance(place, Source)
        made.append(Hit(kind, key, title, detail, place.url(name), rank))
    return made


def _shown(table: Source, rows: Limb, rank: int) -> Limb:
    return rows.values_list(
        Value(rank), Value(table.kind, CharField()), Cast("pk", TextField()),
        table.text("title"), table.text("detail"), table.text("key"),
    )  # fmt: skip


def _offered(places: list[Offers], user: Any, held: frozenset[str], query: Query, slips: bool = False) -> list[Hit]:
    near = [{word, *edits(word)} if slips else {word} for word in query.words]
    hits = []
    for place in places:
        for offer in place.made(user, held):
            rank = _fits(offer, query, near)
            if rank is not None:
                rank = ALIKE if slips else rank
                hits.append(Hit(place.kind, offer.url, offer.title, offer.detail, offer.url, rank))
    return hits


def _fits(offer: Offer, query: Query, near: list[set[str]]) -> int | None:
    has = read(f"{offer.title} {offer.words}").words
    if not all(
        any(own in nearby or own.startswith(word) for own in has)
        for word, nearby in zip(query.words, near, strict=True)
    ):
        return None
    return EXACT if offer.title.lower() == query.text.lower() else BEGINS


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
