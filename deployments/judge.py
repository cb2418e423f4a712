"""The canary judge: is the new version worse than the old one that runs beside it?

A sequential odds-ratio test on counts of failed first attempts. Both arms see the same minutes, so the bad
requests of a bin, whichever arm they fall on, are spread by the share of requests alone when the versions are
equal. The product of likelihood ratios is then a supermartingale: by Ville's inequality the chance that it
*ever* reaches 1/α is at most α, however often one looks and however the weights change meanwhile.
Sources: Lindon & Malek, NeurIPS 2022 (anytime-valid inference for counts); Johari et al., "Always valid inference".

Three verdicts, and silence is never one of approval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

TOLERATED = 1.1
"""Odds ratio canary : baseline that still counts as equal."""
ALTERNATIVES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
ALPHA = 0.01
"""Chance of ever withdrawing a version that is not worse."""
CONFIDENCE_Z = 1.6449
"""One-sided 95 % normal quantile."""


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 (a verdict)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Bin:
    """Requests and failed requests of both arms over one stretch of time with fixed weights."""

    canary: int
    canary_failed: int
    baseline: int
    baseline_failed: int


@dataclass(frozen=True)
class Judgement:
    """The verdict, the evidence (an odds against "not worse"), the sample and a sentence for people."""

    verdict: Verdict
    evidence: float
    canary: int
    canary_failed: int
    baseline: int
    baseline_failed: int
    sentence: str


def log_evidence(bins: Iterable[Bin]) -> float:
    """Natural logarithm of the averaged likelihood ratio against "odds ratio ≤ TOLERATED" over all bins."""
    sums = [0.0] * len(ALTERNATIVES)
    for part in bins:
        failed = part.canary_failed + part.baseline_failed
        if not failed or not part.canary or not part.baseline:
            continue
        for place, ratio in enumerate(ALTERNATIVES):
            shrink = (TOLERATED * part.canary + part.baseline) / (ratio * part.canary + part.baseline)
            sums[place] += part.canary_failed * math.log(ratio / TOLERATED) + failed * math.log(shrink)
    highest = max(sums)
    return highest + math.log(sum(math.exp(value - highest) for value in sums) / len(sums))


def upper_bound(failed: int, requests: int) -> float:
    """Upper 95 % bound of a failure rate (Wilson score interval; 1.0 without requests)."""
    if not requests:
        return 1.0
    rate, z2 = failed / requests, CONFIDENCE_Z**2
    middle = rate + z2 / (2 * requests)
    spread = CONFIDENCE_Z * math.sqrt(rate * (1 - rate) / requests + z2 / (4 * requests**2))
    return (middle + spread) / (1 + z2 / requests)


def judge(bins: list[Bin], *, minimum: int, tolerated_rate: float) -> Judgement:
    """Judge all bins since the canary got its first request.

    FAIL as soon as the odds reach 1/ALPHA, or when the canary fails while there is no baseline to excuse it.
    PASS when ``minimum`` canary requests were seen, little speaks against it (odds below 2) and the upper
    bound of its failure rate is at most ``tolerated_rate`` above the baseline's own rate.
    """
    canary, canary_failed = sum(b.canary for b in bins), sum(b.canary_failed for b in bins)
    baseline, baseline_failed = sum(b.baseline for b in bins), sum(b.baseline_failed for b in bins)
    evidence = log_evidence(bins) if bins else 0.0
    base_rate = baseline_failed / baseline if baseline else 0.0
    bound = upper_bound(canary_failed, canary)
    if evidence >= math.log(1 / ALPHA) or (not baseline and canary >= minimum and canary_failed > canary / 2):
        verdict, why = Verdict.FAIL, "it fails more often than the version beside it"
    elif canary < minimum:
        verdict, why = Verdict.INCONCLUSIVE, f"{canary} of the {minimum} requests it takes to judge were seen"
    elif evidence < math.log(2) and bound <= base_rate + tolerated_rate:
        verdict, why = Verdict.PASS, f"its failure rate is below {bound:.1%} with 95 % confidence"
    else:
        verdict, why = Verdict.INCONCLUSIVE, f"its failure rate may still be as high as {bound:.1%}"
    sentence = f"{canary_failed} of {canary} requests failed (beside it {baseline_failed} of {baseline}): {why}."
    odds = math.exp(min(evidence, 700))
    return Judgement(verdict, odds, canary, canary_failed, baseline, baseline_failed, sentence)
