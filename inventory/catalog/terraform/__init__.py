"""A Terraform or OpenTofu state as a catalog of its own.

A state file holds secrets in clear. It is read in memory, and of each resource only the attributes on the list in
``state`` are looked at; the rest is dropped before anything else happens. What is kept is the catalog made of it.
Formats: state version 4, and ``terraform show -json`` (developer.hashicorp.com/terraform/internals/json-format).
"""

from inventory.catalog.terraform.estate import Placing, catalog
from inventory.catalog.terraform.state import MAX_STATE, State, read

__all__ = ["MAX_STATE", "Placing", "State", "catalog", "read"]
