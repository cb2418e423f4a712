"""Reading the access log from its end: first attempts, bounded, and never confused by a broken line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.nginx.access_log import Traffic, lines_from_end, percentile, traffic

A, B = "127.0.0.1:21001", "127.0.0.1:21002"


def line(msec: float, address: str = A, upstream: str = "200", status: int = 200, took: str = "0.010", **more) -> str:
    entry = {
        "msec": msec,
        "service": "api",
        "generation": "g1",
        "status": status,
        "upstream_addr": address,
        "upstream_status": upstream,
        "upstream_response_time": took,
    }
    return json.dumps({**entry, **more})


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_text("\n".join(lines) + end)
    return path


def test_a_retry_counts_against_the_slot_that_failed_first(tmp_path):
    log = write(
        tmp_path / "log",
        line(100.0),
        line(101.0, f"{B}, {A}", "502, 200", 200, "0.500, 0.010"),
        line(102.0, f"{B} : {A}", "500 : 200", 200, "0.100 : 0.010"),
        line(103.0, B, "200", took="0.300"),
    )
    assert traffic(log, "api", 100.0) == {A: Traffic(A, 1, 0, 0.01, 0.01, True), B: Traffic(B, 3, 2, 0.3, 0.5, True)}
    assert traffic(log, "api", 100.0)[B].error_rate == pytest.approx(2 / 3)
    assert Traffic(A, 0, 0, 0.0, 0.0, True).error_rate == 0.0


def test_a_client_that_leaves_is_no_error_and_silence_is(tmp_path):
    log = write(
        tmp_path / "log", line(100.0, upstream="-", status=499, took="-"), line(101.0, upstream="-", status=504)
    )
    assert traffic(log, "api", 0)[A].errors == 1
    assert traffic(log, "api", 0)[A].requests == 2


def test_time_service_generation_and_requests_without_upstream_are_kept_apart(tmp_path):
    log = write(
        tmp_path / "log",
        line(10.0),
        line(99.0),
        line(100.0, service="play"),
        line(100.0, generation="g0"),
        line(100.0, address=""),
        line(100.0),
    )
    assert traffic(log, "api", 100.0, "g1")[A].requests == 1
    assert traffic(log, "api", 100.0)[A].requests == 2
    assert traffic(log, "api", 0.0)[A].requests == 4
    assert traffic(log, "satellite", 0.0) == {}


def test_broken_lines_are_passed_over_and_an_unfinished_one_is_left_out(tmp_path):
    log = write(tmp_path / "log", line(100.0), '{"msec": 1', "[1]", '{"msec": "x"}', line(101.0), line(102.0), end="")
    assert traffic(log, "api", 100.0)[A].requests == 2
    assert traffic(write(tmp_path / "short", line(100.0), end=""), "api", 0.0) == {}
    assert traffic(write(tmp_path / "empty", end=""), "api", 0.0) == {}


def test_reading_is_bounded_and_says_so(tmp_path):
    log = write(tmp_path / "log", *(line(float(second)) for second in range(5000)))
    whole, part = traffic(log, "api", 0.0), traffic(log, "api", 0.0, limit=100_000)
    assert (whole[A].requests, whole[A].complete) == (5000, True)
    assert 400 < part[A].requests < 1000
    assert part[A].complete is False
    assert traffic(log, "api", 4990.0, limit=100_000)[A] == Traffic(A, 10, 0, 0.01, 0.01, True)


@pytest.mark.parametrize("count", [1, 2, 700, 5000])
def test_lines_come_newest_first_across_blocks(tmp_path, count):
    texts = [f"{number} " + "x" * (number % 300) for number in range(count)]
    log = write(tmp_path / "log", *texts)
    assert [found.decode() for found in lines_from_end(log)] == texts[::-1]


def test_percentiles_are_nearest_rank():
    values = [float(number) for number in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7.0], 0.95), percentile([], 0.5)) == (
        50.0,
        95.0,
        7.0,
        0.0,
    )
