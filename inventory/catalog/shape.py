"""What a well-formed catalog file looks like. Values are checked as everywhere else (``inventory.writing.fields``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from inventory.catalog.nouns import NOUNS, SECTIONS, Noun
from inventory.catalog.source import Document, Problem
from inventory.writing.fields import SLUG, Check, Wrong, text

Where = tuple[str, ...]
Found = Iterator[tuple[Where, str]]
MOST_RELIED = 20
_slug = text(50, blank=False, pattern=SLUG)


def _relied(value: Any) -> list[str]:
    if type(value) is not list or len(value) > MOST_RELIED:
        raise Wrong(f"This must be a list of at most {MOST_RELIED} catalogs.")
    return [_slug(each) for each in value]


_HEAD: dict[str, Check] = {"catalog": _slug, "relies_on": _relied}


def check(document: Document) -> Iterator[Problem]:
    """Every way in which the file is not as it should be. Values come into the form in which they are stored."""
    for where, sentence in _file(document.content):
        yield Problem(document.file, document.line(where), sentence)


def said(name: str, sentence: str) -> str:
    """A sentence about a field that is not in sight, with its name."""
    return sentence.replace("This ", f"“{name}” ", 1) if sentence.startswith("This ") else sentence


def _file(content: dict[str, Any]) -> Found:
    for name, value in content.items():
        if name in _HEAD:
            yield from _value((name,), content, name, _HEAD[name])
        elif name == "components":
            yield from _rows((name,), value, NOUNS["component"], _component)
        elif name == "dependencies":
            yield from _rows((name,), value, NOUNS["dependency"], _targets)
        elif name in SECTIONS:
            noun = next(noun for noun in NOUNS.values() if noun.section == name)
            yield from _rows((name,), value, noun, _row)
        else:
            yield (name,), _unknown(name, {*_HEAD, *SECTIONS})


def _unknown(name: str, known: Any) -> str:
    return f"There is no “{name}” here. Known: {', '.join(sorted(known))}."


def _rows(where: Where, rows: Any, noun: Noun, look: Callable[[Where, Any, Noun], Found]) -> Found:
    if type(rows) is not dict:
        yield where, f"“{where[-1]}” must be a mapping."
        return
    for key, row in rows.items():
        try:
            noun.key_check(key)
        except Wrong as error:
            yield (*where, key), said(key[:80], str(error))
        yield from look((*where, key), row, noun)


def _row(where: Where, row: Any, noun: Noun, *more: str) -> Found:
    if type(row) is not dict:
        yield where, f"“{where[-1]}” must be a mapping."
        return
    for name in row:
        if column := noun.fields.get(name):
            yield from _value((*where, name), row, name, column.check)
        elif name not in more:
            yield (*where, name), _unknown(name, {*noun.fields, *more})
    for name, column in noun.fields.items():
        if column.required and name not in row:
            yield where, f"“{where[-1]}” lacks “{name}”."


def _value(where: Where, row: dict[str, Any], name: str, check: Check) -> Found:
    try:
        row[name] = check(row[name])
    except Wrong as error:
        sentence = said(name, str(error))
        yield where, sentence.replace("must be text.", "must be text, in quotes.")


def _component(where: Where, row: Any, noun: Noun) -> Found:
    yield from _row(where, row, noun, "endpoints")
    if type(row) is dict and "endpoints" in row:
        yield from _rows((*where, "endpoints"), row["endpoints"], NOUNS["endpoint"], _row)


def _targets(where: Where, targets: Any, noun: Noun) -> Found:
    yield from _rows(where, targets, noun, _link)


def _link(where: Where, link: Any, noun: Noun) -> Found:
    """A mapping, or only how the dependency is."""
    if type(link) is dict:
        yield from _row(where, link, noun)
        return
    try:
        noun.fields["kind"].check(link)
    except Wrong as error:
        yield where, said(where[-1], str(error))
