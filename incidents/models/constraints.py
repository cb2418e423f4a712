"""What the database refuses, whoever writes: facts tied to a state in both directions, and times in order."""

from django.db import models
from django.db.models import F, Q

from incidents.lifecycle import BEFORE_MITIGATION, RESTORED, WORKING

MITIGATION_BEGUN = ("mitigating", "investigating", *RESTORED)
APPROVED = ("improving", "closing", "closed")
SET_ASIDE = ("cancelled", "merged")

CONSTRAINTS = [
    models.UniqueConstraint(
        fields=["dedupe_key"],
        condition=Q(state__in=WORKING) & ~Q(dedupe_key=""),
        name="incident_one_open_per_root",
    ),
    models.CheckConstraint(
        condition=Q(component__isnull=True) ^ Q(unknown_reason=""), name="incident_component_or_reason"
    ),
    models.CheckConstraint(
        condition=Q(severity__isnull=True, impact__isnull=True, urgency__isnull=True, classified_at__isnull=True)
        | Q(severity__isnull=False, impact__isnull=False, urgency__isnull=False, classified_at__isnull=False),
        name="incident_classified_whole",
    ),
    models.CheckConstraint(
        condition=Q(state__in=SET_ASIDE) | (Q(state="detected") ^ Q(classified_at__isnull=False)),
        name="incident_classified_iff_past_detected",
    ),
    models.CheckConstraint(
        condition=Q(severity__isnull=True) | Q(severity__range=(1, 4), severity__gte=F("severity_cap")),
        name="incident_severity_within_cap",
    ),
    models.CheckConstraint(
        condition=Q(state__in=SET_ASIDE) | (Q(state__in=MITIGATION_BEGUN) ^ Q(mitigation_started_at__isnull=True)),
        name="incident_mitigation_iff_begun",
    ),
    models.CheckConstraint(
        condition=Q(mitigated_at__isnull=True) | ~Q(state__in=(*BEFORE_MITIGATION, "mitigating")),
        name="incident_mitigated_only_after_mitigating",
    ),
    models.CheckConstraint(
        condition=(Q(state__in=RESTORED) & Q(resolved_at__isnull=False, watch_until__isnull=False))
        | (~Q(state__in=RESTORED) & Q(resolved_at__isnull=True, watch_until__isnull=True)),
        name="incident_resolved_iff_restored",
    ),
    models.CheckConstraint(
        condition=(Q(state__in=APPROVED) & Q(approved_at__isnull=False, approved_by__isnull=False))
        | (~Q(state__in=APPROVED) & Q(approved_at__isnull=True, approved_by__isnull=True)),
        name="incident_approved_iff_improving",
    ),
    models.CheckConstraint(
        condition=Q(state="closed") ^ Q(closed_at__isnull=True), name="incident_closed_iff_closed_at"
    ),
    models.CheckConstraint(
        condition=(Q(state__in=SET_ASIDE) & Q(set_aside_at__isnull=False) & ~Q(set_aside_reason=""))
        | (~Q(state__in=SET_ASIDE) & Q(set_aside_at__isnull=True, set_aside_reason="")),
        name="incident_set_aside_with_reason",
    ),
    models.CheckConstraint(
        condition=Q(state="merged") ^ Q(merged_into__isnull=True), name="incident_merged_iff_target"
    ),
    models.CheckConstraint(
        condition=Q(merged_into__isnull=True) | ~Q(merged_into=F("id")), name="incident_not_merged_into_itself"
    ),
    models.CheckConstraint(
        condition=Q(acknowledged_at__isnull=True, acknowledged_by__isnull=True)
        | Q(acknowledged_at__isnull=False, acknowledged_by__isnull=False),
        name="incident_acknowledged_whole",
    ),
    models.CheckConstraint(
        condition=Q(mitigated_at__isnull=True) | Q(mitigated_at__gte=F("impact_started_at")),
        name="incident_mitigated_after_impact",
    ),
    models.CheckConstraint(
        condition=Q(resolved_at__isnull=True) | Q(mitigated_at__isnull=False, resolved_at__gte=F("mitigated_at")),
        name="incident_resolved_after_mitigated",
    ),
    models.CheckConstraint(
        condition=Q(closed_at__isnull=True) | Q(closed_at__gte=F("resolved_at")),
        name="incident_closed_after_resolved",
    ),
    models.CheckConstraint(condition=Q(detected_at__gte=F("impact_started_at")), name="incident_detected_after_impact"),
]
