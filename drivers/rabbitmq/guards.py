"""Read permissions that leave a queue out.

RabbitMQ 3.10 cannot pause a queue: a policy does not stop consumers, and taking bindings or lowering a length limit
loses messages. What it can do is refuse an account to read from a queue, and end connections. A read permission is a
regular expression (PCRE), so the queue is left out of it by a negative look-ahead, with the former expression kept
inside, from where it is brought back. Source: rabbitmq.com/docs/access-control.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_GUARDED = re.compile(r"\^((?:\(\?!(?:\\.|[^\\()])+\\z\))+)\(\?s:\.\*\?\)\(\?:(.*)\)", re.DOTALL)
_NAME = re.compile(r"\(\?!((?:\\.|[^\\()])+)\\z\)", re.DOTALL)
_PLAIN = re.compile(r"[^\w-]")


@dataclass(frozen=True, slots=True)
class Guard:
    """A read permission: the expression somebody has chosen, and the queues that are left out of it now."""

    chosen: str
    queues: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, expression: str) -> Guard:
        """The guard that `expression` is; one without queues when nobody is left out."""
        found = _GUARDED.fullmatch(expression)
        if not found:
            return cls(expression)
        names = _NAME.findall(found[1])
        return cls(found[2], frozenset(re.sub(r"\\(.)", r"\1", name, flags=re.DOTALL) for name in names))

    @property
    def expression(self) -> str:
        """The permission as the broker keeps it; exactly what was chosen when no queue is left out."""
        if not self.queues:
            return self.chosen
        # Every sign but letters, digits, _ and - is escaped, so a name can neither end its group nor mean something.
        names = (_PLAIN.sub(lambda sign: "\\" + sign[0], name) for name in sorted(self.queues))
        return "^" + "".join(f"(?!{name}\\z)" for name in names) + f"(?s:.*?)(?:{self.chosen})"

    def without(self, queue: str) -> Guard:
        """The same permission, with `queue` left out."""
        return replace(self, queues=self.queues | {queue})

    def again(self, queue: str) -> Guard:
        """The same permission, with `queue` no longer left out."""
        return replace(self, queues=self.queues - {queue})

    def reads(self, queue: str) -> bool:
        """Whether what was chosen lets read from `queue`; yes, when Python does not understand the expression."""
        if not self.chosen:  # RabbitMQ: the empty expression matches nothing
            return False
        try:
            return re.search(self.chosen, queue) is not None
        except re.error:
            return True
