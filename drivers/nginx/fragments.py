"""Configuration fragments: pieces of the edge's server block that an operator may replace by hand.

What a fragment may hold is decided here, before nginx reads it: a list of directives that shape answers, and `location`
blocks of them. None of them reads or writes a file, loads code, or sends requests elsewhere, and no text can close the
block that it stands in. Bare words are narrower than nginx's own (a word with a brace, a quote or a number sign must be
quoted), so that there is one way to read a text (nginx, ngx_conf_file.c).
"""

from __future__ import annotations

import re

from drivers.errors import InvalidInput

MAX_CHARACTERS = 8000
DIRECTIVES = frozenset(
    {
        *("add_header", "allow", "default_type", "deny", "etag", "expires", "if_modified_since", "satisfy"),
        *("client_body_timeout", "client_max_body_size", "keepalive_timeout", "limit_rate", "limit_rate_after"),
        *("gzip", "gzip_comp_level", "gzip_min_length", "gzip_types", "gzip_vary"),
        *("proxy_buffering", "proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout"),
        *("return", "rewrite"),
    }
)
_TOKEN = re.compile(
    r"""
    (?P<space> \s+ | \#[^\n]*(?:\n|\Z) )
  | (?P<word> (?: "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?:[^\s;{}"'\#\\]|\\[\w./$()|+*?^\[\]-])+ ) (?=[\s;{]) )
  | (?P<mark> [;{}] )
    """,
    re.VERBOSE,
)


def check(text: str) -> None:
    """Refuse a text that is not a sequence of allowed directives and locations, with `InvalidInput` saying why."""
    if not 0 < len(text) <= MAX_CHARACTERS:
        raise InvalidInput(f"a fragment has 1 to {MAX_CHARACTERS} characters")
    if not all(sign.isprintable() or sign in "\n\t" for sign in text):
        raise InvalidInput("a fragment holds a control character")
    if "${" in text:
        raise InvalidInput("write variables without braces")
    statement: list[str] = []
    depth = statements = place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if not token:
            raise InvalidInput(f"a fragment cannot be read from {text[place : place + 30]!r} on")
        place = token.end()
        if token["word"]:
            statement.append(token["word"])
        elif token["mark"]:
            depth = _statement(token["mark"], statement, depth)
            statement, statements = [], statements + 1
    if statement or depth:
        raise InvalidInput("a fragment ends in the middle of a directive or block")
    if not statements:
        raise InvalidInput("a fragment needs at least one directive")


def _statement(mark: str, words: list[str], depth: int) -> int:
    """Judge the statement that `mark` ends; the depth of blocks after it."""
    if mark == "}":
        if words or not depth:
            raise InvalidInput("a fragment closes a block that it has not opened, or in the middle of a directive")
        return depth - 1
    if mark == "{":
        if not words or words[0] != "location" or depth:
            raise InvalidInput("the only block in a fragment is a location, and none stands in another")
        return depth + 1
    if not words or words[0] not in DIRECTIVES:
        said = repr(words[0])[:60] if words else "nothing"
        raise InvalidInput(f"a fragment may not hold {said}; allowed are {', '.join(sorted(DIRECTIVES))}")
    return depth
