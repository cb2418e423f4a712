"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ["portal", "identity", "operations", "inventory", "observability", "incidents", "access", "deployments"]
CODE = [*APPS, "drivers", "lab"]
BUDGETS = {"module": 300, "function": 40, "view": 25, "template": 120, "css": 150}
LEDGER = ROOT / "tests" / "structure" / "ledger.txt"


@cache
def modules(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "migrations" not in path.parts and "node_modules" not in path.parts
    ]


@cache
def text(path: Path) -> str:
    return path.read_text()


def lines(path: Path) -> int:
    return len(text(path).splitlines())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a file, those within classes and functions too; expressions hold none and are passed over."""
    waiting: list[ast.AST] = [ast.parse(text(path))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]


def ledger() -> dict[str, str]:
    """What is allowed to exceed its budget: ``<date> <what> <limit> <reason>`` a line."""
    entries = {}
    for line in LEDGER.read_text().splitlines():
        if line and not line.startswith("#"):
            day, what, limit, reason = line.split(maxsplit=3)
            date.fromisoformat(day)
            assert reason.strip(), line
            entries[what] = limit
    return entries


@cache
def over_budget() -> dict[str, int]:
    found = {}
    for path in modules(*CODE):
        name = str(path.relative_to(ROOT))
        if lines(path) > BUDGETS["module"]:
            found[name] = lines(path)
        limit = BUDGETS["view"] if path.stem == "views" or "views" in path.parts else BUDGETS["function"]
        for function in functions(path):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > limit:
                found[f"{name}:{function.name}"] = length
    for kind, pattern, where in (("template", "*.html", "templates"), ("css", "*.css", "static/css")):
        for path in sorted((ROOT / where).rglob(pattern)):
            if lines(path) > BUDGETS[kind]:
                found[str(path.relative_to(ROOT))] = lines(path)
    return found


def test_what_exceeds_its_budget_stands_in_the_ledger():
    allowed = ledger()
    excess = over_budget()
    unexplained = {name: size for name, size in excess.items() if size > int(allowed.get(name, 0))}
    assert unexplained == {}


def test_the_ledger_lists_nothing_that_fits_again():
    assert sorted(set(ledger()) - set(over_budget())) == []


@pytest.mark.parametrize(("part", "most"), [("kernel", 1790), ("screens", 1560), ("search", 800)])
def test_the_kernel_stays_small(part, most):
    """What apps stand on. Settings, commands and the embedded servers stand beside it (decision 5)."""
    screens, beside = {"ui", "templatetags"}, {"embedded", "management", "settings.py"}

    def belongs(path: Path) -> str:
        names = set(path.relative_to(ROOT / "portal").parts)
        return "" if names & beside else "search" if "search" in names else "screens" if names & screens else "kernel"

    assert sum(lines(path) for path in modules("portal") if belongs(path) == part) <= most


def test_there_is_no_utils_module():
    assert [path for path in modules(*CODE) if re.fullmatch(r"(utils?|helpers?|misc|common)", path.stem)] == []


@pytest.mark.parametrize("app", APPS)
def test_only_verbs_record_events(app):
    """``record()`` is called from actions; the kernel defines it."""
    outside = [
        str(path.relative_to(ROOT))
        for path in modules(app)
        if re.search(r"\bevents\.record\(|\brecord\(\s*f?\"", text(path)) and "actions" not in (path.stem, *path.parts)
    ]
    assert outside == []


@pytest.mark.parametrize("app", APPS)
def test_drivers_are_imported_only_where_the_world_is_touched(app):
    """Errors and secret references touch nothing."""
    allowed = {"plans", "reconcile", "collectors"}
    outside = [
        str(path.relative_to(ROOT))
        for path in modules(app)
        if re.search(r"^\s*(from|import) drivers\b(?!\.(errors|secret))", text(path), re.MULTILINE)
        and not allowed & {path.stem, *path.parts}
    ]
    assert outside == []


@pytest.mark.parametrize("app", APPS)
def test_every_serializer_and_form_names_its_fields(app):
    assert [str(path) for path in modules(app) if '__all__"\n' in text(path) and "fields" in text(path)] == []


@pytest.mark.parametrize("app", APPS)
def test_celery_carries_no_timers(app):
    """An ETA or a countdown would be lost with the broker."""
    assert [str(path) for path in modules(app) if re.search(r"\b(countdown|eta)\s*=", text(path))] == []


def test_no_template_holds_inline_script_or_style():
    offenders = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "templates").rglob("*.html")
        if "emails" not in path.parts
        and re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)|\sstyle=|<style|\son[a-z]+=\"", text(path))
    ]
    assert offenders == []


def test_every_test_can_fail():
    """A test without an assertion, an expected refusal or a checking helper proves nothing."""
    checks = re.compile(r"\bassert\b|pytest\.raises|\.assert_|expect|django_assert|refuses|prove|\bask\(")
    empty = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        written = text(path).splitlines()
        for function in functions(path):
            body = "\n".join(written[function.lineno - 1 : function.end_lineno])
            if function.name.startswith("test_") and not checks.search(body):
                empty.append(f"{path.relative_to(ROOT)}:{function.name}")
    assert empty == []


def test_no_file_names_a_registry():
    registries = re.compile("pypi" + r"\.org|python" + r"hosted|registry\.npm" + r"js|deb\.debian" + r"\.org")
    named = [
        path.name
        for path in [*ROOT.glob("*.txt"), *ROOT.glob("*.in"), *ROOT.glob("*.json"), ROOT / "Makefile"]
        if registries.search(text(path))
    ]
    assert named == []
