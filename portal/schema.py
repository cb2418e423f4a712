"""The API's OpenAPI schema, made once per process. Apart from ``portal.api``, which apps load before all routes."""

from __future__ import annotations

import functools
from typing import Any

from drf_spectacular.generators import SchemaGenerator


class OnceMade(SchemaGenerator):
    """Walking every route takes most of a second of processor, and the answer is the same for every reader."""

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        if public and self.api_version is None:
            return whole()
        return super().get_schema(request, public)  # type: ignore[no-untyped-call]


@functools.cache
def whole() -> Any:
    """The schema of every route. Not to be changed by whoever reads it."""
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
