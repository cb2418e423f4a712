"""What can be found: tables that apps register, and pages, plans and actions that stand in no table."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from portal.prepared import Reader, Slot


@dataclass(frozen=True, eq=False)
class Source:
    """One table that people search. ``rows`` gives what an account may see of it: the noun's own ``visible_to``, which
    asks the account for nothing but ``pk``, ``is_active`` and ``is_authenticated`` (see ``portal.search.kept``).

    ``title`` and ``detail`` are shown. ``page``: the name of the address that ``key`` completes; ``listed``: that of a
    list that is narrowed to ``key``, for what has no page of its own. ``exact``: unique columns that name one row;
    ``number``: the letters before a number, and its column ("INC-42"). ``first``: a column of names with an index on
    ``Collate(Lower(…), "C")``, by which a table of any size gives the names that begin so. ``inside``: a column with a
    trigram index on ``Upper(…)``, for what stands within words. ``words``: any column of the table that has the words.
    A ``large`` table gives the words it finds first, others by ``order``.
    """

    kind: str
    label: str
    icon: str
    rows: Callable[[Any], QuerySet[Any]]
    page: str = ""
    listed: str = ""
    title: str | Combinable = "name"
    detail: str | Combinable | None = None
    key: str | Combinable = "slug"
    exact: tuple[str, ...] = ()
    number: tuple[str, str] = ("", "")
    first: str = ""
    inside: str = ""
    words: str = "pk"
    order: str = "slug"
    large: bool = False
    place: int = 100

    def text(self, what: str) -> Coalesce:
        """``title``, ``detail`` or ``key`` as a text in a query."""
        value = getattr(self, what)
        return Coalesce(Cast(Value("") if value is None else value, TextField()), Value("", TextField()))

    @functools.cached_property
    def tables(self) -> frozenset[str]:
        """Where its words are: in its own table, and in the one that ``words`` leads to."""
        model = self.rows(Reader(None, is_authenticated=True, is_active=True)).model
        other = model
        for step in self.words.split("__")[:-1]:
            other = other._meta.get_field(step).related_model
        return frozenset({model._meta.db_table, other._meta.db_table})

    @property
    def named(self) -> Q | None:
        """What is named by the text, as it is or in one case of letters."""
        found = [Q(**{f"{column}__in": [Slot("text"), Slot("lower"), Slot("upper")]}) for column in self.exact]
        if self.number[1]:
            found.append(Q(**{self.number[1]: Slot(self.number[0])}))
        return functools.reduce(operator.or_, found) if found else None

    def numbered(self, text: str) -> int | None:
        """The number that ``text`` asks for, if any."""
        asked = re.fullmatch(rf"(?:{self.number[0]}-?)?([0-9]{{1,9}})", text, re.IGNORECASE)
        return int(asked[1]) if asked else None

    def url(self, key: str) -> str:
        if self.listed:
            return f"{reverse(self.listed)}?{urlencode({'q': key})}"
        try:
            return reverse(self.page, args=[key])
        except NoReverseMatch:
            return ""


@dataclass(frozen=True)
class Offer:
    """A place to go or a thing to do, found by the words of its ``title`` and ``words``."""

    title: str
    url: str
    words: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Offers:
    kind: str
    label: str
    icon: str
    makers: list[Callable[[Any, frozenset[str]], Iterable[Offer]]]
    place: int

    def made(self, reader: Any, held: frozenset[str]) -> Iterator[Offer]:
        for maker in self.makers:
            yield from maker(reader, held)


registry: dict[str, Source | Offers] = {}


def source(kind: str, label: str, **facts: Any) -> None:
    """Register a table to be searched; see ``Source``."""
    registry[kind] = Source(kind, label, **facts)


def offers(kind: str, label: str, *, icon: str, place: int = 100) -> Callable[[Any], Any]:
    """Register a function of (account, actions it holds anywhere) that gives offers. A kind may have several."""

    def register(maker: Any) -> Any:
        offered = registry.setdefault(kind, Offers(kind, label, icon, [], place))
        assert isinstance(offered, Offers)
        offered.makers.append(maker)
        return maker

    return register


def known() -> list[Source | Offers]:
    """Everything that can be found, in the order in which groups are shown."""
    return sorted(registry.values(), key=lambda each: (each.place, each.label))
