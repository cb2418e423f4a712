"""The rules that the estate should keep, each declared once: what it says, how bad a breach is, how it is mended.

A rule is one set query. ``inventory.reconcile.findings`` runs them and keeps what they find as ``Finding`` rows.
"""

from inventory.rules import data, ownership, resilience, trust
from inventory.rules.base import RULES, Rule

__all__ = ["RULES", "Rule", "data", "ownership", "resilience", "trust"]
