"""`manage.py lab` hands everything to the lab's own command line, exit status included."""

from __future__ import annotations

import json

import pytest

from portal.management.commands.lab import Command


def test_arguments_and_exit_status_pass_through(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PORTAL_STATE", str(tmp_path))
    with pytest.raises(SystemExit) as done:
        Command().run_from_argv(["manage.py", "lab", "publish", "api", "1.1.0", "--delay-ms", "20"])
    assert done.value.code == 0
    assert json.loads(capsys.readouterr().out)["version"] == "1.1.0"
    with pytest.raises(SystemExit) as refused:
        Command().run_from_argv(["manage.py", "lab", "status"])
    assert refused.value.code == 2
    assert capsys.readouterr().err == "lab: the lab has not been started yet: run `manage.py lab up`\n"


def test_it_can_be_called_from_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PORTAL_STATE", str(tmp_path))
    Command().handle("publish", "play", "2.0.0")
    assert json.loads(capsys.readouterr().out)["service"] == "play"
    with pytest.raises(SystemExit) as refused:
        Command().handle("publish", "play", "two")
    assert refused.value.code == 2
