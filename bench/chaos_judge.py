"""The verdict on a run of ``chaos``: what the targets counted, held against what the steps say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench import plans
from bench.chaos_cast import KEPT, Cast, Wanted
from bench.table import show
from operations.models import Operation

STATES = ("done", "undone", "stuck")
SHOWN = 20


@dataclass(frozen=True)
class Told:
    """One step as its row has it, and how often its target did it and took it back."""

    label: str
    state: str
    acted: bool
    done: int
    back: int

    @property
    def doubled(self) -> bool:
        return self.done > 1 or self.back > 1

    @property
    def there(self) -> int:
        return self.done - self.back

    @property
    def half(self) -> bool:
        """Whether the target shows something else than the row. A step whose undo was refused is there still."""
        wanted = {"done": {1}, "undone": {0}, "pending": {0}, "skipped": {0}, "failed": {1}}
        return self.there not in wanted.get(self.state, set())


def judge(cast: Cast, asked: dict[str, Operation]) -> list[str]:
    """Print the tables; every invariant that is broken, as a sentence."""
    found = Operation.objects.filter(pk__in=[each.pk for each in asked.values()]).prefetch_related("steps")
    rows = {each.pk: each for each in found}
    operations = [(each, rows[asked[each.key].pk]) for each in cast.wanted if each.key in asked]
    broken = (
        [] if len(operations) == len(cast.wanted) else [f"{len(cast.wanted) - len(operations)} were never asked for"]
    )
    if doubled := len(operations) - len({row.pk for _, row in operations}):
        broken.append(f"{doubled} keys gave an operation that is another's")
    broken += [_never_ended(row) for _, row in operations if row.state not in STATES or _unreasoned(row)]
    _ends(cast, operations)
    tallied = list(_tallied(cast, operations))
    served = list(_served(cast, operations))
    show(
        f"Seed {cast.seed}: what the targets counted against what the steps say",
        (
            *("target", "steps done", "undone", "failed", "not begun", "effects received", "taken back"),
            *("left there", "doubled effects", "half-done"),
        ),
        [_counted("counting daemon", tallied), _counted("Valkey servers", served)],
    )
    broken += [
        f"{each.label} was done {each.done} times, back {each.back}" for each in tallied + served if each.doubled
    ]
    broken += [f"{each.label} is {each.state}, its target has {each.there}" for each in tallied + served if each.half]
    broken += [*_servers_show(cast, operations)]
    _tries(cast, operations)
    return broken


def _never_ended(row: Operation) -> str:
    return f"{row.label} is {row.state}; waits for: {row.waiting_for!r}, stuck: {row.stuck_reason!r}"


def _unreasoned(row: Operation) -> bool:
    return (row.state == "stuck" and not row.stuck_reason) or (row.state == "undone" and not row.failure)


def _ends(cast: Cast, operations: list[tuple[Wanted, Operation]]) -> None:
    groups: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for wanted, row in operations:
        groups[wanted.plan, wanted.ends][row.state if row.state in STATES else "not ended"] += 1
    lines = [
        (plan, ends, sum(counted.values()), *(counted[state] for state in (*STATES, "not ended")))
        for (plan, ends), counted in sorted(groups.items())
    ]
    total = [sum(line[place] for line in lines) for place in range(2, 7)]  # type: ignore[misc]
    head = ("plan", "meant to end", "asked", *STATES, "not ended")
    show(f"Seed {cast.seed}: operations by how they ended", head, [*lines, ("all", "", *total)])
    others = [
        (row.label, wanted.ends, row.state, row.failure[:90]) for wanted, row in operations if row.state != wanted.ends
    ]
    if others:
        head = ("operation", "meant to end", "ended", "because")
        show(f"Seed {cast.seed}: those that ended otherwise than meant", head, others[:SHOWN])


def _tallied(cast: Cast, operations: list[tuple[Wanted, Operation]]) -> Iterator[Told]:
    done: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for line in cast.journal:
        done[line["name"]] += line["change"] == 1
        back[line["name"]] += line["change"] == -1
    for wanted, row in operations:
        if wanted.plan == plans.TALLY:
            for step in row.steps.all():
                name = f"{wanted.key}/{step.position}"
                yield Told(f"{row.label} ({name})", step.state, step.acted, done[name], back[name])


def _served(cast: Cast, operations: list[tuple[Wanted, Operation]]) -> Iterator[Told]:
    commands = {cast.slug(server.name): server.commands() for server in cast.servers}
    for wanted, row in operations:
        told = commands.get(wanted.component, [])
        (step, *_) = row.steps.all()
        if wanted.plan == "redis.set-parameter":
            done = told.count(f"CONFIG SET {wanted.params['name']} {wanted.params['value']}")
        elif wanted.plan == "redis.flush-prefix":
            # A worker that died between the last batch and the mark leaves none: nothing is left to be deleted then.
            mark = f"edye-portal:flushed:{step.arguments['before']['mark']}"
            done = max(1, sum(mark in line and '"done"' in line for line in told))
        else:
            continue
        back = 1 if step.state == "undone" and step.acted and done else 0
        yield Told(f"{row.label} ({wanted.key})", step.state, step.acted, done, back)


def _servers_show(cast: Cast, operations: list[tuple[Wanted, Operation]]) -> Iterator[str]:
    """What the servers themselves say at the end: their own count of settings, the last one, the keys left."""
    for server in cast.servers:
        mine = [(each, row) for each, row in operations if each.component == cast.slug(server.name)]
        sets = [each for each, row in mine if each.plan == "redis.set-parameter" and row.state == "done"]
        told, now, cached, kept = server.statistics()
        undone = any(row.state != "done" for _, row in mine)
        if not undone and told != len(sets):
            yield f"{server.name} counted {told} CONFIG SET, {len(sets)} operations are done"
        last = {each.params["name"]: each.params["value"] for each in sets}
        if not undone and last != {name: now[name] for name in last}:
            yield f"{server.name} has {now}, and should have {last}"
        if kept != KEPT or (cached and not undone):
            yield f"{server.name} has {cached} keys that were to be deleted and {kept} of {KEPT} that were not"


def _counted(target: str, steps: list[Told]) -> tuple[object, ...]:
    states = Counter(each.state for each in steps)
    idle = sum(states[state] for state in ("pending", "skipped"))
    effects, back = sum(each.done for each in steps), sum(each.back for each in steps)
    doubled, half = sum(each.doubled for each in steps), sum(each.half for each in steps)
    recorded = (states["done"], states["undone"], states["failed"], idle)
    return (target, *recorded, effects, back, effects - back, doubled, half)


def _tries(cast: Cast, operations: list[tuple[Wanted, Operation]]) -> None:
    """How often steps were begun again, and whether a worker that had lost its claim still reached a target."""
    tries = Counter(min(step.attempts, 6) for _, row in operations for step in row.steps.all())
    newest: dict[str, int] = defaultdict(int)
    late = 0
    answers: Counter[int] = Counter()
    for line in cast.journal:
        thing, fence = line["name"].partition("-")[0], int(line["fence"] or 0)
        late += bool(line["change"]) and fence < newest[thing]
        newest[thing] = max(newest[thing], fence)
        answers[line["answer"]] += 1
    head = (
        "begun once",
        "twice",
        "3 times",
        "4",
        "5",
        "more",
        "refused for now",
        "answers lost",
        "refused",
        "late acts",
    )
    counted: tuple[Any, ...] = tuple(tries[times] for times in range(1, 7))
    show(
        f"Seed {cast.seed}: steps by tries, and what the counting daemon answered",
        head,
        [(*counted, answers[503], answers[0], answers[422] + answers[409], late)],
    )
