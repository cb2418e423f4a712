"""Words: what a text asks for, how a table keeps its own, and which known words are meant by one that is unknown.

A searched table has a column ``words`` (tsvector, generated, GIN) that no model knows, so that no query carries it by
accident. The table ``portal_search_word`` says which tables have a word: one letter more, less, other or swapped is
found there by equality, so that its size does not matter; two wrong letters are found by likeness (pg_trgm).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db import migrations, models
from django.db.models.expressions import Col, Func

MOST_WORDS, MOST_LETTERS, LEAST_PREFIX, LONGEST_SLIP = 8, 100, 2, 32
PENDING = 512
"""Kilobytes that an index may leave unsorted: each search reads them all, 400 ms for the 4 MB of the default."""
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
NEAR = "SELECT * FROM portal_search_near(%(words)s::text[], %(edits)s::text[])"
Near = list[tuple[str, str, str]]
"""Of each word those that are known and near it, itself included, and the table that has them."""


@dataclass(frozen=True)
class Query:
    """A text as it was typed, its words, and what PostgreSQL is asked (tsquery); no words, no question."""

    text: str
    words: tuple[str, ...]
    tsquery: str


def read(text: str) -> Query:
    """The words of ``text``. All must be there; the last one may be the beginning of a word."""
    text = " ".join(text.replace("\x00", "").split())
    words = tuple(word[:MOST_LETTERS] for word in re.split(r"[\W_]+", text.lower()) if word)[:MOST_WORDS]
    parts = [f"'{word}'" for word in words]
    if words and len(words[-1]) >= LEAST_PREFIX:
        # The word itself as well: of a beginning the planner does not know how many rows have it.
        parts[-1] = f"({parts[-1]} | {parts[-1]}:*)"
    return Query(text, words, " & ".join(parts))


def guess(query: Query, near: Near) -> tuple[str, str] | None:
    """The same question with one word as a known word ``near`` it, and with each; ``None`` when there is none."""
    known = {word: sorted({other for typed, other, _ in near if typed == word} - {word}) for word in query.words}
    if not any(known.values()):
        return None
    plain = [f"'{word}'" for word in query.words]
    wide = [_any_of([word, *known[word]]) for word in query.words]
    one = [
        " & ".join([*plain[:place], _any_of(known[word]), *plain[place + 1 :]])
        for place, word in enumerate(query.words) if known[word]
    ]  # fmt: skip
    return " | ".join(f"({each})" for each in one), " & ".join(wide)


def _any_of(words: list[str]) -> str:
    return "(" + " | ".join(f"'{word}'" for word in words) + ")"


def neighbours(query: Query) -> dict[str, Any]:
    """What ``NEAR`` is asked with: the words, and beside each all that are one slip away."""
    return {"words": list(query.words), "edits": [" ".join(edits(word)) for word in query.words]}


def edits(word: str) -> set[str]:
    """Every word that one slip of a finger turns into ``word``: a letter more, less, other, or two swapped."""
    if not 3 <= len(word) <= LONGEST_SLIP:
        return {word}
    cuts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    found = {left + right[1:] for left, right in cuts if right}
    found |= {left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1}
    found |= {left + letter + right[1:] for left, right in cuts if right for letter in LETTERS}
    return found | {left + letter + right for left, right in cuts for letter in LETTERS}


class Matches(Func):
    """Whether the words of a row match. ``path`` leads to a column of the table that has them ("person__name")."""

    template = "%(expressions)s"
    arg_joiner = " @@ "
    output_field = models.BooleanField()
    conditional = True

    def __init__(self, path: str, tsquery: Any, *, by_index: bool = False) -> None:
        """``by_index``: rows are taken as the index of words gives them, in no order, and a limit ends that early."""
        super().__init__(_Words(path), tsquery, by_index=by_index)

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **context: Any) -> Any:
        sql, params = super().as_sql(compiler, connection, **context)
        words, _ = compiler.compile(self.get_source_expressions()[0])
        dear = f" AND portal_search_dear({words})" if self.extra["by_index"] else ""
        return f"({sql}::tsquery{dear})", params


class _Words(Func):
    """The hidden column beside the one that ``path`` names."""

    output_field = models.TextField()

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **context: Any) -> Any:
        (beside,) = self.get_source_expressions()
        assert isinstance(beside, Col)
        return f'{compiler.quote_name(beside.alias)}."words"', []


def searchable(table: str, text: str, tags: str = "NULL") -> migrations.RunSQL:
    """Give a table its words: of the SQL expression ``text`` and of an array ``tags``; kept by the database itself."""
    learn = f"""CREATE TRIGGER search_learn_%s AFTER %s ON {table} REFERENCING NEW TABLE AS new_rows
                FOR EACH STATEMENT EXECUTE FUNCTION portal_search_learn();"""
    # Names and expressions are constants of migrations.
    return migrations.RunSQL(
        f"""ALTER TABLE {table} ADD COLUMN words tsvector
              GENERATED ALWAYS AS (portal_search_words({text}, {tags})) STORED;
            CREATE INDEX {table}_words ON {table} USING gin (words) WITH (gin_pending_list_limit = {PENDING});
            {learn % ("insert", "INSERT")} {learn % ("update", "UPDATE")}
            INSERT INTO portal_search_word SELECT DISTINCT unnest(tsvector_to_array(words)), '{table}' FROM {table};""",  # noqa: S608
        f"""DROP TRIGGER search_learn_insert ON {table}; DROP TRIGGER search_learn_update ON {table};
            ALTER TABLE {table} DROP COLUMN words;""",
    )
