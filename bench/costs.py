"""What a case of ``bench.inventory`` costs a system, and the tables that are printed of it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.systems import SYSTEMS
from bench.table import show


@dataclass
class Cost:
    """What one request took, as the median of several; all but ``ms`` and ``kilobytes`` as their mean.

    ``later``: statements and milliseconds of processor of the jobs that it left behind.
    """

    statements: float
    database_ms: float
    app_ms: float
    db_ms: float
    ms: float
    kilobytes: float
    later: tuple[float, float] = (0, 0)

    @property
    def cpu_ms(self) -> float:
        return self.app_ms + self.db_ms


Sizes = dict[int, dict[str, Cost]]
"""By the number of components, then by case."""
HEAD = ("", "statements", "database ms", "CPU ms app", "CPU ms db", "ms", "kB")


def tell(name: str, sizes: Sizes, batch: int) -> None:
    """The tables of one system; ``batch``: how many objects the cases named after it write at once."""
    for size, costs in sizes.items():
        rows = [(what, c.statements, c.database_ms, c.app_ms, c.db_ms, c.ms, c.kilobytes) for what, c in costs.items()]
        show(f"{name}, {size:,} components", HEAD, rows)
        many = {what: c for what, c in costs.items() if str(batch) in what}
        rows = [(what, 1000 * batch / c.ms, c.statements / batch) for what, c in many.items()]
        show(f"{name}, {size:,}: written in batches of {batch}", ("", "objects/s", "statements each"), rows)
        left = [(what, *c.later) for what, c in costs.items() if c.later[0]]
        if left:
            show(f"{name}, {size:,}: jobs that each request left behind", ("", "statements", "CPU ms"), left)
    if len(sizes) > 1:
        small, large = min(sizes), max(sizes)
        less, more = sizes[small], sizes[large]
        rows = [
            (what, _ratio(more[what].database_ms, one.database_ms), _ratio(more[what].cpu_ms, one.cpu_ms),
             _ratio(more[what].ms, one.ms))
            for what, one in less.items()
        ]  # fmt: skip
        show(f"{name}: {large:,} against {small:,}", ("", "database", "CPU", "ms"), rows)


def compare(found: dict[str, Sizes]) -> None:
    """What the first system takes of what each other one takes, with as many components where both were measured so."""
    (first, sizes), *others = found.items()
    for name, theirs in others:
        size = max(theirs)
        held = size if size in sizes else max(sizes)
        own = sizes[held]
        same = SYSTEMS[name].same
        pairs = [
            (what, own[same.get(what, what)], c) for what, c in theirs[size].items() if same.get(what, what) in own
        ]
        head = ("", "CPU", *(f"{what} {who}" for what in ("statements", "database ms", "kB") for who in (first, name)))
        rows = [
            (what, _ratio(o.cpu_ms, c.cpu_ms), o.statements, c.statements, o.database_ms, c.database_ms, o.kilobytes,
             c.kilobytes)
            for what, o, c in pairs
        ]  # fmt: skip
        show(f"{first} with {held:,} components against {name} with {size:,}", head, rows)


def _ratio(one: float, other: float) -> float | str:
    return one / other if other else "–"
