"""A mail backend that kills its own worker, before or after it has handed a message over, once per order."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from django.core.mail.backends import filebased


class EmailBackend(filebased.EmailBackend):
    """Obeys the file ``die`` beside the folder of the mails: ``before`` or ``after``."""

    def send_messages(self, messages: Any) -> int:
        order = Path(self.file_path).with_name("die")
        moment = order.read_text() if order.exists() else ""
        order.unlink(missing_ok=True)
        if moment == "before":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        sent = super().send_messages(messages)
        if moment == "after":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        return sent
