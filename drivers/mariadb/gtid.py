"""GTID positions and sets: text such as `0-1-270,7-3-12` (domain, server, sequence number).

Within a domain, with strict mode, numbers only grow. A *position* is the last transaction of each domain; a *state*
(`gtid_binlog_state`) the last of each server in each domain. Source: mariadb.com/kb/en/gtid/.
"""

from __future__ import annotations

import re

from drivers.errors import PermanentError

Gtids = dict[tuple[int, int], int]
"""The highest sequence number of each (domain, server)."""
_GTID = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,20})")


def parse(*texts: str | None) -> Gtids:
    """The highest number of each domain and server over all `texts`; `PermanentError` for anything else."""
    highest: Gtids = {}
    for word in (word.strip() for text in texts for word in (text or "").split(",")):
        if not word:
            continue
        if not (match := _GTID.fullmatch(word)):
            raise PermanentError(f"not a GTID: {word[:60]!r}")
        domain, server, number = map(int, match.groups())
        highest[domain, server] = max(number, highest.get((domain, server), -1))
    return highest


def shown(gtids: Gtids) -> str:
    """As MariaDB writes it, sorted."""
    return ",".join(f"{domain}-{server}-{number}" for (domain, server), number in sorted(gtids.items()))


def beyond(here: Gtids, there: Gtids) -> Gtids:
    """What is here and was never there: the last such transaction of each domain and server."""
    return {key: number for key, number in here.items() if number > there.get(key, -1)}


def covers(reached: str | None, wanted: str | None) -> bool:
    """Whether the position `reached` is as far as the position `wanted` in each of its domains.

    Only meaningful within one history; whether two servers share theirs is what `beyond` tells.
    """
    have: dict[int, int] = {}
    for (domain, _), number in parse(reached).items():
        have[domain] = max(number, have.get(domain, -1))
    return all(have.get(domain, -1) >= number for (domain, _), number in parse(wanted).items())
