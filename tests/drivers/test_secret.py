"""Secrets stay where they are until they are used, and do not leak on the way."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle

import pytest

from drivers.base import InvalidInput, PermanentError
from drivers.secret import Secret, SecretStore, is_reference

VALUE = "correct-horse-battery"
store = SecretStore()


def test_a_secret_shows_itself_only_when_asked_to_reveal():
    secret = Secret(VALUE)
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>40}",
        "{}".format(secret),  # noqa: UP032
        repr([secret]),
        repr({"a": secret}),
    ]
    assert not [text for text in shown if VALUE in text]
    assert secret.reveal() == VALUE


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, hash, vars, Secret.__getstate__])
def test_a_secret_cannot_be_serialised_copied_or_hashed(leak):
    with pytest.raises(TypeError) as caught:
        leak(Secret(VALUE))
    assert VALUE not in str(caught.value)


def test_a_log_line_does_not_hold_it(caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("using %s and %r", Secret(VALUE), Secret(VALUE))
    assert caplog.messages == ["using Secret(hidden) and Secret(hidden)"]


def test_secrets_compare_by_value_and_with_nothing_else():
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("another")
    assert Secret(VALUE) != VALUE


def test_references_are_resolved_when_used(monkeypatch, tmp_path):
    monkeypatch.setenv("EDYE_TEST_SECRET", VALUE)
    (tmp_path / "secret").write_text(VALUE + "\n")
    assert store.resolve("env:EDYE_TEST_SECRET").reveal() == VALUE
    assert store.resolve(f"file:{tmp_path}/secret").reveal() == VALUE
    (tmp_path / "secret").write_text("rotated")
    assert store.resolve(f"file:{tmp_path}/secret").reveal() == "rotated"
    assert store.optional(None) is None
    assert store.optional("env:EDYE_TEST_SECRET") == Secret(VALUE)


ODD = [VALUE, "env:", "env:1X", "env:A B", "file:relative", "file:/a\0b", "", None, 5, f"env:{'A' * 2000}"]
ODD += ["vault:", "vault:secret#field", "vault:secret/db", "vault:secret/../sys#x", "vault:secret//db#x", "VAULT:a/b#c"]
ODD += ["vault:secret/db#", "vault:secret/d b#x", "vault:secret/db?version=1#x", "vault:secret/db#a#b", "vault:/a/b#c"]
ODD += ["aws-sm:", "aws-sm:a b", "aws-sm:a#", "aws-sm:a\n", "aws:secret", "https://vault/secret", "env"]


@pytest.mark.parametrize("reference", ODD)
def test_what_is_not_a_reference_is_refused_without_repeating_it(reference):
    with pytest.raises(InvalidInput) as caught:
        store.resolve(reference)
    assert VALUE not in str(caught.value)
    assert is_reference(reference) is False


@pytest.mark.parametrize(
    "reference",
    [
        "env:A_1",
        "file:/run/secrets/a b",
        "vault:secret/db/portal#password",
        "aws-sm:edye/db",
        "aws-sm:arn:aws:secretsmanager:eu-west-1:123456789012:secret:edye/db-Ab1#password",
    ],
)
def test_the_forms_of_a_reference(reference):
    assert is_reference(reference) is True


def test_missing_empty_oversized_and_odd_secrets_are_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("EDYE_TEST_SECRET", raising=False)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_text("x" * 5000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    for reference in [
        "env:EDYE_TEST_SECRET",
        *(f"file:{tmp_path}/{n}" for n in ("no", "empty", "large", "binary", "pipe")),
    ]:
        with pytest.raises(PermanentError):
            store.resolve(reference)
