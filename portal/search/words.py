"""Words: what a text asks for, how a table keeps its own, and which known words are meant by one that is unknown.

A searched table has a column ``words`` (tsvector, generated, GIN) that no model knows, so that no query carries it by
accident. The table ``portal_search_word`` has each word of every table: one letter more, less, other or swapped is
found there by equality, so that its size does not matter; two wrong letters are found by likeness (pg_trgm).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db import connection, migrations, models
from django.db.models.expressions import Col, Func, Value

MOST_WORDS, MOST_LETTERS, LEAST_PREFIX, LEAST_ALIKE = 8, 100, 2, 5
MOST_ALIKE, LIKENESS, LONGEST_SLIP = 20, 0.4, 32
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_NEAR = """SELECT DISTINCT word FROM portal_search_word WHERE word = ANY(%s)"""
_ALIKE = """SELECT word FROM (SELECT DISTINCT word FROM portal_search_word WHERE word %% %s) known
             WHERE similarity(word, %s) >= %s ORDER BY similarity(word, %s) DESC, word LIMIT %s"""


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


def guess(query: Query) -> tuple[Query, Query] | None:
    """The same question with one word as a known word next to it, and with each; ``None`` when there is none."""
    known = _known(query.words)
    if not any(known):
        return None
    plain = [f"'{word}'" for word in query.words]
    wide = [_any_of([word, *near]) for word, near in zip(query.words, known, strict=True)]
    one = [" & ".join([*plain[:place], _any_of(near), *plain[place + 1 :]]) for place, near in enumerate(known) if near]
    slips = " | ".join(f"({each})" for each in one), " & ".join(wide)
    return Query(query.text, query.words, slips[0]), Query(query.text, query.words, slips[1])


def _any_of(words: list[str]) -> str:
    return "(" + " | ".join(f"'{word}'" for word in words) + ")"


def _known(words: tuple[str, ...]) -> list[list[str]]:
    near = {word: edits(word) for word in words}
    with connection.cursor() as cursor:
        cursor.execute(_NEAR, [sorted(set().union(*near.values()))])
        known = {word for (word,) in cursor.fetchall()}
        found = [sorted(near[word] & known - {word}) for word in words]
        for place, word in enumerate(words):
            if len(word) >= LEAST_ALIKE and not found[place]:
                cursor.execute(_ALIKE, [word, word, LIKENESS, word, MOST_ALIKE])
                found[place] = [alike for (alike,) in cursor.fetchall()]
    return found


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

    def __init__(self, path: str, query: Query, *, by_index: bool = False) -> None:
        """``by_index``: rows are taken as the index of words gives them, in no order, and a limit ends that early."""
        super().__init__(_Words(path), Value(query.tsquery), by_index=by_index)

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
            CREATE INDEX {table}_words ON {table} USING gin (words);
            {learn % ("insert", "INSERT")} {learn % ("update", "UPDATE")}
            INSERT INTO portal_search_word SELECT DISTINCT unnest(tsvector_to_array(words)) FROM {table};""",  # noqa: S608
        f"""DROP TRIGGER search_learn_insert ON {table}; DROP TRIGGER search_learn_update ON {table};
            ALTER TABLE {table} DROP COLUMN words;""",
    )
