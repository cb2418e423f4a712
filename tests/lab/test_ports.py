"""Ports: remembered, below the range of outgoing connections, never one that somebody else listens on."""

from __future__ import annotations

import socket

import pytest

from lab import files, ports
from lab.errors import LabError
from lab.layout import Lab


@pytest.fixture
def listener():
    """Somebody else's server."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports.choose(["theirs"], {}, set(), 26000)["theirs"]))
        server.listen()
        yield server.getsockname()[1]


def test_ports_are_the_same_at_the_next_start(tmp_path):
    lab = Lab(tmp_path / "lab")
    first = ports.allocate(lab, base=24000)
    assert sorted(first) == sorted(ports.names())
    assert len(set(first.values())) == len(first)
    assert 24000 <= min(first.values()) <= max(first.values()) < ports.LIMIT
    # What a start without --base-port does: it keeps what an earlier one chose.
    assert ports.allocate(lab, ours=first) == first == ports.known(lab)


def test_a_port_that_somebody_took_is_replaced_and_the_others_stay(listener):
    before = {"one": listener, "two": 24001}
    free = ports.choose(["one", "two"], before, {"two"}, 24000)
    assert free["two"] == 24001
    assert free["one"] not in before.values()
    assert ports.is_free(free["one"])


def test_a_port_that_our_own_daemon_holds_is_kept(listener):
    assert ports.choose(["one"], {"one": listener}, {"one"}, 1024) == {"one": listener}
    assert ports.choose(["one"], {"one": listener}, set(), 1024) != {"one": listener}


@pytest.mark.parametrize("base", [80, 40000])
def test_a_base_outside_the_usable_range_is_refused(tmp_path, base):
    with pytest.raises(LabError, match=f"must lie between 1024 and 32767, not {base}"):
        ports.allocate(Lab(tmp_path / "lab"), base=base)


def test_running_out_of_ports_is_said():
    with pytest.raises(LabError, match="no free port between 32767 and 32767 for second"):
        ports.choose(["first", "second"], {}, set(), ports.LIMIT - 1)


def test_a_damaged_memory_of_ports_counts_as_none(tmp_path):
    lab = Lab(tmp_path / "lab")
    files.write(lab.ports, "{")
    with pytest.raises(LabError, match="has not been started yet"):
        ports.known(lab)
