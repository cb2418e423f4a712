"""Panels: what apps add to a screen of another app without either importing the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest


@dataclass(frozen=True)
class Panel:
    """A titled box: ``template`` is rendered with the page's context and ``context`` on top of it.

    ``slug`` is its ``id`` in the page. ``icon`` stands before the title; ``href`` leads to the whole story.
    """

    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)
    slug: str = ""
    icon: str = ""
    href: str = ""


Builder = Callable[[HttpRequest, Any], Panel | None]
_registry: dict[str, dict[str, tuple[int, Builder]]] = defaultdict(dict)


def panel(place: str, *, order: int = 100) -> Callable[[Builder], Builder]:
    """Add the function's panel to ``place`` ("service-detail"). It returns ``None`` when it has nothing to show."""

    def register(builder: Builder) -> Builder:
        _registry[place][f"{builder.__module__}.{builder.__qualname__}"] = (order, builder)
        return builder

    return register


def panels_for(request: HttpRequest, place: str, obj: Any = None) -> list[Panel]:
    """The panels of ``place`` for ``obj``, in order. Each builder asks for its reader's rights itself."""
    builders = [builder for _, builder in sorted(_registry[place].values(), key=lambda pair: pair[0])]
    return [made for builder in builders if (made := builder(request, obj)) is not None]
