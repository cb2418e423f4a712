"""Tables of any size that people search by names and words."""

from __future__ import annotations

from typing import Self, TypeVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Collate, Lower, Upper

from identity.scoping import ScopedQuerySet
from portal.search import Matches, guess, read

M = TypeVar("M", bound=models.Model)


def searched_indexes(noun: str) -> list[models.Index]:
    """What finds names that begin so, and what stands within words, in a table of any size."""
    return [
        models.Index(Collate(Lower("name"), "C"), name=f"{noun}_by_name"),
        GinIndex(OpClass(Upper("slug"), name="gin_trgm_ops"), name=f"{noun}_within"),
    ]


class Searched(ScopedQuerySet[M]):
    """QuerySet of a large table that people search."""

    def search(self, text: str) -> Self:
        """Rows with every word of ``text`` (the last may be a beginning), or with ``text`` within their slug.

        When none of these rows matches, those with one slip in a word, or words alike. Costs a query of its own for
        that. Limit to what the reader may see first: what is hidden must not decide how the text is understood.
        """
        query = read(text)
        if not query.words:
            return self.none() if query.text else self
        rows = self.filter(Q(slug__icontains=query.text) | Q(Matches("pk", query)))
        slips = None if rows.order_by().exists() else guess(query)
        return self.filter(Matches("pk", slips[1])) if slips else rows
