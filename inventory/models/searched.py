"""Tables of any size that people search by names and words."""

from __future__ import annotations

from typing import Self, TypeVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Collate, Lower, Upper

from identity.scoping import ScopedQuerySet
from portal.search import matching
from portal.search.words import PENDING

M = TypeVar("M", bound=models.Model)


def searched_indexes(noun: str) -> list[models.Index]:
    """What finds names that begin so, and what stands within words, in a table of any size."""
    return [
        models.Index(Collate(Lower("name"), "C"), name=f"{noun}_by_name"),
        GinIndex(
            OpClass(Upper("slug"), name="gin_trgm_ops"),
            OpClass(Upper("name"), name="gin_trgm_ops"),
            name=f"{noun}_within",
            gin_pending_list_limit=PENDING,
        ),
    ]


class Searched(ScopedQuerySet[M]):
    """QuerySet of a large table that people search."""

    def search(self, text: str) -> Self:
        """Rows that ``?q=`` asks for, see ``portal.search.matching``: call ``visible_to`` first."""
        return matching(self, text, inside="slug")
