"""From a reference to the secret behind it."""

from __future__ import annotations

from drivers.errors import InvalidInput, PermanentError
from drivers.secret.schemes import FORMS, split
from drivers.secret.value import Secret

_MAX_BYTES = 4096


class SecretStore:
    """Resolves secret references; it holds none itself."""

    def resolve(self, reference: object) -> Secret:
        """The secret behind `reference`.

        Raises `InvalidInput` when it is not a reference at all (the offending text is not repeated: it may be the
        secret itself), `PermanentError` when the place it names is missing, empty, too large or closed to us, and
        `TransientError` when the store that keeps it is sealed or does not answer.
        """
        found = split(reference)
        if found is None:
            raise InvalidInput(f"a secret must be given as one of {FORMS}")
        scheme, place = found
        value = scheme.reader()(place)
        if len(value.encode()) > _MAX_BYTES:
            raise PermanentError(f"the secret at {scheme.name}:{place} is larger than {_MAX_BYTES} bytes")
        value = value.rstrip("\r\n")
        if not value:
            raise PermanentError(f"the secret at {scheme.name}:{place} is missing or empty")
        return Secret(value)

    def optional(self, reference: object | None) -> Secret | None:
        """Like `resolve`, but nothing stands for nothing."""
        return None if reference is None else self.resolve(reference)
