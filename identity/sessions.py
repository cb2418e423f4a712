"""Django's database sessions, with the account of each kept beside them (``SESSION_ENGINE``)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models import QuerySet
from django.utils import timezone

from portal.prepared import prepared


@prepared
def _session(key: str) -> QuerySet[Any]:
    return SessionStore.get_model_class()._default_manager.filter(session_key=key)


class SessionStore(DatabaseStore):
    """Keeps rows in ``identity.Session``."""

    @classmethod
    def get_model_class(cls) -> Any:
        from identity.models import Session

        return Session

    def _get_session_from_db(self) -> Any:
        """The row, if the session has not ended; otherwise its key is forgotten, so that nobody can choose one."""
        for row in _session(self.session_key):
            if row.expire_date > timezone.now():
                return row
        self._session_key = None
        return None

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.account_id = data.get(SESSION_KEY)
        return row
