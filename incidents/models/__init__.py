"""Signals, incidents, who is on call, and the pages that are due."""

from incidents.models.incident import Incident, Milestone, Note
from incidents.models.oncall import ContactMethod, EscalationPolicy, EscalationStep, Override, Schedule, ScheduleMember
from incidents.models.paging import Escalation, Notification, WebhookEndpoint
from incidents.models.post_mortem import ActionItem, PostMortem
from incidents.models.signals import Episode, RawSignal, SignalSource

__all__ = [
    "ActionItem",
    "ContactMethod",
    "Episode",
    "Escalation",
    "EscalationPolicy",
    "EscalationStep",
    "Incident",
    "Milestone",
    "Note",
    "Notification",
    "Override",
    "PostMortem",
    "RawSignal",
    "Schedule",
    "ScheduleMember",
    "SignalSource",
    "WebhookEndpoint",
]
