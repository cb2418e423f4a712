"""Requests for temporary access, and the grants that come of them."""

from access.models.grant import Grant
from access.models.request import AccessRequest

__all__ = ["AccessRequest", "Grant"]
