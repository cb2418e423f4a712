"""`manage.py prepare` goes on without the catalog or the demo accounts, and says so."""

from io import StringIO

from portal.management.commands.prepare import Command


def _tell(*command):
    out = StringIO()
    prepare = Command(stdout=out)
    prepare.began = 0.0
    return prepare._optional("Loading the catalog", *command), out.getvalue()


def test_a_command_that_fails_is_left_out():
    told, printed = _tell("catalog", "apply", "no/such/folder")
    assert told == ""
    assert "Loading the catalog failed, going on without: " in printed


def test_a_command_that_is_not_there_is_skipped():
    assert _tell("no-such-command")[1].endswith("Loading the catalog: skipped, there is no command no-such-command\n")
