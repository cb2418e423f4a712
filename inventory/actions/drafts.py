"""Keep a catalog that was read from elsewhere until its difference was looked at."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from inventory.actions.catalog import PERMISSION
from inventory.catalog import Estate
from inventory.models import CatalogDraft
from portal import clock
from portal.lifecycle import Actor, authorize


@transaction.atomic
def draft_catalog(
    estate: Estate, *, by: Actor, files: Iterable[tuple[str, bytes | str]], source: str = "", commit: str = ""
) -> CatalogDraft:
    """Keep the texts that declare ``estate`` so that exactly what was read can be applied. Old drafts are forgotten.

    Nothing of the estate is changed, so no event is recorded; applying records one.
    """
    authorize(by, PERMISSION)
    CatalogDraft.objects.filter(made_at__lt=clock.now() - CatalogDraft.KEPT).delete()
    texts = [[name, data.decode() if isinstance(data, bytes) else data] for name, data in files]
    facts = {"catalog": estate.catalog, "source": source[:300], "commit": commit[:64], "made_by_id": by.pk}
    return CatalogDraft.objects.create(files=texts, **facts)
