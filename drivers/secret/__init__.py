"""Secrets by reference: connection facts name where a secret is kept, never its value.

A reference is resolved when it is used, so that a rotated secret is picked up and a process that never needs one never
holds it. What a reference may look like stands in `drivers.secret.schemes`.
"""

from drivers.secret.schemes import FORMS, is_reference
from drivers.secret.store import SecretStore
from drivers.secret.value import Secret

__all__ = ["FORMS", "Secret", "SecretStore", "is_reference"]
