"""Django's database sessions, with the account of each kept beside them (``SESSION_ENGINE``)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore


class SessionStore(DatabaseStore):
    """Keeps rows in ``identity.Session``."""

    @classmethod
    def get_model_class(cls) -> Any:
        from identity.models import Session

        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.account_id = data.get(SESSION_KEY)
        return row
