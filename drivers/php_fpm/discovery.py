"""A PHP-FPM pool as a thing, and the other pools of the same master."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.discovery import Listing, Thing, listing, tcp
from drivers.errors import DriverError
from drivers.php_fpm import pool_file

if TYPE_CHECKING:
    from drivers.php_fpm.driver import PhpFpm

_SECTION = re.compile(r"^\s*\[([^\]]+)\]", re.MULTILINE)


def discover(driver: PhpFpm) -> list[Listing]:
    """Two scopes: the pool of the connection, as it runs; and the pools that the configuration files declare."""
    pong = driver._page(driver.ping_path)
    status = driver.status()
    version = pong.headers.get("x-powered-by", "").removeprefix("PHP/") or None
    own = Thing(
        "fpm_pool",
        driver.pool,
        fields={
            "software": "PHP-FPM",
            "version": version,
            "pool": driver.pool,
            "manager_mode": status["process manager"],
            "max_children": _number(pool_file.value_of(driver.parameter("pm.max_children"))),
        },
        addresses=(tcp(*driver.address),) if not isinstance(driver.address, str) else (),
    )
    problems: list[object] = []
    texts = _texts(driver, problems)
    names = sorted({name for text in texts for name in _SECTION.findall(text)} - {"global", driver.pool})
    others = [Thing("fpm_pool", name, f"pool/{name}", _declared(name, texts)) for name in names]
    return [listing("pool", [own]), listing("pools", others, problems)]


def _texts(driver: PhpFpm, problems: list[object]) -> list[str]:
    """The main file and all that it includes."""
    main = driver.machine.read(driver.config)
    texts = [main]
    for pattern in pool_file.includes(main):
        for path in driver.machine.matching(pattern):
            try:
                texts.append(driver.machine.read(Path(path)))
            except DriverError as error:
                problems.append(error)
    return texts


def _declared(name: str, texts: list[str]) -> dict[str, Any]:
    def said(parameter: str) -> str | None:
        lines = [line for text in texts if (line := pool_file.line_of(text, name, parameter))]
        return pool_file.value_of(lines[-1]) if lines else None

    mode, most = said("pm"), _number(said("pm.max_children"))
    return {"software": "PHP-FPM", "pool": name, "manager_mode": mode, "max_children": most}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
