"""One actor at a time, and never one that has lost its claim."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from drivers.base import PermanentError, StaleFence, TransientError
from drivers.locks import Ledger, exclusive


def test_a_second_holder_waits_and_then_gives_up(tmp_path):
    with (
        exclusive(tmp_path / "lock"),
        pytest.raises(TransientError, match="being changed by another process"),
        exclusive(tmp_path / "lock", seconds=0.2),
    ):
        raise AssertionError
    with exclusive(tmp_path / "lock", seconds=0):
        assert (tmp_path / "lock").stat().st_mode & 0o077 == 0


def test_a_killed_holder_leaves_no_lock_behind(tmp_path):
    code = textwrap.dedent(
        f"""
        import os, pathlib
        from drivers.locks import exclusive
        with exclusive(pathlib.Path({str(tmp_path / "lock")!r})):
            os.kill(os.getpid(), 9)
        """
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with exclusive(tmp_path / "lock", seconds=0):
        assert (tmp_path / "lock").exists()


def test_a_lock_in_a_missing_folder_is_a_permanent_error(tmp_path):
    with pytest.raises(PermanentError, match="cannot be opened"), exclusive(tmp_path / "no" / "lock"):
        raise AssertionError


def test_a_lower_fence_is_refused_for_the_names_that_saw_a_higher_one(tmp_path):
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.raise_fence(["api"], 5)
    ledger.raise_fence(["api"], 5)
    ledger.raise_fence(["play"], 2)
    ledger.raise_fence(["api"], None)
    with pytest.raises(StaleFence, match="fence 4 for api is older than 5"):
        ledger.raise_fence(["play", "api"], 4)
    ledger.raise_fence(["play"], 3)


def test_numbers_rise_and_survive_the_process(tmp_path):
    assert [Ledger(tmp_path / "ledger.json").next_number() for _ in range(3)] == [1, 2, 3]
    Ledger(tmp_path / "ledger.json").raise_fence(["api"], 9)
    assert Ledger(tmp_path / "ledger.json").next_number() == 4


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_a_damaged_ledger_stops_everything_rather_than_forget_its_fences(tmp_path, content):
    (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(PermanentError, match="damaged"):
        Ledger(tmp_path / "ledger.json").raise_fence(["api"], 1)
