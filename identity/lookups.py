"""``slug__among=[…]``: a lookup that sends its values as one array.

``__in`` makes a parameter of each: with thousands, taking the statement apart costs more than running it.
"""

from __future__ import annotations

from typing import Any

from django.db import models


@models.ForeignKey.register_lookup
@models.Field.register_lookup
class Among(models.Lookup):  # type: ignore[type-arg]
    """``column = ANY (array)``."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} = ANY(%s)", [*params, list(self.rhs)]
