"""How uploads are received. A state file holds secrets in clear: what is uploaded as a catalog touches no disk."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler

IN_MEMORY = ("/catalog/", "/api/v1/catalog/")


class Spooled(TemporaryFileUploadHandler):
    """Writes what is too large for memory to a temporary file, except a catalog, which is left out."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if self.request is not None and self.request.path.startswith(IN_MEMORY):
            raise SkipFile
        super().new_file(*args, **kwargs)
