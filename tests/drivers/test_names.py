"""What may end up in a command line, a configuration file or a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import names
from drivers.base import InvalidInput

HOSTILE = [
    "",
    " ",
    "-rf",
    "--help",
    "a b",
    "a;id",
    "a\n",
    "a\nb",
    "a\0b",
    "$(touch /tmp/x)",
    "`id`",
    "a'b",
    'a"b',
    "a|b",
    "a&b",
    "a{b}",
    "../up",
    "a/b",
    "é",
    "ａ",
    "x" * 1000,
    "A",
    ".hidden",
    "a\\b",
    None,
    7,
    True,
    [],
    {},
    b"a",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("check", [names.name, names.version, names.slot, names.path, names.url, names.weights])
def test_hostile_input_is_refused(check, value):
    with pytest.raises(InvalidInput) as caught:
        check(value)
    assert len(str(caught.value)) < 150
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [value for value in HOSTILE if value != "A"])
@pytest.mark.parametrize("check", [names.token, names.host, names.env_name, names.url_path])
def test_hostile_tokens_and_hosts_are_refused(check, value):
    with pytest.raises(InvalidInput):
        check(value)


@pytest.mark.parametrize("value", [0, 65536, -1, True, "80", 80.0, None])
def test_ports_are_whole_numbers_of_tcp(value):
    with pytest.raises(InvalidInput):
        names.port(value)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 101, "b": 0},
        {"a": -1, "b": 100},
        {"a": 0, "b": 0},
        {"a": 100},
        {"a": 50, "b": 50, "c": 0},
        {"a": "100", "b": 0},
        {"a": True, "b": 0},
        {"a": 99.5, "b": 0.5},
    ],
)
def test_weights_are_two_whole_percentages_and_somebody_serves(value):
    with pytest.raises(InvalidInput):
        names.weights(value)


@pytest.mark.parametrize("value", ["1.0", "v1.0.0", "1.0.0 ", "01.0.0", "1.0.0-", "1.0.0-a_b", "1.0.0-" + "x" * 60])
def test_only_semantic_versions_are_versions(value):
    with pytest.raises(InvalidInput):
        names.version(value)


@pytest.mark.parametrize(
    "value",
    [
        "ftp://127.0.0.1/",
        "http://",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b",
        "http://[::1",
        "http:\\\\127.0.0.1",
        "file:///etc/passwd",
        "http://127.0.0.1:0/",
    ],
)
def test_only_plain_http_addresses_are_addresses(value):
    with pytest.raises(InvalidInput):
        names.url(value)


@pytest.mark.parametrize("value", ["/a/../b", "/..", "relative", "/a\n", '/a"b', "/a;b", "/a$b", "/" + "x" * 600])
def test_paths_are_absolute_and_carry_no_meaning_in_a_configuration(value):
    with pytest.raises(InvalidInput):
        names.path(value)


def test_good_values_pass_unchanged():
    assert names.name("edye-api.v2_x") == "edye-api.v2_x"
    assert names.version("1.2.3-rc.1+build.5") == "1.2.3-rc.1+build.5"
    assert names.token("0198-AB:3:undo") == "0198-AB:3:undo"
    assert names.weights({"a": 90, "b": 10}) == {"a": 90, "b": 10}
    assert names.port(65535) == 65535
    assert names.path("/srv/edye portal/live") == Path("/srv/edye portal/live")
    assert names.path(Path("/srv/live")) == Path("/srv/live")
    assert names.url("https://portal.example:8443/healthz?full=1") == "https://portal.example:8443/healthz?full=1"
    assert names.env_name("VERSION") == "VERSION"
    assert names.url_path("/healthz") == "/healthz"
    assert names.host("db-1.example") == "db-1.example"
    assert [names.slot(slot) for slot in names.SLOTS] == ["a", "b"]


@given(st.text(max_size=80))
def test_a_name_never_holds_a_character_with_a_meaning_elsewhere(text):
    try:
        accepted = names.name(text)
    except InvalidInput:
        return
    assert accepted == text
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert text[0].isalnum()
