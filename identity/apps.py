from typing import Any

from django.db.models.signals import post_migrate

from portal.apps import DomainConfig


class IdentityConfig(DomainConfig):
    name = "identity"

    def ready(self) -> None:
        from identity import checks  # noqa: F401 (registers the checks)

        super().ready()
        post_migrate.connect(follow_the_matrix, sender=self)


def follow_the_matrix(using: str, **facts: Any) -> None:
    """After migrations: bindings mean what ``matrix.yaml`` says today. Nothing to do while the tables are missing."""
    from django.db import connections

    from identity import rights
    from identity.models import RoleBinding

    if RoleBinding._meta.db_table in connections[using].introspection.table_names():
        rights.sync_roles()
