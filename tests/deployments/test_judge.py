"""The canary judge: few false alarms however often one looks, quick on real ones, and never a pass by silence."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.judge import Bin, Verdict, judge, upper_bound

LIMITS = {"minimum": 60, "tolerated_rate": 0.05}


def binomial(rng: random.Random, requests: int, rate: float) -> int:
    return sum(rng.random() < rate for _ in range(requests))


def run(seed: int, *, canary_rate: float, baseline_rate: float, looks: int) -> tuple[Verdict, int]:
    """Watch for up to ``looks`` bins of 5 canary and 45 baseline requests, judging after each; stop at FAIL."""
    rng = random.Random(seed)
    bins: list[Bin] = []
    verdict = Verdict.INCONCLUSIVE
    for look in range(1, looks + 1):
        bins.append(Bin(5, binomial(rng, 5, canary_rate), 45, binomial(rng, 45, baseline_rate)))
        verdict = judge(bins, **LIMITS).verdict
        if verdict is Verdict.FAIL:
            return verdict, look
    return verdict, looks


def test_equal_versions_are_almost_never_withdrawn_however_often_one_looks():
    alarms = sum(run(seed, canary_rate=0.02, baseline_rate=0.02, looks=120)[0] is Verdict.FAIL for seed in range(200))
    assert alarms <= 6


def test_a_fifth_of_failures_is_caught_within_a_minute_of_looks():
    outcomes = [run(seed, canary_rate=0.2, baseline_rate=0.0, looks=60) for seed in range(100)]
    assert all(verdict is Verdict.FAIL for verdict, _ in outcomes)
    assert sorted(look for _, look in outcomes)[50] <= 10


def test_a_good_version_passes_once_enough_was_seen():
    verdict = judge([Bin(60, 0, 540, 0)], **LIMITS)
    assert verdict.verdict is Verdict.PASS
    assert verdict.sentence == (
        "0 of 60 requests failed (beside it 0 of 540): its failure rate is below 4.3% with 95 % confidence."
    )


@pytest.mark.parametrize("bins", [[], [Bin(0, 0, 0, 0)], [Bin(59, 0, 10_000, 0)], [Bin(0, 0, 10_000, 0)]])
def test_silence_never_passes(bins):
    assert judge(bins, **LIMITS).verdict is Verdict.INCONCLUSIVE


def test_clean_baseline_and_errors_in_the_canary_fail():
    """The case in which a well-known judge of shifts answers "pass"."""
    assert judge([Bin(30, 5, 300, 0)], **LIMITS).verdict is Verdict.FAIL


def test_a_version_that_fails_most_requests_fails_even_without_a_baseline():
    assert judge([Bin(60, 40, 0, 0)], **LIMITS).verdict is Verdict.FAIL


def test_errors_that_both_share_are_no_reason_to_withdraw():
    assert judge([Bin(100, 10, 900, 90)], **LIMITS).verdict is not Verdict.FAIL


def test_what_may_still_be_bad_is_inconclusive():
    assert judge([Bin(60, 2, 540, 0)], **LIMITS).verdict is Verdict.INCONCLUSIVE


@given(failed=st.integers(0, 50), more=st.integers(0, 500))
def test_the_bound_lies_above_the_rate_and_falls_with_more_requests(failed, more):
    requests = failed + more + 1
    assert failed / requests <= upper_bound(failed, requests) <= 1
    assert upper_bound(failed, requests * 2) < upper_bound(failed, requests)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_any_counts_give_a_verdict_and_finite_evidence(pairs):
    bins = [Bin(a, a // 2, b, b // 3) for a, b in pairs]
    verdict = judge(bins, **LIMITS)
    assert verdict.evidence >= 0
    assert verdict.canary == sum(a for a, _ in pairs)
